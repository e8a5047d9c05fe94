"""The simulation of a whole network, batch by batch: a loop over its nodes, with nothing kept between batches."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.graph.geometry import Shape
from relu2snn.spiking.segments.backend import TensorFlowOps
from relu2snn.spiking.segments.evidence import Evidence
from relu2snn.spiking.segments.network import Earliest, Encoder, Firing, Potential, SpikingNetwork
from relu2snn.spiking.segments.step import Step

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Batch:
    """What one batch gave: leads of every tensor, outputs before their activation, evidence by population."""

    leads: Mapping[str, Array]
    outputs: Mapping[str, Array]
    evidence: Mapping[str, Evidence]


class Simulation:
    """A network made ready to be run; any number of batches, in any order, each by itself.

    Example:
        simulation = Simulation(network)
        batch = simulation.run({"images": images}, np.random.default_rng(0))
    """

    def __init__(self, network: SpikingNetwork) -> None:
        self.network = network
        self._ops = TensorFlowOps(network.precision)
        self.shapes = tensor_shapes(network)
        self._steps = {node.name: Step(node, self.shapes, self._ops) for node in network.firing}

    def run(self, images: Mapping[str, Array], draw: np.random.Generator | None = None) -> Batch:
        """Simulate images by encoder, (batch, *shape), with noise from `draw`."""
        leads: dict[str, Array] = {}
        outputs: dict[str, Array] = {}
        evidence: dict[str, Evidence] = {}
        for node in self.network:
            match node:
                case Encoder():
                    values = np.asarray(images[node.name], np.float64)
                    coded = self._disturbed((values - node.low) / (node.high - node.low), draw)
                    # No pixel spikes before the images begin.
                    leads[node.name] = np.minimum(coded, 1.0) if self.network.noise else coded
                case Earliest():
                    leads[node.name] = self._earliest(node, leads)
                case Firing():
                    found, counts = self._steps[node.name].fire(leads)
                    evidence |= counts
                    leads |= {name: self._disturbed(each, draw) for name, each in found.items()}
                case Potential():
                    # Noise can delay a spike past the read-out: it has not arrived and counts nothing.
                    arrived = {name: tf.constant(np.maximum(leads[name], 0), self._ops.dtype) for name in node.maps}
                    outputs[node.name] = np.asarray(self._ops.total(node.maps, arrived)) + node.bias
        return Batch(leads, outputs, evidence)

    def _disturbed(self, leads: Array, draw: np.random.Generator | None) -> Array:
        if not self.network.noise or draw is None:
            return leads
        return np.asarray(leads - self.network.noise * draw.standard_normal(leads.shape), leads.dtype)

    def _earliest(self, node: Earliest, leads: Mapping[str, Array]) -> Array:
        found = [
            np.asarray(self._ops.extremum(tf.constant(leads[name]), node.window, node.latest)) for name in node.tensors
        ]
        if len(found) == 1:
            return found[0]
        extremes: Array = np.where(node.latest, np.min(found, axis=0), np.max(found, axis=0))
        return extremes


def tensor_shapes(network: SpikingNetwork) -> dict[str, Shape]:
    """The shape of every tensor of leads, without the batch."""
    shapes: dict[str, Shape] = {}
    for node in network:
        if isinstance(node, Firing):
            shapes |= {each.name: node.shape for each in node.populations}
        elif not isinstance(node, Potential):
            shapes[node.name] = node.shape
    return shapes
