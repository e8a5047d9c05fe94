"""Networks that are exact by construction, in TensorFlow's operations alone: one comparison decides a whole layer.

Where no potential can fall before t_min (see `certificate`), a neuron spikes early if and only if its z is above B. As
long as no z of an image is, and none of its inputs is late, every closed form is the simulation; which holds for a
layer as soon as it does for the largest lead of each population. The other images are run again, event by event.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from relu2snn.spiking.backend import TensorFlowOps, unit_range
from relu2snn.spiking.between import earliest, read
from relu2snn.spiking.certificate import UNDERFLOW
from relu2snn.spiking.engine import Fired, shaped
from relu2snn.spiking.nodes import Earliest, Encoder, Firing, Potential, SpikingNetwork
from relu2snn.spiking.prepared import Prepared


def closed_only(segment: Prepared, leads: Mapping[str, Any]) -> Fired:
    """The closed form of a segment by construction, for images of which no lead is negative and no z above B."""
    closed = segment.closed(leads)
    none = tf.zeros((), tf.int64)
    counts, peaks = [], []
    for each in closed:
        pairs = tf.size(each, tf.int64)
        spikes, peak = _by_image(each)
        counts.append(tf.stack([pairs, tf.reduce_sum(spikes), none, none, none, pairs]))
        peaks.append(tf.reduce_max(peak))
    sizes = tf.stack([tf.stack([tf.zeros_like(peak), peak]) for peak in peaks])
    none_early = tf.zeros(tf.shape(closed[0])[:1], tf.bool)
    return shaped(segment, closed, tf.stack(counts), sizes, none_early)


def _by_image(values: Any) -> tuple[Any, Any]:
    """How many of each image are above 0, and the largest, (batch,)."""
    rows = tf.reshape(values, (tf.shape(values)[0], -1))
    # No image has 2³¹ neurons in a layer; a batch may.
    spikes = tf.cast(tf.reduce_sum(tf.cast(rows > 0, tf.int32), 1), tf.int64)
    return spikes, tf.cast(tf.reduce_max(rows, 1), tf.float64)


def unit_spikes(tensors: Sequence[Any], images: Any) -> Any:
    """In how many images each unit spikes before the end of its window, one tensor after the other, (units,) float32.

    images: which of them to count, (batch,) bool.
    """
    if not tensors:
        return tf.zeros(0)
    # A product, which is quicker than a sum along the batch, and exact: no batch has 2²⁴ images.
    chosen = tf.cast(images, tf.float32)[None]
    rows = [tf.reshape(each, (-1, int(np.prod(each.shape[1:])))) for each in tensors]
    return tf.concat([tf.matmul(chosen, tf.cast(each > 0, tf.float32))[0] for each in rows], 0)


def quick_step(
    network: SpikingNetwork,
    segments: Mapping[str, Prepared],
    ops: TensorFlowOps,
    keep: Collection[str],
    counted: Collection[str] = (),
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function of images by name: potentials and leads as a graph of `Simulation` gives them, spikes and peaks
    (batch, populations), and `first` (batch,), the number of the first segment for which this decides nothing of an
    image, or of all segments where it decides everything.

    segments: all of them, at least one, by construction; keep: names of tensors whose leads to return; counted: those
    whose spikes to count unit by unit, over the images that this decides.
    """

    def step(images: Mapping[str, Any]) -> dict[str, Any]:
        leads: dict[str, Any] = {}
        largest: dict[str, Any] = {}
        potentials, spikes, peaks, decided = {}, [], [], []
        on_time: Any = True
        for node in network:
            match node:
                case Encoder():
                    values = unit_range(images[node.image], node.low, node.high)
                    leads[node.name], (_, largest[node.name]) = values, _by_image(values)
                    on_time = on_time & (tf.reduce_min(tf.reshape(values, (tf.shape(values)[0], -1)), 1) >= 0)
                case Earliest():
                    leads[node.name] = earliest(node, leads, ops)
                    largest[node.name] = _largest(largest, node.tensors)
                case Potential():
                    potentials[node.name] = read(node, leads, ops)
                case Firing():
                    segment = segments[node.name]
                    closed, most = segment.closed(leads), _largest(largest, node.maps)
                    known: Any = True
                    for place, (neurons, values) in enumerate(zip(node.populations, closed, strict=True)):
                        count, peak = _by_image(values)
                        spikes.append(count)
                        peaks.append(peak)
                        leads[neurons.name], largest[neurons.name] = values, peak
                        # By as much as rounding can add to z; NaN is never below.
                        known = known & (peak < node.window - segment.roundings[place] * most - UNDERFLOW)
                    decided.append(known)
        # Of an image outside its range nothing is known from the first segment on.
        whole = tf.cast(tf.stack(decided, 1) & on_time[:, None], tf.int32)
        every = tf.reduce_all(whole > 0, 1)
        return {
            "potentials": potentials,
            "spikes": tf.stack(spikes, 1),
            "peaks": tf.stack(peaks, 1),
            "leads": {name: leads[name] for name in keep},
            "units": unit_spikes([leads[name] for name in counted], every),
            "first": tf.reduce_sum(tf.math.cumprod(whole, 1), 1),
        }

    return step


def _largest(known: Mapping[str, Any], names: Iterable[str]) -> Any:
    """The largest lead of each image among tensors, (batch,)."""
    return tf.reduce_max(tf.stack([known[name] for name in names]), 0)


def gathered(found: Mapping[str, Any], rows: Any, pairs: Collection[int]) -> dict[str, Any]:
    """What a quick step has found of the images `rows`, as a graph of `Simulation` gives it, in numpy.

    rows: those that it decides. pairs: how many each population has in one image.
    """
    spikes, peaks = found["spikes"].numpy()[rows], found["peaks"].numpy()[rows]
    count = len(spikes)
    total = spikes.sum(axis=0)
    counts = [(n * count, k, 0, 0, 0, n * count) for n, k in zip(pairs, total.tolist(), strict=True)]
    return {
        "potentials": {name: each.numpy()[rows] for name, each in found["potentials"].items()},
        "counts": np.array(counts, np.int64),
        "sizes": np.stack([np.zeros(len(total)), peaks.max(axis=0, initial=0.0)], axis=1),
        "spikes": total,
        "leads": {name: each.numpy()[rows] for name, each in found["leads"].items()},
        "units": found["units"].numpy(),
        "early": np.zeros(count, np.bool_),
    }
