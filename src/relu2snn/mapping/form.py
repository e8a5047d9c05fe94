"""What a tensor of the user's network is while it is read: an affine form of spike-coded tensors; and activations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.geometry import Shape, Window
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Chain, Diagonal, Shift

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
_OPS = NumpyOps()


class Term(NamedTuple):
    """coefficient · ReLU(sign z + offset): what a piecewise-linear activation is a sum of."""

    coefficient: Array
    sign: int = 1
    offset: float = 0.0


RELU = (Term(np.ones(())),)


@dataclass(frozen=True)
class Pool:
    """An extremum that is still to be taken of a form: `shape` is what it gives."""

    window: Window
    minimum: Flags
    shape: Shape


@dataclass(frozen=True)
class Form:
    """u = Σ_s L_s x_s + bias, and perhaps a pool of it; `label` is the user's layer that its neurons are named after.

    bias () or (channels,) or of the shape before the pool.
    """

    inner: Shape
    maps: Mapping[str, LinearMap]
    bias: Array
    label: str
    pool: Pool | None = None

    @property
    def shape(self) -> Shape:
        """Without the batch."""
        return self.pool.shape if self.pool else self.inner


def is_relu(terms: Sequence[Term]) -> bool:
    return len(terms) == 1 and bool(np.all(terms[0].coefficient == 1)) and terms[0][1:] == (1, 0.0)


def never_negative(form: Form) -> bool:
    return bool((form.bias >= 0).all()) and all(each.is_nonnegative() for each in form.maps.values())


def without_padding(form: Form, window: Window) -> tuple[Form, Window]:
    """A padded form that is never negative, and the window of a max pool of it: its zeros as the pool's own margins.

    They change no maximum, and without them the pool is one of neurons, which need no relays.
    """
    if form.pool or form.bias.any() or len(form.maps) != 1 or max(window.dilation, default=1) > 1:
        return form, window
    ((name, map_),) = form.maps.items()
    shift, factors = map_, np.ones(1)
    if isinstance(map_, Chain) and isinstance(map_.second, Diagonal):
        shift, factors = map_.first, map_.second.factors
    if not isinstance(shift, Shift) or factors.ndim > 1 or (factors < 0).any() or any(shift.margins[-1]):
        return form, window
    margins = tuple((a + c, b + d) for (a, b), (c, d) in zip(shift.margins[:-1], window.margins, strict=True))
    if any(min(pair) < 0 for pair in shift.margins) or any(
        max(pair) >= size for pair, size in zip(margins, window.sizes, strict=True)
    ):
        return form, window
    bare = replace(form, inner=shift.inputs, maps={name: Diagonal(shift.inputs, factors)}, bias=np.zeros(()))
    return bare, replace(window, margins=margins)


def applied(map_: LinearMap, bias: Array, shape: Shape) -> Array:
    if isinstance(map_, Diagonal):
        return np.asarray(bias * map_.factors)
    result: Array = map_.apply(np.broadcast_to(bias, shape)[None], _OPS)[0]
    return result


def shared_bias(bias: Array, shape: Shape) -> Array:
    """A bias (channels,) where it is the same at every position, else a map."""
    if bias.ndim < 2:
        return np.broadcast_to(bias, shape[-1:])
    rows = np.broadcast_to(bias, shape).reshape(-1, shape[-1])
    return rows[0] if (rows == rows[0]).all() else rows.reshape(shape)
