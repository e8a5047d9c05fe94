"""Linear maps as nodes of NIR, https://neuroir.org: dense layers, convolutions, sums of a pool, scales; in series, and
side by side where they are added up, since whatever enters a node is.

NIR has channels first, the same margin on both sides, and no node that chooses elements or gives a vector the shape of
an image. Margins are made alike by zeros at the edges of a kernel; groups are written out, since the type check of NIR
1.0 takes no others; what is left is a matrix, where it is not too large.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relu2snn.exported.entries import TooManyError, entries
from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import Indices, Shape, Window
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Chain, Diagonal, Selection, Shift, Sum

Array = NDArray[np.float64]

_LARGEST = 1 << 25
"""Weights of one node, zeros and all."""


class Signal(NamedTuple):
    """What the nodes `names` give, added up; our shape of it. order (n,): which of our elements is where, of a vector
    that is not in our order."""

    names: tuple[str, ...]
    shape: Shape
    order: Indices | None = None


class Graph:
    """Nodes and edges of a NIR graph that is put together."""

    def __init__(self, nir: Any) -> None:
        self.nir, self.nodes, self.edges = nir, dict[str, Any](), list[tuple[str, str]]()
        self._reserved: set[str] = set()

    def reserve(self, names: Sequence[str]) -> None:
        """Keep names for nodes that are still to come."""
        self._reserved |= set(names)

    def add(self, label: str, node: Any, sources: Sequence[str], *, exactly: bool = False) -> str:
        """A node that takes the sum of `sources`; returns its name: `label`, numbered unless it is to be `exactly`."""
        name = label
        if not exactly:
            taken = self.nodes.keys() | self._reserved
            name = next(each for k in range(len(taken) + 1) if (each := f"{label}_{k}" if k else label) not in taken)
        self.nodes[name] = node
        # NIR has one edge between two nodes: what comes twice has to pass a node of its own.
        for place, each in enumerate(sources):
            source = each
            if each in sources[:place]:
                source = self.add(f"{each}_again", self.nir.Scale(scale=np.ones(self.nodes[name].input_type["input"])), [each])
            self.edges.append((source, name))
        return name

    def mapped(self, map_: LinearMap, signal: Signal, label: str) -> Signal:
        """What a map makes of a signal; new nodes are named after `label`.

        Raises ValueError, which names the layer, for a map that NIR has no nodes for.
        """
        match map_:
            case Chain():
                return self.mapped(map_.second, self.mapped(map_.first, signal, label), label)
            case Sum():
                parts = [self.ordered(self.mapped(each, signal, label), label) for each in map_.parts]
                return Signal(tuple(name for each in parts for name in each.names), map_.outputs)
            case Selection() if map_.index is None and len(map_.outputs) == 1:
                return self.flat(signal, label)
            case Diagonal():
                factors = np.broadcast_to(np.asarray(map_.factors, np.float64), map_.outputs)
                return self.scaled(factors, signal, label)
            case Convolution() if not map_.window.rank:
                kernel = map_.kernel if signal.order is None else map_.kernel[signal.order]
                return self._linear(np.asarray(kernel, np.float64).T, signal, map_.outputs, label)
            case Convolution() if _is_plain(map_):
                return self._convolution(map_, signal, label)
            case Shift() if len(map_.inputs) in (2, 3) and _small(map_.inputs[-1] * map_.outputs[-1]):
                return self._convolution(_as_convolution(map_), signal, label)
        return self._matrix(map_, signal, label)

    def flat(self, signal: Signal, label: str) -> Signal:
        """A signal as a vector."""
        if len(signal.shape) == 1:
            return signal
        shape, size = layout(signal.shape), int(np.prod(signal.shape))
        node = self.nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
        order = first_channel(np.arange(size).reshape(signal.shape)).ravel()
        return Signal((self.add(f"{label}_flat", node, signal.names),), (size,), order)

    def ordered(self, signal: Signal, label: str) -> Signal:
        """A signal in our order."""
        if signal.order is None or (np.diff(signal.order) == 1).all():
            return signal._replace(order=None)
        size = len(signal.order)
        self._require_small(size * size, label)
        permutation = np.zeros((size, size))
        permutation[signal.order, np.arange(size)] = 1.0
        return self._linear(permutation, signal, signal.shape, label)

    def scaled(self, factors: Array, signal: Signal, label: str) -> Signal:
        """A signal times factors of its shape."""
        values = factors.ravel()[signal.order] if signal.order is not None else first_channel(factors)
        return signal._replace(names=(self.add(f"{label}_scale", self.nir.Scale(scale=values), signal.names),))

    def delayed(self, wait: float, signal: Signal, label: str) -> Signal:
        """A signal, `wait` later."""
        if not wait:
            return signal
        node = self.nir.Delay(delay=np.full(layout(signal.shape), wait))
        return signal._replace(names=(self.add(f"{label}_delay", node, signal.names),))

    def _linear(self, matrix: Array, signal: Signal, shape: Shape, label: str) -> Signal:
        node = self.nir.Linear(weight=np.ascontiguousarray(matrix))
        return Signal((self.add(f"{label}_weights", node, signal.names),), shape)

    def _convolution(self, map_: Convolution, signal: Signal, label: str) -> Signal:
        sides = layout(map_.inputs)[1:]
        axes = _axes(map_, sides)
        padding = tuple(each.padding for each in axes)
        strides = tuple(each.stride for each in axes)
        tap = _pool_of(map_)
        if tap is not None and all(each.plain for each in axes):
            sizes = tuple(each.size for each in axes)
            pool = self.nir.SumPool2d(*(np.array(each) for each in (sizes, strides, padding)))
            # NIR infers them itself, but needs them for what is not in a graph yet.
            pool.input_type = {"input": np.array(layout(map_.inputs))}
            pool.output_type = {"output": np.array(layout(map_.outputs))}
            summed = Signal((self.add(f"{label}_pool", pool, signal.names),), map_.outputs)
            return self.scaled(np.broadcast_to(tap, map_.outputs), summed, label) if (tap != 1).any() else summed
        self._require_small(map_.inputs[-1] * map_.outputs[-1] * int(np.prod([each.taps for each in axes])), label)
        kernel = _channels_first(map_)
        for axis, each in enumerate(axes, start=2):
            kernel = each.edged(kernel, axis)
        dilation = tuple(each.dilation for each in axes)
        return self.conv2d(kernel, signal, map_.outputs, label, (strides, padding, dilation))

    def conv2d(
        self, kernel: Array, signal: Signal, shape: Shape, label: str, steps: tuple[Any, Any, Any]
    ) -> Signal:
        """A Conv2d with kernel (filters, channels, height, width) and its strides, padding and dilation."""
        strides, padding, dilation = steps
        node = self.nir.Conv2d(
            input_shape=layout(signal.shape)[1:], weight=np.ascontiguousarray(kernel), stride=strides,
            padding=padding, dilation=dilation, groups=1, bias=np.zeros(len(kernel)),
        )  # fmt: skip
        return Signal((self.add(f"{label}_weights", node, signal.names),), shape)

    def _matrix(self, map_: LinearMap, signal: Signal, label: str) -> Signal:
        """Any map: as a Linear to a vector; as a kernel over the whole image, and one that lays it out again."""
        rows, columns = int(np.prod(map_.outputs)), int(np.prod(map_.inputs))
        self._require_small(rows * columns, label)
        try:
            found = entries(map_, _LARGEST)
        except TooManyError:
            raise _too_large(label) from None
        matrix = np.zeros((rows, columns))
        matrix[found.post, found.pre] = found.weight
        if len(map_.outputs) == 1:
            signal = self.flat(signal, label)
            return self._linear(matrix if signal.order is None else matrix[:, signal.order], signal, map_.outputs, label)
        if len(map_.inputs) == 1:
            raise ValueError(
                f"layer {label!r}: it gives a vector the shape {map_.outputs}, for which NIR has no node; "
                "export to .npz or .h5"
            )
        self._require_small(rows * rows, label)
        kernel = np.stack([first_channel(row.reshape(map_.inputs)) for row in matrix])
        vector = self.conv2d(kernel, signal, (1, 1, rows), label, ((1, 1), (0, 0), (1, 1)))
        return self.laid_out(np.eye(rows), vector, map_.outputs, label)

    def laid_out(self, matrix: Array, vector: Signal, shape: Shape, label: str) -> Signal:
        """matrix (our elements, n) times a vector that is (n, 1, 1) to NIR, as an image of `shape`.

        In margins as wide as the image a kernel of its size sees the vector in another cell at every place.
        """
        channels, height, width = layout(shape)
        cells = np.stack([first_channel(column.reshape(shape)) for column in matrix.T], axis=1)
        steps = ((1, 1), (height - 1, width - 1), (1, 1))
        return self.conv2d(cells[:, :, ::-1, ::-1], vector, shape, label, steps)

    def _require_small(self, count: int, label: str) -> None:
        if not _small(count):
            raise _too_large(label)


class _Axis(NamedTuple):
    """A kernel along one axis of NIR's convolution: `front` and `back` taps of zeros, the same margin on both sides."""

    size: int
    front: int
    back: int
    stride: int
    padding: int
    dilation: int
    rate: int

    @property
    def taps(self) -> int:
        return self.front + (self.size - 1) * self.rate + 1 + self.back

    @property
    def plain(self) -> bool:
        return not self.front and not self.back and self.dilation == self.rate == 1

    def edged(self, kernel: Array, axis: int) -> Array:
        """The kernel with its zeros."""
        sides = list(kernel.shape)
        sides[axis] = self.taps
        found = np.zeros(sides)
        place = [slice(None)] * kernel.ndim
        place[axis] = slice(self.front, self.front + (self.size - 1) * self.rate + 1, self.rate)
        found[tuple(place)] = kernel
        return found


