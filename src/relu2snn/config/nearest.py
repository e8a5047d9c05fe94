"""What a user may have meant by a name that there is not: all names where they are few, else the nearest."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from relu2snn.errors import printable

# As many names as a line may list.
_FEW = 20
_NEAREST = 5
_LONGEST = 100
# How alike the last words of two keys must be where nothing else of them is.
_ALIKE = 0.75
_EVERYWHERE = "docs/config.md has all keys"


def choose_from(name: str, names: Collection[str], where: str) -> str:
    """The way out of a wrong name: "choose from a, b, c", or the nearest and `where` the others are."""
    if len(names) <= _FEW:
        return printable(f"choose from {', '.join(names)}")
    near = difflib.get_close_matches(name[:_LONGEST], names, n=_NEAREST, cutoff=0.3)
    nearest = f"choose from {', '.join(near)} and the others" if near else f"choose one of the {len(names)}"
    return printable(f"{nearest} in {where}")


def did_you_mean(name: str, names: Collection[str]) -> str:
    """ "did you mean mnist_fc? " with the nearest of the names; empty where none is near."""
    near = difflib.get_close_matches(name[:_LONGEST], names, n=1)
    return f"did you mean {near[0]}? " if near else ""


def key_hint(key: str, types: Mapping[str, Any]) -> str:
    """The way out of a wrong key: "; did you mean 'phase2.zeta'?", what its group has, or where all keys are listed.

    types: the type of each key, groups included.
    """
    near = _near_keys(key, types)
    if near:
        *others, last = (f"'{each}'" for each in near)
        return f"; did you mean {', '.join(others)}{' or ' if others else ''}{last}?"
    kind = types.get(key.rpartition(".")[0])
    if is_dataclass(kind):
        return f"; {key.rpartition('.')[0] or 'it'} has {', '.join(entry.name for entry in fields(kind))}"
    return f"; {_EVERYWHERE}"


def _near_keys(key: str, types: Mapping[str, Any]) -> list[str]:
    group, _, last = key.rpartition(".")
    last = last[:_LONGEST]
    ends: dict[str, list[str]] = {}
    for each in types:
        ends.setdefault(each.rpartition(".")[2], []).append(each)
    # "zeta" alone, or in the wrong group.
    if last in ends and len(ends[last]) <= _NEAREST:
        return ends[last]
    kind = types.get(group)
    if is_dataclass(kind) and group:
        names = (entry.name for entry in fields(kind))
        return [f"{group}.{name}" for name in difflib.get_close_matches(last, list(names), n=1)]
    whole = difflib.get_close_matches(key[:_LONGEST], types, n=1)
    return whole or [each for end in difflib.get_close_matches(last, ends, n=1, cutoff=_ALIKE) for each in ends[end]]
