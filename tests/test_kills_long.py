"""The whole of suite=smoke, killed at random moments and started again, here and through Slurm: `make test-long`.

RELU2SNN_SEED=… draws the moments of an earlier run again.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kill_runs import disturbed, require_clean, require_equal, seed_of_the_day, undisturbed
from runs import ROOT, command

pytestmark = [pytest.mark.long, pytest.mark.workflow]

KILLS = 30
# Without a container engine, which would outlive what is killed.
OPTIONS = {"suite": "smoke", "overrides": "container.engine=none"}
SLURM = ROOT / "pipeline" / "profiles" / "slurm"


def local() -> list[str]:
    return command("--keep-going", **OPTIONS)


def slurm() -> list[str]:
    """The call through the Slurm that answers on this machine."""
    if not shutil.which("sinfo") or subprocess.run(["sinfo", "-h"], capture_output=True, check=False).returncode:
        pytest.skip("no Slurm answers here (sinfo)")
    checks = ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]
    resources = ["--default-resources", "slurm_account=none", "slurm_partition=main"]
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--nocolor"]
    settings = [f"{key}={value}" for key, value in OPTIONS.items()]
    return [*snakemake, "--profile", str(SLURM), *checks, *resources, "--config", *settings]


def folder_of(place: Path) -> Path:
    (place / "data").mkdir(parents=True)
    (place / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    return place


@pytest.mark.parametrize("call", [local, slurm])
def test_the_smoke_suite_survives_random_kills(tmp_path: Path, call: Callable[[], list[str]]) -> None:
    seed = seed_of_the_day()
    words = call()
    quiet, killed = folder_of(tmp_path / "quiet"), folder_of(tmp_path / "killed")
    expected, seconds = undisturbed(words, quiet)
    print(f"undisturbed: {sum(expected.values())} jobs, {seconds:.0f} s", flush=True)
    require_clean(words, quiet)
    # Through Slurm little is lost, so that the run does not get much longer: they all come before its end.
    summary = disturbed(words, killed, seed=seed, kills=KILLS, between=seconds / (1.5 * KILLS))
    print(summary.text(expected, seconds), flush=True)
    require_clean(words, killed)
    print(f"{require_equal(killed, quiet)} files and the MLflow store are equal", flush=True)
