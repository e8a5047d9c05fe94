"""Logs one experiment's result files to MLflow, and writes down the ids of its runs."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from relu2snn.config import Experiment, Paths, stage_slice, variant_name
from relu2snn.config.schema import Tracking
from relu2snn.config.workflow import TRACKING_VARIABLE
from relu2snn.files import read_json, write_json
from relu2snn.stages._app import stage_app
from relu2snn.tracking import Metric, Record, Store, log_experiment

_TRAINING = {
    "loss": "training_loss",
    "accuracy": "training_accuracy",
    "test_accuracy": "test_accuracy",
    "learning_rate": "learning_rate",
}
_PHASE1 = ("accuracy_original", "accuracy_scaled", "agreement_scaled")
_PHASE2 = ("accuracy", "agreement", "latency")
_EVIDENCE = ("spiking_fraction", "certified", "simulated", "early_spikes", "largest_deviation")


def run(config: Experiment, part: int | None) -> None:
    """Log what stands in the experiment's folder: training (if any), phase 1, the variant of phase 2."""
    paths = Paths(config.outputs, config.suite.name, config.name)
    data_file = Path(paths.dataset(config.dataset.name), "source.json")
    weights_file = Path(paths.weights, "source.json")
    data, weights = read_json(data_file), read_json(weights_file)
    tags = {"suite": config.suite.name, "experiment": config.name, "data": data["kind"], "weights": weights["kind"]}
    commit = git_commit(Path(__file__).parent)
    if commit:
        tags["git_commit"] = commit
    trained = weights["kind"] == "trained"
    children = [
        *([_training(config, paths, tags)] if trained else []),
        _phase1(config, paths, tags),
        _phase2(config, paths, tags),
    ]
    parent = Record(
        name=config.name,
        params=stage_slice(config, "track"),
        tags={**tags, "stage": "experiment"},
        metrics=[
            metric
            for child in children
            for metric in child.metrics
            if metric[0] in ("accuracy_original", "accuracy_scaled", *_PHASE2, "certified", "early_spikes")
        ],
        files=[
            (data_file, "data"),
            (weights_file, "weights"),
            *((figure, "figures") for figure in sorted(Path(paths.figures).glob("[!.]*"))),
        ],
        time=max(child.time for child in children),
        seconds=sum(child.seconds for child in children),
    )
    # Training is seeded but its file differs from run to run, so only weights of the user's are told apart by content.
    identity = {
        "config": stage_slice(config, "track"),
        "data": data["digest"],
        "weights": "trained" if trained else weights["sha256"],
    }
    write_json(paths.tracked, log_experiment(store(), config.suite.name, identity, parent, children))


def git_commit(folder: Path) -> str | None:
    """The commit checked out around `folder`, with "-dirty" after local changes; None outside a git checkout."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip() or None


def _training(config: Experiment, paths: Paths, tags: Mapping[str, str]) -> Record:
    file = Path(paths.train, "history.json")
    epochs = read_json(file)["epochs"]
    metrics = [
        (name, float(epoch[key]), epoch["epoch"])
        for epoch in epochs
        for key, name in _TRAINING.items()
        if epoch.get(key) is not None
    ]
    seconds = sum(epoch["seconds"] for epoch in epochs)
    return _record(config, "train", file, {**tags, "stage": "train"}, metrics, seconds)


def _phase1(config: Experiment, paths: Paths, tags: Mapping[str, str]) -> Record:
    file = Path(paths.phase1, "result.json")
    result = read_json(file)
    metrics = [*_scalars(result, _PHASE1), *_by_layer("layer_maximum", result["layer_maxima"])]
    for images, fraction in result["nonzero_fraction"].items():
        metrics += _fraction(f"nonzero_fraction_{images}", fraction)
    return _record(config, "phase1", file, {**tags, "stage": "phase1"}, metrics, result["seconds"])


def _phase2(config: Experiment, paths: Paths, tags: Mapping[str, str]) -> Record:
    file = Path(paths.phase2(variant_name(config.phase2)), "result.json")
    result = read_json(file)
    metrics = [
        *_scalars(result, _PHASE2),
        *(metric for name in _EVIDENCE for metric in _fraction(name, result[name])),
    ]
    tags = {**tags, "stage": "phase2", "variant": result["variant"], "exact": str(result["exact"]).lower()}
    return _record(config, "phase2", file, tags, metrics, result["seconds"], f" {result['variant']}")


def _record(
    config: Experiment,
    stage: str,
    file: Path,
    tags: Mapping[str, str],
    metrics: list[Metric],
    seconds: float,
    suffix: str = "",
) -> Record:
    predictions = file.with_name("predictions.npz")
    return Record(
        name=f"{stage}{suffix}",
        params=stage_slice(config, stage),
        tags=tags,
        metrics=metrics,
        files=[(path, None) for path in (file, predictions) if path.exists()],
        time=file.stat().st_mtime,
        seconds=seconds,
    )


def _scalars(result: Mapping[str, Any], names: Iterable[str]) -> list[Metric]:
    """The values that are there: data sets without labels have no accuracies."""
    return [(name, float(result[name]), 0) for name in names if result.get(name) is not None]


def _by_layer(name: str, values: Iterable[float]) -> list[Metric]:
    return [(name, float(value), layer) for layer, value in enumerate(values, start=1)]


def _fraction(name: str, fraction: Mapping[str, Any]) -> list[Metric]:
    return [(name, float(fraction["total"]), 0), *_by_layer(f"layer_{name}", fraction["layers"])]


def store() -> Store:
    """The store that `publish_places` has named; it is no part of the slice, as it changes no result."""
    values = json.loads(os.environ[TRACKING_VARIABLE])
    tracking = cast(Tracking, OmegaConf.merge(OmegaConf.structured(Tracking), values))
    return Store(tracking.uri, tracking.artifacts, tracking.lock_timeout)


if __name__ == "__main__":
    stage_app("track", run)
