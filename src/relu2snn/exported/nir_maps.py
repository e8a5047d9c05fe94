"""Linear maps as nodes of NIR, https://neuroir.org: dense layers, convolutions, sums of a pool, scales; in series, and
side by side where they are added up, since whatever enters a node is.

NIR has no node that chooses elements or gives a vector the shape of an image. Groups of a convolution are written out,
since the type check of NIR 1.0 takes no others; what no convolution is becomes a matrix, where that is not too large.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relu2snn.exported.entries import TooManyError, entries
from relu2snn.exported.nir_layout import (
    Axis,
    Square,
    axes_of,
    channels_first,
    first_channel,
    layout,
    pool_of,
    squared,
    taps_of,
)
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
    """Nodes and edges of a NIR graph that is put together; reserved: names for nodes that are still to come.

    layer: the name of the layer that is being written, for errors.
    """

    def __init__(self, nir: Any, reserved: Iterable[str]) -> None:
        self.nir, self.layer = nir, ""
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self._reserved = frozenset(reserved)

    def add(self, label: str, node: Any, *, sources: Sequence[str], exactly: bool = False) -> str:
        """A node that takes the sum of `sources`; returns its name: `label`, numbered unless it is to be `exactly`."""
        name = label
        if not exactly:
            taken = self.nodes.keys() | self._reserved
            name = next(each for k in range(len(taken) + 1) if (each := f"{label}_{k}" if k else label) not in taken)
        self.nodes[name] = node
        # NIR has one edge between two nodes: what comes twice has to pass a node of its own.
        for place, each in enumerate(sources):
            again = each in sources[:place]
            scale = np.ones(tuple(node.input_type["input"])) if again else None
            self.edges.append(
                (self.add(f"{each}_again", self.nir.Scale(scale=scale), sources=[each]) if again else each, name)
            )
        return name

    def mapped(self, map_: LinearMap, signal: Signal, *, label: str) -> Signal:
        """What a map makes of a signal; new nodes are named after `label`.

        Raises ValueError, which names the layer, for a map that NIR has no nodes for.
        """
        match map_:
            case Chain() if _has_a_way_through(map_):
                return self.mapped(map_.second, self.mapped(map_.first, signal, label=label), label=label)
            case Sum():
                parts = [self.ordered(self.mapped(each, signal, label=label), label) for each in map_.parts]
                return Signal(tuple(name for each in parts for name in each.names), map_.outputs)
            case Selection() if map_.index is None and len(map_.outputs) == 1:
                return self.flat(signal, label)
            case Selection() if map_.index is None and layout(map_.inputs) == layout(map_.outputs):
                return signal._replace(shape=map_.outputs)
            case Diagonal():
                return self.scaled(np.broadcast_to(map_.factors, map_.outputs), signal, label=label)
            case Convolution() if not map_.window.rank:
                kernel = map_.kernel if signal.order is None else map_.kernel[signal.order]
                return self._linear(kernel.T, signal, map_.outputs, label)
            case Convolution() if max(map_.window.spread) == 1:
                found = self._convolution(map_, signal, label)
                return found or self._matrix(map_, signal, label)
            case Shift() if len(map_.inputs) > 1:
                self._require_small(map_.inputs[-1] * map_.outputs[-1])
                return self._convolution(_as_convolution(map_), signal, label) or self._matrix(map_, signal, label)
        return self._matrix(map_, signal, label)

    def flat(self, signal: Signal, label: str) -> Signal:
        """A signal as a vector."""
        if len(signal.shape) == 1:
            return signal
        shape, size = layout(signal.shape), int(np.prod(signal.shape))
        node = self.nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
        order = first_channel(np.arange(size).reshape(signal.shape)).ravel()
        return Signal((self.add(f"{label}_flat", node, sources=signal.names),), (size,), order)

    def ordered(self, signal: Signal, label: str) -> Signal:
        """A signal in our order."""
        if signal.order is None or (np.diff(signal.order) == 1).all():
            return signal._replace(order=None)
        size = len(signal.order)
        self._require_small(size * size)
        permutation = np.zeros((size, size))
        permutation[signal.order, np.arange(size)] = 1.0
        return self._linear(permutation, signal, signal.shape, label)

    def scaled(self, factors: Array, signal: Signal, *, label: str) -> Signal:
        """A signal times factors of its shape."""
        factors = np.asarray(factors, np.float64)
        values = factors.ravel()[signal.order] if signal.order is not None else first_channel(factors)
        return signal._replace(names=(self.add(f"{label}_scale", self.nir.Scale(scale=values), sources=signal.names),))

    def delayed(self, wait: float, signal: Signal, *, label: str) -> Signal:
        """A signal, `wait` later."""
        if not wait:
            return signal
        node = self.nir.Delay(delay=np.full(layout(signal.shape), wait))
        return signal._replace(names=(self.add(f"{label}_delay", node, sources=signal.names),))

    def laid_out(self, matrix: Array, vector: Signal, *, shape: Shape, label: str) -> Signal:
        """matrix (elements, n) times a vector that is (n, 1, 1) to NIR, as an image of `shape`.

        In margins as wide as the image a kernel of its size sees the vector in another cell at every place.
        """
        sides = layout(shape)[1:]
        cells = np.stack([first_channel(column.reshape(shape)) for column in matrix.T], axis=1)[:, :, ::-1, ::-1]
        # Steps of two, with gaps in the kernel, where one square has not the places of both axes.
        for steps in ((1, 1), (2, 1), (1, 2), (2, 2)):
            axes = [Axis(1, n, n, s, s, s * (n - 1)) for n, s in zip(sides, steps, strict=True)]
            square = squared(cells, axes)
            if square is not None:
                return self._conv2d(square, vector, shape, label)
        raise AssertionError(f"no square for {shape}")

    def _linear(self, matrix: Array, signal: Signal, shape: Shape, label: str) -> Signal:
        node = self.nir.Linear(weight=np.ascontiguousarray(matrix, np.float64))
        return Signal((self.add(f"{label}_weights", node, sources=signal.names),), shape)

    def _convolution(self, map_: Convolution, signal: Signal, label: str) -> Signal | None:
        """A convolution of one or two axes; None where a square has not its places."""
        axes, weight = axes_of(map_), pool_of(map_)
        if weight is not None and all(each.is_plain and each.rate == 1 for each in axes):
            given = ([each.size for each in axes], [each.stride for each in axes], [each.before for each in axes])
            pool = self.nir.SumPool2d(*(np.array(each) for each in given))
            # NIR infers them in a graph, and nodes are added up before there is one.
            pool.input_type = {"input": np.array(layout(map_.inputs))}
            pool.output_type = {"output": np.array(layout(map_.outputs))}
            summed = Signal((self.add(f"{label}_pool", pool, sources=signal.names),), map_.outputs)
            if (weight == 1).all():
                return summed
            return self.scaled(np.broadcast_to(weight, map_.outputs), summed, label=label)
        taps, _ = taps_of(axes)
        self._require_small(map_.inputs[-1] * map_.outputs[-1] * taps * taps)
        square = squared(channels_first(map_), axes)
        return None if square is None else self._conv2d(square, signal, map_.outputs, label)

    def _conv2d(self, square: Square, signal: Signal, shape: Shape, label: str) -> Signal:
        node = self.nir.Conv2d(
            input_shape=layout(signal.shape)[1:], weight=np.ascontiguousarray(square.kernel), stride=square.strides,
            padding=square.padding, dilation=square.dilation, groups=1, bias=np.zeros(len(square.kernel)),
        )  # fmt: skip
        return Signal((self.add(f"{label}_weights", node, sources=signal.names),), shape)

    def _matrix(self, map_: LinearMap, signal: Signal, label: str) -> Signal:
        """Any map: as a Linear to a vector; as a kernel over the whole image, and one that lays it out again."""
        rows, columns = int(np.prod(map_.outputs)), int(np.prod(map_.inputs))
        self._require_small(rows * max(columns, rows if len(map_.outputs) > 1 else 0))
        try:
            found = entries(map_, _LARGEST)
        except TooManyError:
            raise self._too_large() from None
        matrix = np.zeros((rows, columns))
        matrix[found.post, found.pre] = found.weight
        if len(map_.outputs) == 1:
            flat = self.flat(signal, label)
            return self._linear(matrix if flat.order is None else matrix[:, flat.order], flat, map_.outputs, label)
        if len(map_.inputs) == 1:
            raise ValueError(
                f"layer {self.layer!r}: it gives a vector the shape {map_.outputs}, for which NIR has no node; "
                "export to .npz or .h5"
            )
        kernel = np.stack([first_channel(row.reshape(map_.inputs)) for row in matrix])
        square = squared(kernel, [Axis(side, 1, side, 2, 1, 0) for side in layout(map_.inputs)[1:]])
        assert square is not None
        vector = self._conv2d(square, signal, (1, 1, rows), label)
        return self.laid_out(np.eye(rows), vector, shape=map_.outputs, label=label)

    def _require_small(self, count: int) -> None:
        if count > _LARGEST:
            raise self._too_large()

    def _too_large(self) -> ValueError:
        return ValueError(
            f"layer {self.layer!r}: NIR has no node for its map but a matrix or a kernel of more than {_LARGEST} "
            "weights; export to .npz or .h5"
        )


def _has_a_way_through(map_: Chain) -> bool:
    """Whether what is between two maps can be laid out in NIR: no image of three axes, no vector before an image."""
    between = len(map_.first.outputs)
    return between < 4 and (between > 1 or len(map_.outputs) == 1 or len(map_.inputs) == 1)


def _as_convolution(map_: Shift) -> Convolution:
    *margins, (before, after) = map_.margins
    kernel = np.eye(map_.inputs[-1])[:, max(-before, 0) : map_.inputs[-1] - max(-after, 0)]
    kernel = np.pad(kernel, ((0, 0), (max(before, 0), max(after, 0))))
    rank = len(margins)
    return Convolution(
        map_.inputs, kernel.reshape(*(1,) * rank, *kernel.shape), Window.of((1,) * rank, margins=margins)
    )
