"""Logs one robustness sweep to MLflow: a child run of its experiment, and below it a run for each of its points.

The points of the sweep's own run are steps, which line charts take with the parameter, a metric there, for their x
axis. Runs of points have the parameter among their params, for charts over several sweeps and experiments.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from relu2snn.config import Experiment, Paths, stage_slice
from relu2snn.datasets import DATA_STAGES
from relu2snn.made import check_files, load_json
from relu2snn.presentation.notes import sweep_note
from relu2snn.presentation.results import point_rows
from relu2snn.stages.sweep_gather import sweep_job
from relu2snn.stages.track import run_name, run_tags, store
from relu2snn.tracking import Metric, Record, log_sweep

_METRICS = ("accuracy", "agreement", "early_spikes", "spiking_fraction", "certified")


def run(config: Experiment) -> None:
    """Write mlflow.json of the sweep, the ids of the runs."""
    paths = Paths.of(config)
    name = config.sweep.name
    file = Path(paths.sweep, "result.json")
    work = sweep_job(config, "track_sweep")
    result, stamp = load_json(file)
    work.accept(file, stamp, ["sweep_gather"])
    check_files(file, stamp.of["files"], "sweep_gather")
    data = work.read_json(f"{paths.dataset}/source.json", *DATA_STAGES)["kind"]
    weights = work.read_json(f"{paths.weights}/source.json", "weights")["kind"]
    values = stage_slice(config, "track_sweep")
    del values["run"]
    # The values of a sweep are its points.
    others = [text for text in config.run.sweep_overrides if not text.startswith(("sweep.", f"phase2.{name}="))]
    shown = run_name(config, data, others)
    tags = {**run_tags(config, data, weights, config.run.sweep_overrides), "sweep": name}
    figure = file.with_name(f"{name}.png")
    sweep = Record(
        name=f"sweep {name} {shown}",
        params={key: values[key] for key in ("phase2", "sweep")},
        tags={**tags, "stage": "sweep"},
        metrics=_steps(name, result),
        files=[(file.with_name(each), None) for each in ("result.json", "table.csv", f"{name}.png", f"{name}.svg")],
        time=file.stat().st_mtime,
        seconds=result["seconds"],
        config=values,
        note=lambda run_id: sweep_note(run_id, result, point_rows(result), [figure]),
    )
    points = {str(point["value"]): _point(sweep, name, shown, values["phase2"], point) for point in result["points"]}
    parent, stamp = load_json(paths.tracked)
    # Its run has no sweep, and may have other windows and noise.
    work.accept(paths.tracked, stamp, ["track"], apart=[key for key in stamp.values if key.startswith("phase2.")])
    logged = log_sweep(store(config), config.suite.name, parent, sweep, points)
    work.write_json(paths.tracked_sweep, logged)


def _steps(name: str, result: Mapping[str, Any]) -> list[Metric]:
    metrics: list[Metric] = []
    for step, point in enumerate(result["points"]):
        metrics += [(name, point["value"], step), ("latency", point["latency"], step)]
        for key in _METRICS:
            spread = point[key] or {}
            metrics += [(f"{key}_{kind}", value, step) for kind, value in spread.items() if value is not None]
    return metrics


def _point(sweep: Record, name: str, shown: str, phase2: Mapping[str, Any], point: Mapping[str, Any]) -> Record:
    """The run of one value: means over its trials, under phase 2's names for them, so that charts take both."""
    metrics: list[Metric] = []
    for key in _METRICS:
        spread = point[key] or {}
        names = {"mean": key, "std": f"{key}_std"}
        metrics += [(names[kind], spread[kind], 0) for kind in names if spread.get(kind) is not None]
    metrics += [
        ("latency", point["latency"], 0),
        ("exact", float(all(trial["exact"] for trial in point["trials"])), 0),
        ("images", float(point["images"]), 0),
        ("trials", float(len(point["trials"])), 0),
    ]
    return replace(
        sweep,
        name=f"{name}={point['value']:g} {shown}",
        params={"phase2": {**phase2, name: point["value"]}, "sweep": {"name": name}},
        tags={**sweep.tags, "stage": "sweep_point"},
        metrics=metrics,
        files=[],
        seconds=point["seconds"],
        config=None,
        note=None,
    )
