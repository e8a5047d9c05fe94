"""Reading and writing idx files, the format of MNIST and Fashion-MNIST (http://yann.lecun.com/exdb/mnist/)."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import UserError
from relu2snn.files import atomic_path

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08
_CONTENTS = {1: "labels", 3: "images"}


def read_idx(path: str | Path, ndim: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes with `ndim` dimensions: 3 for images (n, h, w), 1 for labels (n,).

    The file may be gzipped: its first bytes tell, not its name.

    Raises UserError, naming the file, when it can't be read, is a damaged gzip, has another magic number, or
    holds fewer or more bytes than its header says.
    """
    data = _read_bytes(Path(path))
    header = 4 + 4 * ndim
    if not data:
        raise UserError(f"{path}: the file is empty; fetch it again")
    _check_magic(path, data, ndim)
    if len(data) < header:
        raise UserError(f"{path}: {len(data)} bytes, fewer than the {header} of an idx header; fetch it again")
    shape = struct.unpack_from(f">{ndim}I", data, 4)
    size = math.prod(shape)
    if len(data) - header != size:
        raise UserError(
            f"{path}: the header says {' x '.join(map(str, shape))} = {size} bytes, but {len(data) - header} "
            "follow it; fetch the file again"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write a gzipped idx file whose gzip header holds neither name nor time."""
    header = struct.pack(f">4B{array.ndim}I", 0, 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as file,
    ):
        file.write(header + array.tobytes())


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None
    if not data.startswith(_GZIP_MAGIC):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: truncated or corrupt gzip ({error}); fetch the file again") from None


def _check_magic(path: str | Path, data: bytes, ndim: int) -> None:
    expected = bytes((0, 0, _UNSIGNED_BYTE, ndim))
    magic = data[:4]
    if magic == expected:
        return
    hint = ""
    if magic[:3] == expected[:3] and len(magic) == 4:
        found = _CONTENTS.get(magic[3], f"{magic[3]} dimensions")
        hint = f": this is a file of {found}, not of {_CONTENTS.get(ndim, f'{ndim} dimensions')}"
    raise UserError(f"{path}: magic number 0x{magic.hex()}, expected 0x{expected.hex()} (idx of unsigned bytes){hint}")
