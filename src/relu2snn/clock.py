"""Dates of files where clocks are wrong, or are set back while a workflow runs.

Snakemake takes an output that is older than an input for old: it fails the job that has just written it.
"""

import contextlib
import os
import shlex
import tempfile
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from relu2snn.errors import UserError

# Several servers of files may be so far apart (seconds).
_APART = 2.0


def now_in(folder: str | Path) -> float:
    """The time (seconds since the epoch) that a file written in `folder` now has: its server's, not this machine's.

    This machine's where no file can be written.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def date_back(folder: str | Path, now: float) -> int:
    """Give all files below `folder` that are dated after `now` this date; returns how many there were.

    To be used for files that the workflow has made. What was made of them is no older then.
    """
    count = 0
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            # Another process may remove or own it.
            with contextlib.suppress(OSError):
                if os.lstat(path).st_mtime > now + _APART:
                    os.utime(path, (now, now), follow_symlinks=False)
                    count += 1
    return count


def require_past(files: Iterable[str | Path], now: float) -> None:
    """Raise UserError, naming the file, for one of the user's that is dated after `now`; others may be missing."""
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            date = os.stat(file).st_mtime
            if date > now + _APART:
                raise UserError(
                    f"{file}: dated in the future ({shown_date(date)}), so that what is made of it would count as old; "
                    f"set the clock right, or date the file now with: touch {shlex.quote(str(file))}"
                )


def shown_date(seconds: float) -> str:
    """A file's date to the minute; file systems can hold dates that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s after 1970"
