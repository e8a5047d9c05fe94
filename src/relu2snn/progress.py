"""Progress bars that suit both a terminal and a log file."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(iterable: Iterable[Item], total: int, description: str, unit: str = "batch") -> Iterable[Item]:
    """Pass `iterable` through, showing on stderr how many of `total` items are done.

    In a log file a line is written at most every ten seconds.
    """
    interval = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(iterable, total=total, desc=description, unit=unit, mininterval=interval, file=sys.stderr, leave=True)
