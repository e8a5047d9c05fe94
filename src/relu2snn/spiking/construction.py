"""Networks that are exact by construction, in TensorFlow's operations alone: one comparison decides a whole batch.

Where no potential can fall before t_min (see `certificate`), a neuron spikes early if and only if its z is above B. As
long as no z is, and no input is late, every closed form is the simulation; which holds for a layer as soon as it does
for the largest lead of each population, since rounding is allowed for by as much as the largest input can make of it.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import tensorflow as tf

from relu2snn.spiking.backend import TensorFlowOps, unit_range
from relu2snn.spiking.between import earliest, read
from relu2snn.spiking.certificate import UNDERFLOW
from relu2snn.spiking.engine import Fired, shaped
from relu2snn.spiking.nodes import Earliest, Encoder, Firing, Potential, SpikingNetwork
from relu2snn.spiking.prepared import Prepared


def closed_only(segment: Prepared, leads: Mapping[str, Any]) -> Fired:
    """The closed form of a segment by construction, for a batch in which no lead is negative and no z above B."""
    closed = segment.closed(leads)
    none = tf.zeros((), tf.int64)
    counts, peaks = [], []
    for each in closed:
        pairs = tf.size(each, tf.int64)
        counts.append(tf.stack([pairs, tf.math.count_nonzero(each > 0), none, none, none, pairs]))
        peaks.append(tf.cast(tf.reduce_max(each), tf.float64))
    sizes = tf.stack([tf.stack([tf.zeros_like(peak), peak]) for peak in peaks])
    return shaped(segment, closed, tf.stack(counts), sizes)


def quick_step(
    network: SpikingNetwork, segments: Mapping[str, Prepared], ops: TensorFlowOps, keep: Collection[str]
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function of images by name: what a graph of `Simulation` gives, and `first`, the number of the first segment
    for which this decides nothing, or of all segments where it decides everything.

    segments: all of them, at least one, by construction; keep: names of tensors whose leads to return.
    """

    def step(images: Mapping[str, Any]) -> dict[str, Any]:
        leads: dict[str, Any] = {}
        largest: dict[str, Any] = {}
        potentials, fired, decided = {}, [], []
        on_time = tf.constant(True)
        for node in network:
            match node:
                case Encoder():
                    values = unit_range(images[node.image], node.low, node.high)
                    leads[node.name], largest[node.name] = values, tf.cast(tf.reduce_max(values), tf.float64)
                    on_time = on_time & (tf.reduce_min(values) >= 0)
                case Earliest():
                    leads[node.name] = earliest(node, leads, ops)
                    largest[node.name] = tf.reduce_max(tf.stack([largest[name] for name in node.tensors]))
                case Potential():
                    potentials[node.name] = read(node, leads, ops)
                case Firing():
                    found = closed_only(segments[node.name], leads)
                    most = tf.reduce_max(tf.stack([largest[name] for name in node.maps])) if node.maps else 0.0
                    peaks = found.sizes[:, 1]
                    for place, neurons in enumerate(node.populations):
                        leads[neurons.name], largest[neurons.name] = found.leads[place], peaks[place]
                    decided.append(_below(segments[node.name], peaks, most))
                    fired.append(found)
        # Of an image outside its range nothing is known from the first segment on.
        known = tf.cast(tf.stack(decided) & on_time, tf.int32)
        return {
            "potentials": potentials,
            "counts": tf.concat([each.counts for each in fired], 0),
            "sizes": tf.concat([each.sizes for each in fired], 0),
            "spikes": tf.concat([each.counts[:, 1] for each in fired], 0),
            "leads": {name: leads[name] for name in keep},
            "first": tf.reduce_sum(tf.math.cumprod(known)),
        }

    return step


def _below(segment: Prepared, peaks: Any, largest: Any) -> Any:
    """Whether no z is above B, by as much as rounding can add to it."""
    limits = segment.node.window - segment.roundings * largest - UNDERFLOW
    return tf.reduce_all(peaks < limits)
