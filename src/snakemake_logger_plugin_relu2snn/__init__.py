"""What Snakemake says with `--logger relu2snn`: a line for each job that has ended, with its experiment and time.

Snakemake finds loggers by the name of their package. What it would say besides stands in its own log, which it names at
the end.
"""

import sys
import time
from collections.abc import Mapping
from logging import WARNING, LogRecord
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from relu2snn.files import end_of
from relu2snn.progress import duration

# What Snakemake says when a job fails, which has a line already.
_TWICE = ("RuleException:\nCalledProcessError", "At least one job did not complete", "WorkflowError:\nAt least one job")
_SAID = ("Nothing to be done", "This was a dry-run", "Will exit after finishing", "Terminating processes")


class LogHandler(LogHandlerBase):
    """Lines as "0:21  4/53  phase1  fmnist_fc  1.2 s  what the job has found", on stderr."""

    def __post_init__(self) -> None:
        self._began = time.time()
        self._jobs: dict[int, Mapping[str, Any]] = {}
        self._started: dict[int, float] = {}
        self._ended: list[tuple[int, float]] = []
        self._stream = sys.stdout if self.common_settings.stdout else sys.stderr
        self._all = self.common_settings.dryrun or self.common_settings.verbose or self.common_settings.printshellcmds
        self._quiet = "all" in {str(each).lower().rpartition(".")[2] for each in self.common_settings.quiet or ()}

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        # Those who ask for more words get all of Snakemake's.
        return not self._all

    @property
    def has_formatter(self) -> bool:
        return False

    @property
    def needs_rulegraph(self) -> bool:
        return False

    def emit(self, record: LogRecord) -> None:
        """Say what there is to say of a message of Snakemake's; never raises."""
        try:
            for line in [self.format(record)] if self._all else self._lines(record):
                print(line, file=self._stream, flush=True)
        except Exception:
            self.handleError(record)

    def _lines(self, record: LogRecord) -> list[str]:
        values, text = vars(record), str(record.msg or "")
        match values.get("event"):
            case LogEvent.RUN_INFO:
                return [] if self._quiet else [f"{values['stats']['total']} steps"]
            case LogEvent.JOB_INFO:
                self._jobs[values["jobid"]] = values
                self._started[values["jobid"]] = record.created
            case LogEvent.JOB_FINISHED:
                self._ended.append((values["job_id"], record.created))
            case LogEvent.PROGRESS if not self._quiet:
                ended, self._ended = self._ended, []
                first = values["done"] - len(ended) + 1
                return [
                    self._line(job, when, f"{number}/{values['total']}")
                    for number, (job, when) in enumerate(ended, start=first)
                    if job in self._jobs and values["total"] != number
                ]
            case LogEvent.JOB_ERROR:
                return [f"{duration(record.created - self._began)}  failed: {values['rule_name']}, {self._row(values)}"]
            case None if record.levelno >= WARNING and not text.startswith(_TWICE):
                return [text]
            case None if text.startswith(_SAID):
                return [text]
        return []

    def _line(self, job: int, when: float, number: str) -> str:
        values = self._jobs.pop(job)
        took = when - self._started.pop(job)
        words = f"{duration(when - self._began):>7} {number:>9}  {values['rule_name']:<15} {took:>7.1f} s  "
        found = _found(values)
        return words + self._row(values) + (f": {found}" if found else "")

    def _row(self, values: Mapping[str, Any]) -> str:
        """The experiment or data set of a job, with what its variant has of its own."""
        wildcards = values.get("wildcards") or self._jobs.get(values.get("jobid", -1), {}).get("wildcards") or {}
        name = wildcards.get("experiment") or wildcards.get("dataset", "all rows").removesuffix("/base")
        others = [wildcards.get(key, "") for key in ("variant", "sweep", "value")]
        part = wildcards.get("part", "0")
        named = [
            name,
            *(each for each in others if each not in ("", "base")),
            *([f"part {part}"] if part != "0" else []),
        ]
        return " ".join(named)


def _found(job: Mapping[str, Any]) -> str:
    """What a stage says last in its log of its experiment or data set; nothing where it says no such thing."""
    wildcards = job.get("wildcards") or {}
    name = wildcards.get("experiment") or wildcards.get("dataset", "").partition("/")[0]
    lines = [line for log in list(job["log"])[:1] for line in end_of(log).splitlines()]
    return lines[-1].removeprefix(f"{name}: ") if name and lines and lines[-1].startswith(f"{name}: ") else ""
