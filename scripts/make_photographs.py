"""Make data/sample/photographs: cuts of photographs that ship with scikit-image and scikit-learn.

    python scripts/make_photographs.py SCIKIT_IMAGE_DATA_FOLDER SCIKIT_LEARN_IMAGES_FOLDER

The folders are skimage/data and sklearn/datasets/images of the installed packages; neither is a requirement.
"""

import sys
from pathlib import Path

from PIL import Image

from relu2snn.arguments import Arguments
from relu2snn.errors import UserError, printable
from relu2snn.files import atomic_path

# Left, upper, width and height of the cut.
CUTS = {
    "chelsea.png": (60, 0, 320, 280),
    "coffee.png": (140, 60, 320, 280),
    "rocket.jpg": (170, 60, 320, 280),
    "hubble_deep_field.jpg": (300, 200, 320, 280),
    "retina.jpg": (500, 500, 320, 280),
    "china.jpg": (200, 80, 320, 280),
    "flower.jpg": (180, 60, 320, 280),
}
QUALITY = 88


def main() -> None:
    parser = Arguments("make_photographs", __doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders with the photographs")
    parser.add_argument("--output", type=Path, default=Path("data/sample/photographs"))
    arguments = parser.parse_args()
    for name, (left, upper, width, height) in CUTS.items():
        found = [folder / name for folder in arguments.folders if (folder / name).is_file()]
        if not found:
            parser.error(f"{name} is in none of the folders")
        cut = Image.open(found[0]).convert("RGB").crop((left, upper, left + width, upper + height))
        with atomic_path((arguments.output / name).with_suffix(".jpg")) as temporary:
            cut.save(temporary, "JPEG", quality=QUALITY)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"make_photographs: {printable(str(error))}")
