"""Make small files in the real formats of Places365 or PASS: cuts of the shipped photographs, networks with He weights.

    python scripts/make_smoke_data.py places365 data/smoke/places365 [--classes 6 …]
    python scripts/make_smoke_data.py pass data/smoke/pass [--per-folder 3 …]

All of it is synthetic: no class, no label and no network means anything. The same values give the same files.
"""

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relu2snn.arguments import Arguments, share, whole
from relu2snn.errors import UserError, machine_error, one_line, printable, shown
from relu2snn.processes import end_with_starter

PHOTOGRAPHS = Path(__file__).resolve().parents[1] / "data" / "sample" / "photographs"
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
DENSE = (4096, 4096)
SIDE = 224

README = """\
# Synthetic files in the format of {name}

Made by `scripts/make_smoke_data.py`. The networks have random weights, the labels are drawn at random: nothing measured
on them says anything about {name}. The images are cuts of photographs, under these licences:

"""


class Layer:
    """Name, weight as Caffe keeps it, (out, in, 3, 3) or (out, in), and bias (out,) of one layer."""

    def __init__(self, name: str, shape: tuple[int, ...], random: np.random.RandomState) -> None:
        self.name = name
        # He's initialisation keeps the spread of the activities from layer to layer.
        spread = np.sqrt(2 / np.prod(shape[1:]))
        self.weight = random.normal(0, spread, shape).astype(np.float32)
        self.bias = random.normal(0, 10, shape[0]).astype(np.float32)


