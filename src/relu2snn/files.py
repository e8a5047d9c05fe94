"""Result files: written to a temporary name, then renamed, so that none is ever seen half-written."""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from relu2snn.clock import now_in
from relu2snn.errors import UserError, machine_fault, one_line, reading
from relu2snn.processes import Process

_PREFIX = ".partial-"
_WRITER = re.compile(re.escape(_PREFIX) + r"(\d+-\w+-\w+)-")
# The longest name of a file is 255 bytes.
_LONGEST = 100
# What a writer on another machine has not touched for so long is no writer's any more.
_SECONDS = 7 * 24 * 3600
_LONGEST_TEXT = 1 << 26
# With less, Snakemake cannot keep its own lists of files.
_ROOM = 16 << 20
_MOST_DIGITS = 20


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that becomes `path` if the block ends without an error.

    The temporary name keeps the suffixes of `path`, since Keras and numpy choose the format by them.
    A full disk is an OSError that names `path`, whatever the library that met it made of it.
    """
    target = Path(path)
    with writing(target):
        prefix, suffix = _temporary_name(target)
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=target.parent)
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
    """Yield a new folder beside the file `beside`, on the same disk, which is removed when the block ends.

    Raises OSError, as `atomic_path` does, naming the folder in which there is no space.
    """
    target = Path(beside)
    with writing(target.parent):
        prefix, suffix = _temporary_name(target)
        # Keras takes a folder whose name has the suffix of a file for that file.
        name = tempfile.mkdtemp(prefix=prefix, suffix=suffix.replace(".", "_"), dir=target.parent)
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


def _temporary_name(target: Path) -> tuple[str, str]:
    """How the temporary name of `target` begins and ends; its folder is made, and what the dead left there removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    return f"{_PREFIX}{Process.this()}-", f"-{target.name[-_LONGEST:]}"


def sweep(folder: str | Path) -> None:
    """Remove the temporary files and folders whose writers are dead; of other machines, those that are a week old."""
    with os.scandir(folder) as entries:
        left = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
    for path in left:
        with contextlib.suppress(OSError):
            if _is_left(path):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_left(path: Path) -> bool:
    named = _WRITER.match(path.name)
    writer = Process.parse(named[1]) if named else None
    if writer is None:
        return True
    lives = writer.lives()
    return not lives if lives is not None else now_in(path.parent) - path.stat().st_mtime > _SECONDS


def require_writable(folder: str | Path) -> None:
    """Make sure that files can be made in `folder`, or in the folder above it where it would be made; leaves nothing.

    Raises UserError, which names the place that refuses.
    """
    place = _existing(folder)
    try:
        # It has no name in any folder, or none for long.
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else one_line(error)
        raise UserError(
            f"{place}: no results can be written here ({reason}); choose another folder with outputs=…"
        ) from None


def require_room(*folders: str | Path) -> None:
    """Raise UserError where one of `folders`, or the folder in which it would be made, is all but full."""
    for folder in folders:
        place = _existing(folder)
        found = os.statvfs(place)
        free = found.f_bavail * found.f_frsize
        if free < _ROOM:
            raise UserError(
                f"{place}: {free / 1e6:.1f} MB are free here, and a run needs {_ROOM / 1e6:.0f} MB to begin with; "
                "make space there and give the same command again"
            )


def _existing(folder: str | Path) -> Path:
    """`folder`, or the folder above it in which it would be made."""
    place = Path(folder)
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    return place


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


def watched(files: Iterable[str | Path]) -> Callable[[], None]:
    """Remember what files of the user's are like; call what is returned when they are read, before results are written.

    It raises UserError, naming the file, when one has been changed since: what was read might be half of each.
    """
    before = {path: _state(path) for path in map(Path, files)}

    def require_unchanged() -> None:
        for path, state in before.items():
            if _state(path) != state:
                raise UserError(f"{path}: changed while it was read; run it again when the file is whole")

    return require_unchanged


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: str | Path) -> str:
    """Read a text file in UTF-8.

    Raises OSError, and ValueError when it is not text or has more than 64 MiB.
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > _LONGEST_TEXT:
            raise ValueError(f"{size} bytes are too many")
        return file.read().decode("utf-8")


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


def end_of(path: str | Path, size: int = 4096) -> str:
    """The last `size` bytes of a log, "" where there is none; its first line may be a part of one."""
    try:
        with Path(path).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
