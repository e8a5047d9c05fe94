"""Progress bars that suit both a terminal and a log file."""

import sys
import weakref
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

_bars: "weakref.WeakSet[tqdm[Any]]" = weakref.WeakSet()


def progress(iterable: Iterable[Item], total: int, description: str, unit: str = "batch") -> Iterable[Item]:
    """Pass `iterable` through, showing on stderr how many of `total` items are done.

    In a log file a line is written at most every ten seconds.
    """
    interval = 0.1 if sys.stderr.isatty() else 10.0
    bar = tqdm(iterable, total=total, desc=description, unit=unit, mininterval=interval, file=sys.stderr, leave=True)
    _bars.add(bar)
    return bar


def unfinished() -> bool:
    """Whether the last line on stderr is a bar without its end."""
    return any(not bar.disable for bar in _bars)


def finish() -> None:
    """End the bars that have not come to their end, so that what is said next stands on a line of its own."""
    for bar in list(_bars):
        bar.close()
