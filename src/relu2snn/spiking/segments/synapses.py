"""The inputs of single neurons: which elements of which tensors reach them, and the weights J, for bins and events."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import Indices, Shape, receptive_fields
from relu2snn.graph.linear import Chain, LinearMap, Selection
from relu2snn.spiking.segments.network import Firing, Neurons

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """Receptive fields of every position as runs of channels that lie side by side in the concatenated inputs.

    starts (positions, runs): where each run begins among the elements of all tensors, one after the other; −1 is
    padding. lengths (runs,). weights J (inputs, units), rows (units, inputs) the same in float32; size Σ|J| (units,).
    """

    starts: Indices
    lengths: Indices
    weights: Array
    rows: NDArray[np.float32]
    size: Array


def runs_of(node: Firing, neurons: Neurons, shapes: Mapping[str, Shape]) -> Runs | None:
    """The runs of a segment whose maps are convolutions of all channels; None where single synapses are needed."""
    starts, lengths, weights, offset = [], [], [], 0
    for name, map_ in node.maps.items():
        kernel = _plain(map_)
        if kernel is None:
            return None
        sides, channels = kernel.inputs[:-1], kernel.inputs[-1]
        fields = receptive_fields(sides, kernel.window)
        starts.append(np.where(fields < 0, -1, offset + fields * channels))
        lengths += [channels] * fields.shape[1]
        weights.append(kernel.kernel.reshape(-1, kernel.outputs[-1]))
        offset += int(np.prod(shapes[name]))
    matrix = np.ascontiguousarray(np.concatenate(weights) * neurons.gain)
    rows = np.ascontiguousarray(matrix.T.astype(np.float32))
    return Runs(np.concatenate(starts, axis=1), np.array(lengths), matrix, rows, np.abs(matrix).sum(axis=0))


def _plain(map_: LinearMap) -> Convolution | None:
    if isinstance(map_, Chain) and isinstance(map_.first, Selection) and map_.first.index is None:
        map_ = map_.second
    return map_ if isinstance(map_, Convolution) and map_.groups == 1 else None


class Synapses:
    """The synapses of a segment's neurons, position by position, for maps of any kind."""

    def __init__(self, node: Firing, shapes: Mapping[str, Shape]) -> None:
        self._node = node
        sizes = [int(np.prod(shapes[name])) for name in node.maps]
        self._offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)

    def at(self, position: int, neurons: Neurons) -> tuple[Indices, Array]:
        """Elements (n,) among all tensors, one after the other, and J (n, units).

        A last input, element −1, stands for the clock's: its lead is 0, and it fills ΣJ up to what it is per channel.
        """
        found = [map_.synapses(position) for map_ in self._node.maps.values()]
        elements = [each + offset for (each, _), offset in zip(found, self._offsets, strict=True)]
        weights = np.concatenate([each for _, each in found]) * neurons.gain
        clock = neurons.total - weights.sum(axis=0)
        return np.append(np.concatenate(elements), -1), np.concatenate([weights, clock[None]])
