"""The whole of suite=smoke, killed at random moments and started again: `make test-long`, and how long that takes.

RELU2SNN_SEED names the seed of another draw.
"""

from pathlib import Path

import pytest
from kill_runs import disturbed, require_clean, require_equal, seed_of_the_day, undisturbed
from runs import ROOT, command

pytestmark = [pytest.mark.long, pytest.mark.workflow]

KILLS = 30
# Without a container engine, which would outlive what is killed.
OPTIONS = {"suite": "smoke", "overrides": "container.engine=none"}


def folder_of(place: Path) -> Path:
    (place / "data").mkdir(parents=True)
    (place / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    return place


def test_the_smoke_suite_survives_random_kills(tmp_path: Path) -> None:
    seed = seed_of_the_day()
    words = command("--keep-going", **OPTIONS)
    quiet, killed = folder_of(tmp_path / "quiet"), folder_of(tmp_path / "killed")
    expected, seconds = undisturbed(words, quiet)
    print(f"undisturbed: {sum(expected.values())} jobs, {seconds:.0f} s", flush=True)
    require_clean(words, quiet)
    # What the kills lose makes the run longer, so that they all come before its end.
    summary = disturbed(words, killed, seed=seed, kills=KILLS, between=seconds / KILLS)
    print(summary.text(expected, seconds), flush=True)
    require_clean(words, killed)
    print(f"{require_equal(killed, quiet)} files and the MLflow store are equal", flush=True)
