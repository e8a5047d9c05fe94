"""A run through a real Slurm gives what a local run gives, whatever its words hold; what Slurm ends is said in a line.

All tests that need Slurm's queue stand in this file and in test_slurm_long.py: there is one queue on a machine.
"""

import asyncio
import os
import re
import shlex
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kill_runs import require_clean, require_equal
from runs import ROOT, command
from slurm_runs import PROFILE, finish, new_call, require_slurm, running_job, wait_for

from relu2snn.config import Paths, compose_experiment, compose_suite
from relu2snn.config.workflow import quote_for_shells
from relu2snn.slurm import LOGS, Failures, keep_all, queued, settle

TINY = "dataset.source.train_images=200 dataset.source.test_images=60 dataset.parts=2 phase2.batch=10 train.epochs=1"
OUTPUTS = 'it\'s "ö" & out'
# A list, a dictionary, a reference to another key, texts with blanks and both quotes.
ODD = (
    f"""{TINY} outputs="it's \\"ö\\" & out" train.augmentation={{shift: 0.1, rotation: 5.0, flip: false}} """
    """model.dense=[10, 12] weights.root='my \\'models\\' "x"' tracking.artifacts=${outputs}/artifacts"""
)
# All that a small network needs in one job of Slurm, and the parts of phase 2 side by side in it.
ONE_JOB = ("--groups", *(f"{rule}=network" for rule in ("train", "weights", "phase1", "convert", "phase2")))


@pytest.mark.workflow
def test_a_run_through_slurm_gives_what_a_local_run_gives(tmp_path: Path) -> None:
    """Its folder, its outputs and its overrides hold blanks and both quotes, and its first job is requeued."""
    require_slurm()
    with new_call(tmp_path / 'it\'s "here"', ODD) as call, new_call(tmp_path / "local", ODD) as local:
        words = call.on_slurm(*ONE_JOB)
        run = call.start(words)
        alone = local.start(local.words("--cores", "1"))
        number = running_job(call, run, "train")
        subprocess.run(["scontrol", "requeue", number], check=True)
        wait_for(lambda: [job for job in queued(call.folder) if job.waiting], "the job waits again")
        # Slurm would let it wait for two minutes.
        subprocess.run(["scontrol", "update", f"jobid={number}", "starttime=now"], check=True)
        finish(run, call)
        finish(alone, local)
        assert call.said().count("has been submitted with SLURM jobid") == 2
        require_clean(words, call.folder)
        for each in (call, local):
            for name, usual in (("smoke", "smoke"), ("artifacts", "mlartifacts")):
                (each.folder / OUTPUTS / name).rename(each.folder / "outputs" / usual)
        assert require_equal(call.folder, local.folder) > 50


# What is true without Slurm


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_a_shell_reads_the_words_that_a_job_is_told(texts: list[str]) -> None:
    from snakemake_interface_executor_plugins.utils import format_cli_arg

    quote_for_shells()
    words = [f"overrides={text}" for text in texts]
    assert shlex.split(format_cli_arg("--config", words)) == ["--config", *words]


def test_a_job_on_another_machine_is_found_by_the_names_of_its_folders() -> None:
    """Snakemake tells it which job it is as RULE:NAME=VALUE,NAME=VALUE."""
    from snakemake.target_jobs import parse_target_jobs_cli_args
    from snakemake_interface_executor_plugins.utils import TargetSpec, encode_target_jobs_cli_args

    overrides = [*TINY.split(), "model.dense=[3,4]", "dataset.name=Müller_2+b-c.d"]
    config = compose_experiment("mnist_fc", compose_suite("smoke"), overrides)
    assert Paths.of(config).config
    folders = {"experiment": config.name, "variant": config.run.phase2, "part": "1"}
    specs = [
        TargetSpec("phase2", folders),
        TargetSpec("data", {"dataset": f"{config.dataset.name}/{config.run.dataset}"}),
    ]
    assert parse_target_jobs_cli_args(encode_target_jobs_cli_args(specs)) == specs


SAID = {
    "time": "slurmstepd-vm: error: *** STEP 9.0 ON vm CANCELLED AT 2026-12-01T00:44:34 DUE TO TIME LIMIT ***",
    "memory": "slurmstepd-vm: error: StepId=10.0 exceeded memory limit (408285184 > 314572800), being killed",
    "cgroup": "slurmstepd: error: Detected 1 oom_kill event in StepId=9.0. Some of the step tasks have been OOM Killed",
    "scancel": "slurmstepd-vm: error: *** JOB 9 ON vm CANCELLED AT 2026-12-01T00:44:34 ***",
    "itself": "relu2snn train: data/x: no such file",
}
FAILED = "SLURM-job '9' failed, SLURM status is: '{}'. Detailed failure reason unavailable"
REFUSED = """\
SLURM sbatch failed. The error message was 'sbatch: error: invalid partition specified: nowhere
sbatch: error: Batch job submission failed: Invalid partition name specified'.
    sbatch call:
        sbatch --parsable -p nowhere
"""


