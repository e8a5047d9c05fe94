"""Firing one segment of spiking neurons: leads in, leads and evidence out, nothing kept.

`fire` proves what it can by the certificate and leaves the rest to `decide`; `simulate` walks every event. Both are
graphs of TensorFlow with host code in between, and functions of what they are given: whoever runs a network sums the
evidence.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.spiking.bounds import UP, gaps, limits, over_blocks
from relu2snn.spiking.certificate import slack_type
from relu2snn.spiking.decide import Bound, decide, is_early
from relu2snn.spiking.events import Floats, first_crossings, simulate_fields
from relu2snn.spiking.evidence import Evidence
from relu2snn.spiking.prepared import Plain, Prepared

# numpy has no bfloat16.
_BITS, _TF_BITS = (np.uint16, tf.uint16) if slack_type == tf.bfloat16 else (np.uint32, tf.uint32)

COUNTS = 6
"""How many counts an Evidence has."""


class Fired(NamedTuple):
    """What a segment has made of a batch; tensors.

    leads: of each population, before any noise. counts (populations, 6) int64 and sizes (populations, 2) float64: the
    numbers of an Evidence, in its order. early (batch,) bool: images in which a neuron spiked before t_min.
    """

    leads: list[Any]
    counts: Any
    sizes: Any
    early: Any


class Proved(NamedTuple):
    """Arrays of what the certificate says: closed forms and, by construction, leads of V(t_min), by population; bits of
    slacks by sign."""

    closed: list[Any]
    floors: list[Any]
    slacks: list[Any]


def evidence_of(counts: Any, sizes: Any) -> Evidence:
    """The evidence that a row of each of `Fired` holds."""
    return Evidence(*(int(count) for count in counts), *(float(size) for size in sizes))


def fire(segment: Prepared, leads: Mapping[str, Any], coarse: Any = False) -> Fired:
    """The spikes of a segment: the closed form where it is proved, events everywhere else.

    leads: of its tensors, by name. coarse: whether slacks are summed for blocks (see `Blocks`), a boolean or a tensor
    of one; for segments that are plain convolutions of images.
    """
    sources = [leads[name] for name in segment.node.maps]
    floors: list[Any] = []
    if segment.by_construction:
        closed, floors, slacks, latest, largest = _by_construction(segment, leads, sources)
    elif segment.plain is not None:
        gap, latest, largest = _plain_gaps(segment.plain, sources[0], coarse)
        # One after the other: each takes every core, and those that wait for a share of one spin.
        with tf.control_dependencies([gap]):
            closed = segment.closed(leads)
        slacks = [_plain_slack(segment.plain, tf.bitcast(gap, slack_type), sign, coarse) for sign in segment.signs]
    else:
        gap_of, latest, largest = _gaps(segment, sources)
        with tf.control_dependencies(list(gap_of.values())):
            closed = segment.closed(leads)
        slacks = [tf.bitcast(segment.slack(gap_of, sign, tf.shape(closed[0])), tf.uint32) for sign in segment.signs]

    def rest(*given: Any) -> tuple[Any, ...]:
        rows = iter(given)
        parts = [[next(rows) for _ in each] for each in (closed, floors, slacks)]
        late, most, *inputs = rows
        return _decide(segment, Proved(*parts), late, most, inputs)

    pairs = [kind for each in closed for kind in (tf.int64, each.dtype)]
    *changes, counts, sizes, early = tf.numpy_function(
        rest, [*closed, *floors, *slacks, latest, largest, *sources], [*pairs, tf.int64, tf.float64, tf.bool]
    )
    spikes = [_replaced(values, changes[2 * place], changes[2 * place + 1]) for place, values in enumerate(closed)]
    return shaped(segment, spikes, counts, sizes, early)


def simulate(segment: Prepared, leads: Mapping[str, Any]) -> Fired:
    """The spikes of a segment, every neuron event by event, in float64 whatever the precision of the network."""
    sources = [leads[name] for name in segment.node.maps]

    def walk(*given: Floats) -> tuple[Any, ...]:
        found = [_simulate(segment, place, _flat(given)) for place in range(len(segment.node.populations))]
        shape = (len(given[0]), *segment.node.shape)
        numbers = _numbers([evidence for _, evidence, _ in found])
        early = np.any([each for _, _, each in found], axis=0)
        return *(values.reshape(shape).astype(given[0].dtype) for values, _, _ in found), *numbers, early

    kinds = [sources[0].dtype for _ in segment.node.populations]
    *spikes, counts, sizes, early = tf.numpy_function(walk, sources, [*kinds, tf.int64, tf.float64, tf.bool])
    return shaped(segment, spikes, counts, sizes, early)


def _by_construction(
    segment: Prepared, leads: Mapping[str, Any], sources: list[Any]
) -> tuple[list[Any], list[Any], list[Any], Any, Any]:
    """Closed forms, leads of V(t_min), slacks of the late inputs, and latest and largest as of `bounds.gaps`."""
    latest, largest = _extremes(sources)
    closed = segment.closed(leads)
    late = tf.reduce_any(latest > 0)
    shape = tf.shape(closed[0])

    def floors() -> list[Any]:
        # What has arrived at t_min.
        return segment.closed({name: tf.maximum(leads[name], 0) for name in segment.node.maps})

    def slacks() -> list[Any]:
        gap_of = _gaps_below(segment, sources, latest, latest)
        return [segment.slack(gap_of, sign, shape) for sign in segment.signs]

    levels = tf.cond(late, floors, lambda: closed)
    found = tf.cond(late, slacks, lambda: [tf.zeros(shape, tf.float32) for _ in segment.signs])
    return closed, list(levels), [tf.bitcast(each, tf.uint32) for each in found], latest, largest


def _plain_gaps(plain: Plain, x: Any, coarse: Any) -> tuple[Any, Any, Any]:
    """Bits of g(x) of the padded inputs, and latest and largest of `bounds.gaps`."""
    x = tf.reshape(x, (-1, *plain.inputs))

    def gap_bits(leads: Floats, coarse: Any) -> tuple[Any, Floats, Floats]:
        grid = leads if leads.ndim > 2 else leads[:, None, None]
        bits, latest, largest = gaps(grid, plain.margins, plain.extents, _BITS)
        if coarse:
            bits = over_blocks(bits, plain.strides)
        return (bits if leads.ndim > 2 else bits[:, 0, 0]), latest, largest

    bits, latest, largest = tf.numpy_function(gap_bits, [x, coarse], [_TF_BITS, tf.float64, tf.float64])
    bits.set_shape((None,) * (x.shape.rank - 1) + (plain.inputs[-1],))
    return bits, latest, largest


def _plain_slack(plain: Plain, gap: Any, sign: int, coarse: Any) -> Any:
    slack = tf.cond(tf.convert_to_tensor(coarse), lambda: plain.slack(gap, sign, 2), lambda: plain.slack(gap, sign, 1))
    return tf.bitcast(slack, _TF_BITS)


def _gaps(segment: Prepared, sources: list[Any]) -> tuple[dict[str, Any], Any, Any]:
    """g(x) of all inputs by tensor, in float32 and rounded up, and per image latest and largest as of `bounds.gaps`."""
    latest, largest = _extremes(sources)
    return _gaps_below(segment, sources, latest, largest), latest, largest


def _extremes(sources: list[Any]) -> tuple[Any, Any]:
    """Per image how late the last input is, and the largest lead, counted from there."""

    def extremes(*given: Floats) -> tuple[Floats, Floats]:
        rows = [each.reshape(len(each), -1) for each in given]
        lowest = np.min([each.min(axis=1) for each in rows], axis=0).astype(np.float64)
        highest = np.max([each.max(axis=1) for each in rows], axis=0).astype(np.float64)
        latest = np.maximum(-lowest, 0.0)
        return latest, np.maximum(highest, 0.0) + latest

    latest, largest = tf.numpy_function(extremes, sources, [tf.float64, tf.float64])
    latest.set_shape((None,))
    largest.set_shape((None,))
    return latest, largest


def _gaps_below(segment: Prepared, sources: list[Any], latest: Any, largest: Any) -> dict[str, Any]:
    """g(x) = x (1 − x / M) of inputs counted from the last one's arrival, up to M = largest (batch,), and 0 above."""
    most = tf.cast(largest, tf.float32) * UP
    slope = tf.where(most > 0, 1 / most, tf.zeros_like(most))
    found = {}
    for name, each in zip(segment.node.maps, sources, strict=True):
        wide = (-1, *(1,) * (each.shape.rank - 1))
        # In float64, since of two numbers rounded before they are subtracted nothing may be left.
        x = tf.cast(tf.cast(each, tf.float64) + tf.reshape(latest, wide), tf.float32)
        found[name] = x * tf.maximum(1 - x * tf.reshape(slope, wide), 0.0)
    return found


