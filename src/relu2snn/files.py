"""Result files: written to a temporary name, then renamed, so that none is ever seen half-written."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relu2snn.errors import UserError, machine_fault

_PREFIX = ".partial-"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that becomes `path` if the block ends without an error.

    The temporary name keeps the suffixes of `path`, since Keras and numpy choose the format by them.
    A full disk is an OSError that names `path`, whatever the library that met it made of it.
    """
    target = Path(path)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix="-" + target.name, dir=target.parent)
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


@contextmanager
def temporary_folder(beside: str | Path) -> Iterator[Path]:
    """Yield a new folder beside the file `beside`, which is removed when the block ends.

    Raises OSError, as `atomic_path` does, naming the folder in which there is no space.
    """
    target = Path(beside)
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        name = tempfile.mkdtemp(prefix=_PREFIX, suffix="-" + target.name, dir=target.parent)
        try:
            yield Path(name)
        finally:
            shutil.rmtree(name, ignore_errors=True)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Let an error of the machine (no space, no memory) in the block be an OSError that names `path`.

    It keeps the name of another file that the system gave, but for temporary ones.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        found = machine_fault(error)
        if found is None or isinstance(error, MemoryError):
            raise
        number, name = found
        where = str(path) if name is None or _PREFIX in name else name
        raise OSError(number, os.strerror(number), where) from error


def require_space(path: str | Path, size: int) -> None:
    """Raise OSError where there is no room for a file `path` of `size` bytes, before a library fails half-way."""
    folder = os.statvfs(Path(path).parent)
    if folder.f_bavail * folder.f_frsize < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


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
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage that makes it first") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not a JSON file ({error}); delete it and run the workflow again") from None
