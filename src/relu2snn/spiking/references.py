"""Reference neurons that do not spike exactly at t_min: what is a clock's input becomes an input like any other.

The weights of a population add up to more or less than its maps': the rest is that of the reference neuron, J_r, and of
what fills up the borders, which padding does, too. As a clock the reference needs no tensor: its lead is 0. With jitter
of its own, one draw for a layer and an image, it is one more tensor, with the same lead for all neurons of the layer.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import Shape, Window
from relu2snn.graph.linear import input_sums
from relu2snn.spiking.nodes import Firing, Neurons, SpikingNetwork, SpikingNode

_NOTHING = 1e-6
"""A reference with a weight of less than this share of the others is what rounding has left of their sum."""


def reference_weights(node: Firing, each: Neurons) -> NDArray[np.float64] | None:
    """J_r of every neuron of a population, (channels,); None where it has no reference, as in the published mapping."""
    gain, total = np.asarray(each.gain, np.float64), np.asarray(each.total, np.float64)
    own = gain * input_sums(node.maps, node.shape[-1])
    found = np.asarray(total - own, np.float64)
    return found if (np.abs(found) > _NOTHING * (1 + np.abs(total) + np.abs(own))).any() else None


def with_references(network: SpikingNetwork) -> tuple[SpikingNetwork, dict[str, Firing]]:
    """The network with the references of its segments as inputs, and by the name of each its segment.

    Populations of a segment, whose references have other weights, become segments of one population each; nothing
    changes where there is no jitter of references.
    """
    if not network.reference_noise:
        return network, {}
    taken = set(network.shapes) | {node.name for node in network}
    nodes: list[SpikingNode] = []
    references: dict[str, Firing] = {}
    for node in network:
        if not isinstance(node, Firing):
            nodes.append(node)
            continue
        name = next(each for k in range(len(taken) + 1) if (each := f"{node.name}_reference" + "_" * k) not in taken)
        taken.add(name)
        references[name] = node
        nodes += [_with_reference(node, each, name) for each in node.populations]
    return replace(network, nodes=tuple(nodes)), references


def _with_reference(node: Firing, each: Neurons, name: str) -> Firing:
    weights, maps = reference_weights(node, each), dict(node.maps)
    if weights is not None:
        rank = len(node.shape) - 1
        kernel = (weights / np.asarray(each.gain, np.float64)).reshape(*(1,) * rank, 1, -1)
        maps[name] = Convolution(reference_shape(node), kernel, Window.of((1,) * rank))
    return replace(node, name=each.name, maps=maps, populations=(each,))


def reference_shape(node: Firing) -> Shape:
    """One channel, with a cell wherever the layer has neurons."""
    return (*node.shape[:-1], 1)


def reference_leads(node: Firing, count: Any, noise: float, seed: Any, dtype: Any) -> Any:
    """How much earlier than t_min the reference spikes, (count, *shape): one draw for each image."""
    shape = reference_shape(node)
    drawn = tf.random.stateless_normal((count, *(1,) * len(shape)), seed, stddev=noise, dtype=dtype)
    return tf.tile(-drawn, (1, *shape))
