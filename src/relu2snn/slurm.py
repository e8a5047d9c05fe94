"""What Slurm knows of the workflow's jobs: those that an ended call has left in its queue, and why one has failed."""

import contextlib
import getpass
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relu2snn.files import end_of

LOGS = ".snakemake/slurm_logs"
"""Where Snakemake lets Slurm write what a job has said, in the folder of the run, as …/<number of the job>.log."""

# Snakemake notes with every job of Slurm which rule or group it is.
_COMMENT = "rule_"
_WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})
_HELD = frozenset({"REQUEUE_HOLD", "SPECIAL_EXIT"})
# How often Slurm has to be asked after a job that it does not know: a new one may not be there yet.
_ASKED = 3
_FORGOTTEN = "Slurm no longer knows this job, and not all of its files are there. "
_EXECUTOR = "snakemake_executor_plugin_slurm"
_PATIENCE = 60
_INTERVAL = 5.0
_TAIL = 1 << 16
_MOST_SHOWN = 8

_PROFILE = "pipeline/profiles/slurm/config.yaml"
_MORE = "give it more: --set-resources {rule}:%s, on the command line or in your profile"
_TIME = f"over its time; {_MORE % 'runtime=MINUTES'}"
_MEMORY = f"over its memory; {_MORE % 'mem_mb=MEGABYTES'}"
_GONE = "its node failed; the same call goes on"
_ENDED = "cancelled, by scancel or an administrator; the same call goes on"
_WAITED = "not started before its deadline; the same call goes on"
# States as Slurm names them, and what its daemon writes into a job's log, which may be all that there is.
_STATES = {
    "TIMEOUT": _TIME,
    "OUT_OF_MEMORY": _MEMORY,
    "NODE_FAIL": _GONE,
    "BOOT_FAIL": _GONE,
    "PREEMPTED": "made to give way to another job; the same call goes on",
    "DEADLINE": _WAITED,
    "CANCELLED": _ENDED,
}
_WRITTEN = (
    (re.compile(r"DUE TO TIME LIMIT"), _TIME),
    (re.compile(r"exceeded (?:job |step )?memory limit|oom[-_ ]kill|Out Of Memory"), _MEMORY),
    (re.compile(r"DUE TO NODE FAILURE"), _GONE),
    (re.compile(r"DUE TO PREEMPTION"), _STATES["PREEMPTED"]),
    (re.compile(r"slurmstepd\S*: error: \*\*\* (?:JOB|STEP) .* CANCELLED AT "), _ENDED),
)
_REFUSED = re.compile(r"SLURM sbatch failed\. The error message was '(.*?)'\.\n", re.DOTALL)


@dataclass(frozen=True)
class Queued:
    """A job of Slurm: its number, and whether it has not begun yet."""

    number: str
    waiting: bool


