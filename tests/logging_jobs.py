"""A job that logs, for processes that are started anew and so import it."""

from dataclasses import replace
from pathlib import Path

from relu2snn.tracking import DataSet, Record, Store, log_experiment, log_sweep

SUITE = "together"
SAME = "same"
LAYERS = 20


def record(name: str, file: Path) -> Record:
    return Record(
        name=name,
        params={"job": name, "phase2": {"zeta": 0.5, "noise": 0.0}},
        tags={"stage": "fake"},
        metrics=[
            ("agreement", 1.0, 0),
            *(("layer_certified", layer / LAYERS, layer) for layer in range(1, LAYERS + 1)),
        ],
        files=[(file, "data")],
        time=1e9,
        seconds=1.0,
        config={"name": name},
        note=lambda run_id: f"{name} is {run_id}",
        data=[DataSet("fake test", "0123456789abcdef" * 4, "test", "nowhere", 10, [2, 2, 1])],
    )


def log_one(address: str, artifacts: str | None, file: str, turn: int, job: int) -> dict[str, object]:
    """Log one made-up experiment; every tenth turn it has a second run."""
    name = f"turn {turn} job {job}"
    children = {"phase2": record(f"phase2 {name}", Path(file))} if turn % 10 == 0 else {}
    store = Store(address, artifacts, lock_timeout=300)
    return log_experiment(store, SUITE, {}, record(name, Path(file)), children, "Made-up runs.")


def log_same(address: str, artifacts: str | None, file: str, turn: int, job: int) -> object:
    """What another clone logs as well: one experiment with a child, and a sweep of it with points of its own and all's.

    A clone's files are of another time.
    """
    name, when = f"same {turn}", 1e9 + job
    store = Store(address, artifacts, lock_timeout=300)
    children = {stage: replace(record(f"{stage} {name}", Path(file)), time=when) for stage in ("phase1", "phase2")}
    parent = replace(record(name, Path(file)), time=when)
    logged = log_experiment(store, SAME, {}, parent, children)
    sweep = replace(record(f"sweep of {job} {name}", Path(file)), time=when, tags={"sweep": "noise"})
    points = {str(point): replace(record(f"point {point} of {name}", Path(file)), files=[]) for point in range(3)}
    return {**logged, **log_sweep(store, SAME, logged, sweep, points)}
