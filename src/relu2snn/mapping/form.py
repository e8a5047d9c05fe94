"""What a tensor of the user's network is while it is read: an affine form of spike-coded tensors; and activations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.geometry import Shape, Window
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Diagonal

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
