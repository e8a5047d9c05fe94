"""Numbers of Keras' layers: weights as they take part in what a layer computes, and windows with explicit margins."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from relu2snn.graph.geometry import Shape, Window, same_margins
from relu2snn.graph.nodes import Array
from relu2snn.mapping.unsupported import refuse


def values(layer: Any, name: str, *, of: Any = None) -> Array:
    """A weight of `layer`, which stands in the user's layer `of`; LoRA's part of a kernel is in it.

    Raises UnsupportedLayerError where it is not finite.
    """
    found = np.asarray(keras.ops.convert_to_numpy(getattr(layer, name)), np.float64)
    if not np.isfinite(found).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0])
        reason = f"weight {name!r} is {found[place]} at {place}"
        raise refuse(layer if of is None else of, reason, "every weight must be a finite number")
    return found


def bias(layer: Any) -> Array:
    """(filters,), or () where there is none."""
    return values(layer, "bias") if layer.use_bias else np.zeros(())


def per_axis(value: Any, rank: int) -> Shape:
    """A number or a tuple as a tuple of `rank`."""
    return tuple(value) if isinstance(value, list | tuple) else (int(value),) * rank


def window_of(layer: Any, sizes: Sequence[int], shape: Shape) -> Window:
    """The window of a convolution or a pool of `sizes` over inputs of `shape`, without the batch."""
    rank = len(sizes)
    strides, dilation = per_axis(layer.strides, rank), per_axis(getattr(layer, "dilation_rate", 1), rank)
    window = Window.of(sizes, strides=strides, dilation=dilation)
    match layer.padding:
        case "same":
            margins = same_margins(shape[:-1], window)
        case "causal":
            margins = ((window.extents[0] - 1, 0),)
        case _:
            return window
    return Window.of(sizes, strides=strides, dilation=dilation, margins=margins)