def _axes(map_: Convolution, sides: Sequence[int]) -> list[_Axis]:
    window = map_.window
    given = zip(window.sizes, window.strides, window.dilation, window.margins, strict=True)
    found = [
        _axis(side, places, *each)
        for side, places, each in zip(sides, layout(map_.outputs)[1:], given, strict=False)
    ]
    return found + [_Axis(1, 0, 0, 1, 0, 1, 1)] * (2 - len(found))


def _axis(side: int, places: int, size: int, stride: int, rate: int, margins: tuple[int, int]) -> _Axis:
    before, extent = margins[0], (size - 1) * rate + 1
    # As far as the last place reaches beyond the image.
    needed = (places - 1) * stride + extent - side - before
    padding = max(before, needed, 0)
    front = padding - before
    # So many that no place is added.
    back = max(side + 2 * padding - places * stride + 1 - front - extent, 0)
    if front or back:
        return _Axis(size, front, back, stride, padding, 1, rate)
    return _Axis(size, 0, 0, stride, padding, rate, 1)


def layout(shape: Shape) -> Shape:
    """Our shape of a tensor as NIR has it: (units,), or channels first, of one axis with a second of one cell."""
    if len(shape) == 1:
        return shape
    return (shape[-1], *shape[:-1], *(1,) * (3 - len(shape)))


