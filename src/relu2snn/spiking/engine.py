"""Firing one layer of spiking neurons: leads in, leads and evidence out, nothing kept.

`fire` proves what it can by the certificate and leaves the rest to `decide`; `simulate` walks every event. Both are
graphs of TensorFlow with host code in between, and functions of what they are given: whoever runs a network sums the
evidence.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from relu2snn.spiking.bounds import gaps, over_blocks
from relu2snn.spiking.certificate import UNDERFLOW, Constants, closed_form, slack_type
from relu2snn.spiking.decide import Evidence, Neurons, decide, is_early
from relu2snn.spiking.events import Floats, as_grid, simulate_conv2d

# numpy has no bfloat16.
_BITS, _TF_BITS = (np.uint16, tf.uint16) if slack_type == tf.bfloat16 else (np.uint32, tf.uint32)


class Fired(NamedTuple):
    """What a layer has made of a batch; tensors.

    leads: when its neurons spiked, before any noise. counts (4,) int64 and sizes (2,) float64: the numbers of an
    Evidence, in its order.
    """

    leads: Any
    counts: Any
    sizes: Any


def evidence_of(counts: Any, sizes: Any) -> Evidence:
    """The evidence that `Fired` holds as tensors."""
    spikes, binned, simulated, early = (int(count) for count in counts)
    return Evidence(spikes, binned, simulated, early, float(sizes[0]), float(sizes[1]))


def fire(layer: Any, leads: Any, parameters: list[Any], constants: Constants, coarse: Any = False) -> Fired:
    """The spikes of a layer: the closed form where it is proved, events everywhere else.

    layer: gives geometry and durations. parameters: J, ϑ and α; constants: what `derive` makes of them. coarse: whether
    slacks are summed for blocks (see `Blocks`), a boolean or a tensor of one.
    """

    def gap_bits(leads: Floats, coarse: Any) -> tuple[Any, Floats, Floats]:
        return _gaps(layer, leads, bool(coarse))

    bits, latest, largest = tf.numpy_function(gap_bits, [leads, coarse], [_TF_BITS, tf.float64, tf.float64])
    channels = leads.shape[-1]
    bits.set_shape((None, None, None, channels) if leads.shape.rank > 2 else (None, channels))
    # One after the other: each takes every core, and those that wait for a share of one spin.
    with tf.control_dependencies([bits]):
        closed = closed_form(leads, parameters[0], constants, layer.apply)
    gap = tf.bitcast(bits, slack_type)
    slack = tf.cond(
        tf.convert_to_tensor(coarse),
        lambda: layer.apply_padded(gap, constants.negative, 2),
        lambda: layer.apply_padded(gap, constants.negative, 1),
    )
    slack = tf.bitcast(slack, _TF_BITS)
    others = [constants.floor, constants.pull, constants.rounding, constants.size, constants.rise, constants.rows]

    def rest(*given: Any) -> tuple[Any, Floats, Any, Floats]:
        return _decide(layer, *given)

    indices, values, counts, sizes = tf.numpy_function(
        rest,
        [closed, slack, latest, largest, leads, *parameters, *others],
        [tf.int64, leads.dtype, tf.int64, tf.float64],
    )
    indices.set_shape((None,))

    def replaced() -> Any:
        flat = tf.tensor_scatter_nd_update(tf.reshape(closed, (-1,)), indices[:, None], values)
        return tf.reshape(flat, tf.shape(closed))

    spikes = tf.cond(tf.size(indices) > 0, replaced, lambda: closed)
    return _shaped(layer, leads, spikes, counts, sizes)


def simulate(layer: Any, leads: Any, parameters: list[Any]) -> Fired:
    """The spikes of a layer, every neuron event by event, in float64 whatever the precision of the layer."""

    def walk(*given: Floats) -> tuple[Floats, Any, Floats]:
        return _simulate(layer, *given)

    found = tf.numpy_function(walk, [leads, *parameters], [leads.dtype, tf.int64, tf.float64])
    return _shaped(layer, leads, *found)


def _shaped(layer: Any, leads: Any, spikes: Any, counts: Any, sizes: Any) -> Fired:
    spikes.set_shape(layer.compute_output_shape(leads.shape))
    counts.set_shape((4,))
    sizes.set_shape((2,))
    return Fired(spikes, counts, sizes)


def _numbers(evidence: Evidence) -> tuple[Any, Floats]:
    counts = evidence.spikes, evidence.binned, evidence.simulated, evidence.early
    return np.array(counts, np.int64), np.array([evidence.deviation, evidence.peak])


def _simulate(
    layer: Any, leads: Floats, kernel: Floats, threshold: Floats, drive: Floats
) -> tuple[Floats, Any, Floats]:
    grid, weights = as_grid(leads, kernel)
    padded = np.pad(grid, ((0, 0), *layer.margins(grid.shape[1:3]), (0, 0)))
    wide = [np.asarray(each, np.float64) for each in (padded, weights, threshold, drive)]
    spikes = simulate_conv2d(
        wide[0], wide[1], wide[2], wide[3], layer.before, layer.window, layer.strides, layer.dilation
    )
    early = int(np.count_nonzero(is_early(spikes, layer.before, layer.window)))
    before_end, peak = int(np.count_nonzero(spikes > 0)), float(spikes.max(initial=0.0))
    evidence = Evidence(before_end, 0, spikes.size, early, peak=peak)
    return (spikes if kernel.ndim > 2 else spikes[:, 0, 0]).astype(leads.dtype), *_numbers(evidence)


def _gaps(layer: Any, leads: Floats, coarse: bool) -> tuple[Any, Floats, Floats]:
    grid = leads if leads.ndim > 2 else leads[:, None, None]
    bits, latest, largest = gaps(grid, layer.margins(grid.shape[1:3]), layer.extents(), _BITS)
    if coarse:
        bits = over_blocks(bits, layer.strides)
    return (bits if leads.ndim > 2 else bits[:, 0, 0]), latest, largest


def _decide(
    layer: Any, closed: Floats, slack: Any, latest: Floats, largest: Floats, leads: Floats, kernel: Floats,
    threshold: Floats, drive: Floats, floor: Floats, pull: Floats, rounding: Floats, size: Floats, rise: Floats,
    rows: Any,
) -> tuple[Any, Floats, Any, Floats]:  # fmt: skip
    if leads.ndim == 2:
        closed, slack = closed[:, None, None], slack[:, None, None]
    grid, weights = as_grid(leads, kernel)
    wide = [np.asarray(each, np.float64) for each in (weights, threshold, drive)]
    neurons = Neurons(
        wide[0], rows, size, wide[1], wide[2], rise, layer.before, layer.window, layer.strides, layer.dilation
    )
    limit = layer.window - latest[:, None] - rounding * largest[:, None] - UNDERFLOW
    lift = latest[:, None] * (pull - 1)
    indices, values, evidence = decide(
        closed, slack, floor, limit, lift, latest, grid, layer.margins(grid.shape[1:3]), neurons
    )
    return indices, values.astype(leads.dtype), *_numbers(evidence)
