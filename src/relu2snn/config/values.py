"""The values of a config by their dotted keys: of a whole one, which is plain dataclasses, and of a stage's slice.

A slice is a config of OmegaConf's, in which what the stage may not read is missing.
"""

import dataclasses
import functools
from typing import Any

from omegaconf import DictConfig, OmegaConf


def value_of(config: Any, key: str) -> Any:
    """The value, or the group of values, at a dotted key.

    Raises OmegaConf's MissingMandatoryValue for one that a slice has not.
    """
    return functools.reduce(_entry, key.split("."), config)


def _entry(group: Any, name: str) -> Any:
    # As an attribute of OmegaConf's groups, some names are methods.
    return group[name] if isinstance(group, DictConfig) else getattr(group, name)


def plain(value: Any) -> Any:
    """A value or a group as dictionaries, lists, texts and numbers; the caller may change them."""
    # Asked first: most values are leaves, of which a large call has millions.
    if value is None or isinstance(value, str | float | int):
        return value
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value
