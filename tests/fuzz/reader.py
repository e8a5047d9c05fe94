"""What the harness knows of a reader."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Reader:
    """One reader of files.

    make: writes small valid files into an empty folder. read: reads the folder and returns a digest of all that was
    read. changed: which of the files are changed; all of them if empty. checksum: whether the format carries a
    checksum of all that is read, so that a change is either refused or makes no difference. share: how many files of
    it are tried for one of another's. seconds: the longest that one reading may take.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], str]
    checksum: bool = False
    changed: tuple[str, ...] = ()
    share: float = 1.0
    seconds: float = 20.0


def digest(*values: Any) -> str:
    """One digest of arrays, texts, and whatever else has a faithful `repr`."""
    found = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            found.update(f"{value.dtype.str} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
        else:
            found.update(repr(value).encode())
    return found.hexdigest()