def queued(folder: str | Path = ".") -> list[Queued]:
    """The jobs that calls of the workflow in `folder` have left in Slurm's queue; none where Slurm does not answer."""
    place = Path(folder).resolve()
    if not (place / LOGS).exists() or shutil.which("squeue") is None:
        return []
    command = ["squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%i|%T|%k|%Z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for line in done.stdout.splitlines():
        number, state, rest = line.split("|", 2)
        # A comment may hold the sign, too.
        if rest.startswith(_COMMENT) and rest.endswith(f"|{place}"):
            found.append(Queued(number, state in _WAITING))
    return found


def settle(folder: str | Path = ".") -> None:
    """Wait for the jobs that an ended call has left running, so that nothing is lost and nobody writes beside them.

    Those that have not begun are cancelled: this call submits them again.
    """
    said = False
    while jobs := queued(folder):
        waiting = [job.number for job in jobs if job.waiting]
        running = [job.number for job in jobs if not job.waiting]
        if waiting:
            _say(f"an earlier call has ended; its Slurm jobs that have not begun are cancelled: {_list(waiting)}")
            subprocess.run(["scancel", *waiting], check=False, timeout=_PATIENCE)
        if running and not said:
            said = True
            _say(
                f"an earlier call has ended; waiting for its Slurm jobs that run: {_list(running)}; "
                f"to lose what they have done instead: scancel {' '.join(running)}"
            )
        time.sleep(_INTERVAL)


def _list(numbers: list[str]) -> str:
    more = len(numbers) - _MOST_SHOWN
    return ", ".join(numbers[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _say(words: str) -> None:
    print(f"relu2snn: {words}", file=sys.stderr, flush=True)


class Failures:
    """Why a cluster has ended jobs, kept while Snakemake runs: for groups it prints nothing of it."""

    def __init__(self) -> None:
        # With the job, so that no other gets its number.
        self._reasons: dict[int, tuple[Any, str]] = {}

    def watch(self, executor: Any) -> None:
        """Hear what an executor of Snakemake reports from now on, and see to it that it loses no job.

        executor: its scheduler's; of all but Slurm's nothing is changed.
        """
        report = executor.report_job_error

        def heard(submitted: Any, msg: str | None = None, **more: Any) -> None:
            # Whatever goes wrong here, the scheduler must hear of the job.
            with contextlib.suppress(OSError, AttributeError):
                self._note(submitted, msg or "", [Path(each) for each in more.get("aux_logs") or () if each])
            report(submitted, msg, **more)

        executor.report_job_error = heard
        if type(executor).__module__.startswith(_EXECUTOR):
            keep_all(executor)

    def of(self, job: Any) -> str:
        """Why a job or group of Snakemake's last failed; "" where it is for its program to say."""
        return self._reasons.get(id(job), (job, ""))[1]

    def _note(self, submitted: Any, message: str, logs: list[Path]) -> None:
        job, number = submitted.job, submitted.external_jobid
        reason = _refusal(message) or _reason(message, logs)
        words = reason.format(rule="RULE" if job.is_group() else job.rule.name)
        self._reasons[id(job)] = job, (f"Slurm job {number}: " if number and reason else "") + words


def keep_all(executor: Any) -> None:
    """Let Snakemake's Slurm executor forget no job, which it then would wait for without end.

    It drops all of them when Slurm does not answer, and asks for ever after one that Slurm no longer knows, as when
    Snakemake has been stopped for a while. Such a job has ended: whether well, its files say, which it has begun with
    removing. A job that Slurm holds, and that waits for somebody to release it, is named once.
    """
    check = executor.check_active_jobs
    told: set[int] = set()
    held: set[str] = set()
    unknown: dict[int, int] = {}

    def noted(report: Callable[..., None]) -> Callable[..., None]:
        def reported(submitted: Any, *words: Any, **more: Any) -> None:
            told.add(id(submitted))
            report(submitted, *words, **more)

        return reported

    executor.report_job_success = noted(executor.report_job_success)
    executor.report_job_error = noted(executor.report_job_error)

    async def checked(active: list[Any]) -> AsyncIterator[Any]:
        async for _ in check(active):
            pass
        left = [each for each in active if id(each) not in told]
        told.clear()
        known = known_jobs() if left else None
        for number in {str(each.external_jobid).partition("_")[0] for each in left} & (known or {}).keys():
            if known and known[number] and number not in held:
                held.add(number)
                _say(
                    f"Slurm job {number} is held ({known[number]}), so all that needs it waits; let it go: "
                    f"scontrol release {number}; or end it: scancel {number}"
                )
        before = dict(unknown)
        unknown.clear()
        for each in left:
            gone = known is not None and str(each.external_jobid).partition("_")[0] not in known
            times = before.get(id(each), 0) + 1 if gone else 0
            if times < _ASKED:
                unknown[id(each)] = times
                yield each
            elif _all_made(each.job):
                executor.report_job_success(each)
            else:
                executor.report_job_error(each, msg=_FORGOTTEN)

    executor.check_active_jobs = checked


def known_jobs() -> dict[str, str] | None:
    """The user's jobs that Slurm still knows, ended ones included, arrays as one; None where it does not answer.

    By number, of a job that waits to be released, why that is, and of others "".
    """
    command = ["squeue", "--noheader", f"--user={getpass.getuser()}", "--states=all", "--format=%F|%T|%r"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        number, state, reason = (each.strip() for each in line.split("|", 2))
        held = state in _HELD or (state in _WAITING and "held" in reason.lower())
        found[number] = (reason if reason not in ("", "None") else state) if held else found.get(number, "")
    return found


def _all_made(job: Any) -> bool:
    jobs = job.jobs if job.is_group() else [job]
    return all(Path(str(file)).exists() for each in jobs for file in each.output)


def _refusal(message: str) -> str:
    """What sbatch has said of a job that it did not take."""
    refused = _REFUSED.search(message)
    if not refused:
        return ""
    words = "; ".join(line.removeprefix("sbatch: error: ").strip() for line in refused[1].splitlines())
    return f"Slurm does not take the job ({words.replace('{', '(').replace('}', ')')}); see {_PROFILE}"


def _reason(message: str, logs: Iterable[Path]) -> str:
    state = re.search(r"SLURM status is: '(\w+)", message)
    if state and state[1] in _STATES:
        return _STATES[state[1]]
    for log in logs:
        said = end_of(log, _TAIL)
        for pattern, words in _WRITTEN:
            if pattern.search(said):
                return words
    return ""
