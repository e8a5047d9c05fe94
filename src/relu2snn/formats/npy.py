"""The .npy format: headers are checked before memory is taken, contents have a digest."""

import hashlib
import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4}
# Far above the header of any array of numbers; numpy's own limit is about the same.
_LONGEST_HEADER = 4096
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Header:
    """What the head of a .npy file says of the array, and how many bytes the head itself has."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_columns: bool
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def array(self, content: bytes) -> NDArray[Any]:
        """The array (read-only) whose bytes are `content`."""
        flat = np.frombuffer(content, self.dtype)
        return flat.reshape(self.shape, order="F" if self.by_columns else "C")


def read_header(file: BinaryIO) -> Header:
    """Read the header at the start of a binary file, and no further.

    Raises ValueError for anything that is not the header of an array of numbers.
    """
    start = file.read(8)
    width = _LENGTH_BYTES.get(start[6:])
    if start[:6] != _MAGIC or width is None:
        raise ValueError("not a .npy file of version 1 or 2")
    length = file.read(width)
    size = int.from_bytes(length, "little")
    if size > _LONGEST_HEADER:
        raise ValueError(f"a header of {size} bytes")
    head = io.BytesIO(length + file.read(size))
    parse = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            # That Python 2 wrote the header is nothing to tell a user.
            warnings.simplefilter("ignore")
            shape, by_columns, dtype = parse(head)
    # Python's parser answers damage with as many exceptions as it has stages; MemoryError is one for deep brackets.
    except Exception:
        raise ValueError("its header says no type and shape") from None
    if dtype.kind not in "biuf":
        raise ValueError(f"{'Object arrays' if dtype.hasobject else f'arrays of {dtype}'} are not numbers")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"its shape is {shape}")
    return Header(shape, dtype, by_columns, 8 + width + size)


def map_array(path: Path) -> NDArray[Any]:
    """The array of a .npy file, memory-mapped, read-only.

    Raises OSError, and ValueError for a file that is not exactly an array of numbers, neither shorter nor longer.
    """
    with path.open("rb") as file:
        header = read_header(file)
    stored = path.stat().st_size - header.offset
    if stored != header.nbytes:
        raise ValueError(f"its header says {header.nbytes} bytes, but {stored} follow it")
    if not header.nbytes:
        return header.array(b"")
    order: Any = "F" if header.by_columns else "C"
    return np.memmap(path, header.dtype, "r", header.offset, header.shape, order)


def array_digest(array: NDArray[Any]) -> str:
    """SHA-256 of an array's type, shape and contents, in hexadecimal."""
    digest = _begun(array.dtype, array.shape)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """`array_digest` of the array in a .npy file that is stored by rows, read a megabyte at a time.

    Reading, unlike mapping, does not count as memory of this process. Raises OSError and ValueError.
    """
    with path.open("rb") as file:
        header = read_header(file)
        if header.by_columns:
            raise ValueError("stored by columns")
        digest = _begun(header.dtype, header.shape)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _begun(dtype: np.dtype[Any], shape: tuple[int, ...]) -> "hashlib._Hash":
    return hashlib.sha256(f"{dtype.str} {shape}\n".encode())
