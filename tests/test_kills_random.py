"""A sweep of a small network that is killed at random moments and started again: a cut of tests/test_kills_long.py."""

from pathlib import Path

import pytest
from kill_runs import disturbed, require_clean, require_equal, seed_of_the_day
from runs import ROOT, SWEEP_OPTIONS, SWEEP_OVERRIDES, command


@pytest.mark.workflow
def test_a_sweep_survives_random_kills(swept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    words = command(overrides=SWEEP_OVERRIDES + "[0.0,0.05]", **SWEEP_OPTIONS)
    summary = disturbed(words, folder, seed=seed_of_the_day(), kills=6, between=4)
    assert summary.injected.total() == 8
    require_clean(words, folder)
    # Of a network, four results of parts, two points and all that shows them.
    assert require_equal(folder, swept) > 100
