"""Checks of what a layer is made with: a saved network may be damaged, and numpy would count NaN as a number."""

import itertools
import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

_LONGEST = 40


def natural(name: str, value: Any) -> int:
    """`value` as a whole number of at least 1; raises ValueError for others."""
    if not _number(value) or value < 1 or value % 1:
        raise ValueError(f"{name}={_shown(value)}: must be a whole number, at least 1")
    return int(value)


def pair(name: str, value: Any) -> tuple[int, int]:
    """`value` as two whole numbers of at least 1, for rows and columns; raises ValueError for others."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ValueError(f"{name}={_shown(value)}: must be two whole numbers, rows and columns")
    return natural(f"{name}[0]", value[0]), natural(f"{name}[1]", value[1])


def increasing(**values: Any) -> tuple[float, ...]:
    """Finite numbers, each larger than the one before; raises ValueError for others."""
    shown = ", ".join(f"{name}={_shown(value)}" for name, value in values.items())
    numbers = [finite(name, value) for name, value in values.items()]
    if any(not first < second for first, second in itertools.pairwise(numbers)):
        raise ValueError(f"{shown}: need {' < '.join(values)}")
    return tuple(numbers)


def finite(name: str, value: Any) -> float:
    """`value` as a finite number; raises ValueError for others."""
    if not _number(value):
        raise ValueError(f"{name}={_shown(value)}: must be a finite number")
    return float(value)


def padding(value: Any) -> str:
    """ "valid" or "same"; raises ValueError for others."""
    if value not in ("valid", "same"):
        raise ValueError(f"padding={_shown(value)}: must be valid or same")
    return str(value)


def outputs(shape: Any, rank: int) -> tuple[Any, ...]:
    """A shape of `rank` sides, the first of them the batch, all others known and at least 1; raises ValueError."""
    if len(shape) != rank or any(side is None or side < 1 for side in shape[1:]):
        raise ValueError(f"a layer of the shape {tuple(shape)}: needs {rank - 1} sides, at least 1, beside the batch")
    return tuple(shape)


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
