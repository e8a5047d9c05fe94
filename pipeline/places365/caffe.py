"""From Caffe's world to numpy's: a caffemodel to a dictionary of arrays, photographs to preprocessed arrays.

It runs inside the container of this folder's Dockerfile, or in the project's environment, and imports nothing of the
project. A mistake in its input is one line on stderr and exit status 3; its output then is not to be used.
OpenCV's parsers run in a second process with limits on time and memory, as damaged files make them hang or crash.
"""

import argparse
import contextlib
import errno
import math
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

MISTAKE = 3
# The second process is told by its environment that it is one.
WORKER = "RELU2SNN_CAFFE_WORKER"
GIGABYTE = 1 << 30
# No image takes so long, nor a caffemodel for each of its bytes.
SECONDS_PER_IMAGE = 120
SECONDS, BYTES_PER_SECOND = 10, 5_000_000
MAX_PIXELS = 1 << 27
SPACE = (errno.ENOSPC, errno.EDQUOT)


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
        names = weighted(network)
    # OpenCV's own exception, and those of its binding to Python for names that are not UTF-8.
    except Exception as error:
        raise InputError(
            f"{caffemodel} or {prototxt}: damaged, or not a Caffe network ({reason(error)}); fetch them again"
        ) from None
    bare = [name for name in names if len(network.getLayer(network.getLayerId(name)).blobs) != 2]
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
    try:
        network.setInput(np.zeros((1, 3, *size), np.float32))
        network.forward()
    except Exception as error:
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
        if not np.isfinite(weight).all() or not np.isfinite(bias).all():
            raise InputError(f"{caffemodel}: layer {name} has a weight that is not a finite number; fetch it again")
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
    names = [line.split("\t")[0] for line in listing.read_text(encoding="utf-8").splitlines()]
    channels = np.array(mean, np.float32)
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(names), *size, 3)}
    # Written, not mapped: a full disk ends a process that maps a file.
    with output.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for name in tqdm(names, "preprocessing", unit="image", mininterval=10, file=sys.stderr):
            # For the process that watches this one, which may crash.
            print(root / name, flush=True)
            file.write(preprocess(root / name, size, channels).astype("<f4", copy=False).tobytes())


def reason(error: Exception) -> str:
    """What OpenCV says, without its file and line, in one line."""
    text = str(getattr(error, "err", None) or error) or type(error).__name__
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:300]


def limit(seconds: int | None, memory: int) -> None:
    """Bound what this process takes from now on: seconds of processor time, bytes of memory; no core dumps."""
    bound(resource.RLIMIT_CORE, 0)
    if seconds is not None:
        bound(resource.RLIMIT_CPU, seconds + math.ceil(time.process_time()))
    # Elsewhere than on Linux the address space is no limit that a system keeps.
    with contextlib.suppress(FileNotFoundError), open("/proc/self/statm") as file:
        bound(resource.RLIMIT_AS, memory + int(file.read().split()[0]) * resource.getpagesize())


def bound(kind: int, value: int) -> None:
    """Set a limit of this process, unless a lower one is set already."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def convert(given: argparse.Namespace) -> None:
    """Do what the command line asks for, within limits."""
    size = (given.size[0], given.size[1])
    if given.command == "images":
        limit(None, 8 * GIGABYTE)
        convert_images(given.root, given.listing, size, given.mean, given.output)
        return
    stored = sum(path.stat().st_size for path in (given.prototxt, given.caffemodel) if path.is_file())
    limit(SECONDS + stored // BYTES_PER_SECOND, 2 * GIGABYTE + 8 * stored)
    convert_weights(given.prototxt, given.caffemodel, size, given.output)


def work(given: argparse.Namespace) -> int:
    """`convert`, whatever goes wrong in one line on stderr."""
    # The folder that the caller will rename it from is no name for a user.
    output = Path(*(part for part in given.output.parts if not part.startswith(".partial-")))
    try:
        convert(given)
        return 0
    except InputError as error:
        line = str(error)
    except OSError as error:
        where = error.filename if error.filename is not None else output
        way_out = "; make space there and give the same command again" if error.errno in SPACE else ""
        line = f"{where}: {os.strerror(error.errno) if error.errno else reason(error)} (errno {error.errno}){way_out}"
    except Exception as error:
        line = f"{subject(given)}: not readable ({type(error).__name__}: {reason(error)}); fetch it again"
    print(f"relu2snn places365: {line}", file=sys.stderr, flush=True)
    return MISTAKE


def subject(given: argparse.Namespace) -> str:
    """What is read."""
    return f"{given.caffemodel} or {given.prototxt}" if given.command == "weights" else str(given.listing)


def watch(given: argparse.Namespace) -> int:
    """Run this script again as a worker, and say in one line what a worker that died was reading."""
    worker = subprocess.Popen(
        [sys.executable, __file__, *sys.argv[1:]],
        stdout=subprocess.PIPE,
        env={**os.environ, WORKER: "1", "OPENCV_IO_MAX_IMAGE_PIXELS": str(MAX_PIXELS)},
    )
    assert worker.stdout is not None
    last, rest = "", b""
    try:
        while True:
            wait = SECONDS_PER_IMAGE if given.command == "images" else None
            if not select.select([worker.stdout], [], [], wait)[0]:
                worker.kill()
                break
            piece = os.read(worker.stdout.fileno(), 1 << 16)
            if not piece:
                break
            *lines, rest = (rest + piece).split(b"\n")
            last = os.fsdecode(lines[-1]) if lines else last
    finally:
        if sys.exc_info()[0] is not None:
            worker.kill()
        status = worker.wait()
    if status >= 0:
        return status
    why = "takes too long, or too much memory" if status in (-signal.SIGXCPU, -signal.SIGKILL) else "crashes OpenCV"
    name = signal.Signals(-status).name
    print(f"relu2snn places365: {last or subject(given)}: {why} ({name}); fetch it again", file=sys.stderr)
    return MISTAKE


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
    return work(given) if WORKER in os.environ else watch(given)


if __name__ == "__main__":
    sys.exit(main())
