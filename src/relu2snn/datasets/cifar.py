"""Reading CIFAR10 and CIFAR100 as published (https://www.cs.toronto.edu/~kriz/cifar.html); their pickles run no code.

A batch is a pickled dictionary of Python 2 with byte strings as keys: `data`, uint8 (n, 3072), each row the red, the
green and the blue plane of an image, and a list of labels.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.datasets.cifar_pickle import Array, ForbiddenError, unpickle
from relu2snn.datasets.published import require_digest
from relu2snn.datasets.tar import Member, members
from relu2snn.errors import UserError, one_line, reading

_SIDE, _CHANNELS = 32, 3
_PIXELS = _CHANNELS * _SIDE * _SIDE
# An image of a batch has its pixels, a label and a file name; text may take two bytes where there was one.
_IMAGE_BYTES = 2 * (_PIXELS + 128)
_BATCH_BYTES = 1 << 16


@dataclass(frozen=True)
class Layout:
    """The names of one of the two data sets: its archive, the folder inside it, its batches, the key of its labels."""

    title: str
    archive: str
    folder: str
    train: tuple[str, ...]
    test: str
    labels: bytes

    @property
    def batches(self) -> tuple[str, ...]:
        return (*self.train, self.test)

    @property
    def expected(self) -> str:
        """What a user has to provide, for messages."""
        return f"{self.archive}, or its folder {self.folder}"


LAYOUTS = {
    "cifar10": Layout(
        "CIFAR10",
        "cifar-10-python.tar.gz",
        "cifar-10-batches-py",
        tuple(f"data_batch_{number}" for number in range(1, 6)),
        "test_batch",
        b"labels",
    ),
    "cifar100": Layout("CIFAR100", "cifar-100-python.tar.gz", "cifar-100-python", ("train",), "test", b"fine_labels"),
}


def locate_cifar(folder: Path, format: str) -> tuple[Path, ...]:
    """The archive in `folder`, or else the batches of its untarred folder, training first; empty if there is neither.

    Untarred folders are also found where Keras puts them, in <folder>-target.

    Raises UserError for a folder without some of the batches, and when only the other data set is there.
    """
    layout = LAYOUTS[format]
    archive = folder / layout.archive
    if archive.is_file():
        return (archive,)
    for untarred in (folder / layout.folder, folder / f"{layout.folder}-target" / layout.folder):
        if untarred.is_dir():
            missing = [name for name in layout.batches if not (untarred / name).is_file()]
            if missing:
                raise UserError(f"{untarred}: {' and '.join(missing)} missing; untar {layout.archive} again")
            return tuple(untarred / name for name in layout.batches)
    for other in LAYOUTS.values():
        wrong = next((folder / name for name in (other.archive, other.folder) if (folder / name).exists()), None)
        if other is not layout and wrong is not None:
            raise UserError(f"{wrong}: this is {other.title}, not {layout.title}; put there {layout.expected}")
    return ()


def read_cifar(
    files: tuple[Path, ...],
    format: str,
    *,
    counts: tuple[int, int] = (50_000, 10_000),
    digests: Mapping[str, str] | None = None,
) -> list[NDArray[Any]]:
    """Training images uint8 (n, 32, 32, 3) and labels (n,), test images and labels, from what `locate_cifar` found.

    counts: how many training and test images are expected; larger batches are refused before they are read.
    digests: MD5 that batches must have, by name; none are compared by default.

    Raises UserError, naming the file and the batch, for whatever is damaged, truncated, missing, not a batch of this
    data set, or a pickle that asks for anything but the arrays and lists of a batch.
    """
    layout = LAYOUTS[format]
    reader = _Reader(layout, counts, digests or {})
    batches = dict(reader.archive(files[0]) if len(files) == 1 else map(reader.file, files))
    train = [batches[name] for name in layout.train]
    images, labels = (np.concatenate(parts) for parts in zip(*train, strict=True))
    return [images, labels, *batches[layout.test]]


class _Reader:
    def __init__(self, layout: Layout, counts: tuple[int, int], digests: Mapping[str, str]) -> None:
        self._layout, self._counts, self._digests = layout, counts, digests

    def file(self, path: Path) -> tuple[str, tuple[NDArray[Any], NDArray[Any]]]:
        """Name and contents of a batch that is a file."""
        with reading(path, f"batch of {self._layout.title}", "fetch the file again"):
            self._check_size(str(path), path.name, path.stat().st_size)
            return path.name, self._parse(path.read_bytes(), str(path), path.name)

    def archive(self, path: Path) -> Iterator[tuple[str, tuple[NDArray[Any], NDArray[Any]]]]:
        """Names and contents of the batches of a .tar.gz, read in one pass and never written to disk."""
        layout = self._layout
        with reading(path, f".tar.gz of {layout.title}", "fetch the file again"):
            found = set()
            for member in members(path, 2 * sum(self._counts) * _IMAGE_BYTES + len(layout.batches) * _BATCH_BYTES):
                name = self._batch_of(member, path)
                if name is None:
                    continue
                if name in found:
                    raise UserError(f"{path}: {name} is twice in it; fetch the file again")
                found.add(name)
                yield name, self._parse(member.read(), f"{path}, {layout.folder}/{name}", name)
            missing = [f"{layout.folder}/{name}" for name in layout.batches if name not in found]
            if missing:
                raise UserError(f"{path}: {' and '.join(missing)} missing; fetch the file again")

    def _batch_of(self, member: Member, path: Path) -> str | None:
        """The batch that a member of an archive is; None for the other files that are published with them."""
        layout = self._layout
        folder, _, name = member.name.removeprefix("./").partition("/")
        other = next((each for each in LAYOUTS.values() if each.folder == folder and each is not layout), None)
        if other:
            raise UserError(f"{path}: this is {other.title}, not {layout.title}; put there {layout.archive}")
        if folder != layout.folder or name not in layout.batches:
            return None
        where = f"{path}, {folder}/{name}"
        if not member.regular:
            raise UserError(f"{where}: not a batch of {layout.title} ({member.size} bytes); fetch it again")
        self._check_size(where, name, member.size)
        return name

    def _check_size(self, where: str, name: str, size: int) -> None:
        largest = self._largest(name)
        if size > largest:
            split, count = self._split(name)
            raise UserError(
                f"{where}: {size} bytes, too many for dataset.source.{split}_images={count} ({largest} at most); "
                "fetch the file again, or override the number"
            )

    def _largest(self, name: str) -> int:
        return self._split(name)[1] * _IMAGE_BYTES + _BATCH_BYTES

    def _split(self, name: str) -> tuple[str, int]:
        test = name == self._layout.test
        return ("test", self._counts[1]) if test else ("train", self._counts[0])

    def _parse(self, content: bytes, where: str, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        expected = self._digests.get(name)
        if expected is not None:
            require_digest(where, content, expected)
        with reading(where, f"batch of {self._layout.title}", "fetch the file again"):
            try:
                batch = unpickle(content)
            except ForbiddenError as error:
                raise UserError(
                    f"{where}: its pickle asks for {one_line(error)}, which no batch of {self._layout.title} needs and "
                    "which may run any code; nothing was run; fetch the file from where it is published"
                ) from None
            return _arrays(batch, where, self._layout)


def _arrays(batch: Any, where: str, layout: Layout) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images (n, 32, 32, 3) and labels (n,) of an unpickled batch."""
    if not isinstance(batch, dict):
        raise UserError(f"{where}: holds a {type(batch).__name__}, not the dictionary of a batch; fetch it again")
    absent = [key.decode() for key in (b"data", layout.labels) if key not in batch]
    if absent:
        raise UserError(f"{where}: no {' and no '.join(absent)} in it, so not a batch of {layout.title}")
    data, labels = batch[b"data"], batch[layout.labels]
    if not isinstance(data, Array) or data.values.ndim != 2 or data.values.shape[1] != _PIXELS:
        found = " x ".join(map(str, data.values.shape)) if isinstance(data, Array) else type(data).__name__
        raise UserError(f"{where}: data are {found}; expected n x {_PIXELS} bytes, an image of 32 x 32 x 3 a row")
    if not isinstance(labels, list) or not all(type(label) is int and abs(label) < 2**31 for label in labels):
        raise UserError(f"{where}: {layout.labels.decode()} are not a list of whole numbers; fetch the file again")
    if len(labels) != len(data.values):
        raise UserError(f"{where}: {len(labels)} labels for {len(data.values)} images; fetch the file again")
    images = data.values.reshape(-1, _CHANNELS, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.array(labels, np.int64)
