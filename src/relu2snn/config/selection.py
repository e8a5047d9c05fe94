"""What one call of the workflow runs: the suite, its experiments, and the rows that wait for files of the user."""

import glob
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from relu2snn.config.compose import compose_experiment, compose_suite
from relu2snn.config.missing import Missing, missing_inputs, refused, waiting
from relu2snn.config.options import read_options
from relu2snn.config.outputs import require_place
from relu2snn.config.paths import FIGURES, Paths
from relu2snn.config.schema import FOLDER_FORMATS, Experiment, Suite, Weights
from relu2snn.config.slices import data_stages, stage_slice
from relu2snn.config.values import value_of
from relu2snn.errors import UserError


@dataclass
class Selection:
    """The runs of a call, the plain one of each experiment first, and the inputs that keep other rows from running.

    A run is an experiment with one set of values; the suite's variants and the user's overrides make several of one
    experiment. Runs share the folders of all that they have alike.
    """

    suite: Suite
    runs: list[Experiment] = field(default_factory=list)
    sweeps: list[Experiment] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    _folders: dict[str, Experiment] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    @property
    def outputs(self) -> str:
        return self.runs[0].outputs

    def add(self, config: Experiment, sweep: bool = False) -> None:
        """Take in a run, or one with a sweep, unless it is there already.

        Raises UserError for two data sets of one name that nothing in conf/ tells apart.
        """
        paths = Paths.of(config)
        chosen, folder = (self.sweeps, paths.sweep) if sweep else (self.runs, paths.figures)
        if folder in self._folders:
            return
        chosen.append(config)
        self._counts[config.name] += not sweep
        folders = [paths.sweep, paths.points, paths.tradeoffs] if sweep else []
        folders += [paths.dataset, paths.train, paths.weights, paths.phase1, paths.phase2]
        folders += [paths.figures, paths.provenance]
        for each in folders:
            self._folders.setdefault(each, config)
        _same_dataset(config, self._folders[paths.dataset])

    def at(self, pattern: str, wildcards: Mapping[str, str]) -> Experiment:
        """A config whose files stand in the folder that a pattern of `Paths` becomes with a job's wildcards.

        All of this call's that share the folder have the same values as far as it depends on them.
        Raises KeyError for a folder of no run of this call.
        """
        return self._folders[pattern.format_map(dict(wildcards))]

    def paths_at(self, pattern: str, wildcards: Mapping[str, str]) -> Paths:
        """The paths of a config that `at` gives."""
        return Paths.of(self.at(pattern, wildcards))

    def own(self, pattern: str) -> str:
        """A regular expression for the wildcard {experiment} of a pattern of `Paths`, for folders of this call alone.

        Other folders may hold results of other calls, which are files like any other here: nothing makes them.
        """
        before, after = pattern.split("{experiment}")
        rest = re.compile(re.escape(before) + r"(?P<name>[^/]+)" + re.sub(r"\\{\w+\\}", "[^/]+", re.escape(after)))
        found: dict[str, list[str]] = {}
        for folder in self._folders:
            if match := rest.fullmatch(folder):
                found.setdefault(match["name"], []).append(re.escape(folder[match.end("name") :]))
        names = (f"{re.escape(name)}(?=(?:{'|'.join(ends)})/)" for name, ends in found.items())
        return "|".join(names) or "(?!)"

    def finished(self, pattern: str, own: Iterable[str]) -> list[str]:
        """The files of this call, `own`, and those that other calls and runs by hand have left at a pattern of `Paths`.

        The list is the same whichever of them a call makes, so what is made of all of them is not made again.
        """
        anything = re.sub(r"\{\w+\}", "*", glob.escape(pattern))
        found = (path for path in glob.iglob(anything) if f"{self.suite.name}/datasets/" not in path)
        return sorted({*own, *found})

    def swept(self) -> str:
        """A regular expression for the experiments with sweeps in this call; it matches nothing if there are none."""
        return "|".join(sorted({re.escape(each.name) for each in self.sweeps})) or "(?!)"

    def sweeps_of(self, name: str) -> list[str]:
        """The results of all sweeps of one experiment, this call's and those that are finished; see `finished`."""
        pattern = f"{Paths(self.outputs, self.suite.name, name).sweep}/result.json"
        own = [f"{Paths.of(each).sweep}/result.json" for each in self.sweeps if each.name == name]
        return self.finished(pattern, own)

    def reported(self) -> Self:
        """The runs and sweeps alone that are finished as far as a report shows them; all of them if none is."""
        runs = [each for each in self.runs if _all_there(report_files(each))]
        if not runs:
            return self
        kept = type(self)(self.suite, missing=self.missing)
        for each in runs:
            kept.add(each)
        for each in self.sweeps:
            if _all_there(sweep_report_files(each)):
                kept.add(each, sweep=True)
        return kept

    def shown_name(self, wildcards: Mapping[str, str]) -> str:
        """An experiment, with its variant where the call has several of them."""
        name, variant = wildcards["experiment"], wildcards["variant"]
        return name if self._counts[name] == 1 else f"{name}, {variant}"

    def datasets(self, *formats: str) -> str:
        """A regular expression for the data sets of `formats`, name/variant; it matches nothing if there are none."""
        found = {
            f"{each.dataset.name}/{each.run.dataset}" for each in self.runs if each.dataset.source.format in formats
        }
        return "|".join(map(re.escape, sorted(found))) or "(?!)"


