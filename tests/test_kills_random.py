"""A swept network that is killed at random moments and started again: a cut of tests/test_kills_long.py."""

import shutil
from pathlib import Path

import pytest
from kill_runs import disturbed, require_clean, require_equal, seed_of_the_day
from runs import ROOT, SWEEP_OPTIONS, SWEEP_OVERRIDES, command

# What each kill would begin with again stays: a network is trained for longer than all else here takes.
MADE_AGAIN = ("phase2", "sweep", "figures", "provenance", "mlflow")


@pytest.mark.workflow
def test_a_sweep_survives_random_kills(swept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    for name in ("outputs", ".snakemake"):
        shutil.copytree(swept / name, folder / name, symlinks=True)
    (folder / "data").mkdir()
    (folder / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    suite = folder / "outputs" / "smoke"
    for path in (folder / "outputs" / "mlartifacts", suite / "report", suite / "tradeoffs"):
        shutil.rmtree(path)
    for name in MADE_AGAIN:
        shutil.rmtree(suite / "cifar10_vgg" / name)
    for path in (folder / "outputs" / "mlflow.db", *suite.glob("*.csv")):
        path.unlink()
    words = command(overrides=SWEEP_OVERRIDES + "[0.0,0.05]", **SWEEP_OPTIONS)
    summary = disturbed(words, folder, seed=seed_of_the_day(), kills=4, between=5)
    assert summary.injected.total() == 5
    require_clean(words, folder)
    assert require_equal(folder, swept) > 60
