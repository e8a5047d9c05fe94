"""Gathers the points of a robustness sweep: result.json, table.csv and a figure, in sweep/<name>/."""

from pathlib import Path
from statistics import mean, stdev
from typing import Any

from relu2snn.config import Experiment, Paths, sweep_values
from relu2snn.figures import plot_sweep, save_figure
from relu2snn.files import read_json, write_json
from relu2snn.results import POINT_COLUMNS, point_rows, write_csv
from relu2snn.stages._app import stage_app
from relu2snn.stages._described import described

_OVER_TRIALS = ("accuracy", "agreement", "early_spikes", "spiking_fraction", "certified")


def run(config: Experiment, part: int | None = None) -> None:
    """Gather one sweep of one experiment, its values in ascending order; `part` is not used."""
    paths = Paths.of(config)
    name = config.sweep.name
    points = [_summary(read_json(f"{paths.point(value)}.json")) for value in sorted(sweep_values(config))]
    others = {key: getattr(config.phase2, key) for key in ("zeta", "noise", "alpha_noise") if key != name}
    result = {
        **described(config, sweep=True),
        "sweep": name,
        **others,
        "seed": config.phase2.seed,
        "window": config.phase2.window,
        "precision": config.phase2.precision,
        "points": points,
        "seconds": sum(point["seconds"] for point in points),
    }
    folder = Path(paths.sweep)
    write_csv(folder / "table.csv", point_rows(result), POINT_COLUMNS)
    shown = {key: [point[key] for point in points] for key in ("accuracy", "agreement")}
    values, trials = [point["value"] for point in points], max(len(point["trials"]) for point in points)
    save_figure(plot_sweep(name, values, shown, points[0]["images"], trials), folder / name)
    write_json(folder / "result.json", result)


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


def main() -> None:
    """Command-line entry point."""
    stage_app("sweep_gather", run)


if __name__ == "__main__":
    main()
