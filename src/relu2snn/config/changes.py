"""What sets a config apart from the one that conf/ gives its experiment in its suite."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from relu2snn.config.compose import compose_experiment, compose_suite
from relu2snn.config.schema import Experiment
from relu2snn.config.slices import stage_slice
from relu2snn.errors import UserError

# What changes a result most comes first; where files stand is told by their digests.
_GROUPS = ("phase2", "phase1", "train", "model", "weights", "dataset")


def changed_values(config: Experiment, stage: str) -> dict[str, str]:
    """The overrides that a user would give, by key and in Hydra's form, among the keys of `stage`'s slice.

    A suite or experiment that is no longer in conf/ has no values to compare with: nothing is changed.
    """
    try:
        standard = compose_experiment(config.name, compose_suite(config.suite.name))
    except UserError:
        return {}
    before = dict(flatten(stage_slice(standard, stage)))
    after = dict(flatten(stage_slice(config, stage)))
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    ordered = [key for group in _GROUPS for key in changed if key.startswith(f"{group}.")]
    return {key: _override(changed[key]) for key in ordered}


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries by their dotted keys; lists are leaves."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _override(value: Any) -> str:
    if isinstance(value, str):
        return value if re.fullmatch(r"[\w./-]+", value) else "'" + value.replace("'", r"\'") + "'"
    return json.dumps(value, separators=(",", ":"))
