"""Result files: written to a temporary name, then renamed, so that none is ever seen half-written."""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from relu2snn.errors import UserError, reading

_LONGEST_TEXT = 1 << 26
_MOST_DIGITS = 20


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that becomes `path` if the block ends without an error.

    The temporary name keeps the suffixes of `path`, since Keras and numpy choose the format by them.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".partial-", suffix="-" + target.name, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    # mkstemp makes files only the owner can read; a result file follows the user's umask.
    umask = os.umask(0)
    os.umask(umask)
    try:
        yield temporary
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` in UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as JSON; floats keep every bit (`repr`), NaN and infinities are refused with ValueError."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file as `write_json` writes it: finite numbers, whole ones of at most 64 bits, no key twice.

    Raises UserError when the file is missing, is not such a JSON, or has more than 64 MiB.
    """
    require_file(path)
    with reading(path, "JSON file", "delete it and run the workflow again"):
        return json.loads(
            read_text(path), parse_constant=_no_number, parse_int=_whole, parse_float=_finite, object_pairs_hook=_unique
        )


def require_file(path: str | Path) -> None:
    """Raise UserError unless a file that an earlier stage makes is there."""
    if not Path(path).exists():
        raise UserError(f"{path}: no such file; run the stage that makes it first")


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: str | Path) -> str:
    """Read a text file in UTF-8.

    Raises OSError, and ValueError when it is not text or has more than 64 MiB.
    """
    with Path(path).open("rb") as file:
        content = file.read(_LONGEST_TEXT + 1)
    if len(content) > _LONGEST_TEXT:
        raise ValueError(f"more than {_LONGEST_TEXT} bytes")
    return content.decode("utf-8")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS or abs(int(digits)) >= 2**63:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number that is not finite")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key that is given twice")
    return values
