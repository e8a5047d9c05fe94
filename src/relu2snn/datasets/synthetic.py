"""Small files in the formats of the real data sets, made from the Fashion-MNIST sample that ships with the repository.

They stand in for data sets that are not there, in tests and in the suite `smoke`. What a network reaches on them says
nothing about the real ones, so whatever uses them has the kind "synthetic". The same sample gives the same bytes.
"""

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.datasets.cifar import LAYOUTS, Layout
from relu2snn.errors import UserError
from relu2snn.files import atomic_path
from relu2snn.formats.idx import read_idx, write_idx

_HUES = 10
_PREFIXES = ("train", "t10k")
_MARK = "SYNTHETIC.txt"


def make_files(folder: str | Path, format: str, sample: str | Path, train: int, test: int) -> None:
    """Write `train` and `test` images in the published files of `format` (idx, cifar10 or cifar100) into `folder`.

    sample: the folder with the idx files of data/sample/fmnist. In idx files the images are the sample's, as they
    are. For CIFAR they are coloured garments on a coloured ground in 32 x 32 pixels; a class of CIFAR10 is a garment,
    one of CIFAR100 a garment in one of ten hues.

    Raises UserError for another format, when the sample is missing, damaged or too small, and when `folder` holds
    files that were not made here: they may be the real ones.
    """
    if format not in ("idx", *LAYOUTS):
        raise UserError(f"dataset.source.format={format}: no small files of this format can be made from a sample")
    folder = Path(folder)
    mark = folder / _MARK
    if folder.is_dir() and any(folder.iterdir()) and not mark.exists():
        raise UserError(
            f"{folder}: holds files that dataset.source.made_from={sample} would replace; "
            "set dataset.source.made_from=null to read them, or name another dataset.source.directory"
        )
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"Not the real data set: made from {sample} in its format, to try the workflow.\n")
    splits = [_read(Path(sample), *split) for split in zip(_PREFIXES, (train, test), strict=True)]
    if format == "idx":
        for prefix, (images, labels) in zip(_PREFIXES, splits, strict=True):
            write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
            write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
        return
    # numpy guarantees RandomState's stream for every version, default_rng's it does not.
    random = np.random.RandomState(0)
    layout = LAYOUTS[format]
    coloured = [_in_colour(images, labels, layout, random) for images, labels in splits]
    write_cifar(folder / layout.archive, layout, *coloured[0], *coloured[1])


def write_cifar(
    path: Path,
    layout: Layout,
    train_images: NDArray[np.uint8],
    train_labels: NDArray[Any],
    test_images: NDArray[np.uint8],
    test_labels: NDArray[Any],
) -> None:
    """Write an archive as published, images (n, 32, 32, 3), the training images dealt into the layout's batches."""
    parts = len(layout.train)
    images = [*np.array_split(train_images, parts), test_images]
    labels = [*np.array_split(train_labels, parts), test_labels]
    batches = {name: batch(layout, *pair) for name, *pair in zip(layout.batches, images, labels, strict=True)}
    write_archive(path, {f"{layout.folder}/{name}": pickled(content) for name, content in batches.items()})


def batch(layout: Layout, images: NDArray[np.uint8], labels: NDArray[Any]) -> dict[bytes, Any]:
    """The dictionary of a published batch."""
    rows = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)
    names = [f"garment_{number:05}.png".encode() for number in range(len(images))]
    return {b"data": rows, layout.labels: [int(label) for label in labels], b"filenames": names}


def pickled(value: Any) -> bytes:
    """`value` as Python 2 and an old numpy have pickled the published batches: byte strings, protocol 2."""
    return pickle.PROTO + bytes([2]) + _instructions(value) + pickle.STOP


def write_archive(path: Path, members: dict[str, bytes]) -> None:
    """Write a .tar.gz of `members`, the same bytes for the same members."""
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _read(sample: Path, prefix: str, count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images = read_idx(sample / f"{prefix}-images-idx3-ubyte.gz", 3)
    labels = read_idx(sample / f"{prefix}-labels-idx1-ubyte.gz", 1)
    if len(images) < count:
        raise UserError(f"{sample}: {len(images)} images ({prefix}), fewer than the {count} asked for; ask for fewer")
    return images[:count], labels[:count]


def _in_colour(
    images: NDArray[np.uint8], garments: NDArray[np.uint8], layout: Layout, random: np.random.RandomState
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (n, 28, 28) as (n, 32, 32, 3), and their classes."""
    hues = random.randint(_HUES, size=len(images))
    # Of three cosines, a third of a turn apart, each hue has its own mixture of red, green and blue.
    turns = hues[:, None] / _HUES + np.arange(3) / 3
    garment = 0.6 + 0.4 * np.cos(2 * np.pi * turns)
    ground = random.uniform(0, 0.5, (len(images), 3))
    cover = np.pad(images / 255.0, ((0, 0), (2, 2), (2, 2)))[..., None]
    mixed = cover * garment[:, None, None, :] + (1 - cover) * ground[:, None, None, :]
    classes = garments.astype(np.int64)
    return np.rint(255 * mixed).astype(np.uint8), classes if layout.labels == b"labels" else classes * _HUES + hues


def _instructions(value: Any) -> bytes:
    """What a pickle of protocol 2 does to put `value` on its stack, without remembering anything for later."""
    match value:
        case bytes():
            return pickle.BINSTRING + struct.pack("<i", len(value)) + value
        case int():
            return pickle.BININT + struct.pack("<i", value)
        case None:
            return pickle.NONE
        case tuple():
            return pickle.MARK + b"".join(map(_instructions, value)) + pickle.TUPLE
        case list():
            return pickle.EMPTY_LIST + pickle.MARK + b"".join(map(_instructions, value)) + pickle.APPENDS
        case dict():
            pairs = b"".join(_instructions(key) + _instructions(each) for key, each in value.items())
            return pickle.EMPTY_DICT + pickle.MARK + pairs + pickle.SETITEMS
        case np.ndarray():
            empty = (
                b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + _instructions((0,)) + _instructions(b"b")
            )
            kind = b"cnumpy\ndtype\n" + _instructions((value.dtype.str[1:].encode(), 0, 1)) + pickle.REDUCE
            kind += _instructions((3, value.dtype.str[:1].encode(), None, None, None, -1, -1, 0)) + pickle.BUILD
            state = [
                _instructions(1),
                _instructions(value.shape),
                kind,
                _instructions(0),
                _instructions(value.tobytes()),
            ]
            return empty + b"tR" + pickle.MARK + b"".join(state) + pickle.TUPLE + pickle.BUILD
    raise TypeError(f"{type(value).__name__}: no part of a batch")
