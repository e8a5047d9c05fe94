"""From Caffe's world to numpy's: a caffemodel to a dictionary of arrays, photographs to preprocessed arrays.

It runs inside the container of this folder's Dockerfile, or in the project's environment, and imports nothing of the
project. A mistake in its input is one line on stderr and exit status 3; its output then is not to be used.
"""

import argparse
import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

MISTAKE = 3


class InputError(Exception):
    """One line that says what is wrong with which file."""


def read_network(prototxt: Path, caffemodel: Path) -> cv2.dnn.Net:
    """The network of two Caffe files; its weights fit its description.

    Raises InputError when a file is missing or damaged, or when they do not belong together.
    """
    for path in (prototxt, caffemodel):
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    try:
        with silent():
            network = cv2.dnn.readNetFromCaffe(str(prototxt), str(caffemodel))
    except cv2.error as error:
        raise InputError(
            f"{caffemodel} or {prototxt}: damaged, or not a Caffe network ({reason(error)}); fetch them again"
        ) from None
    bare = [name for name in weighted(network) if len(network.getLayer(network.getLayerId(name)).blobs) != 2]
    if bare:
        raise InputError(f"{caffemodel}: no weights for the layer {bare[0]} of {prototxt}; give files of one network")
    return network


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """No output on stderr, where the protobuf library adds lines of its own to what the exception says."""
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(null)
        os.close(kept)


def weighted(network: cv2.dnn.Net) -> list[str]:
    """The names of the convolutions and fully connected layers, in order."""
    names = network.getLayerNames()
    return [
        name for name in names if network.getLayer(network.getLayerId(name)).type in ("Convolution", "InnerProduct")
    ]


def require_same_network(network: cv2.dnn.Net, prototxt: Path, caffemodel: Path, size: tuple[int, int]) -> None:
    """Raise InputError unless an image goes through: every layer's weights take what the layer before gives."""
    network.setInput(np.zeros((1, 3, *size), np.float32))
    try:
        network.forward()
    except cv2.error as error:
        raise InputError(
            f"{caffemodel}: its weights do not fit the layers of {prototxt} ({reason(error)}); "
            "give files of one network"
        ) from None


def convert_weights(prototxt: Path, caffemodel: Path, size: tuple[int, int], output: Path) -> None:
    """Write a .npz that holds NAME/weight and NAME/bias of every layer, in the network's order.

    Weights are as Caffe keeps them: (out, in, h, w) of a convolution, (out, in) of a fully connected layer; the bias
    is (out,).
    """
    network = read_network(prototxt, caffemodel)
    require_same_network(network, prototxt, caffemodel, size)
    arrays = {}
    for name in weighted(network):
        weight, bias = network.getLayer(network.getLayerId(name)).blobs
        arrays[f"{name}/weight"], arrays[f"{name}/bias"] = weight, bias.ravel()
    np.savez(output, **arrays)
    print(f"{caffemodel}: {len(arrays) // 2} layers", file=sys.stderr)


def preprocess(path: Path, size: tuple[int, int], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """A photograph as Caffe's transformer gives it: (*size, 3) float32, blue, green and red, minus their means.

    Bilinear on floats, pixels centred at halves, without anti-aliasing; grey images get three equal colours, and the
    orientation in a file's EXIF data is not applied, as Caffe does not.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise InputError(f"{path}: {'not a readable image' if path.is_file() else 'no such file'}; fetch it again")
    resized = cv2.resize(image.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32) - mean


def convert_images(root: Path, listing: Path, size: tuple[int, int], mean: list[float], output: Path) -> None:
    """Write the images that a manifest lists as one .npy, float32 (n, *size, 3), one image in memory at a time."""
    names = [line.split("\t")[0] for line in listing.read_text().splitlines()]
    images = np.lib.format.open_memmap(output, "w+", np.float32, (len(names), *size, 3))
    channels = np.array(mean, np.float32)
    for index, name in enumerate(tqdm(names, "preprocessing", unit="image", mininterval=10, file=sys.stderr)):
        images[index] = preprocess(root / name, size, channels)
    images.flush()


def reason(error: cv2.error) -> str:
    """What OpenCV says, without its file and line."""
    return " ".join(str(error.err or error).split())


def end_with_input() -> None:
    """End this process, from a thread, when standard input closes: who has started it is gone."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    weights = commands.add_parser("weights")
    weights.add_argument("--prototxt", type=Path, required=True)
    weights.add_argument("--caffemodel", type=Path, required=True)
    images = commands.add_parser("images")
    images.add_argument("--root", type=Path, required=True)
    images.add_argument("--list", type=Path, required=True, dest="listing")
    images.add_argument("--mean", type=float, nargs=3, required=True, metavar=("B", "G", "R"))
    for command in (weights, images):
        command.add_argument("--size", type=int, nargs=2, required=True, metavar=("H", "W"))
        command.add_argument("--output", type=Path, required=True)
        command.add_argument("--end-with-input", action="store_true")
    given = parser.parse_args()
    if given.end_with_input:
        end_with_input()
    size = (given.size[0], given.size[1])
    try:
        if given.command == "weights":
            convert_weights(given.prototxt, given.caffemodel, size, given.output)
        else:
            convert_images(given.root, given.listing, size, given.mean, given.output)
    except InputError as error:
        print(f"relu2snn places365: {error}", file=sys.stderr)
        return MISTAKE
    return 0


if __name__ == "__main__":
    sys.exit(main())
