"""What a network is made of: images, segments of neurons, extrema of spikes, read-outs; nothing else exists in it.

Every tensor between them is spike-coded: its values are at least 0. A segment computes z = Σ_s L_s x_s + b from tensors
x_s, and each of its populations is x = ReLU(±z + offset); a read-out is a z that nobody rectifies.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.geometry import Shape, Window
from relu2snn.graph.linear import LinearMap

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """The images x, coded as x' = (x − low) / (high − low) in [0, 1]; low and high () or (channels,)."""

    name: str
    shape: Shape
    low: Array
    high: Array


@dataclass(frozen=True)
class Population:
    """Neurons x = ReLU(sign z + offset); offset () or (channels,) or of z's shape. `name` is that of the tensor x.

    scale () or (channels,): x is that times the value in the network that this one was scaled from.
    """

    name: str
    sign: int = 1
    offset: Array = field(default_factory=lambda: np.zeros(()))
    scale: Array = field(default_factory=lambda: np.ones(()))


@dataclass(frozen=True)
class Segment:
    """z = Σ_s L_s x_s + b, from tensors by name, and the populations that rectify it; bias (channels,) or z's shape."""

    name: str
    shape: Shape
    maps: Mapping[str, LinearMap]
    bias: Array
    populations: tuple[Population, ...]


@dataclass(frozen=True)
class Extremum:
    """The largest of each pool, the smallest in channels where `minimum` (channels,): a pool, or several tensors' own.

    Over every tensor of `tensors`, under each place of `window`; margins never win.
    """

    name: str
    shape: Shape
    tensors: tuple[str, ...]
    window: Window
    minimum: NDArray[np.bool_]


@dataclass(frozen=True)
class Readout:
    """z = Σ_s L_s x_s + b, read out as a potential; `activation` is what the user's network applies to it."""

    name: str
    shape: Shape
    maps: Mapping[str, LinearMap]
    bias: Array
    activation: str = "linear"


Node = Source | Segment | Extremum | Readout


class Network:
    """Nodes in topological order, checked; read-outs are the outputs, in the order of the user's model.

    Raises ValueError, which names the node, when a tensor is missing, comes later or has another shape.
    """

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes: dict[str, Node] = {}
        self.tensors: dict[str, Shape] = {}
        for node in nodes:
            self._check(node)
            self.nodes[node.name] = node
            self.tensors |= dict.fromkeys(made(node), node.shape)
        if not self.readouts:
            raise ValueError("a network needs a read-out")

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    @property
    def sources(self) -> list[Source]:
        return [node for node in self if isinstance(node, Source)]

    @property
    def segments(self) -> list[Segment]:
        return [node for node in self if isinstance(node, Segment)]

    @property
    def readouts(self) -> list[Readout]:
        return [node for node in self if isinstance(node, Readout)]

    @property
    def populations(self) -> dict[str, tuple[Segment, Population]]:
        """Every population by name, in order, with its segment: what becomes a layer of spiking neurons."""
        return {each.name: (node, each) for node in self.segments for each in node.populations}

    def _check(self, node: Node) -> None:
        if node.name in self.nodes:
            raise ValueError(f"{node.name!r}: two nodes have this name")
        for name in made(node):
            if name in self.tensors:
                raise ValueError(f"{node.name!r}: a tensor {name!r} is made already")
        for name in used(node):
            if name not in self.tensors:
                raise ValueError(f"{node.name!r}: no node before it makes a tensor {name!r}")
        if isinstance(node, Segment | Readout):
            for name, map_ in node.maps.items():
                if (map_.inputs, map_.outputs) != (self.tensors[name], node.shape):
                    raise ValueError(
                        f"{node.name!r}: a map from {map_.inputs} to {map_.outputs}, "
                        f"but {name!r} is {self.tensors[name]} and the node {node.shape}"
                    )
            if np.broadcast_shapes(node.bias.shape, node.shape) != node.shape:
                raise ValueError(f"{node.name!r}: a bias {node.bias.shape} does not fit {node.shape}")
        if isinstance(node, Extremum):
            for name in node.tensors:
                shape = self.tensors[name]
                if (*node.window.outputs(shape[:-1]), shape[-1]) != node.shape:
                    raise ValueError(f"{node.name!r}: its window over {name!r} {shape} does not give {node.shape}")


def used(node: Node) -> tuple[str, ...]:
    """The tensors that a node takes."""
    match node:
        case Source():
            return ()
        case Extremum():
            return node.tensors
    return tuple(node.maps)


def made(node: Node) -> tuple[str, ...]:
    """The tensors that a node gives."""
    match node:
        case Readout():
            return ()
        case Segment():
            return tuple(each.name for each in node.populations)
    return (node.name,)


def evaluate(network: Network, images: Mapping[str, Array]) -> dict[str, Array]:
    """Every tensor and read-out of the ReLU network, by name, for images by source, (batch, *shape); in numpy.

    Read-outs are before their activation.
    """
    ops = NumpyOps()
    values: dict[str, Array] = {}
    for node in network:
        match node:
            case Source():
                values[node.name] = (np.asarray(images[node.name], np.float64) - node.low) / (node.high - node.low)
            case Extremum():
                pooled = [ops.extremum(values[name], node.window, node.minimum) for name in node.tensors]
                extremes = np.min(pooled, axis=0), np.max(pooled, axis=0)
                values[node.name] = np.where(node.minimum, *extremes)
            case Segment() | Readout():
                z = sum(map_.apply(values[name], ops) for name, map_ in node.maps.items()) + node.bias
                # A segment without sources is constant.
                z = np.broadcast_to(z, (len(next(iter(values.values()))), *node.shape))
                if isinstance(node, Readout):
                    values[node.name] = z
                    continue
                for each in node.populations:
                    values[each.name] = np.maximum(each.sign * z + each.offset, 0)
    return values
