"""Runs of the workflow through a real Slurm of one node, and what tests do to its jobs."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from runs import ROOT, command_of, environment, stage_of

from relu2snn.slurm import queued

HOST = ROOT.parent / "shared" / "hosts" / "slurm"
"""Starts a Slurm of one node, where it stands beside the checkout."""
PROFILE = ROOT / "pipeline" / "profiles" / "slurm"
# As the profile's comments tell a user to fill in; the node has 16 GB, and jobs would wait for each other's memory.
HERE = ("slurm_account=none", "slurm_partition=main")
QUICK = ("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2")
# Longer than anything here takes; a test that waits for it has failed.
PATIENCE = 3600


@dataclass(frozen=True)
class Call:
    """A call of the workflow on small synthetic images, in a folder of its own."""

    folder: Path
    overrides: str
    sweep: str = ""

    def words(self, *arguments: str) -> list[str]:
        settings = ["suite=smoke", "experiments=mnist_fc", f"overrides={self.overrides}"]
        settings += [f"sweep={self.sweep}"] if self.sweep else []
        head = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--nocolor"]
        return [*head, *arguments, "--config", *settings]

    def on_slurm(self, *arguments: str, resources: Sequence[str] = HERE) -> list[str]:
        return self.words("--profile", str(PROFILE), *QUICK, "--default-resources", *resources, *arguments)

    def start(self, words: Sequence[str], **variables: str) -> subprocess.Popen[bytes]:
        """A call whose words go to calls.log, as those of `kill_runs` do."""
        with (self.folder / "calls.log").open("ab") as log:
            return subprocess.Popen(
                words,
                cwd=self.folder,
                env=environment() | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A shell that runs tests in the background makes its programs ignore SIGINT.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )

    def said(self) -> str:
        return (self.folder / "calls.log").read_text(errors="replace")


def require_slurm() -> None:
    """Skip the test where there is no Slurm; in CI, which starts one where it can, fail."""
    if shutil.which("sinfo") and _answer("sinfo", "-h", "-o", "%t").strip():
        return
    if os.environ.get("CI") == "true" and HOST.is_file():
        pytest.fail("Slurm does not answer; .ci/run should have started it")
    pytest.skip("no Slurm answers here (sinfo)")


@contextlib.contextmanager
def new_call(folder: Path, overrides: str, sweep: str = "") -> Iterator[Call]:
    """A call that leaves no process and no job of Slurm behind."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    call = Call(folder, overrides, sweep)
    try:
        yield call
    finally:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.cwd() == str(folder):
                    process.kill()
        if left := [job.number for job in queued(folder)]:
            subprocess.run(["scancel", *left], check=False)
            wait_for(lambda: not queued(folder), "the jobs have left the queue")


def finish(run: subprocess.Popen[bytes], call: Call) -> None:
    assert run.wait(PATIENCE) == 0, call.said()[-6000:]


def wait_for(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.2)
    return found


def stages_in(folder: Path) -> dict[str, psutil.Process]:
    """By name, the stages that work in a folder, whoever has started them."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            stage = stage_of(process)
            if stage and process.cwd() == str(folder):
                found[stage] = process
    return found


def running_job(call: Call, run: subprocess.Popen[bytes], stage: str) -> str:
    """The number of the first job of Slurm that runs, once `stage` is at work."""

    def at_work() -> list[str]:
        assert run.poll() is None, call.said()[-6000:]
        jobs = [job.number for job in queued(call.folder) if not job.waiting]
        return jobs if stage in stages_in(call.folder) else []

    return str(wait_for(at_work, f"a job of Slurm runs {stage}")[0])


def steps_of(number: str) -> list[psutil.Process]:
    """What Slurm's daemon on this machine runs of a job."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if f"slurmstepd: [{number}." in command_of(process):
                found.append(process)
    return found


def node() -> str:
    return _answer("sinfo", "-h", "-N", "-o", "%N").split()[0]


def node_down() -> None:
    subprocess.run(["scontrol", "update", f"nodename={node()}", "state=down", "reason=test"], check=True)


def node_up() -> None:
    """Bring the node back, unless it has come by itself, as Slurm lets it where ReturnToService is 2."""
    subprocess.run(["scontrol", "update", f"nodename={node()}", "state=resume"], check=False, capture_output=True)
    wait_for(lambda: _answer("sinfo", "-h", "-o", "%t").strip().startswith(("idle", "mix", "alloc")), "the node is up")


def _answer(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60).stdout
