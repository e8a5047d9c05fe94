"""Checks of what a layer is made with: a saved network may be damaged, and numpy would count NaN as a number."""

import itertools
import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

_LONGEST = 40


def natural(label: str, value: Any, *, least: int = 1) -> int:
    """`value` as a whole number of at least `least`; raises ValueError for others."""
    if not _number(value) or value < least or value % 1:
        raise ValueError(f"{label}={_shown(value)}: must be a whole number, at least {least}")
    return int(value)


def increasing(**values: Any) -> tuple[float, ...]:
    """Finite numbers, each larger than the one before; raises ValueError for others."""
    shown = ", ".join(f"{label}={_shown(value)}" for label, value in values.items())
    numbers = [finite(label, value) for label, value in values.items()]
    if any(not first < second for first, second in itertools.pairwise(numbers)):
        raise ValueError(f"{shown}: need {' < '.join(values)}")
    return tuple(numbers)


def finite(label: str, value: Any) -> float:
    """`value` as a finite number; raises ValueError for others."""
    if not _number(value):
        raise ValueError(f"{label}={_shown(value)}: must be a finite number")
    return float(value)


def name(label: str, value: Any) -> str:
    """`value` as a text that is not empty; raises ValueError for others."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{label}={_shown(value)}: must be a name")
    return value


def shape(label: str, value: Any) -> tuple[int, ...]:
    """`value` as the sides of a tensor, at least one, each at least 1; raises ValueError for others."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError(f"{label}={_shown(value)}: must be the sides of a tensor")
    return tuple(natural(label, side) for side in value)


def _number(value: Any) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
