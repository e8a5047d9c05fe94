"""Linear maps and pools in plain numpy: for properties over random graphs, constants, and machines without TensorFlow.

Everything goes through tables of receptive fields, which is plain rather than quick.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.geometry import Indices, Margin, Shape, Window, receptive_fields

Array = NDArray[np.float64]


class NumpyOps:
    """The operations of `relu2snn.graph.linear.Ops` on float64 arrays (batch, *shape)."""

    def constant(self, values: Array) -> Array:
        return np.asarray(values, np.float64)

    def matmul(self, x: Array, kernel: Array) -> Array:
        return np.asarray(x @ kernel)

    def conv(self, x: Array, kernel: Array, window: Window, groups: int) -> Array:
        columns = under_windows(x, window, 0.0)
        batch, places, taps, channels = columns.shape
        filters = kernel.shape[-1]
        if groups == 1:
            found: Array = columns.reshape(batch, places, -1) @ kernel.reshape(-1, filters)
        else:
            grouped = columns.reshape(batch, places, taps, groups, channels // groups)
            kernels = kernel.reshape(taps, channels // groups, groups, filters // groups)
            found = np.einsum("bptgc,tcgf->bpgf", grouped, kernels, optimize=True)
        return np.asarray(found.reshape(batch, *window.outputs(x.shape[1:-1]), filters))

    def reshape(self, x: Array, shape: Shape) -> Array:
        return np.asarray(x.reshape(len(x), *shape))

    def take(self, x: Array, index: Indices, shape: Shape) -> Array:
        flat = np.concatenate([x.reshape(len(x), -1), np.zeros((len(x), 1))], axis=1)
        return np.asarray(flat[:, index].reshape(len(x), *shape))

    def shift(self, x: Array, margins: tuple[Margin, ...]) -> Array:
        kept = (
            slice(max(-before, 0), side - max(-after, 0))
            for side, (before, after) in zip(x.shape[1:], margins, strict=True)
        )
        widths = [(max(before, 0), max(after, 0)) for before, after in margins]
        return np.pad(x[(slice(None), *kept)], [(0, 0), *widths])

    def extremum(self, x: Array, window: Window, minimum: Any) -> Array:
        """The largest under each place of a window, the smallest in channels where `minimum`; margins never win."""
        sign = np.where(minimum, -1.0, 1.0)
        largest: Array = under_windows(x * sign, window, -np.inf).max(axis=2)
        return np.asarray((largest * sign).reshape(len(x), *window.outputs(x.shape[1:-1]), x.shape[-1]))


def under_windows(x: Array, window: Window, fill: float) -> Array:
    """The cells of x (batch, *sides, channels) under each place: (batch, places, taps, channels), `fill` for none."""
    fields = _fields(tuple(x.shape[1:-1]), window)
    cells = np.concatenate([x.reshape(len(x), -1, x.shape[-1]), np.full((len(x), 1, x.shape[-1]), fill)], axis=1)
    return np.asarray(cells[:, fields])


@lru_cache(maxsize=64)
def _fields(sides: Shape, window: Window) -> Indices:
    return receptive_fields(sides, window)
