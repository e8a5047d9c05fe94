"""The range of an input's values, [low, high], given once, by channel, or by the inputs' names."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from relu2snn.graph.geometry import Shape
from relu2snn.graph.nodes import Array


class Range(NamedTuple):
    """low < high, both finite; each () or (channels,)."""

    low: Array
    high: Array


def input_ranges(shapes: Mapping[str, Shape], low: Any, high: Any) -> dict[str, Range]:
    """The range of each input, by name; shapes are without the batch.

    low and high: a number, or one for each channel, or a dictionary of these by the inputs' names.
    Raises ValueError for a range that is empty, not finite, not numbers, or of other channels or inputs.
    """
    for word, value in (("low", low), ("high", high)):
        if isinstance(value, Mapping) and set(value) != set(shapes):
            raise ValueError(f"{word} is given for the inputs {_names(value)}; the network has {_names(shapes)}")
    found = {}
    for name, shape in shapes.items():
        where = f" of input {name!r}" if len(shapes) > 1 else ""
        bottom, top = (_limit(word, value, name, shape) for word, value in (("low", low), ("high", high)))
        with np.errstate(over="ignore"):
            # The width is what images are divided by.
            if not (np.less(bottom, top) & np.isfinite(top - bottom)).all():
                raise ValueError(
                    f"input range [{_shown(bottom)}, {_shown(top)}]{where}: low must be less than high, and both finite"
                )
        found[name] = Range(bottom, top)
    return found


def _limit(word: str, value: Any, name: str, shape: Shape) -> Array:
    value = value[name] if isinstance(value, Mapping) else value
    where = f"{word}={value!r} of input {name!r}"
    try:
        limit = np.asarray(value)
    except ValueError:
        raise ValueError(f"{where}: must be a number, or one for each channel") from None
    if not np.can_cast(limit.dtype, np.float64, "same_kind") or limit.dtype == bool:
        raise ValueError(f"{where}: must be a number, or one for each channel")
    if limit.ndim and limit.shape != (1,) * (limit.ndim - 1) + tuple(shape[-1:]):
        raise ValueError(
            f"{word} of shape {limit.shape} for input {name!r}: must be a number, or one for each of its {shape[-1]} "
            "channels"
        )
    return limit.reshape(limit.shape[-1:]).astype(np.float64)


def _shown(limit: Array) -> str:
    return str(limit.tolist())


def _names(names: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, names)) or "none"
