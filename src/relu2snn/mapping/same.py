"""Whether a spiking network is that of a ReLU network: its weights are the folded ones, up to a scale per neuron.

Each neuron stands for one ReLU. From J and ϑ come back the weights Ŵ_ij = J_ij / (1 + Σ_j J_ij) and the bias b̂_i.
With W, b the folded ReLU network's and factors f > 0, one for each neuron (channel), it must hold that

    Ŵ_ij = f_i W_ij / f_j,   b̂_i = f_i b_i,   f = 1 for the input and the output:

the ReLU is positively homogeneous, so that then, and for all inputs, the neuron's ReLU is f_i times the original's.
This says which ReLU a neuron computes also where it is silent for every image at hand. Neurons in another order are
another network.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from relu2snn.mapping.network import (
    Array,
    Conv2D,
    Dense,
    Flatten,
    Input,
    Network,
    Node,
    Pool,
    ReLU,
    UnitRange,
    Weighted,
)
from relu2snn.spiking.layers import PotentialReadout, SpikeEncoder, SpikingConv2D, SpikingDense
from relu2snn.spiking.network import chain
from relu2snn.spiking.pooling import ExtremumPooling2D
from relu2snn.spiking.rounding import Rounding

_SAMPLE = 1025
"""Weights of a unit, at most, that say how it is scaled: an odd number, whose median is one of them."""
_CHUNK = 2**22
"""Weights that are compared at once: the largest layers have a hundred million."""


def difference(network: Network, spiking: keras.Model) -> str | None:
    """The first thing in which a spiking network is not that of a folded Network, in words; None if it is.

    Weights may differ by what rounding can do to them in the precision of the spiking network.
    """
    nodes = [node for node in network if not isinstance(node, Input | ReLU)]
    layers, hidden = chain(spiking), {node.name for node in network.hidden()}
    if [_kind(node, hidden) for node in nodes] != [type(layer) for layer in layers]:
        return (
            f"its layers {_names(layers)} are not those that the ReLU network's would become: "
            f"{', '.join(_kind(node, hidden).__name__ for node in nodes)}"
        )
    factors: Array = np.ones(nodes[0].shape[-1])
    error = 0.0
    for node, layer in zip(nodes, layers, strict=True):
        match node:
            case Flatten():
                shape = network.nodes[node.inputs[0]].shape
                factors = np.broadcast_to(factors, shape).ravel()
            case UnitRange() | Pool() | Conv2D() | Dense():
                if (text := _settings(node, layer)) is not None:
                    return text
        if isinstance(node, Dense | Conv2D):
            found = _Recovered(node, layer, error)
            error = found.error.max()
            factors_before, factors = factors, np.ones(node.shape[-1])
            if isinstance(layer, SpikingDense | SpikingConv2D):
                factors = found.factors(factors_before)
            if (text := found.differs(factors_before, factors)) is not None:
                return text
    return None


def _kind(node: Node, hidden: set[str]) -> type:
    if isinstance(node, Dense) and node.name not in hidden:
        return PotentialReadout
    kinds: dict[type, type] = {
        UnitRange: SpikeEncoder,
        Dense: SpikingDense,
        Conv2D: SpikingConv2D,
        Pool: ExtremumPooling2D,
        Flatten: keras.layers.Flatten,
    }
    return kinds[type(node)]


def _names(layers: list[Any]) -> str:
    return ", ".join(f"{layer.name!r} ({type(layer).__name__})" for layer in layers)


def _settings(node: Any, layer: Any) -> str | None:
    """What differs of the values that are not weights."""
    pairs: dict[str, tuple[Any, Any]]
    match node:
        case UnitRange():
            pairs = {"low": (node.low, layer.low), "high": (node.high, layer.high)}
        case Pool():
            pairs = {
                "pool_size": (tuple(node.size), tuple(layer.pool_size)),
                "strides": (tuple(node.strides), tuple(layer.strides)),
                "padding": (node.padding, layer.padding),
                "minimum": (node.minimum.tolist(), list(layer.minimum)),
            }
        case Conv2D():
            pairs = {
                "kernel": (node.kernel.shape, tuple(layer.kernel.shape)),
                "strides": (tuple(node.strides), tuple(layer.strides)),
                "padding": (node.padding, layer.padding),
                "dilation": (tuple(node.dilation), tuple(layer.dilation)),
            }
        case _:
            pairs = {"kernel": (node.kernel.shape, tuple(layer.kernel.shape))}
    for name, (expected, found) in pairs.items():
        if expected != found:
            return f"layer {layer.name!r}: {name} is {found}, and {expected} in the ReLU network"
    return None


class _Recovered:
    """The weights that a layer of the spiking network stands for, beside those of its node."""

    def __init__(self, node: Weighted, layer: Any, error: float) -> None:
        self.node, self.layer = node, layer
        self.units = node.shape[-1]
        kernel = np.asarray(layer.kernel).reshape(-1, self.units)
        unit = 2.0**-53 if layer.compute_dtype == "float64" else 2.0**-24
        self.kernel, self.gain = kernel, np.ones(self.units)
        self.size = sum((np.abs(part).sum(axis=0) for _, part in self.chunks(kernel)), np.zeros(self.units))
        if isinstance(layer, PotentialReadout):
            self.bias = np.asarray(layer.drive, np.float64) * (layer.t_min - layer.t_start)
            self.bias_error = 4 * unit * np.abs(self.bias)
        else:
            total = sum((part.sum(axis=0) for _, part in self.chunks(kernel)), np.zeros(self.units))
            self.gain = np.where(1 + total > 0, 1 / (1 + total), np.inf)
            rounding = Rounding.of_layer(layer, self.size, total)
            self.bias, self.bias_error = rounding.bias, 2 * rounding.fixed
            self.size = self.gain * self.size
        # The factors of the inputs bring the rounding of the layer before.
        self.error = error + 32 * (unit + len(kernel) * 2.0**-53) * (1 + self.size)

    def chunks(self, matrix: Array) -> Iterator[tuple[slice, Array]]:
        """Rows (inputs, units) of a matrix in float64, some at a time."""
        rows = max(_CHUNK // self.units, 1)
        for start in range(0, len(matrix), rows):
            yield slice(start, start + rows), np.asarray(matrix[start : start + rows], np.float64)

    def expected(self, before: Array) -> Iterator[tuple[slice, Array]]:
        """The node's weights for inputs that are `before` times as large, as `chunks`."""
        matrix = self.node.kernel.reshape(-1, self.units)
        inputs = np.tile(before, len(matrix) // before.size)
        for rows, part in self.chunks(matrix):
            yield rows, part / inputs[rows, None]

    def factors(self, before: Array) -> Array:
        """f of each unit: how much larger most of its weights are; where it has none, its bias, which is then all."""
        matrix = self.node.kernel.reshape(-1, self.units)
        rows = np.unique(np.linspace(0, len(matrix) - 1, _SAMPLE).astype(int))
        inputs = np.tile(before, len(matrix) // before.size)
        biases = [np.abs(each).reshape(-1, self.units).max(axis=0) for each in (self.bias, self.node.bias)]
        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            # Of a column without weights the median is NaN, with a warning.
            warnings.simplefilter("ignore", RuntimeWarning)
            ratios = np.asarray(self.kernel[rows], np.float64) * self.gain * inputs[rows, None] / matrix[rows]
            found = np.nanmedian(np.where(matrix[rows] != 0, ratios, np.nan), axis=0)
            found = np.where(np.isfinite(found), found, biases[0] / biases[1])
        return np.where((found > 0) & np.isfinite(found), found, 1.0)

    def differs(self, before: Array, after: Array) -> str | None:
        """The first weight or bias that is not the node's, scaled; None if there is none."""
        with np.errstate(invalid="ignore", over="ignore"):
            return self._differs(before, after)

    def _differs(self, before: Array, after: Array) -> str | None:
        name = self.layer.name
        for rows, part in self.expected(before):
            wanted = part * after
            found = np.asarray(self.kernel[rows], np.float64) * self.gain
            wrong = ~(np.abs(found - wanted) <= self.error * np.abs(wanted))
            if wrong.any():
                row, unit = (int(i) for i in np.argwhere(wrong)[0])
                place = tuple(int(i) for i in np.unravel_index(rows.start + row, self.node.kernel.shape[:-1]))
                return (
                    f"layer {name!r}: its weight {(*place, unit)} stands for {found[row, unit] / after[unit]:.9g}, "
                    f"and is {wanted[row, unit] / after[unit]:.9g} in the ReLU network"
                )
        bias, found = np.broadcast_arrays(self.node.bias * after, self.bias)
        wrong = ~(np.abs(found - bias) <= self.bias_error + self.error * np.abs(bias))
        if wrong.any():
            first = tuple(int(i) for i in np.argwhere(wrong)[0])
            unit = first[-1]
            return (
                f"layer {name!r}: its bias {first} stands for {found[first] / after[unit]:.9g}, "
                f"and is {bias[first] / after[unit]:.9g} in the ReLU network"
            )
        return None
