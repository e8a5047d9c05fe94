"""The end of a workflow: a table of what is finished and, where a job has failed, the failed rows with their logs.

Rules over all rows can't run then, so what they write is written here. Snakemake's jobs and graph come in as they are:
nothing of it is imported, and little of it used.
"""

import atexit
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from relu2snn.config import Experiment, Paths
from relu2snn.config.selection import Selection
from relu2snn.errors import UserError, machine_error, one_line
from relu2snn.files import end_of
from relu2snn.presentation.results import collect, print_main, result_files
from relu2snn.slurm import Failures
from relu2snn.stages import tables
from relu2snn.stages.tradeoffs import write_all_tradeoffs

# Snakemake's graph of jobs, and one of its jobs.
Graph = Any
Job = Any


@dataclass(frozen=True)
class Row:
    """What a user has asked for: an experiment with overrides, or a sweep of it, and the last files that it makes."""

    experiment: str
    overrides: str
    targets: tuple[str, ...]
    sweep: str = ""

    def __str__(self) -> str:
        sweep = f", sweep {self.sweep}" if self.sweep else ""
        return f"{self.experiment}{sweep}" + (f" ({self.overrides})" if self.overrides else "")


def rows_of(selection: Selection) -> list[Row]:
    """The rows of a call, and the sweeps of each."""
    runs, sweeps = ([(each, Paths.of(each)) for each in chosen] for chosen in (selection.runs, selection.sweeps))
    return [
        *(
            Row(each.name, " ".join(each.run.overrides), (paths.tracked, f"{paths.provenance}/config.yaml"))
            for each, paths in runs
        ),
        *(
            Row(each.name, " ".join(each.run.sweep_overrides), (paths.tracked_sweep,), each.sweep.name)
            for each, paths in sweeps
        ),
    ]


def show_results(selection: Selection) -> None:
    """As this process ends, print the table of all that is finished; never raises."""
    atexit.register(_say, selection.runs[0], [f"The whole table: {Paths.of(selection.runs[0]).results}"])


def show_what_is_finished(selection: Selection, graph: Graph, failed: Iterable[Job], reasons: Failures) -> None:
    """Write tables and report pages over all that is finished; as this process ends, print the table and what failed.

    graph, failed: `workflow.dag` and `workflow.scheduler.failed` in Snakemake's onerror; reasons: a cluster's.

    Snakemake still has lines to print, so the last words are said after it. Never raises: the workflow has failed
    already, and its own error must be seen.
    """
    config = selection.runs[0]
    lines = [*_write(config), *failed_lines(rows_of(selection), graph, list(failed), reasons)]
    atexit.register(_say, config, lines)


def _say(config: Experiment, lines: Sequence[str]) -> None:
    # All that is left is to say it, which an interrupt cuts short.
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            print_main(collect(config.outputs, config.suite.name))
        except (UserError, OSError):
            print("Nothing is finished yet.")
        sys.stdout.flush()
        for line in lines:
            print(line, file=sys.stderr)
        sys.stderr.flush()


def _write(config: Experiment) -> Iterator[str]:
    """Write what the rules over all rows would have written; yields a line for what could not be."""
    outputs, suite = config.outputs, config.suite.name
    paths = Paths(outputs, suite)
    if not result_files(outputs, suite, "*/phase2/*/result.json"):
        return

    steps: list[Callable[[Experiment], object]] = [tables.write_results_of, tables.report_results]
    if result_files(outputs, suite, "*/sweep/*/*/result.json"):
        steps += [tables.write_sweeps_of, tables.report_sweeps, write_all_tradeoffs]
    for step in [*steps, tables.report_runtimes]:
        try:
            step(config)
        except UserError as error:
            yield f"relu2snn: {error}"
        except Exception as error:
            yield f"relu2snn: {paths.suite_folder}: {machine_error(error) or one_line(error)}"


def failed_lines(
    rows: Sequence[Row], graph: Graph, failed: Sequence[Job], reasons: Failures | None = None
) -> Iterator[str]:
    """A line for each row and job that has failed, and one for the rows that were not reached.

    Of a group that a cluster has ended all jobs stand in one line; of one that has failed itself, those that say why.
    """
    makes = {str(file): job for job in graph.jobs for file in job.output}
    needs = {row: _upstream(graph, [makes[file] for file in row.targets if file in makes]) for row in rows}
    lines: list[str] = []
    named: set[Row] = set()
    singles: set[Job] = set()
    for words, jobs in sorted(_failures(failed, reasons or Failures()), key=lambda each: each[0]):
        singles |= jobs
        hit = [row for row in rows if jobs & needs[row]]
        named |= set(hit)
        # A sweep needs all that its experiment needs.
        hit = [row for row in hit if not row.sweep] or hit
        lines += [f"  {row}: {words}" for row in hit] or [f"  all rows: {words}"]
    left = set(graph.needrun_jobs()) - singles
    others = [str(row) for row in rows if row not in named and needs[row] & left]
    if lines:
        yield "relu2snn: failed rows:"
        yield from lines
    if others:
        yield f"relu2snn: not finished: {'; '.join(others)}; the same call goes on with them"


def _failures(failed: Iterable[Job], reasons: Failures) -> Iterator[tuple[str, set[Job]]]:
    """What to say, and of which jobs."""
    for each in failed:
        jobs = list(getattr(each, "jobs", [each]))
        why = reasons.of(each)
        if why:
            names = sorted({job.rule.name for job in jobs})
            yield f"rule{'s' * (len(names) > 1)} {', '.join(names)} failed: {why}", set(jobs)
            continue
        said = [job for job in jobs if _log(job) and _reason(_log(job))] or jobs
        for job in said:
            yield _job(job), {job}


def _upstream(graph: Graph, jobs: Sequence[Job]) -> set[Job]:
    found = set(jobs)
    waiting = list(jobs)
    while waiting:
        more = set(graph.dependencies[waiting.pop()]) - found
        found |= more
        waiting += more
    return found


def _log(job: Job) -> str:
    return next((str(file) for file in job.log), "")


def _job(job: Job) -> str:
    log = _log(job)
    if not log:
        return f"rule {job.rule.name} failed"
    reason = _reason(log)
    return f"rule {job.rule.name} failed, log {log}" + (f": {reason}" if reason else "")


def _reason(log: str) -> str:
    """The last line that a stage has said why it ends with, or nothing."""
    lines = end_of(log).splitlines()
    said = [line for line in lines if line.startswith("relu2snn ")]
    return said[-1] if said else ""
