"""Where each value of a configuration comes from: a file of `conf/`, the suite's overrides, the command line."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra import compose, initialize_config_dir

from relu2snn.config.compose import compose_experiment, composing, conf, override_layers, parsed
from relu2snn.config.overrides import key_types
from relu2snn.config.schema import Suite
from relu2snn.config.values import plain, value_of

COMMAND_LINE = "command line"
DEFAULT = "default"
"""Of a value that no file of conf/ sets: null, or a list of nothing, unless the schema says otherwise."""
_WHOLE = "conf/config.yaml"


class Sourced(NamedTuple):
    """A key, or a group, its value or the file that is chosen for it, and where that is said."""

    key: str
    value: Any
    source: str


def sourced(
    name: str, suite: Suite, overrides: Sequence[str] = (), sweep: str = ""
) -> tuple[list[Sourced], list[Sourced]]:
    """The file chosen for each group of an experiment's configuration, and every value of it by dotted key.

    Raises UserError as `compose_experiment` does.
    """
    config = compose_experiment(name, suite, overrides, sweep)
    layers = override_layers(name, suite, overrides, sweep)
    laid = [
        (COMMAND_LINE, layers.chosen),
        (_shown("suite", suite.name), layers.suite),
        (COMMAND_LINE, layers.given),
    ]
    with composing(), initialize_config_dir(config_dir=str(conf()), version_base="1.3"):
        texts = [text for _, each in laid for text in each if _chooses(text)]
        choices = dict(compose("config", overrides=texts, return_hydra_config=True).hydra.runtime.choices)
    files = {group: choices[group] for group in _groups() if group in choices and group != "experiment"}
    experiment = _shown("experiment", name)
    found = dict.fromkeys(_leaves(), DEFAULT)
    for group, chosen in files.items():
        found |= dict.fromkeys(_set_by(conf() / group / f"{chosen}.yaml", f"{group}."), _shown(group, chosen))
    found |= dict.fromkeys(_set_by(conf() / "config.yaml"), _WHOLE)
    found |= dict.fromkeys(_set_by(conf() / "experiment" / f"{name}.yaml"), experiment)
    for source, texts in laid:
        for text in texts:
            found |= dict.fromkeys(() if _chooses(text) else _set_to(text), source)
    chosen_by = dict.fromkeys(files, _WHOLE) | dict.fromkeys(_overridden(name), experiment)
    chosen_by |= {text.partition("=")[0]: source for source, texts in laid for text in texts if _chooses(text)}
    return (
        [Sourced(group, chosen, chosen_by[group]) for group, chosen in files.items()],
        [Sourced(key, plain(value_of(config, key)), source) for key, source in found.items()],
    )


def _groups() -> list[str]:
    """The groups of conf/ whose files an experiment is made of, in the order of the schema."""
    folders = {path.name for path in conf().iterdir() if path.is_dir()}
    return [key for key in key_types() if key in folders]


def _chooses(text: str) -> bool:
    """Whether an override as Hydra reads it names a file of a group."""
    group, _, value = text.partition("=")
    return (group in _groups() or group == "experiment") and not value.startswith("{")


def _leaves() -> list[str]:
    """The keys that have values, in the order of the schema; a dictionary of any names is one. The name is chosen."""
    return [key for key, kind in key_types().items() if not is_dataclass(kind) and key != "name"]


def _set_by(file: Path, prefix: str = "") -> Iterator[str]:
    """The keys of values that a file of conf/ sets."""
    with composing(str(file)):
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        return _keys_in(values, prefix)


def _set_to(text: str) -> Iterator[str]:
    """The keys that an override of values, or of the values of a group, sets."""
    override = parsed(text)
    value = override.value()
    return _keys_in(value, f"{override.key_or_group}.") if isinstance(value, Mapping) else iter([override.key_or_group])


def _keys_in(values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    return (key for key, _ in leaves_in(values, prefix))


def leaves_in(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values in nested dictionaries of a file of conf/ by dotted key, as `flatten` has them, but those of a
    dictionary of any names, such as digests, as one."""
    leaves = set(_leaves())
    for key, value in values.items():
        whole = prefix + key
        if isinstance(value, Mapping) and whole not in leaves:
            yield from leaves_in(value, f"{whole}.")
        elif whole in leaves:
            yield whole, value


def _overridden(name: str) -> list[str]:
    """The groups whose files an experiment's own file names."""
    with composing(_shown("experiment", name)):
        values = yaml.safe_load((conf() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8"))
    named = (key for each in values.get("defaults", []) if isinstance(each, dict) for key in each)
    return [match[1] for key in named if (match := re.fullmatch(r"override\s+/?(\w+)", key))]


def _shown(group: str, name: str) -> str:
    return f"conf/{group}/{name}.yaml"
