"""Whether results can be written where a configuration wants them, asked before any job starts."""

import os
from pathlib import Path

from relu2snn.errors import UserError, shown

_OF_THE_SYSTEM = ("/dev", "/proc", "/sys")


def require_place(outputs: str) -> None:
    """Raise UserError unless `outputs` is a folder that can be written, or can be made; nothing is made here."""
    where = f"outputs={shown(outputs)}"
    path = Path(os.path.abspath(outputs))
    if path == Path.cwd() or path.parent == path:
        raise UserError(f"{where}: results need a folder of their own; name one, as in outputs=results")
    if any(path.is_relative_to(folder) for folder in _OF_THE_SYSTEM):
        raise UserError(f"{where}: not a place for files that stay; name a folder, as in outputs=results")
    try:
        # A link that leads nowhere is there, too, and no folder can be made of it.
        there = next(each for each in (path, *path.parents) if os.path.lexists(each))
        folder = there.is_dir()
    except OSError as error:
        raise UserError(f"{where}: cannot be used ({error.strerror}); name another folder") from None
    if not folder:
        raise UserError(f"{where}: {shown(there)} is no folder; name another place for the results")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{where}: {shown(there)} cannot be written; make it writable, or name another folder")
