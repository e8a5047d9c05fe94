"""Logs one experiment's result files to MLflow, and writes down the ids of its runs."""

import json
import os
from pathlib import Path
from typing import cast

from omegaconf import OmegaConf

from relu2snn.config import Experiment, Paths, changed_values, variant_name
from relu2snn.config.schema import Tracking
from relu2snn.config.shaping import PLACES
from relu2snn.config.workflow import TRACKING_VARIABLE
from relu2snn.software import git_commit
from relu2snn.stages._app import stage_app
from relu2snn.stages._job import DATA_STAGES, job
from relu2snn.stages._note import suite_note
from relu2snn.stages._records import Results
from relu2snn.tracking import Store, log_experiment

_SHOWN_CHANGES = 3


def run(config: Experiment, part: int | None) -> None:
    """Log what stands in the experiment's folder: training (if any), phase 1, the variant of phase 2, the networks."""
    paths = Paths(config.outputs, config.suite.name, config.name)
    work = job(config, "track")
    data = work.read_json(f"{paths.dataset(config.dataset.name)}/source.json", *DATA_STAGES)
    weights = work.read_json(f"{paths.weights}/source.json", "weights")
    changes = changed_values(config, "track")
    results = Results(
        config,
        work,
        paths,
        data,
        weights,
        name=run_name(config, data["kind"], changes),
        tags=run_tags(config, data["kind"], weights["kind"]),
        command=_command(config, changes),
    )
    about = suite_note(config.suite.name)
    logged = log_experiment(store(), config.suite.name, results.identity, results.parent(), results.children(), about)
    work.write_json(paths.tracked, logged)


def run_name(config: Experiment, kind: str, changes: dict[str, str]) -> str:
    """The experiment, what of its values is not as in conf/, and whether its images are real."""
    named = [f"{key.rpartition('.')[2]}={value}" for key, value in changes.items() if not PLACES.match(key)]
    more = ["…"] if len(named) > _SHOWN_CHANGES else []
    return " ".join([config.name, *named[:_SHOWN_CHANGES], *more, *([] if kind == "real" else [f"({kind})"])])


def run_tags(config: Experiment, data: str, weights: str) -> dict[str, str]:
    """What every run of an experiment is tagged with."""
    tags = {
        "suite": config.suite.name,
        "experiment": config.name,
        "data": data,
        "weights": weights,
        "variant": variant_name(config.phase2),
        # The UI's columns for the program and its version.
        "mlflow.source.name": "relu2snn",
        "mlflow.source.type": "LOCAL",
    }
    commit = git_commit(Path(__file__).parent)
    if commit:
        tags |= {"git_commit": commit, "mlflow.source.git.commit": commit.removesuffix("-dirty")}
    return tags


def _command(config: Experiment, changes: dict[str, str]) -> list[str]:
    """What makes the results again, as a user would call it."""
    overrides = " ".join(f"{key}={value}" for key, value in changes.items())
    command = [".venv/bin/snakemake", "--cores", "2", "--config", f"suite={config.suite.name}"]
    return [*command, f"experiments={config.name}", *([f"overrides={overrides}"] if overrides else [])]


def store() -> Store:
    """The store that `publish_places` has named; it is no part of the slice, as it changes no result."""
    values = json.loads(os.environ[TRACKING_VARIABLE])
    tracking = cast(Tracking, OmegaConf.merge(OmegaConf.structured(Tracking), values))
    return Store(tracking.uri, tracking.artifacts, tracking.lock_timeout)


if __name__ == "__main__":
    stage_app("track", run)