class FakeExecutor:
    """As much of Snakemake's as is heard: it passes on what it is told."""

    def __init__(self, failures: Failures) -> None:
        self.told: list[tuple[Any, ...]] = []
        failures.watch(self)

    def report_job_error(self, *told: Any, **more: Any) -> None:
        self.told.append((*told, more))


def fake_job(*names: str) -> Any:
    jobs = [SimpleNamespace(rule=SimpleNamespace(name=name), is_group=lambda: False) for name in names]
    return SimpleNamespace(jobs=jobs, is_group=lambda: True) if len(jobs) > 1 else jobs[0]


@pytest.mark.parametrize(
    ("state", "said", "words"),
    [
        ("TIMEOUT", "", "over its time; give it more: --set-resources train:runtime=MINUTES"),
        ("OUT_OF_MEMORY", "", "over its memory; give it more: --set-resources train:mem_mb=MEGABYTES"),
        ("FAILED", "time", "over its time; give it more: --set-resources train:runtime=MINUTES"),
        ("FAILED", "memory", "over its memory; give it more: --set-resources train:mem_mb=MEGABYTES"),
        ("FAILED", "cgroup", "over its memory"),
        ("FAILED", "scancel", "cancelled, by scancel or an administrator; the same call goes on"),
        ("CANCELLED", "", "cancelled, by scancel or an administrator; the same call goes on"),
        ("NODE_FAIL", "", "its node failed; the same call goes on"),
        ("FAILED", "itself", ""),
    ],
)
def test_why_slurm_has_ended_a_job_is_one_line(tmp_path: Path, state: str, said: str, words: str) -> None:
    log = tmp_path / "9.log"
    if said:
        log.write_text(f"epoch 1\n{SAID[said]}\nsrun: error: vm: task 0: Terminated\n")
    failures, job = Failures(), fake_job("train")
    executor = FakeExecutor(failures)
    submitted = SimpleNamespace(job=job, external_jobid="9")
    assert failures.of(job) == ""
    executor.report_job_error(submitted, msg=FAILED.format(state), aux_logs=[str(log)])
    assert failures.of(job).startswith(f"Slurm job 9: {words}" if words else "")
    assert bool(failures.of(job)) == bool(words)
    assert executor.told == [(submitted, FAILED.format(state), {"aux_logs": [str(log)]})]
    # A later attempt that ends by itself has its own reason.
    executor.report_job_error(SimpleNamespace(job=job, external_jobid="12"), FAILED.format("FAILED"), aux_logs=[None])
    assert failures.of(job) == ""


class Forgetful(FakeExecutor):
    """As Snakemake's executor: it drops all jobs when Slurm does not answer, and keeps those that it does not know."""

    def __init__(self) -> None:
        super().__init__(Failures())
        self.answers = True
        self.ended: list[Any] = []
        keep_all(self)

    def report_job_success(self, submitted: Any) -> None:
        self.told.append((submitted, "well"))

    async def check_active_jobs(self, active: list[Any]) -> AsyncIterator[Any]:
        for each in active if self.answers else []:
            if each in self.ended:
                self.report_job_success(each)
            else:
                yield each

    def check(self, active: list[Any]) -> list[Any]:
        async def found() -> list[Any]:
            return [each async for each in self.check_active_jobs(active)]

        return asyncio.run(found())


def test_no_job_is_forgotten_and_none_waited_for_that_slurm_has_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / name for name in "abc"]
    jobs = [
        SimpleNamespace(
            job=SimpleNamespace(output=[file], is_group=lambda: False, rule=SimpleNamespace(name="train")),
            external_jobid=number,
        )
        for file, number in zip(files, ("7", "8_2", "9"), strict=True)
    ]
    known: set[str] | None = {"7", "8", "9"}
    monkeypatch.setattr("relu2snn.slurm.known_jobs", lambda: known if known is None else dict.fromkeys(known, ""))
    executor = Forgetful()
    assert executor.check(jobs) == jobs
    executor.answers, known = False, None
    for _ in range(5):
        assert executor.check(jobs) == jobs
    executor.answers, known = True, {"8"}
    assert executor.check(jobs) == executor.check(jobs) == jobs
    # One that comes back was only late.
    known = {"7", "8"}
    assert executor.check(jobs) == jobs[:2]
    assert executor.told[-1][0] == jobs[2]
    assert "no longer knows this job" in executor.told[-1][1]
    known = set()
    files[0].touch()
    executor.ended = [jobs[1]]
    assert executor.check(jobs[:2]) == executor.check(jobs[:1]) == jobs[:1]
    assert executor.told[-1] == (jobs[1], "well")
    assert executor.check(jobs[:1]) == []
    assert executor.told[-1] == (jobs[0], "well")


