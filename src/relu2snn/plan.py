"""What a call of the workflow will take, said before it is run: jobs, hours on some numbers of cores, memory, storage.

    python -m relu2snn.plan suite=paper experiments=cifar10_vgg overrides="phase2.zeta=0.3"

takes the options of Snakemake's --config. What is made already is not counted. Its numbers are in conf/costs.yaml.
gpu=S counts one GPU beside the cores, which trains and runs networks S times as fast as one core; what S is of yours,
benchmarks/jobs.py tells.
"""

import heapq
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from relu2snn.config.compose import composing
from relu2snn.config.demand import costs, stored, walks_events
from relu2snn.config.jobs import Job, jobs_of
from relu2snn.config.paths import Paths
from relu2snn.config.selection import Selection, select
from relu2snn.datasets import SUPPORTED_FORMATS
from relu2snn.errors import UserError, printable, shown
from relu2snn.networks.weights import find_weights

CORES = (2, 16, 64)
ON_GPU = ("train", "phase1", "bounds", "phase2", "sweep_point")
"""Rules whose jobs take a GPU where a profile gives them one; those with noise walk events, on the cores."""


def makespan(jobs: Sequence[Job], cores: int, gpu: float | None = None) -> float:
    """Seconds from the first start to the last end on `cores` cores.

    As Snakemake does, a job starts as soon as what it waits for is made and its threads are free; of those that could,
    the one that most work waits for. A job that wants more threads than there are cores has them all. gpu: how many
    times as fast as one core a GPU is, which takes a job at a time beside one of the cores.
    """
    by_file = {job.file: number for number, job in enumerate(jobs)}
    needs = [{by_file[file] for file in job.needs if file in by_file} for job in jobs]
    after = defaultdict(list)
    for number, before in enumerate(needs):
        for each in before:
            after[each].append(number)
    alone = [gpu is not None and _on_gpu(job) for job in jobs]
    threads = [1 if fast else min(job.demand.threads, cores) for job, fast in zip(jobs, alone, strict=True)]
    seconds = [_seconds(job, each, gpu if fast else None) for job, each, fast in zip(jobs, threads, alone, strict=True)]
    path = [0.0] * len(jobs)
    # Jobs are listed after what they wait for.
    for number in reversed(range(len(jobs))):
        path[number] = seconds[number] + max((path[each] for each in after[number]), default=0.0)
    waiting = [len(before) for before in needs]
    ready = [(-path[number], number) for number, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now, free, busy = 0.0, cores, False
    while ready or running:
        left = []
        while ready:
            entry = heapq.heappop(ready)
            if threads[entry[1]] <= free and not (busy and alone[entry[1]]):
                free -= threads[entry[1]]
                busy = busy or alone[entry[1]]
                heapq.heappush(running, (now + seconds[entry[1]], entry[1]))
            else:
                left.append(entry)
            if not free:
                break
        for entry in left:
            heapq.heappush(ready, entry)
        now, ended = heapq.heappop(running)
        free += threads[ended]
        busy = busy and not alone[ended]
        for each in after[ended]:
            waiting[each] -= 1
            if not waiting[each]:
                heapq.heappush(ready, (-path[each], each))
    return now


def _on_gpu(job: Job) -> bool:
    return job.rule in ON_GPU and not walks_events(job.rule, job.config)


def _seconds(job: Job, threads: int, gpu: float | None) -> float:
    demand = job.demand
    return demand.elapsed(threads) if gpu is None else demand.alone + (demand.seconds - demand.alone) / gpu


def storage(selection: Selection, jobs: Sequence[Job]) -> float:
    """Bytes that the call leaves on disk, data sets that were made already included."""
    datasets, runs = {}, {}
    for config in selection.runs:
        parts = stored(config)
        datasets[Paths.of(config).dataset] = parts["dataset"]
        runs[Paths.of(config).phase2] = parts["run"]
    return sum(datasets.values()) + sum(runs.values()) + costs().storage["job"] * len(jobs)


def table(jobs: Sequence[Job]) -> Table:
    """A row for each rule."""
    rules: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        rules[job.rule].append(job)
    made = Table()
    for column in ("rule", "jobs", "threads", "CPU hours", "longest, 2 cores", "memory, MB"):
        made.add_column(column, justify="left" if column == "rule" else "right")
    for rule, each in rules.items():
        demands = [job.demand for job in each]
        threads = sorted({demand.threads for demand in demands})
        made.add_row(
            rule,
            str(len(each)),
            f"{threads[0]}" if len(threads) == 1 else f"{threads[0]} to {threads[-1]}",
            f"{sum(demand.seconds for demand in demands) / 3600:.2f}",
            duration(max(demand.elapsed(2) for demand in demands)),
            f"{max(demand.memory for demand in demands):.0f}",
        )
    return made


def duration(seconds: float) -> str:
    """As people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def lines(selection: Selection, jobs: Sequence[Job], gpu: float | None = None) -> list[str]:
    """What the table adds up to; `gpu` as in `makespan`."""
    hours = sum(job.demand.seconds for job in jobs) / 3600
    spans = ", ".join(f"{duration(makespan(jobs, cores))} on {cores}" for cores in CORES)
    with_gpu = f", {duration(makespan(jobs, 16, gpu))} on 16 cores and a GPU of gpu={gpu:g}" if gpu else ""
    return [
        f"{len(jobs)} jobs, {hours:.1f} CPU hours of one core: {spans} cores{with_gpu}.",
        f"Storage: {storage(selection, jobs) / 1e9:.2f} GB in {selection.outputs}/.",
        "Expected, without margins, from conf/costs.yaml; what a cluster is asked for has those of its margin.",
    ]


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1e6:
        raise UserError(f"gpu={shown(text)}: not how many times as fast as one core a GPU is, as in gpu=40")
    return speed


def _waiting(selection: Selection) -> list[str]:
    waiting = defaultdict(list)
    for row in selection.missing:
        waiting[row.experiment].append(row.path or row.what)
    counted = {config.name for config in selection.runs}
    return [
        f"{name} {'waits for' if name in counted else 'is not counted without'} {', '.join(files)}."
        for name, files in waiting.items()
    ]


def main(words: Sequence[str]) -> None:
    """Print the plan of a call; a mistake in it is one line and status 1."""
    try:
        options: dict[str, Any] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                raise UserError(f"{shown(word)}: not OPTION=VALUE, as in suite=paper or experiments=mnist_fc")
            options[key] = value
        gpu = _speed(options.pop("gpu")) if "gpu" in options else None
        words = [word for word in words if not word.startswith("gpu=")]
        with composing():
            selection = select(options, SUPPORTED_FORMATS, typed=words, whole=True)
            everything = jobs_of(selection, find_weights)
            jobs = [job for job in everything if not job.is_made]
            console = Console(width=None if sys.stdout.isatty() else 100)
            if not jobs:
                console.print("Nothing to be done.")
                return
            console.print(table(jobs))
            for line in (*lines(selection, jobs, gpu), *_waiting(selection)):
                console.print(line, highlight=False, soft_wrap=True)
            if len(everything) > len(jobs):
                console.print(f"{len(everything) - len(jobs)} more jobs are done already.", highlight=False)
    except UserError as error:
        print(f"relu2snn plan: {printable(str(error))}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
