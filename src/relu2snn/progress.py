"""How far long work is: a bar on a terminal, a line now and then in a log."""

import os
import sys
import time
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

_bars: "weakref.WeakSet[tqdm[Any]]" = weakref.WeakSet()
# Seconds between two lines: in a log, and on a terminal whose stages write logs.
_LOGGED, _TOLD = 10.0, 30.0


def duration(seconds: float) -> str:
    """Seconds, rounded, as a clock shows them: 1:05, or 2:00:00.

    Example:
        >>> duration(64.6)
        '1:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Terminal:
    # Where a process that writes a log says how far it is, too.
    stream: int | None = None


def report_to(stream: int) -> None:
    """Say on a stream, by its number, how far work is that takes more than half a minute; stderr is a log."""
    _Terminal.stream = stream


def progress(iterable: Iterable[Item], total: int, description: str, unit: str = "batch") -> Iterable[Item]:
    """Pass `iterable` through, showing on stderr how many of `total` items are done."""
    if not sys.stderr.isatty():
        return _with_lines(iterable, total, description, unit)
    bar = tqdm(iterable, total=total, desc=description, unit=unit, file=sys.stderr, leave=True)
    _bars.add(bar)
    return bar


def _with_lines(iterable: Iterable[Item], total: int, description: str, unit: str) -> Iterator[Item]:
    started = logged = told = time.monotonic()
    for done, item in enumerate(iterable, start=1):
        yield item
        now = time.monotonic()
        if now - logged < _LOGGED and done < total:
            continue
        logged, spent = now, now - started
        left = "" if done == total else f", {duration(spent * (total - done) / done)} left"
        units = f"{unit}es" if unit.endswith("ch") else f"{unit}s"
        line = f"{description}: {done} of {total} {units}, {duration(spent)}{left}\n"
        sys.stderr.write(line)
        if _Terminal.stream is not None and now - told >= _TOLD:
            told = now
            # Who reads it may be gone, which is no reason to end.
            try:
                os.write(_Terminal.stream, line.encode())
            except OSError:
                _Terminal.stream = None


def unfinished() -> bool:
    """Whether the last line on stderr is a bar without its end."""
    return any(not bar.disable for bar in _bars)


def finish() -> None:
    """End the bars that have not come to their end, so that what is said next stands on a line of its own."""
    for bar in list(_bars):
        bar.close()
