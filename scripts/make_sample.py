"""Make data/sample/fmnist: a stratified sample of Fashion-MNIST, the same bytes for the same seed.

python scripts/make_sample.py /usr/share/datasets/fashion-mnist
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relu2snn.arguments import Arguments, whole
from relu2snn.config.schema import Source
from relu2snn.datasets import load_arrays, write_idx
from relu2snn.errors import UserError, printable

CLASSES = 10
TRAIN_PER_CLASS = 500
TEST_PER_CLASS = 100


def choose(labels: NDArray[np.int64], per_class: int, random: np.random.RandomState) -> NDArray[np.int64]:
    """Indices of `per_class` images of every class, drawn without replacement, in the data set's order."""
    drawn = [random.permutation(np.flatnonzero(labels == label))[:per_class] for label in range(CLASSES)]
    return np.sort(np.concatenate(drawn))


def main() -> None:
    parser = Arguments("make_sample", __doc__.partition("\n")[0])
    parser.add_argument("folder", help="folder with the four idx files of the full Fashion-MNIST")
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=0)
    parser.add_argument("--output", type=Path, default=Path("data/sample/fmnist"))
    arguments = parser.parse_args()
    source = Source(format="idx", kind="real", directory=arguments.folder, train_images=60_000, test_images=10_000)
    full = load_arrays(source, "fmnist", (28, 28, 1), CLASSES)
    # numpy guarantees RandomState's stream for every version, default_rng's it does not.
    random = np.random.RandomState(arguments.seed)
    train = choose(full.train_labels, TRAIN_PER_CLASS, random)
    test = choose(full.test_labels, TEST_PER_CLASS, random)
    write_idx(arguments.output / "train-images-idx3-ubyte.gz", full.train_images[train, :, :, 0])
    write_idx(arguments.output / "train-labels-idx1-ubyte.gz", full.train_labels[train].astype(np.uint8))
    write_idx(arguments.output / "t10k-images-idx3-ubyte.gz", full.test_images[test, :, :, 0])
    write_idx(arguments.output / "t10k-labels-idx1-ubyte.gz", full.test_labels[test].astype(np.uint8))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"make_sample: {printable(str(error))}")
