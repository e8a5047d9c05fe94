"""Functions that numba compiles once for all processes: what one compiles, the others find in numba's cache."""

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

if sys.platform != "win32":
    import fcntl

# Longer than one function takes; who waits longer compiles it, too.
_PATIENCE = 60.0
_PAUSE = 0.05


class _Turn:
    """Whose turn it is to compile, among processes that share a folder of numba's cache.

    A process that dies loses its turn. Within a process numba compiles on one thread at a time.
    """

    def __init__(self) -> None:
        self._depth, self._file = 0, -1

    def take(self, folder: str) -> None:
        self._depth += 1
        if self._file >= 0 or sys.platform == "win32":
            return
        # Where the file system has no locks, each compiles for itself.
        with contextlib.suppress(OSError):
            os.makedirs(folder, exist_ok=True)
            self._file = os.open(os.path.join(folder, "relu2snn.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            end = time.monotonic() + _PATIENCE
            while time.monotonic() < end:
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(_PAUSE)
                else:
                    return

    def give(self) -> None:
        self._depth = max(0, self._depth - 1)
        if self._depth == 0 and self._file >= 0:
            os.close(self._file)
            self._file = -1


_TURN = _Turn()


class _Shared(FunctionCache):
    """numba's cache of one function, in which who misses something waits for those who are making it."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = super().load_overload(sig, target_context)
        if found is None:
            _TURN.take(self.cache_path)
            found = super().load_overload(sig, target_context)
            if found is not None:
                _TURN.give()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        finally:
            _TURN.give()


def compiled(**options: Any) -> Callable[[Any], Any]:
    """`numba.njit` with `options`, cached; processes that start together do not each compile the same."""

    def decorate(function: Any) -> Any:
        dispatcher = njit(cache=True, **options)(function)
        dispatcher._cache = _Shared(function)
        return dispatcher

    return decorate
