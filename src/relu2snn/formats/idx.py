"""Reading and writing idx files, the format of MNIST and Fashion-MNIST (http://yann.lecun.com/exdb/mnist/)."""

import gzip
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import UserError, reading
from relu2snn.files import atomic_path

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08
_CONTENTS = {1: "labels", 3: "images"}
_CHUNK = 1 << 20

Check = Callable[[tuple[int, ...], np.dtype[Any]], None]


def read_idx(path: str | Path, ndim: int, *, check: Check | None = None) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes with `ndim` dimensions: 3 for images (n, h, w), 1 for labels (n,).

    The file may be gzipped: its first bytes tell, not its name. `check` is called with the shape that the header
    declares, before its contents are read, to raise UserError for what is not expected; without it, memory is bounded
    by what the file holds, which is a thousand times its size for a gzip.

    Raises UserError, naming the file, when it can't be read, is a damaged gzip, has another magic number, or
    holds fewer or more bytes than its header says.
    """
    with reading(path, "idx file", "fetch the file again"), Path(path).open("rb") as raw:
        if raw.peek(2)[:2] != _GZIP_MAGIC:
            return _read(path, raw, ndim, check)
        with (
            reading(path, "idx file: truncated or corrupt gzip", "fetch the file again"),
            gzip.GzipFile(fileobj=raw) as file,
        ):
            return _read(path, cast(BinaryIO, file), ndim, check)


def encode_idx(array: NDArray[np.uint8]) -> bytes:
    """The idx file of an array of unsigned bytes, not gzipped."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, _UNSIGNED_BYTE, array.ndim, *array.shape) + array.tobytes()


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write a gzipped idx file whose gzip header holds neither name nor time."""
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as file,
    ):
        file.write(encode_idx(array))


def _read(path: str | Path, file: BinaryIO, ndim: int, check: Check | None) -> NDArray[np.uint8]:
    size = 4 + 4 * ndim
    header = file.read(size)
    if not header:
        raise UserError(f"{path}: the file is empty; fetch it again")
    _check_magic(path, header, ndim)
    if len(header) < size:
        raise UserError(f"{path}: {len(header)} bytes, fewer than the {size} of an idx header; fetch it again")
    shape = struct.unpack_from(f">{ndim}I", header, 4)
    if check is not None:
        check(shape, np.dtype(np.uint8))
    expected = math.prod(shape)
    content = bytearray()
    # By chunks, so that a header that promises more than there is takes no more memory than there is. One byte more
    # is asked for: only at its end is a gzip compared with its CRC.
    while chunk := file.read(min(_CHUNK, expected + 1 - len(content))):
        content += chunk
    if len(content) != expected:
        more = len(file.read(_CHUNK)) if len(content) > expected else 0
        found = f"{'more than ' if more == _CHUNK else ''}{len(content) + more}"
        raise UserError(
            f"{path}: the header says {' x '.join(map(str, shape))} = {expected} bytes, but {found} "
            "follow it; fetch the file again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _check_magic(path: str | Path, header: bytes, ndim: int) -> None:
    expected = bytes((0, 0, _UNSIGNED_BYTE, ndim))
    magic = header[:4]
    if magic == expected:
        return
    hint = ""
    if magic[:3] == expected[:3] and len(magic) == 4:
        found = _CONTENTS.get(magic[3], f"{magic[3]} dimensions")
        hint = f": this is a file of {found}, not of {_CONTENTS.get(ndim, f'{ndim} dimensions')}"
    raise UserError(f"{path}: magic number 0x{magic.hex()}, expected 0x{expected.hex()} (idx of unsigned bytes){hint}")
