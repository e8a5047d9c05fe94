"""Composition of `conf/` and the user's overrides into one typed, range-checked config per experiment."""

import copy
import difflib
import functools
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from relu2snn.config.schema import Dataset, Experiment, Suite, Tracking, schema_keys
from relu2snn.config.validate import check_ranges
from relu2snn.config.variants import name_run
from relu2snn.errors import UserError

CONF = Path(__file__).resolve().parents[3] / "conf"

# Groups of the config that are made here.
_OURS = ("suite", "run", "expected")
# A plain ValueError is what Hydra raises for a config group that is given a number.
_COMPOSE_ERRORS = (HydraException, OmegaConfBaseException, ValueError)

ConfigStore.instance().store(name="schema", node=Experiment)


def split_names(value: Any) -> list[str]:
    """Names from a command-line value: "a,b", "a b" or a list."""
    if isinstance(value, str):
        return [name for name in re.split(r"[,\s]+", value) if name]
    return [str(name) for name in value or []]


def split_overrides(value: Any) -> list[str]:
    """Hydra overrides from one string, split at blanks outside quotes and brackets."""
    if not isinstance(value, str):
        return [str(item) for item in value or []]
    # shlex keeps quoted parts whole; a bracketed list may hold blanks, so those are closed up first.
    closed = re.sub(r"\[[^\]]*\]", lambda match: match.group().replace(" ", ""), value)
    try:
        return shlex.split(closed)
    except ValueError as error:
        raise UserError(f"overrides={value!r}: {error}; quote each override once, as in phase2.zeta=0.3") from None


def known(group: str) -> list[str]:
    """The names of a config group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def compose_suite(name: str) -> Suite:
    """The suite called `name`.

    Raises UserError when there is none or its file is wrong.
    """
    _require_known("suite", name)
    suite = cast(Suite, _load(Suite, CONF / "suite" / f"{name}.yaml"))
    for experiment, variants in suite.variants.items():
        where = f"{name}.yaml: variants.{experiment}"
        if experiment not in known("experiment"):
            raise UserError(f"{where}: no such experiment; choose from {', '.join(known('experiment'))}")
        for variant in variants:
            wrong = next((text for text in variant if text.startswith(("outputs=", "sweep."))), None)
            if wrong or not variant:
                raise UserError(f"{where}: {wrong or '[]'} makes no run of its own; give values of the experiment")
    return suite


def compose_tracking() -> Tracking:
    """Where runs are logged unless an override says otherwise: conf/tracking/mlflow.yaml.

    Raises UserError when the file is wrong.
    """
    return cast(Tracking, _load(Tracking, CONF / "tracking" / "mlflow.yaml"))


def _load(schema: type, path: Path) -> Any:
    try:
        return OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.load(path))
    except OmegaConfBaseException as error:
        raise UserError(f"{path.name}: {_first_line(error)}") from None


def compose_experiment(name: str, suite: Suite, overrides: Sequence[str] = (), sweep: str = "") -> Experiment:
    """The config of one experiment: its file, the sweep if one is named, the suite's overrides, then the user's.

    Its `run` says what the user's overrides have changed, and names the folders of its files.

    Raises UserError, one line that names the key, for an unknown experiment, an experiment that a closed
    suite does not list, an unknown key, a wrong type, a value out of range and a file that is not there.
    """
    _require_known("experiment", name)
    if suite.closed and name not in suite.experiments:
        raise UserError(
            f"experiments={name}: not in the suite {suite.name!r}, whose experiments are "
            f"{', '.join(suite.experiments)}; leave out suite={suite.name} or choose one of these"
        )
    _check_overrides(overrides)
    ours = [f"experiment={name}", *suite.overrides, *suite.per_experiment.get(name, [])]
    if sweep:
        _require_known("sweep", sweep)
        ours += [f"sweep={sweep}", *suite.per_sweep.get(sweep, [])]
    config = _composed(tuple(ours), tuple(overrides))
    if config.name != name:
        raise UserError(f"name={config.name}: an experiment's name is its file's ({name}); leave the override out")
    config.suite = suite
    standard = _composed(tuple(ours), ()) if overrides else copy.deepcopy(config)
    # Folders that are named after it change no result.
    standard.outputs = config.outputs
    check_ranges(config)
    config.run = name_run(config, standard, _with_dataset(standard, config.dataset.name))
    return config


def _composed(ours: tuple[str, ...], overrides: tuple[str, ...]) -> Experiment:
    """What Hydra makes of conf/ and the overrides, as a copy to be changed."""
    return copy.deepcopy(_compose(ours, overrides))


@functools.cache
def _compose(ours: tuple[str, ...], overrides: tuple[str, ...]) -> Experiment:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        try:
            return cast(Experiment, compose("config", overrides=[*ours, *overrides]))
        except _COMPOSE_ERRORS as error:
            raise UserError(_explain(error, ours, overrides)) from None


def _with_dataset(standard: Experiment, name: str) -> Experiment | None:
    """`standard` with the data set of this name in conf/, or None."""
    path = CONF / "dataset" / f"{name}.yaml"
    if name not in known("dataset"):
        return None
    changed = copy.deepcopy(standard)
    changed.dataset = _load(Dataset, path)
    return changed


def _require_known(group: str, name: str) -> None:
    names = known(group)
    if name in names:
        return
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise UserError(f"{group}={name}: no such {group}; {hint}choose from {', '.join(names)}")


def _check_overrides(overrides: Sequence[str]) -> None:
    """Refuse what Hydra would take for a sweep, a new key or a deletion: none of them means anything here."""
    parser = OverridesParser.create()
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException:
            raise UserError(f"override {text!r}: not of the form key=value, as in phase2.zeta=0.3") from None
        if override.is_sweep_override() or override.is_add() or override.is_delete():
            raise UserError(f"override {text!r}: give one value, key=value, without '+', '~' or a list of choices")
        if override.key_or_group.partition(".")[0] in _OURS:
            raise UserError(f"override {text!r}: no such key {override.key_or_group!r}")
        if override.key_or_group == "experiment":
            raise UserError(f"override {text!r}: name experiments with experiments=…, not among the overrides")
        if override.key_or_group == "sweep":
            raise UserError(f"override {text!r}: name sweeps with sweep=…, not among the overrides")


def _explain(error: Exception, ours: Sequence[str], overrides: Sequence[str]) -> str:
    """One line for Hydra's several: the override at fault and the reason; needs Hydra initialised."""
    for text in overrides:
        try:
            compose("config", overrides=[*ours, text])
        except _COMPOSE_ERRORS as single:
            return f"override {text!r}: {_reason(single, text)}"
    return f"configuration: {_reason(error, '')}"


def _reason(error: Exception, override: str) -> str:
    key, _, value = override.partition("=")
    keys = _all_keys()
    if override and key not in keys:
        close = difflib.get_close_matches(key, keys, n=1)
        return f"no such key {key!r}" + (f"; did you mean {close[0]!r}?" if close else "")
    if known(key) and not value.startswith("{"):
        return f"no such {key}; choose from {', '.join(known(key))}"
    return _first_line(error.__cause__ or error)


def _all_keys() -> list[str]:
    return [key for key in schema_keys(Experiment) if key.partition(".")[0] not in _OURS]


def _first_line(text: object) -> str:
    return str(text).strip().splitlines()[0]
