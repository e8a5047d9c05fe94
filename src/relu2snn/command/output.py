"""Where a command writes to, checked before it computes."""

import os
from collections.abc import Sequence
from pathlib import Path

from relu2snn.errors import UserError


def require_output(path: Path, suffixes: Sequence[str]) -> None:
    """Raise UserError unless `path` ends in one of these suffixes, and can be written or made in a folder there is."""
    if path.suffix not in suffixes:
        raise UserError(f"-o {path}: must end in {' or '.join(suffixes)}, as in -o {path.stem or 'NAME'}{suffixes[0]}")
    if path.is_dir():
        raise UserError(f"-o {path}: a folder; name a file in it")
    if not path.parent.is_dir():
        raise UserError(f"-o {path}: no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"-o {path}: no files can be made in {path.parent}; choose another folder")
