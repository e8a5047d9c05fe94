"""Logs one robustness sweep to MLflow as a child run of its experiment.

Its points are steps; the parameter's value is a metric too, which MLflow's line charts take for their x axis.
"""

from pathlib import Path

from relu2snn.config import Experiment, Paths, stage_slice
from relu2snn.files import read_json, write_json
from relu2snn.stages._app import stage_app
from relu2snn.stages.track import store
from relu2snn.tracking import Metric, Record, log_child

_METRICS = ("accuracy", "agreement", "early_spikes", "spiking_fraction", "certified")


def run(config: Experiment, part: int | None) -> None:
    """Write sweep/<name>/mlflow.json, the id of the run."""
    paths = Paths(config.outputs, config.suite.name, config.name)
    name = config.sweep.name
    file = Path(paths.sweep(name), "result.json")
    result = read_json(file)
    metrics: list[Metric] = []
    for step, point in enumerate(result["points"]):
        metrics += [(name, point["value"], step), ("latency", point["latency"], step)]
        for key in _METRICS:
            spread = point[key] or {}
            metrics += [(f"{key}_{kind}", value, step) for kind, value in spread.items() if value is not None]
    record = Record(
        name=f"{config.name} sweep {name}",
        params=stage_slice(config, "track_sweep"),
        tags={"suite": config.suite.name, "experiment": config.name, "stage": "sweep", "sweep": name},
        metrics=metrics,
        files=[(file.with_name(each), None) for each in ("result.json", "table.csv", f"{name}.png", f"{name}.svg")],
        time=file.stat().st_mtime,
        seconds=result["seconds"],
    )
    run_id = log_child(store(), config.suite.name, read_json(paths.tracked), record)
    write_json(Path(paths.sweep(name), "mlflow.json"), {"run": run_id})


if __name__ == "__main__":
    stage_app("track_sweep", run)
