"""Composition of `conf/` and the user's overrides into one typed, range-checked config per experiment."""

import copy
import functools
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError

from relu2snn.config.nearest import choose_from, did_you_mean, key_hint
from relu2snn.config.overrides import hydra_overrides, key_types, quoted, reason_of
from relu2snn.config.schema import Dataset, Experiment, Suite, Tracking, walk_fields
from relu2snn.config.texts import text_problem
from relu2snn.config.typed import typed
from relu2snn.config.validate import check_ranges, plain_values
from relu2snn.config.variants import name_run
from relu2snn.errors import UserError, shown
from relu2snn.shipped import shipped_folder

ConfigStore.instance().store(name="schema", node=Experiment)


@contextmanager
def composing(what: str = "configuration", keys: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Turn whatever Hydra, OmegaConf, YAML or a recursion without end raises into one line: "<what>: <reason>".

    A configuration is text that people write, and these libraries answer mistakes in it with exceptions of every kind.
    keys: the types of those that it may have, of which the nearest is named where it has another.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # OmegaConf makes an error of its own of Ctrl-C in the middle of a copy.
        if _interrupted(error):
            raise KeyboardInterrupt from None
        cause = error.__cause__ or error
        hint = key_hint(str(cause.full_key), keys) if keys and isinstance(cause, ConfigKeyError) else ""
        raise UserError(f"{what}: {reason_of(error)}{hint}") from None


def _interrupted(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def conf() -> Path:
    """The folder of all values, `conf/`; UserError where there is none."""
    return shipped_folder("conf")


def known(group: str) -> list[str]:
    """The names of a config group."""
    return sorted(path.stem for path in (conf() / group).glob("*.yaml"))


def compose_suite(name: str) -> Suite:
    """The suite called `name`.

    Raises UserError when there is none or its file is wrong.
    """
    _require_known("suite", name)
    file = conf() / "suite" / f"{name}.yaml"
    where = _shown_path(file)
    loaded = _load(Suite, file)
    check_ranges(loaded, where=f"{where}: ")
    suite = cast(Suite, OmegaConf.to_object(loaded))
    if suite.name != name:
        raise UserError(f"{where}: name={shown(suite.name)}; a suite's name is its file's, {name}")
    for option, group, named in (
        ("experiments", "experiment", suite.experiments),
        ("per_experiment", "experiment", suite.per_experiment),
        ("sweeps", "experiment", suite.sweeps),
        ("sweeps", "sweep", [each for sweeps in suite.sweeps.values() for each in sweeps]),
        ("per_sweep", "sweep", suite.per_sweep),
        ("variants", "experiment", suite.variants),
    ):
        for each in named:
            if each not in known(group):
                raise UserError(
                    f"{where}: {option} names {shown(each)}, which is no {group} of conf/{group}/; "
                    f"{choose_from(each, known(group), f'conf/{group}/')}"
                )
    for experiment, variants in suite.variants.items():
        for variant in variants:
            wrong = next((text for text in variant if text.startswith(("outputs=", "sweep."))), None)
            if wrong or not variant:
                raise UserError(
                    f"{where}: variants.{experiment}: {wrong or '[]'} makes no run of its own; give values of the "
                    "experiment"
                )
    return suite


def compose_tracking() -> Tracking:
    """Where runs are logged unless an override says otherwise: conf/tracking/mlflow.yaml.

    Raises UserError when the file is wrong.
    """
    path = conf() / "tracking" / "mlflow.yaml"
    tracking = _load(Tracking, path)
    check_ranges(tracking, "tracking.", f"{_shown_path(path)}: ")
    return cast(Tracking, tracking)


def _load(schema: type, path: Path) -> Any:
    keys = {"": schema, **{key: entry.type for key, entry in walk_fields(schema)}}
    with composing(_shown_path(path), keys):
        return OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.load(path))


def compose_experiment(name: str, suite: Suite, overrides: Sequence[str] = (), sweep: str = "") -> Experiment:
    """The config of one experiment: its file, the sweep if one is named, the suite's overrides, then the user's.

    Its `run` says what the user's overrides have changed, and names the folders of its files.

    Raises UserError, one line that names the key, for an unknown experiment, an experiment that a closed
    suite does not list, an unknown key, a wrong type, a value out of range and a file that is not there; or that names
    the file of conf/ which cannot be read.
    """
    layers = override_layers(name, suite, overrides, sweep)
    ours, given = (*layers.chosen, *layers.suite), layers.given
    try:
        config = _compose((*ours, *given))
    except Exception as error:
        raise UserError(_explain(error, name, ours, dict(zip(given, overrides, strict=True)))) from None
    if config.name != name:
        raise UserError(
            f"name={shown(config.name)}: an experiment's name is its file's ({name}); leave the override out"
        )
    check_ranges(config)
    # Folders that are named after it change no result.
    place = [each for each in given if each.startswith("outputs=")]
    standard, dataset = _standards(conf(), (*ours, *place), config.dataset.name)
    config.run = name_run(config, standard, dataset)
    config.suite = Suite(suite.name, [], False)
    # From here on plain dataclasses: OmegaConf's values take milliseconds to copy, and a call may have thousands.
    whole = cast(Experiment, OmegaConf.to_object(cast(DictConfig, config)))
    whole.suite = suite
    return whole


class Layers(NamedTuple):
    """The overrides of a config as Hydra reads them, later ones last: the files it is of, the suite's, the user's."""

    chosen: list[str]
    suite: list[str]
    given: list[str]


def override_layers(name: str, suite: Suite, overrides: Sequence[str], sweep: str) -> Layers:
    """What is laid over conf/config.yaml for an experiment, as `compose_experiment` does.

    Raises UserError for an unknown experiment or sweep, and wrong overrides.
    """
    _require_known("experiment", name)
    if suite.closed and name not in suite.experiments:
        raise UserError(
            f"experiments={name}: not in the suite {suite.name!r}, whose experiments are "
            f"{', '.join(suite.experiments)}; leave out suite={suite.name} or choose one of these"
        )
    chosen = [f"experiment={quoted(name)}"]
    of_suite = [*suite.overrides, *suite.per_experiment.get(name, [])]
    if sweep:
        _require_known("sweep", sweep)
        chosen.append(f"sweep={quoted(sweep)}")
        of_suite += suite.per_sweep.get(sweep, [])
    ours = _of_suite(suite.name, of_suite)
    with composing():
        return Layers(chosen, ours, hydra_overrides(overrides, _groups()))


def _compose(overrides: Sequence[str]) -> Experiment:
    """What Hydra makes of conf/ and the overrides, typed; its references are replaced by what they refer to.

    Hydra chooses the files, once for all configs of the same ones. Values it would set as is done here, by its parser.
    """
    chooses = _choosing(conf())
    config: Experiment = pickle.loads(_chosen(conf(), tuple(text for text in overrides if chooses.match(text))))
    for text in overrides:
        if not chooses.match(text):
            override = parsed(text)
            OmegaConf.update(cast(DictConfig, config), override.key_or_group, override.value(), merge=True)
    return _typed(config)


@functools.cache
def _choosing(conf: Path) -> re.Pattern[str]:
    """What overrides that choose a file of a group begin with."""
    names = (re.escape(path.name) for path in conf.iterdir() if path.is_dir())
    return re.compile(rf"({'|'.join(names)})=(?!{{)")


@functools.lru_cache(1000)
def _chosen(conf: Path, choices: tuple[str, ...]) -> bytes:
    # Pickled: a copy takes a quarter of what OmegaConf takes for one.
    with initialize_config_dir(config_dir=str(conf), version_base="1.3"):
        return pickle.dumps(compose("config", overrides=list(choices)))


@functools.lru_cache(1000)
def parsed(text: str) -> Override:
    return OverridesParser.create().parse_override(text)


def _typed(config: Experiment) -> Experiment:
    values = plain_values(config)
    # Only a value that another one refers to may still be of another type.
    return config if repr(values) == repr(OmegaConf.to_container(cast(DictConfig, config))) else typed(values)


@functools.lru_cache(1000)
def _standards(conf: Path, overrides: tuple[str, ...], dataset: str) -> tuple[Experiment, Experiment | None]:
    """The config without what the user has changed, and the same with the data set of this name in conf/, or None."""
    standard = _compose(overrides)
    if dataset not in known("dataset"):
        return standard, None
    changed = copy.deepcopy(standard)
    changed.dataset = _load(Dataset, conf / "dataset" / f"{dataset}.yaml")
    return standard, _typed(changed)


def _of_suite(name: str, overrides: Sequence[str]) -> list[str]:
    where = f"{_shown_path(conf() / 'suite' / f'{name}.yaml')}: "
    # One by one: a later one may replace what an earlier one has set for all.
    return [each for text in overrides for each in hydra_overrides([text], _groups(), where)]


def _explain(error: Exception, experiment: str, ours: Sequence[str], given: dict[str, str]) -> str:
    """One line that says whose fault it is: an override's, which alone is of the right type, or a file's.

    given: the user's words by how Hydra reads them.
    """
    reason = reason_of(error)
    if given and _composes(ours):
        text = next((given[each] for each in given if not _composes([*ours, each])), " ".join(given.values()))
        return f"override '{shown(text, 120)}': {reason}"
    folder = conf()
    first = [folder / "experiment" / f"{experiment}.yaml", folder / "config.yaml"]
    for file in [*first, *sorted(folder.glob("*/*.yaml"))]:
        if file.parent.name not in ("suite", "experiment") or file.stem == experiment:
            _check_file(file)
    return f"conf/experiment/{experiment}.yaml: {reason}; mend it, or the files that it names"


def _composes(overrides: Sequence[str]) -> bool:
    try:
        _compose(overrides)
    except Exception:
        return False
    return True


def _check_file(file: Path) -> None:
    """Raise UserError unless a file of conf/ can be read and holds values of the schema's types."""
    with composing(_shown_path(file), key_types()):
        values = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        if not isinstance(values, dict):
            raise UserError(f"{_shown_path(file)}: not keys and values; write KEY: VALUE, a line each")
        values.pop("defaults", None)
        group = file.parent.name
        whole = file.parent == conf() or group == "experiment"
        typed(values if whole else {group: values})


def _shown_path(path: Path) -> str:
    return shown(f"conf/{path.relative_to(conf())}", 120)


def _groups() -> dict[str, list[str]]:
    return {path.name: known(path.name) for path in conf().iterdir() if path.is_dir()}


def _require_known(group: str, name: str) -> None:
    names = known(group)
    if name in names and text_problem("name", name) is None:
        return
    if name in names:
        raise UserError(f"conf/{group}/{shown(name)}.yaml: a file's name {text_problem('name', name)}; rename it")
    ways = did_you_mean(name, names) + choose_from(name, names, f"conf/{group}/")
    raise UserError(f"{group}={shown(name)}: no such {group}; {ways}")
