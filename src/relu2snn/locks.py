"""Locks that the kernel releases when their holder dies: one writer for a target, and who runs Snakemake in a folder.

They are flock's, so on a network file system they hold between machines where it supports flock (NFS from version 4 on,
and 3 with its lock daemon); where a file system has none, targets are locked by the existence of a file instead.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from relu2snn.errors import UserError
from relu2snn.files import write_json
from relu2snn.processes import Process, starter

FOLDER = ".locks"
# For a holder that is just leaving; and for one that ends because its workflow was killed.
_MOMENT, _ENDING = 1.0, 60.0

_LONGEST = 80

_workflow_locks: list[int] = []
_own: dict[FileLock, tuple[Path, Path]] = {}
"""The files of locks that this process has, or is about to take."""


@contextlib.contextmanager
def locked(targets: Iterable[str | Path], root: str | Path) -> Iterator[None]:
    """Let only this process write `targets`, files or folders, while the block runs.

    The locks stand in `root`/.locks, and are removed at the end; one that a killed process has left locks nothing.

    Raises UserError when another process holds one of them, after a minute if that process is about to end.
    """
    with contextlib.ExitStack() as stack:
        for target in sorted({os.path.abspath(each) for each in targets}):
            name = os.path.relpath(target, os.path.abspath(root))
            stack.enter_context(_locked(Path(root, FOLDER), name, Path(root, name)))
        yield


def require_free(folders: Iterable[str | Path], root: str | Path) -> None:
    """Raise UserError, naming the process, when one holds a target that is, or lies in, one of `folders`."""
    places = {Path(os.path.abspath(each)) for each in folders}
    for holder in sorted(Path(root, FOLDER).glob("*.json")):
        found = _read(holder)
        target = Path(root, str(found.get("target", "")))
        absolute = Path(os.path.abspath(target))
        if places.isdisjoint({absolute, *absolute.parents}):
            continue
        lock = FileLock(holder.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise _refusal(found, target) from None
        lock.release()


@contextlib.contextmanager
def _locked(folder: Path, name: str, target: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"
    holder = path.with_suffix(".json")
    lock = FileLock(path)
    _own[lock] = holder, path
    try:
        try:
            lock.acquire(timeout=_MOMENT)
        except Timeout:
            _wait(lock, holder, target)
        write_json(holder, _description(name))
        yield
    finally:
        _remove(lock)


def remove_own() -> None:
    """Remove the locks of this process, which ends here without leaving its blocks.

    A signal's exception may be raised when a block has just been entered and nobody knows yet that it is to be left.
    """
    for lock in list(_own):
        _remove(lock)


def _remove(lock: FileLock) -> None:
    # While the lock is still held: whoever waits for this file finds it gone and makes its own.
    for path in _own.get(lock, ()) if lock.is_locked else ():
        path.unlink(missing_ok=True)
    lock.release()
    _own.pop(lock, None)


def _wait(lock: FileLock, holder: Path, target: Path) -> None:
    """Wait for a holder whose workflow is gone; raise UserError for any other."""
    found = _read(holder)
    if _is_ending(found):
        print(f"{target}: waiting for process {found['pid']} to end, whose workflow is gone", file=sys.stderr)
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=_ENDING)
            return
    raise _refusal(found, target)


def _refusal(found: dict[str, Any], target: Path) -> UserError:
    who, way_out = "another process", "wait until it is done"
    if "pid" in found:
        who = f"process {found['pid']} on {found['host']} ({found['command']})"
        way_out += f", or end it there with: kill {found['pid']}"
    return UserError(f"{target}: {who} is writing here; {way_out}; then run this again")


def _description(name: str) -> dict[str, Any]:
    return {
        "target": name,
        "pid": os.getpid(),
        "host": platform.node(),
        # As far as it names the stage.
        "command": " ".join(" ".join(sys.orig_argv[1:4]).split())[:_LONGEST],
        "process": str(Process.this()),
        "started_by": str(starter() or ""),
    }


def _read(holder: Path) -> dict[str, Any]:
    try:
        found = json.loads(holder.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_ending(found: dict[str, Any]) -> bool:
    named = (Process.parse(str(found.get(key, ""))) for key in ("process", "started_by"))
    return any(process is not None and process.lives() is False for process in named)


class Entered(NamedTuple):
    """What a workflow finds in its folder: whether no other works there, and whether a killed one has left locks."""

    alone: bool
    stale: bool


def enter_workflow(folder: str | Path = ".snakemake") -> Entered:
    """Say that Snakemake runs in this folder until this process ends, and remove the locks of runs that were killed.

    Snakemake's own locks are lists of files that a kill leaves behind. They are stale where no other process has
    entered.
    """
    folder = Path(folder)
    alone = False
    stale: list[Path] = []
    # Where a folder cannot be written, or its file system has no flock, Snakemake's own advice is left: --unlock.
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        handle = os.open(folder / "relu2snn.lock", os.O_RDWR | os.O_CREAT, 0o666)
        # Kept until this process ends, and its children do not get it.
        _workflow_locks.append(handle)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
            stale = sorted(folder.glob("locks/*.lock"))
            for path in stale:
                path.unlink(missing_ok=True)
        fcntl.flock(handle, fcntl.LOCK_SH)
    return Entered(alone, bool(stale))