HELD = """\
#!/bin/sh
echo '7|RUNNING|None'
echo '8|PENDING|launch failed requeued held'
echo '9|REQUEUE_HOLD|None'
echo '10|PENDING|JobHeldUser'
echo '11|PENDING|Resources'
echo '12|COMPLETED|None'
"""


def test_a_job_that_slurm_holds_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "squeue").write_text(HELD)
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    jobs = [
        SimpleNamespace(job=SimpleNamespace(output=[], is_group=lambda: False), external_jobid=number)
        for number in ("7", "8", "9_1", "9_2", "11", "12")
    ]
    executor = Forgetful()
    assert executor.check(jobs) == executor.check(jobs) == jobs
    said = capfd.readouterr().err.splitlines()
    assert sorted(said) == [
        f"relu2snn: Slurm job {number} is held ({why}), so all that needs it waits; let it go: "
        f"scontrol release {number}; or end it: scancel {number}"
        for number, why in (("8", "launch failed requeued held"), ("9", "REQUEUE_HOLD"))
    ]


def test_what_sbatch_does_not_take_is_said_in_its_own_words() -> None:
    for job in (fake_job("train"), fake_job("weights", "phase1")):
        failures = Failures()
        FakeExecutor(failures).report_job_error(SimpleNamespace(job=job, external_jobid=None), REFUSED)
        assert failures.of(job) == (
            "Slurm does not take the job (invalid partition specified: nowhere; Batch job submission failed: Invalid "
            "partition name specified); see pipeline/profiles/slurm/config.yaml"
        )


SQUEUE = """\
#!/bin/sh
{count}
[ -e cancelled ] || echo '7|PENDING|rule_train_wildcards_a|b|{place}'
[ -e done ] || echo '8|RUNNING|rule_network|{place}'
echo '9|RUNNING|rule_train|/elsewhere'
echo '10|RUNNING|mine|{place}'
"""


def test_jobs_of_an_ended_call_are_waited_for_if_they_run_and_cancelled_if_they_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "it's here"
    programs = tmp_path / "bin"
    programs.mkdir()
    (place / LOGS).mkdir(parents=True)
    (programs / "squeue").write_text(SQUEUE.format(place=str(place).replace("'", "'\\''"), count=""))
    (programs / "scancel").write_text('#!/bin/sh\necho "$@" > cancelled\n')
    for file in programs.iterdir():
        file.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(place)
    assert [(job.number, job.waiting) for job in queued()] == [("7", True), ("8", False)]
    # The running one ends while it is waited for.
    monkeypatch.setattr("relu2snn.slurm.time.sleep", lambda seconds: Path("done").touch())
    settle()
    assert Path("cancelled").read_text() == "7\n"
    said = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in said] == ["relu2snn: an earlier call has ended"] * 2
    assert "have not begun are cancelled: 7" in said[0]
    assert said[1].endswith("waiting for its Slurm jobs that run: 8; to lose what they have done instead: scancel 8")


def test_nobody_asks_slurm_where_it_was_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relu2snn.slurm.subprocess.run", lambda *words, **options: pytest.fail("asked"))
    assert queued(tmp_path) == []


def test_rules_that_download_or_build_stay_on_the_machine_of_the_call() -> None:
    """On compute nodes there may be no network, no container engine and no lock of a database."""
    text = (ROOT / "Snakefile").read_text()
    stay = set(re.findall(r"\w+", text.partition("localrules:")[2].partition("rule all:")[0]))
    assert stay >= {"data", "smoke_places365", "smoke_pass", "places365_image", "places365_part", "places365_weights"}
    assert stay >= {"track", "track_sweep"}
    assert not stay & {"train", "weights", "phase1", "convert", "phase2", "sweep_point", "figures"}


def test_the_profile_names_rules_and_settings_that_there_are() -> None:
    profile = yaml.safe_load((PROFILE / "config.yaml").read_text())
    rules = re.findall(r"^rule (\w+):", "".join(path.read_text() for path in ROOT.glob("pipeline/*.smk")), re.MULTILINE)
    assert set(profile["groups"]) <= set(rules)
    shown = subprocess.run(command("--help"), capture_output=True, text=True, check=True).stdout
    assert all(f"--{key}" in shown for key in profile)
