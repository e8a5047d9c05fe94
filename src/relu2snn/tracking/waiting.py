"""Waiting for a server that is away: each job for a while, and all jobs of a run together no longer than that."""

import contextlib
import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from relu2snn.errors import UserError
from relu2snn.tracking.failures import AwayError
from relu2snn.tracking.store import Store, open_client

Result = TypeVar("Result")

# Seconds between two attempts: at first, and at most.
_FIRST, _LONGEST = 1.0, 15.0


def patiently(store: Store, work: Callable[[Any], Result]) -> Result:
    """What `work` makes with MLflow's client; it is called anew while the store does not answer.

    Raises UserError when the store has not answered for `store.wait` seconds, and as `open_client` does.
    """
    end = None
    pause = _FIRST
    mark = _mark(store)
    while True:
        try:
            with open_client(store) as client:
                done = work(client)
        except AwayError as error:
            away = _seconds_away(mark)
            if end is None:
                end = time.monotonic() + max(0.0, store.wait - away)
                if time.monotonic() < end:
                    _say(error, end - time.monotonic())
            left = end - time.monotonic()
            if left <= 0:
                raise _gives_up(store, error, away) from None
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST)
        else:
            if mark is not None:
                mark.unlink(missing_ok=True)
            return done


def _mark(store: Store) -> Path | None:
    """The file that is there since the store is away."""
    if store.results is None:
        return None
    return Path(store.results, f".mlflow-away-{hashlib.sha256(store.shown_address.encode()).hexdigest()[:8]}")


def _seconds_away(mark: Path | None) -> float:
    """For how long the store has been away, as the first job has noticed; it is made known from now on.

    A clock that went back counts as no time.
    """
    if mark is None:
        return 0.0
    with contextlib.suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch(exist_ok=False)
    with contextlib.suppress(OSError):
        return max(0.0, time.time() - mark.stat().st_mtime)
    return 0.0


def _say(error: AwayError, seconds: float) -> None:
    print(f"{error}; trying again for up to {seconds:.0f} s", file=sys.stderr, flush=True)


def _gives_up(store: Store, error: AwayError, away: float) -> UserError:
    safe = f"the results are safe in {store.results}" if store.results else "nothing is lost"
    seconds = f"{max(away, store.wait):.0f} s"
    return UserError(
        f"{error.address}: no answer from this MLflow store for {seconds} ({error.reason}); {safe}: when it is back, "
        "give the same call again, which logs them and makes nothing else again, or let it wait longer than "
        f"tracking.wait={store.wait:g}"
    )
