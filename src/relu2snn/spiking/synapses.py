"""The inputs of single neurons: which elements of which tensors reach them, and the weights J, for bins and events.

The elements of all tensors of a segment are counted one tensor after the other; element −1 is an input at lead 0:
padding, or the clock's, which fills Σ_j J_ij up to what it is per channel.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import Indices, Shape, Window, receptive_fields
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Chain, Diagonal, Selection, Shift, Sum
from relu2snn.spiking.events import Runs
from relu2snn.spiking.nodes import Firing, Neurons

Array = NDArray[np.float64]

_LARGEST_KERNEL = 1 << 24
"""Weights of a kernel that is written out for the sake of its runs, zeros and all."""


class Fields(NamedTuple):
    """The runs, the clock's last, of the units that kernel L (inputs of a group, units) has, group by group."""

    runs: Runs
    kernel: Array


class Placed(NamedTuple):
    """A convolution that makes the channels of a map from `first` on; all others are 0."""

    map: Convolution
    first: int

    @property
    def end(self) -> int:
        return self.first + self.map.outputs[-1]


def fields_of(node: Firing, shapes: Mapping[str, Shape]) -> list[Fields] | None:
    """The fields of a segment whose maps are convolutions, for the units that have the same ones; or None."""
    parts: list[tuple[str, Placed]] = []
    for name, map_ in node.maps.items():
        for way in ways_of(map_):
            found = placed(way)
            if found is None:
                return None
            parts.append((name, found))
    offsets = dict(zip(node.maps, tensor_offsets(node, shapes), strict=True))
    ends = sorted({0, node.shape[-1], *(end for _, each in parts for end in (each.first, each.end))})
    blocks = []
    for a, b in itertools.pairwise(ends):
        members = [(name, each) for name, each in parts if each.first < b and a < each.end]
        fields = _fields_of_block(members or parts[:1], offsets, a, b)
        if fields is None:
            return None
        blocks.append(fields)
    return blocks


def _fields_of_block(members: list[tuple[str, Placed]], offsets: Mapping[str, int], a: int, b: int) -> Fields | None:
    """The fields of the units from a to b, which the same maps reach: in their groups where these agree."""
    whole = all(each.first == a and each.end == b for _, each in members)
    if whole and len({each.map.groups for _, each in members}) == 1:
        plain = [each.map for _, each in members]
    else:
        plain = []
        for _, each in members:
            part = _columns(each, a, b)
            if part is None:
                return None
            plain.append(part)
    starts, lengths, kernels = [], [], []
    for (name, _), map_ in zip(members, plain, strict=True):
        fields = receptive_fields(map_.inputs[:-1], map_.window)
        starts.append(np.where(fields < 0, -1, offsets[name] + fields * map_.inputs[-1]))
        lengths += [map_.inputs[-1] // map_.groups] * fields.shape[1]
        kernels.append(map_.kernel.reshape(-1, map_.outputs[-1]))
    kernel = kernels[0] if len(kernels) == 1 else np.concatenate(kernels)
    # The clock's, whose weights each population has for itself.
    starts.append(np.full((len(starts[0]), 1), -1))
    runs = np.ascontiguousarray(np.concatenate(starts, axis=1))
    return Fields(Runs(runs, np.array([*lengths, 1]), plain[0].groups, a), kernel)


def tensor_offsets(node: Firing, shapes: Mapping[str, Shape]) -> Indices:
    """Where the elements of each of a segment's tensors begin."""
    sizes = [int(np.prod(shapes[name])) for name in node.maps]
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)


def ways_of(map_: LinearMap) -> Iterator[list[LinearMap]]:
    """The ways through a map, which add up to it, as what follows each other; a sum in a chain has several."""
    match map_:
        case Sum():
            for part in map_.parts:
                yield from ways_of(part)
        case Chain():
            for first, second in itertools.product(ways_of(map_.first), ways_of(map_.second)):
                yield [*first, *second]
        case _:
            yield [map_]


