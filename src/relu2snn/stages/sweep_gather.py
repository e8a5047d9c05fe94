"""Gathers the points of a robustness sweep: result.json, table.csv and a figure, in sweep/<name>/."""

from pathlib import Path
from statistics import mean, stdev
from typing import Any

from relu2snn.config import Experiment, Paths, sweep_point, sweep_values
from relu2snn.config.shaping import shaping
from relu2snn.figures import save_figure
from relu2snn.made import Job, file_digests
from relu2snn.presentation.described import MADE, described
from relu2snn.presentation.results import POINT_COLUMNS, point_rows, write_csv
from relu2snn.presentation.swept import sweep_figure
from relu2snn.stages._job import job

_OVER_TRIALS = ("accuracy", "agreement", "early_spikes", "early_images", "spiking_fraction", "certified")


def run(config: Experiment) -> None:
    """Gather one sweep of one experiment, its values in ascending order."""
    paths = Paths.of(config)
    name = config.sweep.name
    work = sweep_job(config, "sweep_gather")
    points = [_summary(_point(config, work, paths, value)) for value in sorted(sweep_values(config))]
    work.combine("points", [key for key in work.inputs if key.startswith("sweep_point/")])
    others = [key for key in MADE if key != name]
    result = {
        **described(config, sweep=True),
        "sweep": name,
        # What made the networks that ran, by their own account.
        **{key: work.values[f"phase2.{key}"] for key in others},
        "points": points,
        "seconds": sum(point["seconds"] for point in points),
    }
    folder = Path(paths.sweep)
    rows = point_rows(result)
    write_csv(folder / "table.csv", rows, POINT_COLUMNS)
    save_figure(sweep_figure(result), folder / name)
    pictures = file_digests([folder / "table.csv", folder / f"{name}.png", folder / f"{name}.svg"])
    work.write_json(folder / "result.json", result, files=pictures)


def sweep_job(config: Experiment, stage: str) -> Job:
    """The job of a stage that takes all points of a sweep: each has a value of its own."""
    work = job(config, stage)
    for key in _apart(config):
        work.values.pop(key, None)
    return work


def _apart(config: Experiment) -> tuple[str, ...]:
    # Where nothing is random, there is one trial.
    return f"phase2.{config.sweep.name}", "sweep.trials"


def _point(config: Experiment, work: Job, paths: Paths, value: float) -> dict[str, Any]:
    """What a point has left; the sweep's job learns what the point's files say."""
    name = paths.point(value)
    point = Job("sweep_point", shaping(sweep_point(config, value), "sweep_gather"))
    point.values.pop("sweep.values")
    found = point.read_json(f"{name}.json", "sweep_point")
    work.join(point, f"{name}.json", apart=_apart(config))
    return found


def _summary(point: dict[str, Any]) -> dict[str, Any]:
    """A point with the mean, the standard deviation (n - 1, none for one trial) and the extremes over its trials."""
    trials = point["trials"]
    summary = {**point, "exact_trials": sum(trial["exact"] for trial in trials)}
    for key in _OVER_TRIALS:
        values = [trial[key] for trial in trials]
        if None in values:
            # Data without labels have no accuracy.
            summary[key] = None
            continue
        spread = stdev(values) if len(values) > 1 else None
        summary[key] = {"mean": mean(values), "std": spread, "min": min(values), "max": max(values)}
    return summary
