"""Unpickling a batch of CIFAR10 or CIFAR100 without running any code of the pickle's choice."""

import io
import pickle
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LONGEST_NAME = 80


class ForbiddenError(Exception):
    """A pickle that asks for anything else than an array of bytes."""


class Array:
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
            raise ValueError(f"an array of {reprlib.repr(name)}, not of bytes")

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment say nothing about bytes."""


class _Instructions(dict[int, Any]):
    """The instructions of a pickle that a batch, by whatever protocol, is made of."""

    _NAMES = (
        "PROTO FRAME STOP MARK POP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING "
        "SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_LIST "
        "LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 GLOBAL "
        "STACK_GLOBAL REDUCE BUILD PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET"
    )

    def __init__(self, known: Mapping[int, Any]) -> None:
        codes = [getattr(pickle, name)[0] for name in self._NAMES.split()]
        super().__init__({code: known[code] for code in codes})

    def __missing__(self, code: int) -> Any:
        raise ValueError(f"the instruction 0x{code:02x}, which is in no batch")


# The one in C makes room for as many objects as a damaged pickle claims to have: all of the memory.
class _BatchUnpickler(pickle._Unpickler):
    """Makes dictionaries, lists, numbers, strings and arrays of bytes, and refuses all else before it is called."""

    dispatch = _Instructions(pickle._Unpickler.dispatch)

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)
        self._room = len(content)
        super().__init__(self._file, encoding="bytes")

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("numpy.core.multiarray", "_reconstruct"): Array,
            ("numpy._core.multiarray", "_reconstruct"): Array,
            ("numpy", "dtype"): _Bytes,
            # Only ever an argument of the function above, which does not use it.
            ("numpy", "ndarray"): None,
            ("_codecs", "encode"): self._encode,
        }
        try:
            return known[module, name]
        except KeyError:
            raise ForbiddenError(f"{module}.{name}"[:_LONGEST_NAME]) from None

    def persistent_load(self, pid: Any) -> Any:
        raise ForbiddenError("a persistent object")

    def require_end(self) -> None:
        """Raise ValueError when something follows the pickle."""
        if self._file.read(1):
            raise ValueError("goes on after its end")

    def _encode(self, text: Any, encoding: Any = "latin1") -> bytes:
        """How Python 3 writes bytes into a pickle that Python 2 can read; all together no longer than the pickle."""
        if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
            raise ValueError("bytes in an unknown encoding")
        self._room -= len(text)
        if self._room < 0:
            raise ValueError("the same bytes again and again")
        return text.encode("latin1")


def unpickle(content: bytes) -> Any:
    """What a pickle holds, its arrays as `Array`.

    Raises ForbiddenError for a pickle that asks for anything that no batch needs, and any exception for damage.
    """
    unpickler = _BatchUnpickler(content)
    value = unpickler.load()
    unpickler.require_end()
    return value
