"""What one call of the workflow runs: the suite, its experiments, and the rows that wait for files of the user."""

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relu2snn.config.compose import compose_experiment, compose_suite
from relu2snn.config.options import read_options
from relu2snn.config.outputs import require_place
from relu2snn.config.paths import Paths, variant_name
from relu2snn.config.schema import FOLDER_FORMATS, Experiment, Suite
from relu2snn.config.slices import stage_slice
from relu2snn.config.sweeps import sweep_point, sweep_values
from relu2snn.errors import UserError


@dataclass(frozen=True)
class Missing:
    """An input that stops an experiment: what it is, where it comes from, where it belongs."""

    experiment: str
    what: str
    origin: str
    path: str


@dataclass
class Selection:
    """The experiments to run, by name, and the inputs that keep the others of the suite from running."""

    suite: Suite
    experiments: dict[str, Experiment] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    sweeps: dict[tuple[str, str], Experiment] = field(default_factory=dict)
    """By experiment and sweep, the experiment's config with that sweep."""

    @property
    def outputs(self) -> str:
        return next(iter(self.experiments.values())).outputs

    def paths(self, experiment: str = "{experiment}") -> Paths:
        """Paths of one experiment, or with a wildcard for its name."""
        return Paths(self.outputs, self.suite.name, experiment)

    def variant(self, experiment: str) -> str:
        return variant_name(self.experiments[experiment].phase2)

    def points(self, experiment: str, sweep: str) -> dict[str, Experiment]:
        """The configs of a sweep's points, by the names of their files."""
        config = self.sweeps[experiment, sweep]
        return {str(value): sweep_point(config, value) for value in sweep_values(config)}

    def dataset(self, name: str) -> Experiment:
        """An experiment that uses the data set `name`."""
        return next(each for each in self.experiments.values() if each.dataset.name == name)

    def made_weights(self, experiment: str) -> str | list[str]:
        """The file that weights are made of when the user gives none; nothing where Keras downloads them."""
        paths, weights = self.paths(experiment), self.experiments[experiment].weights
        made: dict[str, str | list[str]] = {
            "train": f"{paths.train}/trained.keras",
            "caffe": f"{paths.weights}/{weights.stem}.npz",
            "imagenet": [],
        }
        return made[weights.source]

    def datasets(self, *formats: str) -> str:
        """A regular expression for the names of the data sets of `formats`; it matches nothing if there are none."""
        found = {each.dataset.name for each in self.experiments.values() if each.dataset.source.format in formats}
        return "|".join(map(re.escape, sorted(found))) or "(?!)"


def select(options: Mapping[str, Any], readable_formats: tuple[str, ...], typed: Sequence[str] = ()) -> Selection:
    """Compose everything that the workflow's command line asks for, before any job starts.

    options: the command line's suite (default "paper"), experiments (default: the suite's), sweep
        (names of sweeps, or "none"; default: the suite's, if no experiments are named) and overrides.
    readable_formats: the data set formats that can be read.
    typed: the options as they were typed, KEY=VALUE each (`read_options`).

    Raises UserError for an unknown option, suite, experiment or sweep, a wrong override, an experiment named
    explicitly whose inputs are missing, and when nothing is left to run.
    """
    asked = read_options(options, typed)
    suite, named, overrides = compose_suite(asked.suite), asked.experiments, asked.overrides
    selection = Selection(suite)
    for name in named or list(suite.experiments):
        experiment = compose_experiment(name, suite, overrides)
        require_place(experiment.outputs)
        missing = missing_inputs(experiment, readable_formats)
        if missing and named:
            first = missing[0]
            raise UserError(f"experiments={name}: {first.path} is missing ({first.what}); get it from {first.origin}")
        if missing:
            selection.missing += missing
        else:
            selection.experiments[name] = experiment
    if not selection.experiments:
        raise UserError(f"suite={suite.name}: no experiment can run; every one of them waits for files")
    _same_datasets(selection)
    for name, sweeps in _sweeps(selection, asked.sweeps, named).items():
        for sweep in sweeps:
            selection.sweeps[name, sweep] = compose_experiment(name, suite, overrides, sweep)
    unused = next((text for text in overrides if text.startswith("sweep.")), None)
    if unused and not selection.sweeps:
        raise UserError(f"override {unused!r}: no sweep runs in this call; add sweep=NAME, a file of conf/sweep/")
    return selection


def missing_inputs(experiment: Experiment, readable_formats: tuple[str, ...]) -> list[Missing]:
    """The files and folders of `experiment` that only the user can provide and that are not there."""
    source, weights = experiment.dataset.source, experiment.weights
    # Weights that the user has dropped in need no files to be made from.
    given = weights.file or any(Path(weights.root, weights.directory).glob(f"{glob.escape(weights.stem)}.*"))
    missing = [
        Missing(experiment.name, item.what, item.origin, item.path)
        for item in [*source.by_hand, *([] if given else weights.by_hand)]
        if not Path(item.path).exists()
    ]
    if not missing and source.format not in readable_formats:
        reader = f"a reader of {source.format} files, which this version does not have"
        missing.append(Missing(experiment.name, reader, "a later version of relu2snn", source.directory))
    return missing


def _same_datasets(selection: Selection) -> None:
    """Experiments that share a data set share its prepared files, so they must describe it alike."""
    for experiment in selection.experiments.values():
        name = experiment.dataset.name
        # Only photographs are prepared part by part.
        stages = ("data", "photographs") if experiment.dataset.source.format in FOLDER_FORMATS else ("data",)
        other = selection.dataset(name)
        if any(stage_slice(experiment, stage) != stage_slice(other, stage) for stage in stages):
            raise UserError(
                f"dataset.name={name}: {experiment.name} and {other.name} describe it differently; "
                "give one of them another dataset.name"
            )


def _sweeps(selection: Selection, asked: list[str], named: list[str]) -> dict[str, list[str]]:
    """The sweeps of each experiment: the suite's, or those asked for on the experiments named or swept by the suite."""
    own = {name: list(sweeps) for name, sweeps in selection.suite.sweeps.items() if name in selection.experiments}
    if not asked:
        return {} if named else own
    if asked == ["none"]:
        return {}
    chosen = named or list(selection.suite.sweeps) or list(selection.experiments)
    if not set(chosen) & set(selection.experiments):
        raise UserError(
            f"sweep={','.join(asked)}: {', '.join(chosen)} waits for files; name another with experiments=NAME"
        )
    return {name: asked for name in chosen if name in selection.experiments}
