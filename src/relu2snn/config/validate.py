"""Range checks: the rules that stand beside the fields of the schema, applied to a composed config."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast, get_args

from omegaconf import DictConfig, ListConfig, OmegaConf

from relu2snn.config.ranges import value_problem
from relu2snn.config.schema import Experiment
from relu2snn.config.texts import plain_path
from relu2snn.config.together import check_together
from relu2snn.errors import UserError, shown


def plain_values(config: Any) -> dict[str, Any]:
    """The values of a typed config, references replaced, in the one form of those that mean the same.

    Paths have no doubled or last slashes, and 0 has no sign.
    """
    values = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    return cast(dict[str, Any], _plain(values, OmegaConf.get_type(config), {}))


def _plain(value: Any, kind: Any, rules: Any) -> Any:
    if isinstance(value, dict) and is_dataclass(kind):
        known = {entry.name: entry for entry in fields(kind)}
        return {key: _plain(each, known[key].type, known[key].metadata) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, (*get_args(kind), None)[0], rules.get("each", {})) for each in value]
    if isinstance(value, float) and value == 0:
        return 0.0
    return plain_path(value) if isinstance(value, str) and rules.get("text") == "path" else value


def check_ranges(config: Any, prefix: str = "", where: str = "", complete: bool = True) -> None:
    """Raise UserError for the first missing value, value out of range or illegal choice, naming its key.

    prefix: the group of `config`, as in "tracking."; where: a message's beginning, for values of a file.
    complete: False for a slice, whose missing values are none of its stage's.
    """
    for entry in fields(cast(type[Any], OmegaConf.get_type(config))):
        key = prefix + entry.name
        if key in ("suite", "run", "expected"):
            # Checked by itself, and made of the values once they are checked.
            continue
        if OmegaConf.is_missing(config, entry.name):
            if complete:
                raise UserError(f"{where}{key}: no value; set it in conf/ or with an override {key}=…")
        elif OmegaConf.get_type(config, entry.name) is dict:
            continue
        elif problem := _problem(key, config[entry.name], entry.metadata, complete):
            raise UserError(where + problem)
    if not prefix and complete and OmegaConf.get_type(config) is Experiment:
        check_together(config)


def _problem(key: str, value: Any, rules: Mapping[str, Any], complete: bool = True) -> str | None:
    if isinstance(value, DictConfig) and is_dataclass(OmegaConf.get_type(value)):
        check_ranges(value, f"{key}.", complete=complete)
        return None
    # OmegaConf takes lists and dictionaries for items of any type.
    if value is not None and isinstance(value, ListConfig) != ("each" in rules):
        return f"{key}={shown(value)}: must be {'a list' if 'each' in rules else 'one value'}"
    if isinstance(value, ListConfig):
        return _list_problem(key, value, rules)
    return None if value is None else value_problem(key, value, rules)


def _list_problem(key: str, values: ListConfig, rules: Mapping[str, Any]) -> str | None:
    shortest, longest = rules.get("shortest", 0), rules.get("longest", math.inf)
    if not shortest <= len(values) <= longest:
        many = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
        return f"{key}={shown(values)}: has {len(values)} entries; give {many}"
    each = rules.get("each", {})
    for number, item in enumerate(values):
        structured = isinstance(item, DictConfig) and is_dataclass(OmegaConf.get_type(item))
        if problem := _problem(f"{key}[{number}]" if structured else key, item, each):
            return problem
    return None
