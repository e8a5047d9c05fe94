"""The inputs of single neurons: which elements of which tensors reach them, and the weights J, for bins and events.

The elements of all tensors of a segment are counted one tensor after the other; element −1 is an input at lead 0:
padding, or the clock's, which fills Σ_j J_ij up to what it is per channel.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import Indices, Shape, Window, receptive_fields
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Chain, Diagonal, Shift, Sum
from relu2snn.spiking.nodes import Firing, Neurons

Array = NDArray[np.float64]

_LARGEST_KERNEL = 1 << 24
"""Weights of a kernel that is written out for the sake of its runs, zeros and all."""


@dataclass(frozen=True)
class Fields:
    """Receptive fields of every position as runs of channels that lie side by side among the elements.

    Units of different groups see different channels at the same places. starts (positions, runs): where each run of the
    first group begins; −1 is padding. lengths (runs,): of one group's, which is how far the next group's are from it.
    kernel L (inputs of a group, units), the units group by group.
    """

    starts: Indices
    lengths: Indices
    kernel: Array
    groups: int


def fields_of(node: Firing, shapes: Mapping[str, Shape]) -> Fields | None:
    """The fields of a segment whose maps are convolutions, in as many groups or written out, or None."""
    maps = [
        (name, part) for name, each in node.maps.items() for part in (each.parts if isinstance(each, Sum) else [each])
    ]
    for read in (grouped, written_out):
        plain = [each for _, part in maps if (each := read(part)) is not None]
        if len(plain) == len(maps) and len({each.groups for each in plain}) == 1:
            break
    else:
        return None
    offsets = dict(zip(node.maps, tensor_offsets(node, shapes), strict=True))
    starts, lengths, kernels = [], [], []
    for (name, _), each in zip(maps, plain, strict=True):
        fields = receptive_fields(each.inputs[:-1], each.window)
        starts.append(np.where(fields < 0, -1, offsets[name] + fields * each.inputs[-1]))
        lengths += [each.inputs[-1] // each.groups] * fields.shape[1]
        kernels.append(each.kernel.reshape(-1, each.outputs[-1]))
    kernel = kernels[0] if len(kernels) == 1 else np.concatenate(kernels)
    # The clock's, whose weights each population has for itself.
    starts.append(np.full((len(starts[0]), 1), -1))
    runs = np.ascontiguousarray(np.concatenate(starts, axis=1))
    return Fields(runs, np.array([*lengths, 1]), kernel, plain[0].groups)


def tensor_offsets(node: Firing, shapes: Mapping[str, Shape]) -> Indices:
    """Where the elements of each of a segment's tensors begin."""
    sizes = [int(np.prod(shapes[name])) for name in node.maps]
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)


def grouped(map_: LinearMap) -> Convolution | None:
    """A map as one convolution, in groups where it has them; None where it is none, or would be too large."""
    match map_:
        case Convolution():
            return map_
        case Diagonal() if map_.factors.ndim == 1:
            rank, channels = len(map_.inputs) - 1, map_.inputs[-1]
            kernel = map_.factors.reshape(*(1,) * rank, 1, channels)
            return Convolution(map_.inputs, kernel, Window.of((1,) * rank), groups=channels)
        case Chain():
            return _chained(map_)
    return None


def written_out(map_: LinearMap) -> Convolution | None:
    """A map as one convolution of all channels in one group; None where it is none, or would be too large."""
    plain = grouped(map_)
    return plain if plain is None or plain.groups == 1 else _ungrouped(plain)


def _ungrouped(map_: Convolution) -> Convolution | None:
    per_group, filters, channels = map_.kernel.shape[-2], map_.outputs[-1], map_.inputs[-1]
    shape = (*map_.kernel.shape[:-2], channels, filters)
    if np.prod(shape) > _LARGEST_KERNEL:
        return None
    kernel, wide = np.zeros(shape), filters // map_.groups
    for group in range(map_.groups):
        rows, columns = slice(group * per_group, (group + 1) * per_group), slice(group * wide, (group + 1) * wide)
        kernel[..., rows, columns] = map_.kernel[..., columns]
    return Convolution(map_.inputs, kernel, map_.window)