def _replaced(closed: Any, indices: Any, values: Any) -> Any:
    indices.set_shape((None,))

    def replaced() -> Any:
        flat = tf.tensor_scatter_nd_update(tf.reshape(closed, (-1,)), indices[:, None], values)
        return tf.reshape(flat, tf.shape(closed))

    return tf.cond(tf.size(indices) > 0, replaced, lambda: closed)


def shaped(segment: Prepared, spikes: list[Any], counts: Any, sizes: Any, early: Any) -> Fired:
    """What a segment has made, with the shapes that are known of it."""
    for each in spikes:
        each.set_shape((None, *segment.node.shape))
    counts.set_shape((len(spikes), COUNTS))
    sizes.set_shape((len(spikes), 2))
    early.set_shape((None,))
    return Fired(spikes, counts, sizes, early)


def _numbers(evidence: list[Evidence]) -> tuple[Any, Floats]:
    counts = [(each.pairs, each.spikes, each.binned, each.simulated, each.early, each.constructed) for each in evidence]
    return np.array(counts, np.int64), np.array([(each.deviation, each.peak) for each in evidence])


def _flat(leads: Any) -> Floats:
    """The elements of all tensors, one tensor after the other, (batch, elements)."""
    rows = [np.reshape(each, (len(each), -1)) for each in leads]
    found: Floats = np.ascontiguousarray(rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1))
    return found


