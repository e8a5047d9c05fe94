"""Result files: written to a temporary name, then renamed, so that none is ever seen half-written."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relu2snn.errors import UserError, reading


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
    """Read a JSON file.

    Raises UserError when the file is missing or is not JSON.
    """
    require_file(path)
    with reading(path, "JSON file", "delete it and run again"):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def require_file(path: str | Path) -> None:
    """Raise UserError unless a file that an earlier stage makes is there."""
    if not Path(path).exists():
        raise UserError(f"{path}: no such file; run the stage that makes it first")


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
