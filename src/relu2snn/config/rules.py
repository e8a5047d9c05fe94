"""What the rules are made of: what a job reads, needs, is told, and runs."""

import json
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from relu2snn.config.demand import Demand, demand
from relu2snn.config.paths import FIGURES, Paths, model_files
from relu2snn.config.schema import Experiment
from relu2snn.config.selection import Selection
from relu2snn.config.shaping import job_slice
from relu2snn.config.storage import Storage
from relu2snn.config.variants import masked


class Needs:
    """The threads and resources of a call's jobs, as functions that Snakemake asks for each of them.

    pattern: that of `Paths` which becomes a folder with the job's wildcards; without one, of rules over all rows.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def threads(self, pattern: str = "") -> Callable[..., int]:
        return lambda wildcards, rulename: self._demand(pattern, wildcards, rulename).threads

    def resources(self, pattern: str = "") -> dict[str, Callable[..., int]]:
        """Memory in megabytes and run time in minutes, as keywords of a rule's resources."""

        def mem_mb(wildcards: Mapping[str, str], attempt: int, rulename: str) -> int:
            return self._demand(pattern, wildcards, rulename).mem_mb(attempt)

        def runtime(wildcards: Mapping[str, str], attempt: int, rulename: str) -> int:
            return self._demand(pattern, wildcards, rulename).runtime(attempt)

        return {"mem_mb": mem_mb, "runtime": runtime}

    def _demand(self, pattern: str, wildcards: Mapping[str, str], rule: str) -> Demand:
        selection = self._selection
        return demand(rule, selection.at(pattern, wildcards) if pattern else selection.runs[0])


class Slices:
    """The slices of a call's jobs, as functions that Snakemake asks for each of them."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def __call__(self, stage: str, pattern: str = "") -> Callable[..., str]:
        """That of a stage; pattern: as in `Needs`."""
        selection = self._selection
        return lambda wildcards: slice_text(selection.at(pattern, wildcards) if pattern else selection.runs[0], stage)


class Inputs:
    """What jobs read of their own runs, as functions that Snakemake asks for each of them.

    pattern: as in `Needs`.
    """

    def __init__(self, selection: Selection, storage: Storage) -> None:
        self._selection, self._storage = selection, storage

    def __call__(self, pattern: str, *names: str) -> Callable[..., list[str]]:
        """Files by their places in `Paths`: "scaled", or below a folder, as "phase1/result.json"."""

        def found(wildcards: Mapping[str, str]) -> list[str]:
            paths = self._selection.paths_at(pattern, wildcards)
            parts = (name.partition("/") for name in names)
            return [f"{getattr(paths, place)}{slash}{file}" for place, slash, file in parts]

        return found

    def images(self, pattern: str, *, parts: bool = False) -> Callable[..., list[str]]:
        """Those of the data set, which only a storage must bring; with `parts` those of the job's {part}."""
        return lambda wildcards: self._storage.images(
            self._selection.at(pattern, wildcards), int(wildcards["part"]) if parts else None
        )

    def value(self, pattern: str, key: str) -> Callable[..., Any]:
        """A value of the config by its dotted key, for a caption."""
        return lambda wildcards: attrgetter(key)(self._selection.at(pattern, wildcards))


def stage_command(stage: str, *, part: bool = False) -> str:
    """What a rule's shell runs; the rule has a parameter `slice`, two logs, and a wildcard `part` if the stage has."""
    chosen = " --part {wildcards.part:q}" if part else ""
    logs = "--log {log[0]:q} --benchmark {log[1]:q}"
    return f"python -m relu2snn.stages {stage}{chosen} --slice {{params.slice:q}} {logs}"


def slice_text(experiment: Experiment, stage: str) -> str:
    """A stage's slice of the config as one line of JSON: the parameter whose change re-runs the job."""
    return json.dumps(masked(experiment, job_slice(experiment, stage)), sort_keys=True)


def overrides_text(experiment: Experiment) -> str:
    """A run's overrides as one text, in which files are told by their content."""
    return " ".join(masked(experiment, list(experiment.run.overrides)))


def tracked_files(paths: Paths) -> list[str]:
    """The files of a run that become what MLflow shows."""
    assert paths.config is not None
    return [
        f"{paths.dataset}/source.json",
        f"{paths.weights}/source.json",
        *(f"{folder}/{name}" for folder in (paths.phase1, paths.phase2) for name in ("result.json", "predictions.npz")),
        *model_files(paths.config).values(),
        *(f"{paths.figures}/{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg")),
        f"{paths.figures}/data.npz",
    ]
