"""What befalls jobs of Slurm on their way: after each fault the same call ends as if nothing had been: make test-long.

A run of the same configuration without faults, and without Slurm, is what each is compared with.
"""

import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kill_runs import require_clean, require_equal
from slurm_runs import (
    Call,
    finish,
    new_call,
    node_down,
    node_up,
    require_slurm,
    running_job,
    stages_in,
    steps_of,
    wait_for,
)

from relu2snn.slurm import queued

pytestmark = [pytest.mark.long, pytest.mark.workflow]

# Enough epochs that a job can be met while it trains.
VALUES = (
    "dataset.source.train_images=200 dataset.source.test_images=60 dataset.parts=1 phase2.batch=10 train.epochs=100 "
    "train.batch=64"
)
SWEPT = f"{VALUES} sweep.trials=2 sweep.values=[0.001,0.05]"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The local run, with one core, as jobs on Slurm have."""
    require_slurm()
    with new_call(tmp_path_factory.mktemp("local") / "run", SWEPT, sweep="noise") as call:
        finish(call.start(call.words("--cores", "1")), call)
        yield call.folder


@pytest.fixture
def call(tmp_path: Path, expected: Path) -> Iterator[Call]:
    with new_call(tmp_path / "run", SWEPT, sweep="noise") as call:
        yield call


def trains(call: Call, run: subprocess.Popen[bytes]) -> str:
    """The number of the job that trains, after some epochs."""
    number = running_job(call, run, "train")
    wait_for(lambda: list(call.folder.rglob("state.weights.h5")), "an epoch is saved")
    return number


def same_as_undisturbed(call: Call, expected: Path, words: list[str]) -> None:
    """The same call goes on to its end; the result is what it would have been, once."""
    finish(call.start(words), call)
    require_clean(words, call.folder)
    assert not queued(call.folder)
    assert require_equal(call.folder, expected) > 50


def failed_line(call: Call) -> str:
    """What is said at the end of a row that has failed."""
    said = call.said().rpartition("relu2snn: failed rows:")[2].splitlines()
    return next(line for line in said if line.startswith("  mnist_fc ("))


def test_jobs_go_on_when_snakemake_is_killed_and_the_same_call_waits_for_them(call: Call, expected: Path) -> None:
    words = call.on_slurm()
    run = call.start(words)
    number = trains(call, run)
    run.kill()
    run.wait()
    # A job in the queue that has not begun.
    held = subprocess.run(
        ["sbatch", "--parsable", "--hold", "--comment=rule_phase2", "--output=/dev/null", "--wrap=true"],
        cwd=call.folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert stages_in(call.folder)
    same_as_undisturbed(call, expected, words)
    assert f"that have not begun are cancelled: {held}" in call.said()
    assert f"waiting for its Slurm jobs that run: {number};" in call.said()
    # What has been waited for is not made again.
    assert call.said().count("rule train:") == 1


def test_jobs_are_cancelled_when_a_user_interrupts_snakemake(call: Call, expected: Path) -> None:
    words = call.on_slurm()
    run = call.start(words)
    trains(call, run)
    run.send_signal(signal.SIGINT)
    assert run.wait() != 0
    wait_for(lambda: not queued(call.folder), "the queue is empty")
    wait_for(lambda: not stages_in(call.folder), "nothing runs on")
    same_as_undisturbed(call, expected, words)


def test_a_job_that_is_cancelled_fails_with_one_line(call: Call, expected: Path) -> None:
    words = call.on_slurm("--retries", "0")
    run = call.start(words)
    number = trains(call, run)
    subprocess.run(["scancel", number], check=True)
    assert run.wait() != 0
    assert f"Slurm job {number}: cancelled, by scancel or an administrator; the same call goes on" in failed_line(call)
    same_as_undisturbed(call, expected, words)


def test_a_job_goes_on_on_its_own_when_its_node_comes_back(call: Call, expected: Path) -> None:
    words = call.on_slurm()
    run = call.start(words)
    number = trains(call, run)
    try:
        node_down()
        wait_for(lambda: [job for job in queued(call.folder) if job.waiting], "the job waits again")
        wait_for(lambda: not steps_of(number), "the node has ended the job")
    finally:
        node_up()
    # Slurm lets it wait for two minutes: a node that gets a job which it has not quite ended takes no more jobs.
    finish(run, call)
    same_as_undisturbed(call, expected, words)


SQUEUE = """\
#!/bin/sh
[ -e "{away}" ] && echo "squeue: error: Unable to contact slurm controller (connect failure)" >&2 && exit 1
exec {squeue} "$@"
"""


def test_snakemake_goes_on_when_slurm_answers_again(call: Call, expected: Path, tmp_path: Path) -> None:
    """Only this call finds Slurm away: other tests may use it."""
    words = call.on_slurm()
    away, program = tmp_path / "away", tmp_path / "bin" / "squeue"
    program.parent.mkdir()
    program.write_text(SQUEUE.format(away=away, squeue=shutil.which("squeue")))
    program.chmod(stat.S_IRWXU)
    run = call.start(words, PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    trains(call, run)
    away.touch()
    # Long enough for Snakemake to have asked in vain, as often as it does at a time.
    time.sleep(40)
    assert run.poll() is None, call.said()[-6000:]
    away.unlink()
    finish(run, call)
    same_as_undisturbed(call, expected, words)


def test_a_job_over_its_time_is_submitted_again_and_training_goes_on(call: Call, expected: Path) -> None:
    """Where it is not, the line says what to do."""
    once = call.on_slurm("--retries", "0", "--set-resources", "train:runtime=1")
    run = call.start(once)
    for _ in range(2):
        job = running_job(call, run, "train")
        # It can't be done in its minute.
        stage = stages_in(call.folder)["train"]
        wait_for(lambda: list(call.folder.rglob("state.weights.h5")), "an epoch is saved")
        stage.suspend()
        if run.args == once:
            assert run.wait() != 0
            line = failed_line(call)
            assert f"Slurm job {job}: over its time; give it more: --set-resources train:runtime=MINUTES" in line
            run = call.start(call.on_slurm("--retries", "1", "--set-resources", "train:runtime=attempt*1"))
        else:
            finish(run, call)
    assert "Trying to restart job" in call.said()
    same_as_undisturbed(call, expected, call.on_slurm())


def test_a_job_over_its_memory_is_one_line_and_with_more_it_goes_on(call: Call, expected: Path) -> None:
    run = call.start(call.on_slurm("--retries", "0", "--set-resources", "train:mem_mb=300"))
    assert run.wait() != 0
    assert "over its memory; give it more: --set-resources train:mem_mb=MEGABYTES" in failed_line(call)
    same_as_undisturbed(call, expected, call.on_slurm())


def test_a_group_over_its_memory_is_one_line(call: Call, expected: Path) -> None:
    rules = ("weights", "phase1", "convert")
    run = call.start(call.on_slurm("--retries", "0", "--set-resources", *(f"{rule}:mem_mb=300" for rule in rules)))
    assert run.wait() != 0
    assert "rules convert, phase1, weights failed: Slurm job " in failed_line(call)
    assert "over its memory" in failed_line(call)
    same_as_undisturbed(call, expected, call.on_slurm())


def test_a_partition_that_is_not_there_is_one_line(call: Call) -> None:
    resources = ("slurm_account=none", "slurm_partition=nowhere")
    run = call.start(call.on_slurm("--retries", "0", resources=resources))
    assert run.wait() != 0
    assert "Slurm does not take the job (invalid partition specified: nowhere; " in failed_line(call)