def _grid(values: Any) -> Any:
    """Values of any segment (batch, *sides, units) as those of a grid of rank 2."""
    if values.ndim == 4:
        return values
    return values.reshape(len(values), -1, 1, values.shape[-1])


def _decide(segment: Prepared, proved: Proved, latest: Floats, largest: Floats, sources: Any) -> tuple[Any, ...]:
    node, inputs = segment.node, _flat(sources)
    by_sign = dict(zip(segment.signs, proved.slacks, strict=True))
    changes: list[Any] = []
    evidence = []
    on_time, early = not latest.any(), np.zeros(len(latest), np.bool_)
    for place, (neurons, constants, synapses) in enumerate(
        zip(node.populations, segment.constants, segment.synapses, strict=True)
    ):
        values, slack = proved.closed[place], _grid(by_sign[neurons.sign])
        constructed = constants.constructed & on_time
        missing, ahead = constants.missing, constants.ahead
        if segment.by_construction:
            missing = ahead = np.zeros_like(missing)
            scale, floor = constants.scale, _grid(proved.floors[place])
        else:
            scale = np.where(constructed, 0.0, constants.scale)
            floor = np.where(constructed, -np.inf, constants.floor)
            floor = floor.reshape(1, 1, 1, -1) if floor.ndim == 1 else _grid(floor[None])
        limit, lift = np.empty((len(latest), missing.size)), np.empty((len(latest), missing.size))
        limits(latest, largest, constants.rounding, missing, ahead, node.before, node.window, limit, lift)
        bound = Bound(
            _grid(values), slack, scale, np.ascontiguousarray(floor, np.float64), limit, lift, latest, constructed
        )
        indices, found, counted = decide(bound, constants, synapses, inputs)
        changes += [indices, found.astype(values.dtype)]
        early[indices[is_early(found, node.before, node.window)] // (values.size // len(values))] = True
        evidence.append(counted)
    return *changes, *_numbers(evidence), early


def _simulate(segment: Prepared, place: int, inputs: Floats) -> tuple[Floats, Evidence, NDArray[np.bool_]]:
    node, synapses = segment.node, segment.synapses[place]
    inputs = np.asarray(inputs, np.float64)
    positions = int(np.prod(node.shape[:-1]))
    out = np.empty((len(inputs), positions, node.shape[-1]))
    if synapses.blocks is not None:
        for block in synapses.blocks:
            simulate_fields(
                inputs, block.runs, block.columns, synapses.total, synapses.levels, synapses.drive, node.before,
                node.window, out,
            )  # fmt: skip
    else:
        wide = np.concatenate([inputs, np.zeros((len(inputs), 1))], axis=1)
        for position in range(positions):
            elements, weights = synapses.at(position)
            level = synapses.levels[min(position, len(synapses.levels) - 1)]
            total = weights.sum(axis=0)
            for image, values in enumerate(wide):
                field, found = values[elements], out[image, position]
                first_crossings(field, weights, total, level, synapses.drive, node.before, node.window, found)
    early = is_early(out, node.before, node.window)
    spikes, count, peak = int(np.count_nonzero(out > 0)), int(np.count_nonzero(early)), float(out.max(initial=0.0))
    return out, Evidence(out.size, spikes, 0, out.size, count, peak=peak), np.any(early, axis=(1, 2))