def vgg16(width: float, classes: int, seed: int, dense_names: tuple[str, ...]) -> list[Layer]:
    """The layers of a VGG16 with `width` times its hidden units, called conv<block>_<number> and `dense_names`."""
    random = np.random.RandomState(seed)
    layers, inputs = [], 3
    for block, filters in enumerate(BLOCKS, start=1):
        for number, count in enumerate(filters, start=1):
            units = scaled(count, width)
            layers.append(Layer(f"conv{block}_{number}", (units, inputs, 3, 3), random))
            inputs = units
    inputs *= (SIDE // 2 ** len(BLOCKS)) ** 2
    for name, units in zip(dense_names, (*(scaled(each, width) for each in DENSE), classes), strict=True):
        layers.append(Layer(name, (units, inputs), random))
        inputs = units
    return layers


def scaled(size: int, width: float) -> int:
    return max(1, round(size * width))


def prototxt(layers: list[Layer]) -> str:
    """Caffe's description of the network, as it is deployed: image in, probabilities out."""
    texts = [
        f'name: "synthetic VGG16"\ninput: "data"\ninput_dim: 1\ninput_dim: 3\ninput_dim: {SIDE}\ninput_dim: {SIDE}'
    ]
    last = "data"

    def add(kind: str, name: str, options: str = "", in_place: bool = False) -> None:
        nonlocal last
        top = last if in_place else name
        texts.append(f'layer {{ name: "{name}" type: "{kind}" bottom: "{last}" top: "{top}" {options} }}')
        last = top

    convolutions = [layer for layer in layers if layer.weight.ndim == 4]
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        units = len(layer.weight)
        if layer in convolutions:
            add("Convolution", layer.name, f"convolution_param {{ num_output: {units} pad: 1 kernel_size: 3 }}")
        else:
            add("InnerProduct", layer.name, f"inner_product_param {{ num_output: {units} }}")
        if following is None:
            add("Softmax", "prob")
            continue
        add("ReLU", f"relu_{layer.name}", in_place=True)
        block = layer.name.partition("_")[0]
        if layer in convolutions and not following.name.startswith(f"{block}_"):
            add("Pooling", f"pool{block.removeprefix('conv')}", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    return "\n".join(texts) + "\n"


def caffemodel(layers: list[Layer]) -> bytes:
    """The part of Caffe's NetParameter that holds weights, in protobuf's wire format."""
    message = b""
    for layer in layers:
        kind = b"Convolution" if layer.weight.ndim == 4 else b"InnerProduct"
        blobs = b"".join(field(7, blob(array)) for array in (layer.weight, layer.bias))
        message += field(100, field(1, layer.name.encode()) + field(2, kind) + blobs)
    return field(1, b"synthetic VGG16") + message


def blob(array: NDArray[np.float32]) -> bytes:
    """BlobProto: 5 is the packed data, 7 the shape, whose 1 are the packed dimensions."""
    shape = field(1, b"".join(varint(size) for size in array.shape))
    return field(5, array.astype("<f4").tobytes()) + field(7, shape)


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    head = b""
    while value > 127:
        head += struct.pack("B", value & 127 | 128)
        value >>= 7
    return head + struct.pack("B", value)


def write_keras2(path: Path, layers: list[Layer]) -> None:
    """The weights of `layers` as keras.applications saves them: Keras 2, weights only, channels last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            kernel = layer.weight.transpose(2, 3, 1, 0) if layer.weight.ndim == 4 else layer.weight.T
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [f"{layer.name}/{kind}:0".encode() for kind in ("kernel", "bias")]
            group[f"{layer.name}/kernel:0"], group[f"{layer.name}/bias:0"] = kernel, layer.bias


def cuts(random: np.random.RandomState) -> Iterator[Image.Image]:
    """Cuts of the photographs in turn, of random places and sizes."""
    photographs = [Image.open(path).convert("RGB") for path in sorted(PHOTOGRAPHS.glob("*.jpg"))]
    while True:
        for photograph in photographs:
            width, height = (int(random.randint(180, side)) for side in photograph.size)
            left, upper = random.randint(photograph.width - width), random.randint(photograph.height - height)
            yield photograph.crop((left, upper, left + width, upper + height))


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", quality=90)


def make_places365(folder: Path, classes: int, per_class: int, images: int, width: float, seed: int) -> None:
    """Training tree of both depths, validation images with labels, caffemodel and prototxt."""
    random = np.random.RandomState(seed)
    source = cuts(random)
    for number in range(classes):
        letter = chr(ord("a") + number % 26)
        name = f"{letter}/scene_{number}" if number % 2 else f"{letter}/scene_{number}/indoor"
        for index in range(1, per_class + 1):
            save(next(source), folder / "train" / name / f"{index:08d}.jpg")
    names = [f"Places365_val_{number:08d}.jpg" for number in range(1, images + 1)]
    for name in names:
        save(next(source).resize((256, 256)), folder / "val_256" / name)
    labels = random.randint(classes, size=images)
    (folder / "places365_val.txt").write_text(
        "".join(f"{name} {label}\n" for name, label in zip(names, labels, strict=True))
    )
    layers = vgg16(width, classes, seed, ("fc6", "fc7", "fc8a"))
    (folder / "vgg16_places365.caffemodel").write_bytes(caffemodel(layers))
    (folder / "deploy_vgg16_places365.prototxt").write_text(prototxt(layers))
    write_readme(folder, "Places365")


def make_pass(folder: Path, per_folder: int, damaged: int, classes: int, width: float, seed: int) -> None:
    """Folders 0 to 19; `damaged` images of each kind that is skipped: truncated, text, greyscale, CMYK; weights."""
    random = np.random.RandomState(seed)
    source = cuts(random)
    for number in range(20):
        for index in range(per_folder):
            save(next(source), folder / str(number) / f"{number:02d}{index:06d}.jpg")
    for index in range(damaged):
        place = folder / str(int(random.randint(20)))
        save(next(source), place / f"truncated{index}.jpg")
        data = (place / f"truncated{index}.jpg").read_bytes()
        (place / f"truncated{index}.jpg").write_bytes(data[: len(data) // 2])
        (place / f"text{index}.jpg").write_text("not an image\n")
        save(next(source).convert("L"), place / f"grey{index}.jpg")
        save(next(source).convert("CMYK"), place / f"cmyk{index}.jpg")
    names = [
        f"block{block}_conv{number}" for block, filters in enumerate(BLOCKS, 1) for number in range(1, len(filters) + 1)
    ]
    layers = vgg16(width, classes, seed, ("fc1", "fc2", "predictions"))
    for layer, name in zip(layers, names, strict=False):
        layer.name = name
    write_keras2(folder / "vgg16_weights.h5", layers)
    write_readme(folder, "PASS")


def write_readme(folder: Path, name: str) -> None:
    table = (PHOTOGRAPHS / "README.md").read_text().partition("| file ")
    (folder / "README.md").write_text(README.format(name=name) + table[1] + table[2])


def main() -> None:
    parser = Arguments("make_smoke_data", __doc__.partition("\n")[0])
    formats = parser.add_subparsers(dest="format", required=True)
    number = {"type": whole(1, 10_000)}
    places = formats.add_parser("places365")
    places.add_argument("--classes", default=6, **number)
    places.add_argument("--per-class", default=3, **number, help="training images of each class")
    places.add_argument("--images", default=7, **number, help="validation images")
    scattered = formats.add_parser("pass")
    scattered.add_argument("--classes", default=10, **number)
    scattered.add_argument("--per-folder", default=2, **number, help="readable images of each folder")
    scattered.add_argument("--damaged", type=whole(0, 10_000), default=6, help="images of each kind that is skipped")
    for command in (places, scattered):
        command.add_argument("folder", type=Path)
        command.add_argument(
            "--width", type=share(4), default=0.0625, help="share of VGG16's units in each hidden layer"
        )
        command.add_argument("--seed", type=whole(0, 2**32 - 1), default=0)
    given = parser.parse_args()
    if given.folder.exists() and not given.folder.is_dir():
        raise UserError(f"{shown(given.folder)}: not a folder; name one to write to")
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.format == "places365":
        make_places365(given.folder, given.classes, given.per_class, given.images, given.width, given.seed)
    else:
        make_pass(given.folder, given.per_folder, given.damaged, given.classes, given.width, given.seed)


if __name__ == "__main__":
    # As a job of the workflow.
    end_with_starter()
    try:
        main()
    except UserError as error:
        sys.exit(f"make_smoke_data: {printable(str(error))}")
    except (OSError, MemoryError) as error:
        sys.exit(f"make_smoke_data: {machine_error(error) or one_line(error)}")
