"""Reading .npz files of numbers: every member is checked before memory is taken, and against its CRC."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import UserError, reading
from relu2snn.formats.npy import read_header

# What numpy writes; decompressors of other kinds may take any memory that a file asks for.
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

Check = Callable[[tuple[int, ...], np.dtype[Any]], None]


def read_npz(path: Path, checks: Mapping[str, Check]) -> list[NDArray[Any]]:
    """The arrays called as the keys of `checks`, in their order.

    checks: called with the shape and the type that the file declares, before any memory is taken for the array, to
    raise UserError for what is not expected. It is all that bounds the memory.

    Raises UserError, naming the file, when one is missing or damaged.
    """
    with reading(path, ".npz of numbers", "fetch it again"), zipfile.ZipFile(path) as archive:
        members = _members(archive)
        missing = [key for key in checks if key not in members]
        if missing:
            raise UserError(f"{path}: no array {' nor '.join(missing)}; expected {', '.join(checks)}")
        return [_read(archive, members[key], check) for key, check in checks.items()]


def npz_names(path: Path) -> list[str]:
    """The names of the arrays in an .npz, in its order; raises UserError when it is missing or damaged."""
    with reading(path, ".npz of numbers", "save it again, with numpy.savez"), zipfile.ZipFile(path) as archive:
        return list(_members(archive))


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The arrays by name; the suffix .npy does not count."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in members:
            raise ValueError(f"two arrays are called {name}")
        members[name] = info
    return members


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, check: Check) -> NDArray[Any]:
    if info.compress_type not in _PACKED:
        raise ValueError(f"{info.filename} is packed by method {info.compress_type}, unknown to numpy")
    with archive.open(info) as file:
        header = read_header(cast(Any, file))
        check(header.shape, header.dtype)
        if info.file_size != header.offset + header.nbytes:
            raise ValueError(
                f"the header of {info.filename} says {header.nbytes} bytes, but {info.file_size - header.offset} follow"
            )
        content = file.read(header.nbytes)
        # Its CRC is compared where its end is met.
        if len(content) != header.nbytes or file.read(1):
            raise ValueError(f"{info.filename} has fewer or more bytes than it declares")
    return header.array(content)