def _chained(map_: Chain) -> Convolution | None:
    if map_.begins_with_reshape:
        # What has another shape only has its elements in the same order, where one position sees all of them.
        second = written_out(map_.second)
        return second if second is not None and second.window.rank == 0 else None
    first = written_out(map_.first)
    if first is None:
        return None
    if isinstance(map_.second, Shift):
        margins = map_.second.margins
        if any(map(any, margins[:-1])) or min(margins[-1]) < 0:
            return None
        kernel = np.pad(first.kernel, [(0, 0)] * (first.kernel.ndim - 1) + [margins[-1]])
        return Convolution(first.inputs, kernel, first.window) if kernel.size <= _LARGEST_KERNEL else None
    second = written_out(map_.second)
    if second is None or second.inputs != first.outputs or second.window != Window.of((1,) * second.window.rank):
        return None
    matrix = second.kernel.reshape(second.inputs[-1], second.outputs[-1])
    if first.kernel.size // first.outputs[-1] * matrix.shape[-1] > _LARGEST_KERNEL:
        return None
    return Convolution(first.inputs, first.kernel @ matrix, first.window)


class Synapses:
    """The synapses of a population, by fields where its segment has them, else position by position.

    A neuron's potential, its α, ϑ and J are divided by its |gain|, which moves no crossing of ϑ: the weights are then
    those of the maps, which are held already. drive α and total Σ_j J_ij (units,), levels ϑ (positions or 1, units).
    """

    def __init__(
        self, node: Firing, neurons: Neurons, shapes: Mapping[str, Shape], fields: Callable[[], Fields | None]
    ) -> None:
        """fields: makes those of the segment when they are needed, which many never are."""
        self.node, self.sign, self._fields = node, neurons.sign, fields
        gain = np.abs(np.asarray(neurons.gain, np.float64))
        self.drive, self.total = neurons.drive / gain, neurons.total / gain
        self.levels = np.ascontiguousarray((neurons.threshold / gain).reshape(-1, node.shape[-1]))
        self._offsets = tensor_offsets(node, shapes)

    @cached_property
    def fields(self) -> Fields | None:
        """Those of the segment, if they are runs."""
        return self._fields()

    @cached_property
    def weights(self) -> Array:
        """Those of every field, (inputs, units), the clock's last."""
        assert self.fields is not None
        return self._with_clock(self.fields.kernel)

    @cached_property
    def lengths(self) -> Indices:
        """How long the runs of a field are, with the clock's if it has one."""
        assert self.fields is not None
        clock = len(self.weights) > len(self.fields.kernel)
        return self.fields.lengths if clock else self.fields.lengths[:-1]

    @cached_property
    def rows(self) -> NDArray[np.float32]:
        """The same in float32, a row for each neuron."""
        return np.ascontiguousarray(self.weights.T, np.float32)

    @cached_property
    def size(self) -> Array:
        """Σ_j |J_ij|, (units,)."""
        return absolute_sums(self.weights)

    def _with_clock(self, kernel: Array) -> Array:
        weights = kernel if self.sign > 0 else -kernel
        clock = self.total - weights.sum(axis=0, dtype=np.float64)
        # What rounding has left is no synapse.
        clock[np.abs(clock) <= 1e-6 * (1 + np.abs(self.total)) * (weights.dtype == np.float32)] = 0.0
        clock[np.abs(clock) <= 1e-12 * (1 + absolute_sums(weights))] = 0.0
        return np.ascontiguousarray(np.concatenate([weights, clock[None]]) if clock.any() else weights)

    def at(self, position: int) -> tuple[Indices, Array]:
        """The elements (n,) that reach the neurons at a position, and their weights (n, units); the clock's last."""
        if self.fields is not None and self.fields.groups == 1:
            starts = self.fields.starts[position]
            runs = [
                np.arange(start, start + length) if start >= 0 else np.full(length, -1)
                for start, length in zip(starts, self.lengths, strict=False)
            ]
            return np.concatenate(runs), self.weights
        found = [map_.synapses(position) for map_ in self.node.maps.values()]
        elements = [each + offset for (each, _), offset in zip(found, self._offsets, strict=True)]
        weights = self._with_clock(np.concatenate([each for _, each in found]))
        elements.append(np.full(len(weights) - sum(map(len, elements)), -1))
        return np.concatenate(elements), weights


def absolute_sums(weights: Array) -> Array:
    """Σ_j |w_ji| in float64, (units,), without a copy of all weights."""
    found: Array = np.zeros(weights.shape[1])
    for start in range(0, len(weights), 4096):
        found += np.abs(weights[start : start + 4096]).sum(axis=0, dtype=np.float64)
    return found