def placed(links: list[LinearMap]) -> Placed | None:
    """A chain of maps as one convolution, in groups where it has them; None where it is none, or would be too large."""
    # What only has another shape has its elements in the same order, where one position sees all of them.
    reshaped = len(links) > 1 and isinstance(links[0], Selection) and links[0].index is None
    found = _first(links[reshaped])
    for each in links[1 + reshaped :]:
        found = _followed(found, each) if found is not None else None
    if found is None or found.map.kernel.size > _LARGEST_KERNEL or (reshaped and found.map.window.rank):
        return None
    return found


def _first(map_: LinearMap) -> Placed | None:
    match map_:
        case Convolution():
            return Placed(map_, 0)
        case Diagonal() if map_.factors.ndim == 1:
            return Placed(_depthwise(map_.inputs, map_.factors), 0)
        case Shift():
            return _shifted(Placed(_depthwise(map_.inputs, np.ones(map_.inputs[-1])), 0), map_)
    return None


def _depthwise(shape: Shape, factors: Array) -> Convolution:
    rank, channels = len(shape) - 1, shape[-1]
    kernel = np.broadcast_to(factors, (channels,)).reshape(*(1,) * rank, 1, channels)
    return Convolution(shape, kernel, Window.of((1,) * rank), groups=channels)


def _followed(first: Placed, map_: LinearMap) -> Placed | None:
    """`map_` after a convolution, if that is one, too."""
    own = first.map
    match map_:
        case Shift():
            return _shifted(first, map_)
        case Diagonal() if map_.factors.ndim == 1:
            factors = np.broadcast_to(map_.factors, map_.outputs[-1:])[first.first : first.end]
            return first._replace(map=Convolution(own.inputs, own.kernel * factors, own.window, groups=own.groups))
        case Convolution() if map_.window.rank == own.window.rank:
            point = Window.of((1,) * own.window.rank)
            if point not in (own.window, map_.window):
                return None
            before, after = _columns(first, first.first, first.end), _columns(Placed(map_, 0), 0, map_.outputs[-1])
            if before is None or after is None:
                return None
            size = np.prod(before.kernel.shape[:-1]) * np.prod(after.window.sizes) * after.outputs[-1]
            if size > _LARGEST_KERNEL:
                return None
            rows = after.kernel[..., first.first : first.end, :]
            # One of the two sees one position only, so that its taps are all (1, …, 1).
            kernel = np.matmul(before.kernel, rows)
            return Placed(Convolution(own.inputs, kernel, after.window if before.window == point else before.window), 0)
    return None


def _shifted(first: Placed, map_: Shift) -> Placed | None:
    """A convolution moved along the channels, and cut where it leaves them; and of cells along the grid."""
    own = first.map
    if any(map(any, map_.margins[:-1])):
        if own.window != Window.of((1,) * own.window.rank):
            return None
        window = Window.of(own.window.sizes, margins=map_.margins[:-1])
        first = first._replace(map=Convolution(own.inputs, own.kernel, window, groups=own.groups))
    moved = first._replace(first=first.first + map_.margins[-1][0])
    a, b = max(moved.first, 0), min(moved.end, map_.outputs[-1])
    if (a, b) == (moved.first, moved.end):
        return moved
    if a >= b:
        # Of what is cut off altogether one unit stays, at 0.
        a, b = 0, 1
    part = _columns(moved, a, b)
    return None if part is None else Placed(part, a)


def _columns(each: Placed, a: int, b: int) -> Convolution | None:
    """The units from a to b of a map, in one group; None if they would be too large. Where it has none, they are 0."""
    map_ = each.map
    if not (each.first <= a and b <= each.end):
        return Convolution(map_.inputs, np.zeros((*map_.kernel.shape[:-2], map_.inputs[-1], b - a)), map_.window)
    if map_.groups > 1:
        shape = (*map_.kernel.shape[:-2], map_.inputs[-1], map_.outputs[-1])
        if np.prod(shape) > _LARGEST_KERNEL:
            return None
        per_group, wide = map_.kernel.shape[-2], map_.outputs[-1] // map_.groups
        kernel = np.zeros(shape)
        for group in range(map_.groups):
            rows, columns = slice(group * per_group, (group + 1) * per_group), slice(group * wide, (group + 1) * wide)
            kernel[..., rows, columns] = map_.kernel[..., columns]
    else:
        kernel = map_.kernel
    return Convolution(map_.inputs, kernel[..., a - each.first : b - each.first], map_.window)


