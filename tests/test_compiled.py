"""Processes that start together share what numba compiles."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import environment

from relu2snn.spiking import compiled as module
from relu2snn.spiking.compiled import _Turn

FUNCTION = """
from relu2snn.spiking.compiled import compiled

@compiled()
def inner(values):
    total = 0.0
    for value in values:
        total += value * value
    return total

@compiled(parallel=True)
def outer(values):
    return inner(values) + values.sum()
"""
CALL = """
import sys
import numpy as np
from shared import inner, outer
print("ready", flush=True)
sys.stdin.readline()
assert outer(np.arange(4.0)) == 20
print(*(sum(each.stats.cache_misses.values()) for each in (outer, inner)))
"""


def test_of_processes_that_start_together_one_compiles_and_the_others_read(tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(FUNCTION)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CALL],
            cwd=tmp_path,
            env=environment() | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for each in started:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in started:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    found = sorted(each.communicate()[0].split() for each in started)
    assert [each.returncode for each in started] == [0, 0, 0]
    assert found == [["0", "0"], ["0", "0"], ["1", "1"]]


def test_who_dies_or_takes_too_long_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.3)
    held, waiting = _Turn(), _Turn()
    held.take(str(tmp_path))
    begun = time.monotonic()
    waiting.take(str(tmp_path))
    assert time.monotonic() - begun > 0.25
    waiting.give()
    held.take(str(tmp_path))
    held.give()
    # Not before all that it has begun is done.
    blocked = time.monotonic()
    waiting.take(str(tmp_path))
    assert time.monotonic() - blocked > 0.25
    waiting.give()
    held.give()
    monkeypatch.setattr(module, "_PATIENCE", 60.0)
    begun = time.monotonic()
    waiting.take(str(tmp_path))
    assert time.monotonic() - begun < 30
    waiting.give()
    # Where it cannot be written there are no turns, and nobody waits.
    (tmp_path / "file").touch()
    waiting.take(str(tmp_path / "file"))
    waiting.give()