def report_files(config: Experiment) -> list[str]:
    """What a report shows of a run alone."""
    paths = Paths.of(config)
    figures = [f"{paths.figures}/{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg")]
    return [f"{paths.provenance}/config.html", *figures]


def sweep_report_files(config: Experiment) -> list[str]:
    """What a report shows of a sweep alone."""
    return [f"{Paths.of(config).sweep}/{config.sweep.name}.{suffix}" for suffix in ("png", "svg")]


def _all_there(files: Iterable[str]) -> bool:
    return all(Path(file).exists() for file in files)


def made_weights(config: Experiment) -> str | list[str]:
    """The file that weights are made of when the user gives none; nothing where Keras downloads them."""
    paths, weights = Paths.of(config), config.weights
    made: dict[str, str | list[str]] = {
        "train": f"{paths.train}/trained.keras",
        "caffe": f"{paths.weights}/{weights.stem}.npz",
        "imagenet": [],
    }
    return made[weights.source]


def weights_input(
    config: Experiment, find: Callable[[Weights], Path | None], given: Callable[[list[str]], list[str]] = list
) -> str | list[str]:
    """What weights are made of: the user's file, which `find` looks for, or a file that the workflow makes.

    given: Snakemake's mark of the user's files.
    """
    if config.weights.file is not None:
        return given(named(config, "weights.file"))
    found = find(config.weights)
    return made_weights(config) if found is None else given([str(found)])


def training_files(config: Experiment, find: Callable[[Weights], Path | None]) -> list[str]:
    """What training leaves beside the weights of a network that is trained here."""
    trained = config.weights.source == "train" and config.weights.file is None and find(config.weights) is None
    return [f"{Paths.of(config).train}/history.json"] if trained else []


def given_files(config: Experiment, find: Callable[[Weights], Path | None]) -> list[str]:
    """The user's file of weights under a name that conf/ gives; files that the workflow makes are none of them."""
    if config.weights.kind == "synthetic" or "weights.file" in config.run.files:
        return []
    found = find(config.weights)
    return [] if found is None else [str(found)]


def states(files: Iterable[str]) -> list[str]:
    """Size and time of files: one that another has replaced may be older than what was made of it."""
    found = ((name, Path(name).stat()) for name in files if Path(name).exists())
    return [f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in found]


def named(config: Experiment, key: str) -> list[str]:
    """The file that is the value of `key`, as an input; none where an override names it.

    Such a file is told by its content, which is in the names of all folders that depend on it, wherever it stands.
    """
    file = value_of(config, key)
    return [] if file is None or key in config.run.files else [str(file)]