def first_channel(values: Array) -> Array:
    """An array of our shape as NIR has it."""
    return np.ascontiguousarray(np.moveaxis(values, -1, 0)).reshape(layout(values.shape))


def _is_plain(map_: Convolution) -> bool:
    return map_.window.rank in (1, 2) and max(map_.window.spread) == 1


def _as_convolution(map_: Shift) -> Convolution:
    *margins, (before, after) = map_.margins
    kernel = np.eye(map_.inputs[-1])[:, max(-before, 0) : map_.inputs[-1] - max(-after, 0)]
    kernel = np.pad(kernel, ((0, 0), (max(before, 0), max(after, 0))))
    rank = len(margins)
    return Convolution(map_.inputs, kernel.reshape(*(1,) * rank, *kernel.shape), Window.of((1,) * rank, margins=margins))


def _pool_of(map_: Convolution) -> Array | None:
    """The weight of each channel (channels,), where a convolution adds up each channel by itself; else None."""
    if map_.groups != map_.inputs[-1] or map_.outputs[-1] != map_.inputs[-1] or int(np.prod(map_.window.sizes)) == 1:
        return None
    taps = map_.kernel.reshape(-1, map_.outputs[-1])
    return np.asarray(taps[0], np.float64) if (taps == taps[0]).all() else None


def _channels_first(map_: Convolution) -> Array:
    """The whole kernel, with zeros between groups, (filters, channels, height, width)."""
    per_group, filters = map_.kernel.shape[-2:]
    taps = np.asarray(map_.kernel, np.float64).reshape(-1, per_group, filters)
    whole, wide = np.zeros((len(taps), map_.inputs[-1], filters)), filters // map_.groups
    for group in range(map_.groups):
        units = slice(group * wide, (group + 1) * wide)
        whole[:, group * per_group : (group + 1) * per_group, units] = taps[:, :, units]
    sides = (*map_.window.sizes, *(1,) * (2 - map_.window.rank))
    return np.transpose(whole.reshape(*sides, map_.inputs[-1], filters), (3, 2, 0, 1))


def _small(count: int) -> bool:
    return count <= _LARGEST


def _too_large(label: str) -> ValueError:
    return ValueError(
        f"layer {label!r}: NIR has no node for its map but a matrix or a kernel of more than {_LARGEST} weights; "
        "export to .npz or .h5"
    )
