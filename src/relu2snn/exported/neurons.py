"""What an export says of each neuron, in the numbers of its equation: threshold, slope, the weight of its clock."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.linear import LinearMap
from relu2snn.spiking.nodes import Earliest, Encoder, Firing, Neurons, Potential, SpikingNetwork, inputs_of, tensors_of

Array = NDArray[np.float64]

# A delay of less than this share of the time at which it ends is what rounding has left of the sums of windows.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Constants:
    """Of each neuron of a population (n,), row by row: ϑ, α, and the weight of a clock that spikes at t_min.

    The clock is the reference neuron, where the mapping has one, and padding: whatever Σ_j J_ij has more than J itself.
    """

    threshold: Array
    slope: Array
    clock: Array


def constants_of(node: Firing, each: Neurons) -> Constants:
    """The constants of a population's neurons, in float64."""
    gain, total = np.asarray(each.gain, np.float64), np.asarray(each.total, np.float64)
    ops, channels = NumpyOps(), node.shape[-1]
    own = np.zeros((1, *node.shape))
    sizes, terms = np.zeros(channels), 0
    for map_ in node.maps.values():
        own = own + map_.apply(np.ones((1, *map_.inputs)), ops)
        sizes = sizes + map_.magnitudes(1, ops) + map_.magnitudes(-1, ops)
        terms += map_.terms()
    clock = total - gain * own[0]
    # What rounding has left of a difference is no synapse.
    nothing = 2.0**-52 * (terms + 4) * (np.abs(gain) * (1 + sizes) + np.abs(total))
    if each.gain.dtype == np.float32:
        nothing = np.maximum(nothing, 1e-6 * (np.abs(gain) * sizes + np.abs(total)))
    clock[np.abs(clock) <= nothing] = 0.0
    return Constants(_flat(each.threshold, node.shape), _flat(each.drive, node.shape), clock.ravel())


def largest_weights(maps: Mapping[str, LinearMap], gain: Array, *, sign: int) -> Array:
    """At least Σ_j max(sign J_ij, 0) per channel, J = gain · L, (channels,)."""
    ops = NumpyOps()
    found = np.zeros(gain.shape)
    for map_ in maps.values():
        either = np.where(sign * gain > 0, map_.magnitudes(1, ops), map_.magnitudes(-1, ops))
        found = found + np.abs(gain) * either
    return found


def ends_of(network: SpikingNetwork) -> dict[str, float]:
    """When the window of every tensor of spikes ends."""
    return {name: node.t_max for node in network if not isinstance(node, Potential) for name in tensors_of(node)}


def begin_of(node: Firing | Earliest | Potential) -> float:
    """When the windows of a node's inputs end, delayed: a segment's t_min, the end of a pool's own window."""
    return node.t_max if isinstance(node, Earliest) else node.t_min


def delays_of(node: Firing | Earliest | Potential, ends: Mapping[str, float]) -> dict[str, float]:
    """How long each input of a node is delayed, so that all of their windows end together."""
    begin = begin_of(node)
    waits = {name: begin - ends[name] for name in inputs_of(node)}
    return {name: each if each > _ROUNDING * begin else 0.0 for name, each in waits.items()}


def earliest_of(network: SpikingNetwork) -> dict[str, float]:
    """The earliest time at which a tensor's neurons can spike: where they begin to integrate, long before t_min."""
    ends = ends_of(network)
    found: dict[str, float] = {}
    for node in network:
        match node:
            case Encoder():
                found[node.name] = node.t_min
            case Firing():
                found |= {each.name: node.t_start for each in node.populations}
            case Earliest():
                found[node.name] = min(found[name] + wait for name, wait in delays_of(node, ends).items())
    return found


def _flat(values: Array, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(np.asarray(values, np.float64), shape).ravel()
