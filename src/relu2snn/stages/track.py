"""Logs one experiment's result files to MLflow, and writes down the ids of its runs."""

from collections.abc import Sequence

from relu2snn.config import Experiment, Paths
from relu2snn.config.places import tracking_of
from relu2snn.config.shaping import PLACES
from relu2snn.datasets import DATA_STAGES
from relu2snn.presentation.notes import suite_note
from relu2snn.presentation.records import Results
from relu2snn.shipped import checkout
from relu2snn.software import git_commit
from relu2snn.stages._job import job
from relu2snn.tracking import Store, log_experiment

_SHOWN_CHANGES = 3


def run(config: Experiment) -> None:
    """Log what stands in the experiment's folder: training (if any), phase 1, the variant of phase 2, the networks."""
    paths = Paths.of(config)
    work = job(config, "track")
    data = work.read_json(f"{paths.dataset}/source.json", *DATA_STAGES)
    weights = work.read_json(f"{paths.weights}/source.json", "weights")
    results = Results(
        config,
        work,
        paths,
        data,
        weights,
        name=run_name(config, data["kind"], config.run.overrides),
        tags=run_tags(config, data["kind"], weights["kind"], config.run.overrides),
        command=_command(config),
    )
    suite, runs = config.suite.name, (results.parent(), results.children())
    logged = log_experiment(store(config), suite, results.identity, *runs, suite_note(suite))
    work.write_json(paths.tracked, logged)


def run_name(config: Experiment, kind: str, overrides: Sequence[str]) -> str:
    """The experiment, what of its values is not as in conf/, and whether its images are real."""
    changes = (text.partition("=") for text in overrides)
    named = [f"{key.rpartition('.')[2]}={value}" for key, _, value in changes if not PLACES.match(key)]
    more = ["…"] if len(named) > _SHOWN_CHANGES else []
    return " ".join([config.name, *named[:_SHOWN_CHANGES], *more, *([] if kind == "real" else [f"({kind})"])])


def run_tags(config: Experiment, data: str, weights: str, overrides: Sequence[str]) -> dict[str, str]:
    """What every run of an experiment is tagged with."""
    tags = {
        "suite": config.suite.name,
        "experiment": config.name,
        "data": data,
        "weights": weights,
        "variant": config.run.phase2,
        "overrides": " ".join(overrides),
        # The UI's columns for the program and its version.
        "mlflow.source.name": "relu2snn",
        "mlflow.source.type": "LOCAL",
    }
    commit = git_commit(checkout())
    if commit:
        tags |= {"git_commit": commit, "mlflow.source.git.commit": commit.removesuffix("-dirty")}
    return tags


def _command(config: Experiment) -> list[str]:
    """What makes the results, and what is shown of them, again, as a user would call it."""
    overrides = " ".join([*config.run.overrides, *config.run.shown_overrides])
    command = [".venv/bin/snakemake", "--cores", "2", "--config", f"suite={config.suite.name}"]
    return [*command, f"experiments={config.name}", *([f"overrides={overrides}"] if overrides else [])]


def store(config: Experiment) -> Store:
    """The store that this run names; it is no part of the slice, as it changes no result."""
    tracking = tracking_of(config)
    return Store(tracking.uri, tracking.artifacts, tracking.lock_timeout, tracking.wait, config.outputs)
