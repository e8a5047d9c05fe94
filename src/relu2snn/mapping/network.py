"""A network between two Keras models: plain numpy nodes in topological order, read by type and written back."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.mapping.unsupported import UnsupportedLayerError as UnsupportedLayerError

Array = NDArray[np.float64]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One operation: its name, the names of its inputs and the shape of its output, without the batch."""

    name: str
    inputs: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True)
class Input(Node):
    """The images, with values in [low, high]."""

    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class UnitRange(Node):
    """x' = (x - low) / (high - low): the images brought to [0, 1]."""

    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Dense(Node):
    """y = x kernel + bias; kernel (inputs, units), bias (units,)."""

    kernel: Array = field(default_factory=lambda: np.zeros((0, 0)))
    bias: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Conv2D(Node):
    """y = conv(x, kernel) + bias; kernel (h, w, inputs, filters), bias (filters,) or a map (h_out, w_out, filters)."""

    kernel: Array = field(default_factory=lambda: np.zeros((0, 0, 0, 0)))
    bias: Array = field(default_factory=lambda: np.zeros(0))
    strides: tuple[int, int] = (1, 1)
    padding: str = "valid"
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Affine(Node):
    """y = scale x + shift; scale (channels,), shift (channels,) or the shape of x."""

    scale: Array = field(default_factory=lambda: np.ones(1))
    shift: Array = field(default_factory=lambda: np.zeros(1))


@dataclass(frozen=True)
class ReLU(Node):
    """y = max(x, 0): the output of a layer of spiking neurons."""


@dataclass(frozen=True)
class Pool(Node):
    """Max pooling; channels where `minimum` (channels,) is true take the minimum. Padding never wins."""

    size: tuple[int, int] = (2, 2)
    strides: tuple[int, int] = (2, 2)
    padding: str = "valid"
    minimum: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(1, bool))


@dataclass(frozen=True)
class Flatten(Node):
    """Row-major flattening of (h, w, channels)."""


Weighted = Dense | Conv2D


class Network:
    """Nodes in topological order and the name of the one whose output are the logits."""

    def __init__(self, nodes: dict[str, Node], output: str) -> None:
        self.nodes = nodes
        self.output = output

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def replace(self, name: str, **changes: Any) -> None:
        """Change fields of one node in place."""
        self.nodes[name] = replace(self.nodes[name], **changes)

    def hidden(self) -> list[Weighted]:
        """The weighted nodes whose output goes through a ReLU: the layers of spiking neurons, in order."""
        layers = [self.nodes[node.inputs[0]] for node in self if isinstance(node, ReLU)]
        return [layer for layer in layers if isinstance(layer, Dense | Conv2D)]
