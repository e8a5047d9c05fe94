"""Deciding the pairs that the certificate left open: a finer bound in bins of time, then the events themselves."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange
from numpy.typing import NDArray

from relu2snn.spiking.bins import SIX, TWO, highest_of, prove, prove_wide
from relu2snn.spiking.bounds import Bits, at_position, bit_shift, block_side, is_open, unproved
from relu2snn.spiking.certificate import Constants
from relu2snn.spiking.compiled import compiled
from relu2snn.spiking.events import Floats, first_crossings, gather
from relu2snn.spiking.evidence import Evidence
from relu2snn.spiking.synapses import Synapses, Weights

ROUNDING = 1e-12
"""A spike counts as early when it comes before t_min by more than this share of D + B: less is rounding."""

Indices = NDArray[np.int64]


class Rises(NamedTuple):
    """Of each unit α (units,), ϑ (positions or 1, units; of one position (units,)), and the slope α + Σ J (units,)."""

    drive: Floats
    level: Floats
    rise: Floats


class Durations(NamedTuple):
    """D and B."""

    before: float
    window: float


@dataclass(frozen=True)
class Bound:
    """What the certificate says of a batch of one population, as `bounds.unproved` takes it.

    closed and slack (batch, h, w, units), of any layer as a grid; scale (units,); floor (1 or batch, 1 or h, 1 or w,
    units); limit and lift (batch, units); latest (batch,) the lateness of each image's last input. constructed
    (units,): units for which no slack counts, since their potential does not fall before t_min.
    """

    closed: Floats
    slack: Bits
    scale: Floats
    floor: Floats
    limit: Floats
    lift: Floats
    latest: Floats
    constructed: NDArray[np.bool_]


def decide(bound: Bound, constants: Constants, synapses: Synapses, inputs: Floats) -> tuple[Indices, Floats, Evidence]:
    """Where the closed form is not the simulation, the leads there, and what happened.

    Returns indices into closed.ravel(), the values there, and the evidence of these images. inputs (batch, elements):
    the leads of all of the segment's tensors, one after the other.

    An open pair is first put to the test that V, bounded from above on each of a number of bins of time, stays below ϑ;
    only pairs that fail it are walked event by event. Memory beside the result: a few receptive fields, and a row of
    units for each position with an open pair.
    """
    closed, units = bound.closed, bound.closed.shape[-1]
    positions, spikes, peak = unproved(closed, bound.slack, bound.scale, bound.floor, bound.limit, bound.lift)
    where = np.flatnonzero(positions)
    constructed = int(np.count_nonzero(bound.constructed)) * (closed.size // units)
    if not where.size:
        return np.empty(0, np.int64), np.empty(0), Evidence(closed.size, spikes, constructed=constructed, peak=peak)
    # Threads take runs of positions; dealt out in turn, the images that leave many open are shared by all.
    threads = get_num_threads()
    where = np.concatenate([where[thread::threads] for thread in range(threads)])
    left, found = np.zeros((where.size, units), np.bool_), np.empty((where.size, units))
    _open(
        where, closed, bound.slack, bound.scale, bit_shift(bound.slack), bound.floor, bound.limit, bound.lift, left
    )  # fmt: skip
    constructed -= int(np.count_nonzero(left & bound.constructed))
    binned = _settle(where, left, bound, constants, synapses, inputs, found)
    rows, columns = np.nonzero(left)
    if not rows.size:
        return np.empty(0, np.int64), np.empty(0), Evidence(closed.size, spikes, binned, 0, 0, constructed, 0.0, peak)
    indices, values = where[rows] * units + columns, found[rows, columns]
    expected = closed.reshape(-1)[indices]
    # What the closed form counted there is put right.
    spikes += int(np.count_nonzero(values > 0)) - int(np.count_nonzero(expected > 0))
    node = synapses.node
    early = int(np.count_nonzero(is_early(values, node.before, node.window)))
    with np.errstate(invalid="ignore"):
        deviation = float(np.abs(values - expected).max())
    if not expected.max() < peak:
        # The largest lead may be one that was replaced.
        kept = closed.reshape(-1).copy()
        kept[indices] = 0.0
        peak = float(kept.max())
    peak = max(peak, float(values.max()))
    return indices, values, Evidence(closed.size, spikes, binned, values.size, early, constructed, deviation, peak)


def is_early(leads: Floats, before: float, window: float) -> NDArray[np.bool_]:
    """Which spikes came before t_min, by their leads."""
    return np.asarray(leads - window > ROUNDING * (before + window))


def _settle(
    where: Indices, left: NDArray[np.bool_], bound: Bound, constants: Constants, synapses: Synapses, inputs: Floats,
    found: Floats,
) -> int:  # fmt: skip
    """Prove or simulate the pairs `left` of the positions `where`; returns how many bins have proved.

    First the one, then the other: in most batches nothing is left to simulate, nor to compile for it.
    """
    node, closed = synapses.node, bound.closed
    places = closed.shape[1] * closed.shape[2]
    values = closed.reshape(-1, closed.shape[-1])
    proved = np.zeros(where.size, np.int64)
    rises = Rises(synapses.drive, synapses.levels, constants.rise)
    durations = Durations(node.before, node.window)
    if synapses.blocks is not None:
        for block in synapses.blocks:
            runs, weights = block.runs, block.weights
            _prove_fields(where, left, inputs, bound.latest, values, runs, weights, rises, durations, proved)
        if left.any():
            for block in synapses.blocks:
                _walk_fields(where, left, inputs, block.runs, block.weights, rises, durations, found)
        return int(proved.sum())
    images, positions = where // places, where % places
    for position in np.unique(positions):
        elements, columns = synapses.at(int(position))
        own = Weights.of(columns)
        here = rises._replace(level=rises.level[min(int(position), len(rises.level) - 1)])
        for k in np.flatnonzero(positions == position):
            field = np.append(inputs[images[k]], 0.0)[elements].astype(np.float64)
            late = float(bound.latest[images[k]])
            proved[k] = _prove_position(field, late, left[k], values[where[k]], own, here, durations)
            if left[k].any():
                _walk(field, left[k], own.columns, here, durations, found[k])
    return int(proved.sum())


@compiled(parallel=True)
def _open(where, closed, slack, scale, shift, floor, limit, lift, left):  # type: ignore[no-untyped-def]
    """`left`: the pairs of the positions `where` that the certificate does not prove."""
    height, width = closed.shape[1:3]
    block = block_side(closed, slack)
    for p in prange(where.size):
        n, i, j = where[p] // (height * width), where[p] // width % height, where[p] % width
        added = slack[n, i // block, j // block]
        is_open(closed[n, i, j], added, scale, at_position(floor, n, i, j), limit[n], lift[n], shift, left[p])


@compiled()
def _prove_position(field, late, mask, closed, weights, rises, durations):  # type: ignore[no-untyped-def]
    """Take the neurons of one position and image that bins prove out of `mask` (units,); returns how many.

    They share the inputs `field` (n,). late: how long after t_min the last input comes.
    """
    rows, size = weights.rows, weights.size
    drive, level, rise = rises.drive, rises.level, rises.rise
    before, window = durations.before, durations.window
    highest = highest_of(field) + late
    proved = 0
    if late < np.inf and 0 < highest < np.inf:
        shifted, before_last, last_lead = field + late if late > 0 else field, before + late, window - late
        proved = prove_wide(
            mask, shifted, highest * TWO, rows, level, drive, size, rise, before_last, closed, last_lead
        )  # fmt: skip
        if mask.any():
            proved += prove_wide(
                mask, shifted, highest * SIX, rows, level, drive, size, rise, before_last, closed, last_lead
            )  # fmt: skip
        if mask.any():
            proved += prove(mask, shifted, highest, rows, level, drive, size, rise, before_last)
    return proved


@compiled()
def _walk(field, mask, columns, rises, durations, out):  # type: ignore[no-untyped-def]
    """Simulate the neurons of `mask` event by event, with the weights `columns` (n, units); `out` gets their leads."""
    level, drive = rises.level, rises.drive
    chosen = np.flatnonzero(mask)
    matrix, total = np.empty((field.size, chosen.size)), np.zeros(chosen.size)
    threshold, drives, leads = np.empty(chosen.size), np.empty(chosen.size), np.empty(chosen.size)
    for k in range(chosen.size):
        threshold[k], drives[k] = level[chosen[k]], drive[chosen[k]]
    for s in range(field.size):
        for k in range(chosen.size):
            matrix[s, k] = columns[s, chosen[k]]
            total[k] += matrix[s, k]
    first_crossings(field, matrix, total, threshold, drives, durations.before, durations.window, leads)
    for k in range(chosen.size):
        out[chosen[k]] = leads[k]


@compiled()
def _of_group(group, position, runs, weights, rises):  # type: ignore[no-untyped-def]
    """The units of a group, their weights, and their rises at a position."""
    wide = weights.columns.shape[1] // runs.groups
    a, b = group * wide, (group + 1) * wide
    u, v = runs.first + a, runs.first + b
    level = rises.level[min(position, rises.level.shape[0] - 1)]
    own = Weights(weights.columns[:, a:b], weights.rows[a:b], weights.size[a:b])
    return u, v, own, Rises(rises.drive[u:v], level[u:v], rises.rise[u:v])


@compiled(parallel=True)
def _prove_fields(where, left, inputs, latest, closed, runs, weights, rises, durations, proved):  # type: ignore[no-untyped-def]  # fmt: skip
    """`_prove_position` for the positions `where`, whose fields are runs of the inputs (images, elements).

    For the units that weights are of, the first of them runs.first.
    """
    for p in prange(where.size):
        n, position = where[p] // runs.starts.shape[0], where[p] % runs.starts.shape[0]
        for group in range(runs.groups):
            u, v, own, here = _of_group(group, position, runs, weights, rises)
            if left[p, u:v].any():
                field = gather(inputs[n], runs, position, group)
                proved[p] += _prove_position(
                    field, latest[n], left[p, u:v], closed[where[p], u:v], own, here, durations
                )  # fmt: skip


@compiled(parallel=True)
def _walk_fields(where, left, inputs, runs, weights, rises, durations, found):  # type: ignore[no-untyped-def]
    """`_walk` for what `_prove_fields` has left."""
    for p in prange(where.size):
        n, position = where[p] // runs.starts.shape[0], where[p] % runs.starts.shape[0]
        for group in range(runs.groups):
            u, v, own, here = _of_group(group, position, runs, weights, rises)
            if left[p, u:v].any():
                field = gather(inputs[n], runs, position, group)
                _walk(field, left[p, u:v], own.columns, here, durations, found[p, u:v])