def select(
    options: Mapping[str, Any],
    readable_formats: tuple[str, ...],
    checks: Sequence[Callable[[Experiment], object]] | None = (),
    typed: Sequence[str] = (),
    whole: bool = False,
) -> Selection:
    """Compose everything that the workflow's command line asks for, before any job starts.

    options: the command line's suite (default "paper"), experiments (default: the suite's), sweep
        (names of sweeps, or "none"; default: the suite's, if no experiments are named) and overrides.
    readable_formats: the data set formats that can be read.
    checks: called with every run whose files are there; a UserError of theirs says what else keeps it from running.
        None in a job's process: the one that has started it has looked, perhaps on a machine with other files.
    typed: the options as they were typed, KEY=VALUE each (`read_options`).
    whole: with the experiments that wait for files of the user, which can be planned though not run.

    Raises UserError for an unknown option, suite, experiment or sweep, a wrong override, an experiment named
    explicitly that can't run, and when nothing is left to run.
    """
    asked = read_options(options, typed)
    suite, names, overrides = compose_suite(asked.suite), asked.experiments, asked.overrides
    # By experiment, the overrides of each of its runs.
    runs: dict[str, list[list[str]]] = {}
    selection = Selection(suite)
    for name in names or list(suite.experiments):
        for variant in ([], *suite.variants.get(name, [])):
            chosen = _together(variant, overrides)
            experiment = compose_experiment(name, suite, chosen)
            require_place(experiment.outputs)
            missing = []
            if checks is not None:
                missing = missing_inputs(experiment, readable_formats) or refused(experiment, checks)
            planned = whole and all(each.path for each in missing)
            if missing and names and not planned:
                raise UserError(f"experiments={name}: {missing[0].in_words}")
            if missing:
                selection.missing += [each for each in missing if each not in selection.missing]
            if missing and not planned:
                continue
            selection.add(experiment)
            runs.setdefault(name, []).append(chosen)
    if not runs:
        raise UserError(f"suite={suite.name}: no experiment can run; {waiting(selection.missing)}")
    for name, sweeps in _sweeps(selection, list(runs), asked.sweeps, names).items():
        for sweep in sweeps:
            configs = [compose_experiment(name, suite, each, sweep) for each in runs[name]]
            # The published mapping has no reference to disturb.
            fitting = [each for each in configs if sweep != "reference_noise" or each.phase2.mapping == "reference"]
            if not fitting and asked.sweeps:
                raise UserError(
                    f"sweep={sweep}: {name} has the mapping {configs[0].phase2.mapping}, which has no reference; add "
                    "overrides=phase2.mapping=reference"
                )
            for config in fitting:
                selection.add(config, sweep=True)
    unused = next((text for text in overrides if text.startswith("sweep.")), None)
    if unused and not selection.sweeps:
        raise UserError(f"override {unused!r}: no sweep runs in this call; add sweep=NAME, a file of conf/sweep/")
    return selection


def _same_dataset(config: Experiment, other: Experiment) -> None:
    """Configs that share a prepared data set must describe it alike; names of conf/dataset/ always do."""
    # Only photographs are prepared part by part.
    stages = ("data", "photographs") if config.dataset.source.format in FOLDER_FORMATS else data_stages(config)
    if any(stage_slice(config, stage) != stage_slice(other, stage) for stage in stages):
        raise UserError(
            f"dataset.name={config.dataset.name}: {config.name} and {other.name} describe it differently; "
            "give one of them another dataset.name"
        )


def _together(variant: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """A variant's overrides but for those whose keys the user sets, then the user's."""
    keys = {text.partition("=")[0] for text in overrides}
    return [*(text for text in variant if text.partition("=")[0] not in keys), *overrides]


def _sweeps(selection: Selection, running: list[str], asked: list[str], named: list[str]) -> dict[str, list[str]]:
    """The sweeps of each experiment: the suite's, or those asked for on the experiments named or swept by the suite."""
    own = {name: list(sweeps) for name, sweeps in selection.suite.sweeps.items() if name in running}
    if not asked:
        return {} if named else own
    if asked == ["none"]:
        return {}
    if "none" in asked:
        raise UserError(f"sweep={','.join(asked)}: none leaves out all sweeps; name it alone, or leave it out")
    chosen = named or list(selection.suite.sweeps) or running
    if not set(chosen) & set(running):
        raise UserError(
            f"sweep={','.join(asked)}: {', '.join(chosen)} waits for files; name another with experiments=NAME"
        )
    return {name: asked for name in chosen if name in running}
