"""What a spiking network is: encoders, segments of neurons with their windows, extrema of spikes, read-outs.

Between them flow *leads*, how long before the end of its window a neuron spiked, `t_max − t`: a lead of 0 is a spike at
t_max, and the lead of a neuron that did not spike early is the value of its ReLU. Delays belong to edges: a tensor
whose window ends before a segment's t_min is delayed until then, and its leads stay as they are.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.geometry import Shape, Window
from relu2snn.graph.linear import LinearMap

Array = NDArray[np.float64]

# Times are added up from layer to layer in float64.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Encoder:
    """Images as spike times: a pixel x in [low, high], brought to x' in [0, 1], spikes at t = 1 − x', in [0, 1].

    low and high () or (channels,). image: the name of the input. seed: of the noise on its spike times.
    """

    name: str
    shape: Shape
    low: Array
    high: Array
    image: str
    seed: int = 0

    t_min, t_max = 0.0, 1.0


@dataclass(frozen=True)
class Neurons:
    """dV/dt = α H(t − t_start) + Σ_j J_ij H(t − t_j): a spike where V first reaches ϑ_i, at t_max at the latest.

    `name` is that of the tensor of their leads. J = gain · L with the segment's maps L; total Σ_j J_ij over all inputs,
    clock inputs at lead 0 too, which are not among the maps; gain, total and drive α (channels,); threshold ϑ
    (channels,) or a map of the segment's shape. sign: that of every gain. scale (channels,): a lead is that times the
    value which the user's own network has there. seed: of the noise on their spike times. maximum: the layer maximum X
    that their window was made from, where it is known.
    """

    name: str
    gain: Array
    total: Array
    threshold: Array
    drive: Array
    sign: int
    scale: Array
    seed: int = 0
    maximum: float | None = None


@dataclass(frozen=True)
class Firing:
    """A segment: populations that integrate the same Σ_s L_s x_s from t_start on, in the window [t_min, t_max].

    Every input's window has ended at t_min. `before` D = t_min − t_start is a duration, so is `window` B.
    reference_seed: of the jitter of its reference neuron, where the network has such.
    """

    name: str
    shape: Shape
    maps: Mapping[str, LinearMap]
    populations: tuple[Neurons, ...]
    before: float
    window: float
    t_min: float
    reference_seed: int = 0

    @property
    def t_start(self) -> float:
        return self.t_min - self.before

    @property
    def t_max(self) -> float:
        return self.t_min + self.window


@dataclass(frozen=True)
class Earliest:
    """The earliest spike of each pool, the latest in channels where `latest`, in a window that ends with the last."""

    name: str
    shape: Shape
    tensors: tuple[str, ...]
    window: Window
    latest: NDArray[np.bool_]
    t_min: float
    t_max: float


@dataclass(frozen=True)
class Potential:
    """Output neurons, which do not spike: V(t_min) = α D + Σ W x over the inputs that have arrived; α D = bias.

    `activation` is what the user's network applies to them at the end.
    """

    name: str
    shape: Shape
    maps: Mapping[str, LinearMap]
    bias: Array
    before: float
    t_min: float
    activation: str


SpikingNode = Encoder | Firing | Earliest | Potential


@dataclass(frozen=True)
class SpikingNetwork:
    """Nodes in topological order. noise: standard deviation of the spike times, those of clocks apart: references,
    padding and t_start; reference_noise: that of the references.

    precision: "float64" or "float32", of the closed form and of the leads between segments.
    """

    nodes: tuple[SpikingNode, ...]
    noise: float = 0.0
    precision: str = "float64"
    reference_noise: float = 0.0

    def __iter__(self) -> Iterator[SpikingNode]:
        return iter(self.nodes)

    @property
    def encoders(self) -> list[Encoder]:
        """The inputs, in order."""
        return [node for node in self if isinstance(node, Encoder)]

    @property
    def firing(self) -> list[Firing]:
        """The segments of spiking neurons, in order."""
        return [node for node in self if isinstance(node, Firing)]

    @property
    def potentials(self) -> list[Potential]:
        """The outputs, in the order of the user's model."""
        return [node for node in self if isinstance(node, Potential)]

    @property
    def populations(self) -> dict[str, tuple[Firing, Neurons]]:
        """Every population of spiking neurons by name, in order, with its segment."""
        return {each.name: (node, each) for node in self.firing for each in node.populations}

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every tensor of leads, without the batch."""
        found: dict[str, Shape] = {}
        for node in self:
            found |= dict.fromkeys(tensors_of(node), node.shape)
        return found

    @property
    def windows(self) -> dict[str, tuple[float, float]]:
        """[t_min, t_max] of every population, by name, in units of the input window."""
        return {name: (node.t_min, node.t_max) for name, (node, _) in self.populations.items()}

    @property
    def spans(self) -> dict[str, tuple[float, float]]:
        """[t_min, t_max] of what spikes, the encoders and then every population, by name."""
        return {node.name: (node.t_min, node.t_max) for node in self.encoders} | self.windows

    @property
    def latency(self) -> float:
        """When the last output is read, in units of the input window: the longest path."""
        return max(node.t_min for node in self.potentials)

    @property
    def alpha_noise(self) -> bool:
        """Whether α is other than 1 anywhere."""
        return any(bool((each.drive != 1).any()) for _, each in self.populations.values())

    def population(self, name: str) -> tuple[Firing, Neurons]:
        """The segment and the neurons called `name`.

        Raises ValueError when there are none.
        """
        known = self.populations
        if name not in known:
            raise ValueError(f"layer {name!r}: no spiking layer of that name; choose from {', '.join(known)}")
        return known[name]


def tensors_of(node: SpikingNode) -> tuple[str, ...]:
    """The tensors of leads that a node gives."""
    match node:
        case Firing():
            return tuple(each.name for each in node.populations)
        case Potential():
            return ()
    return (node.name,)


def inputs_of(node: SpikingNode) -> tuple[str, ...]:
    """The tensors of leads that a node takes."""
    match node:
        case Encoder():
            return ()
        case Earliest():
            return node.tensors
    return tuple(node.maps)


def consumed(network: SpikingNetwork) -> list[str]:
    """The tensors of leads that maps of segments and read-outs take, in order."""
    return list(dict.fromkeys(name for node in network if isinstance(node, Firing | Potential) for name in node.maps))


def neurons_in(shape: Shape) -> int:
    """How many neurons a population of this shape has."""
    return math.prod(shape)


def check_times(nodes: Iterable[SpikingNode]) -> None:
    """Raise ValueError, naming the node, where one has its t_min before the windows of its inputs have ended."""
    ends: dict[str, float] = {}
    for node in nodes:
        for name in inputs_of(node):
            # A pool's window is that of its inputs.
            end = node.t_max if isinstance(node, Earliest) else node.t_min
            if ends[name] > end * (1 + _ROUNDING):
                raise ValueError(f"layer {node.name!r}: it begins at {end}, but {name!r} spikes until {ends[name]}")
        ends |= {name: node.t_max for name in tensors_of(node) if not isinstance(node, Potential)}
