"""Measures the logging to MLflow as a store grows to 10,000 runs; prints the figures of docs/mlflow.md.

python benchmarks/tracking.py                                   # a SQLite file in a temporary folder
python benchmarks/tracking.py --store http://127.0.0.1:5000     # a server that is started before
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relu2snn.tracking import DataSet, Record, Store, log_experiment, log_sweep

SUITE = "benchmark"
# As many as an experiment of the workflow has.
PARAMS, METRICS, EPOCHS = 40, 12, 20
POINTS, SHORT = 1000, 100
PAGE = 100


def record(name: str, file: Path, epochs: int = 0, **changes: Any) -> Record:
    """A run with as many values as one of the workflow."""
    steps = [(f"epoch_{number}", float(step), step) for number in range(3) for step in range(epochs)]
    values: dict[str, Any] = {
        "params": {"name": name, "group": {f"key_{number}": number for number in range(PARAMS)}},
        "tags": {f"tag_{number}": "value" for number in range(8)},
        "metrics": [*((f"metric_{number}", 0.5, 0) for number in range(METRICS)), *steps],
        "files": [(file, None)],
        "config": {"name": name},
        "note": lambda run_id: f"{name} is {run_id}",
        "data": [DataSet("images test", "0123456789abcdef" * 4, "test", "nowhere", 10, [2, 2, 1])],
    }
    return Record(name=name, time=1e9, seconds=1.0, **values | changes)


class Times:
    """Seconds of the clock and of this process by what was done, in all turns of it."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[float, float]]] = {}

    @contextmanager
    def of(self, what: str, count: int = 1) -> Iterator[None]:
        """Time a block that does `what` `count` times."""
        start = time.perf_counter(), time.process_time()
        yield
        ends = time.perf_counter(), time.process_time()
        self.found.setdefault(what, []).append(((ends[0] - start[0]) / count, (ends[1] - start[1]) / count))

    def middle(self, what: str, which: int) -> float:
        values = sorted(each[which] for each in self.found[what])
        return 1000 * values[len(values) // 2]


class Workload:
    """Logs made-up experiments and sweeps to a store, each of its own name."""

    def __init__(self, store: Store, file: Path) -> None:
        self._store, self._file, self.runs = store, file, 0

    def experiment(self, name: str) -> dict[str, Any]:
        children = {stage: record(f"{stage} {name}", self._file, EPOCHS) for stage in ("train", "phase1", "phase2")}
        self.runs += 4
        return log_experiment(self._store, SUITE, {}, record(name, self._file), children)

    def sweep(self, experiment: dict[str, Any], name: str, points: int) -> None:
        sweep = record(f"{name}", self._file, tags={"sweep": name})
        made = {str(each): record(f"{name} {each}", self._file, files=[], config=None, note=None, data=[])
                for each in range(points)}  # fmt: skip
        self.runs += 1 + points
        log_sweep(self._store, SUITE, experiment, sweep, made)


def measure(client: Any, work: Workload, times: Times, when: str) -> None:
    """What logging and looking cost with as many runs as there are; new experiments, a short sweep, the same again."""
    (experiment,) = client.search_experiments(filter_string=f"name = 'relu2snn/{SUITE}'")
    for turn in range(5):
        with times.of(f"an experiment of 4 runs, {when}"):
            work.experiment(f"{when} {turn}")
        with times.of(f"the same again, {when}"):
            logged = work.experiment(f"{when} {turn}")
            work.runs -= 4
        key = client.get_run(logged["parent"]).data.tags["relu2snn.family"]
        with times.of(f"finding its runs by their tag, {when}"):
            client.search_runs([experiment.experiment_id], f"tags.`relu2snn.family` = '{key}'")
        with times.of(f"a page of {PAGE} runs, {when}"):
            client.search_runs([experiment.experiment_id], max_results=PAGE)
        with times.of(f"a page of {PAGE} sorted by a metric, {when}"):
            client.search_runs([experiment.experiment_id], max_results=PAGE, order_by=["metrics.metric_0 DESC"])
    with times.of(f"a point of a sweep of {SHORT}, {when}", SHORT):
        work.sweep(logged, f"short {when}", SHORT)


def main() -> None:
    """Fill a store, measuring at its beginning and its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", help="default: a SQLite file in a temporary folder")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--output", help="a JSON file for the figures")
    given = parser.parse_args()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    times = Times()
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary, "result.json")
        file.write_text("{}")
        store = Store(given.store or f"sqlite:///{temporary}/mlflow.db", None, lock_timeout=60)
        work = Workload(store, file)
        first = work.experiment("first")
        from mlflow.tracking import MlflowClient

        client = MlflowClient(store.address)
        measure(client, work, times, "at first")
        begun = work.runs
        # What a job does.
        fill(work, times, given.runs, lambda number: work.sweep(first, f"sweep {number}", POINTS))
        measure(client, work, times, "at last")
        with times.of(f"a point of a sweep of {POINTS} that is there", POINTS):
            work.sweep(first, "sweep 0", POINTS)
            work.runs -= POINTS + 1
    show(times, begun, work.runs, given.output)


def fill(work: Workload, times: Times, runs: int, sweep: Callable[[int], None]) -> None:
    """Log sweeps of 1,000 points until the store has as many runs."""
    number = 0
    while work.runs < runs:
        with times.of(f"a point of a sweep of {POINTS}", POINTS):
            sweep(number)
        number += 1
        print(f"{work.runs} runs", flush=True)


def show(times: Times, begun: int, ended: int, output: str | None) -> None:
    """Print the medians as a table of Markdown: of the clock, and of the processor, which others disturb less."""
    rows = {name: [times.middle(name, 0), times.middle(name, 1)] for name in times.found}
    print(f"| milliseconds | with up to {begun} runs | with {ended} | ratio | processor | with {ended} | ratio |")
    print("|---|" + "---:|" * 6)
    for name in rows:
        if name.endswith(", at first"):
            what = name.removesuffix(", at first")
            pairs = zip(rows[name], rows[f"{what}, at last"], strict=True)
            shown = [f"{before:.3g} | {after:.3g} | {after / before:.2f}" for before, after in pairs]
            print(f"| {what} | {' | '.join(shown)} |")
    for name in rows:
        if not name.endswith((", at first", ", at last")):
            print(f"| {name} | | {rows[name][0]:.3g} | | | {rows[name][1]:.3g} | |")
    if output:
        Path(output).write_text(json.dumps({"milliseconds": rows, "runs": ended}, indent=1))


if __name__ == "__main__":
    main()