class Weights(NamedTuple):
    """J (inputs, units), in float32 a row for each neuron (units, inputs), and Σ_j |J_ij| (units,)."""

    columns: Array
    rows: NDArray[np.float32]
    size: Array

    @classmethod
    def of(cls, columns: Array) -> "Weights":
        """What bins take of the weights of each neuron."""
        return cls(columns, np.ascontiguousarray(columns.T, np.float32), absolute_sums(columns))


@dataclass(frozen=True)
class Block:
    """The synapses of the units of a population that have the same fields: J (inputs, units), the clock's last."""

    runs: Runs
    columns: Array

    @cached_property
    def weights(self) -> Weights:
        """The same for bins, which few segments need."""
        return Weights.of(self.columns)


class Synapses:
    """The synapses of a population, by fields where its segment has them, else position by position.

    A neuron's potential, its α, ϑ and J are divided by its |gain|, which moves no crossing of ϑ: the weights are then
    those of the maps, which are held already. drive α and total Σ_j J_ij (units,), levels ϑ (positions or 1, units).
    """

    def __init__(
        self, node: Firing, neurons: Neurons, shapes: Mapping[str, Shape], fields: Callable[[], list[Fields] | None]
    ) -> None:
        """fields: makes those of the segment when they are needed, which many never are."""
        self.node, self.sign, self._fields = node, neurons.sign, fields
        gain = np.abs(np.asarray(neurons.gain, np.float64))
        self.drive, self.total = neurons.drive / gain, neurons.total / gain
        self.levels = np.ascontiguousarray((neurons.threshold / gain).reshape(-1, node.shape[-1]))
        self._offsets = tensor_offsets(node, shapes)
        self._terms = sum(map_.terms() for map_ in node.maps.values())

    @cached_property
    def blocks(self) -> list[Block] | None:
        """By the fields of the segment, if they are runs."""
        fields = self._fields()
        return None if fields is None else [self._block(*each) for each in fields]

    def _block(self, runs: Runs, kernel: Array) -> Block:
        columns = self._with_clock(kernel, runs.first)
        return Block(runs if len(columns) > len(kernel) else runs._replace(lengths=runs.lengths[:-1]), columns)

    def _with_clock(self, kernel: Array, first: int = 0) -> Array:
        weights, total = kernel if self.sign > 0 else -kernel, self.total[first : first + kernel.shape[1]]
        # In as many digits as there are: of kernels that are written out there are more terms than of their maps.
        clock = (total - weights.sum(axis=0, dtype=np.longdouble)).astype(np.float64)
        # What rounding has left is no synapse.
        clock[np.abs(clock) <= 1e-6 * (1 + np.abs(total)) * (weights.dtype == np.float32)] = 0.0
        clock[np.abs(clock) <= 2.0**-52 * (self._terms + 4) * (1 + absolute_sums(weights))] = 0.0
        return np.ascontiguousarray(np.concatenate([weights, clock[None]]) if clock.any() else weights)

    def at(self, position: int) -> tuple[Indices, Array]:
        """The elements (n,) that reach the neurons at a position, and their weights (n, units); the clock's last."""
        if self.blocks and len(self.blocks) == 1 and self.blocks[0].runs.groups == 1:
            (block,) = self.blocks
            cells = [
                np.arange(start, start + length) if start >= 0 else np.full(length, -1)
                for start, length in zip(block.runs.starts[position], block.runs.lengths, strict=False)
            ]
            return np.concatenate(cells), block.columns
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
