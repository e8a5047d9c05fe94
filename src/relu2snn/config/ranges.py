"""What one value may be: the rule beside its field in `schema`, as a check and in words."""

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin

from relu2snn.config.texts import KINDS, text_problem
from relu2snn.errors import shown

BOUNDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "gt": ("greater than", lambda value, bound: value > bound),
    "ge": ("at least", lambda value, bound: value >= bound),
    "lt": ("less than", lambda value, bound: value < bound),
    "le": ("at most", lambda value, bound: value <= bound),
}
# From here on digits are hard to count.
_MANY = 100_000


def value_problem(key: str, value: Any, rules: Mapping[str, Any]) -> str | None:
    """What is wrong with one value, no list and no group, in a line that begins "key=value: "; None if nothing is."""
    given = f"{key}={shown(value)}"
    if (choices := rules.get("choices")) and value not in choices:
        return f"{given}: must be one of {', '.join(choices)}"
    if isinstance(value, str):
        problem = text_problem(rules["text"], value) if "text" in rules else None
        return f"{given}: {problem}" if problem else None
    if not isinstance(value, int | float):
        return f"{given}: must be one value"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{given}: must be a finite number"
    broken = [
        f"{words} {rules[name]}"
        for name, (words, holds) in BOUNDS.items()
        if name in rules and not holds(value, rules[name])
    ]
    return f"{given}: must be {' and '.join(broken)}" if broken else None


def legal(kind: Any, rules: Mapping[str, Any]) -> str:
    """What a value of this type may be under the rules of its field.

    Example:
        legal(int, {"ge": 1, "le": 100})     # "a whole number, 1 to 100"
        legal(str | None, {"text": "path"})  # "a path, or null"
    """
    if isinstance(kind, types.UnionType):
        (kind,) = (each for each in get_args(kind) if each is not types.NoneType)
        return f"{legal(kind, rules)}, or null"
    if get_origin(kind) is list:
        return f"a list of {_items(get_args(kind)[0], rules)}"
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        return "a text by name" if inner is str else f"{_many(inner, {})} by name"
    if kind is bool:
        return "true or false"
    if choices := rules.get("choices"):
        return f"one of {', '.join(choices)}"
    if kind is str:
        return KINDS[rules["text"]].one
    return f"{'a whole number' if kind is int else 'a number'}{_range(rules)}"


def _items(kind: Any, rules: Mapping[str, Any]) -> str:
    """How many items a list may have, and what they may be."""
    shortest, longest, each = rules.get("shortest", 0), rules.get("longest"), rules.get("each", {})
    many = "" if longest is None else f"{longest} " if shortest == longest else f"{shortest or 'up'} to {longest} "
    return f"{many}{_many(kind, each)}"


def _many(kind: Any, rules: Mapping[str, Any]) -> str:
    if get_origin(kind) is list:
        return f"lists of {_items(get_args(kind)[0], rules)}"
    if is_dataclass(kind):
        return f"groups of {', '.join(entry.name for entry in fields(kind))}"
    if choices := rules.get("choices"):
        return f"of {', '.join(choices)}"
    if kind is str:
        return KINDS[rules.get("text", "words")].many
    return f"{'whole numbers' if kind is int else 'numbers'}{_range(rules)}"


def _range(rules: Mapping[str, Any]) -> str:
    if "ge" in rules and "le" in rules:
        return f", {number_words(rules['ge'])} to {number_words(rules['le'])}"
    words = [f"{BOUNDS[name][0]} {number_words(rules[name])}" for name in BOUNDS if name in rules]
    return f", {' and '.join(words)}" if words else ""


def number_words(value: float) -> str:
    """A number as people write it: 4,294,967,295, 0.001, 1e15."""
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= _MANY else str(value)
    return f"{value:g}".replace("e+", "e").replace("e-0", "e-").replace("e0", "e")
