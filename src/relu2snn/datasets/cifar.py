"""Reading CIFAR10 and CIFAR100 as published (https://www.cs.toronto.edu/~kriz/cifar.html); their pickles run no code.

A batch is a pickled dictionary of Python 2 with byte strings as keys: `data`, uint8 (n, 3072), each row the red, the
green and the blue plane of an image, and a list of labels.
"""

import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import UserError

_SIDE, _CHANNELS = 32, 3
_PIXELS = _CHANNELS * _SIDE * _SIDE
# Twice the largest batch, CIFAR100's training images: a larger one is something else, or a bomb.
_LARGEST_BATCH = 2 * 50_000 * _PIXELS


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


def read_cifar(files: tuple[Path, ...], format: str) -> list[NDArray[Any]]:
    """Training images uint8 (n, 32, 32, 3) and labels (n,), test images and labels, from what `locate_cifar` found.

    Raises UserError, naming the file and the batch, for whatever is truncated, missing, not a batch of this data
    set, or a pickle that asks for anything but the arrays and lists of a batch.
    """
    layout = LAYOUTS[format]
    if len(files) == 1:
        batches = dict(_read_archive(files[0], layout))
    else:
        batches = {}
        for path in files:
            with _opened(path) as file:
                batches[path.name] = _read_batch(file, str(path), layout)
    train = [batches[name] for name in layout.train]
    images, labels = (np.concatenate(parts) for parts in zip(*train, strict=True))
    return [images, labels, *batches[layout.test]]


def _opened(path: Path) -> BinaryIO:
    try:
        if path.stat().st_size > _LARGEST_BATCH:
            raise UserError(f"{path}: {path.stat().st_size} bytes, too many for a batch; fetch the file again")
        return path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None


def _read_archive(path: Path, layout: Layout) -> Iterator[tuple[str, tuple[NDArray[Any], NDArray[Any]]]]:
    """The batches of a .tar.gz, by name, read in one pass and never written to disk."""
    wanted = {f"{layout.folder}/{name}": name for name in layout.batches}
    folders = {other.folder: other for other in LAYOUTS.values() if other is not layout}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                stored = member.name.removeprefix("./")
                other = folders.get(stored.partition("/")[0])
                if other:
                    raise UserError(f"{path}: this is {other.title}, not {layout.title}; put there {layout.archive}")
                name = wanted.pop(stored, None)
                if name is None:
                    continue
                where = f"{path}, {stored}"
                file = archive.extractfile(member) if member.isreg() else None
                if file is None or member.size > _LARGEST_BATCH:
                    raise UserError(f"{where}: not a batch of {layout.title} ({member.size} bytes); fetch it again")
                yield name, _read_batch(file, where, layout)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{path}: truncated, or not a .tar.gz ({_line(error)}); fetch the file again") from None
    if wanted:
        raise UserError(f"{path}: {' and '.join(wanted)} missing; fetch the file again")


def _read_batch(file: Any, where: str, layout: Layout) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        batch = _BatchUnpickler(io.BytesIO(file.read()), encoding="bytes").load()
    except _ForbiddenError as error:
        raise UserError(
            f"{where}: its pickle asks for {error}, which no batch of {layout.title} needs and which may run any "
            "code; nothing was run; fetch the file from where it is published"
        ) from None
    except (tarfile.TarError, OSError, zlib.error):
        raise
    # Damage fails in as many ways as a pickle has instructions.
    except Exception as error:
        raise UserError(f"{where}: a damaged batch ({_line(error)}); fetch the file again") from None
    if not isinstance(batch, dict):
        raise UserError(f"{where}: holds a {type(batch).__name__}, not the dictionary of a batch; fetch it again")
    absent = [key.decode() for key in (b"data", layout.labels) if key not in batch]
    if absent:
        raise UserError(f"{where}: no {' and no '.join(absent)} in it, so not a batch of {layout.title}")
    data, labels = batch[b"data"], batch[layout.labels]
    if not isinstance(data, _Array) or data.values.ndim != 2 or data.values.shape[1] != _PIXELS:
        found = " x ".join(map(str, data.values.shape)) if isinstance(data, _Array) else type(data).__name__
        raise UserError(f"{where}: data are {found}; expected n x {_PIXELS} bytes, an image of 32 x 32 x 3 a row")
    if not isinstance(labels, list) or not all(type(label) is int and abs(label) < 2**31 for label in labels):
        raise UserError(f"{where}: {layout.labels.decode()} are not a list of whole numbers; fetch the file again")
    if len(labels) != len(data.values):
        raise UserError(f"{where}: {len(labels)} labels for {len(data.values)} images; fetch the file again")
    images = data.values.reshape(-1, _CHANNELS, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.array(labels, np.int64)


class _ForbiddenError(Exception):
    """A pickle that asks for anything else than an array of bytes."""


class _Array:
    """Stands for numpy's array while unpickling, so that no code of numpy sees what has not been checked."""

    def __init__(self, kind: Any, shape: Any, code: Any) -> None:
        self.values: NDArray[np.uint8] = np.zeros(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, content = state
        if not isinstance(kind, _Bytes) or not isinstance(content, bytes):
            raise ValueError("an array of something else than bytes")
        self.values = np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_columns else "C")


class _Bytes:
    """Stands for numpy's dtype; the only one that a batch has is that of bytes."""

    def __init__(self, name: Any, *_: Any) -> None:
        if name not in (b"u1", "u1", b"uint8", "uint8"):
            raise ValueError(f"an array of {name!r}, not of bytes")

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment say nothing about bytes."""


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How Python 3 writes bytes into a pickle that Python 2 can read."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise ValueError("bytes in an unknown encoding")
    return text.encode("latin1")


# The one in C makes room for as many objects as a damaged pickle claims to have: all of the memory.
class _BatchUnpickler(pickle._Unpickler):
    """Makes dictionaries, lists, numbers, strings and arrays of bytes, and refuses all else before it is called."""

    _KNOWN = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
        ("numpy", "dtype"): _Bytes,
        # Only ever an argument of the function above, which does not use it.
        ("numpy", "ndarray"): None,
        ("_codecs", "encode"): _encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._KNOWN[module, name]
        except KeyError:
            raise _ForbiddenError(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise _ForbiddenError("a persistent object")


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
