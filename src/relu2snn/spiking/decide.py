"""Deciding the pairs that the certificate left open: a finer bound in bins of time, then the events themselves."""

from dataclasses import dataclass

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from relu2snn.spiking.bins import SIX, TWO, highest_of, prove, prove_wide
from relu2snn.spiking.bounds import Bits, bit_shift, block_side, is_open, unproved
from relu2snn.spiking.events import Floats, as_map, at_position, first_crossings, gather

ROUNDING = 1e-12
"""A spike counts as early when it comes before t_min by more than this share of D + B: less is rounding."""


@dataclass(frozen=True)
class Evidence:
    """What became of the pairs of one layer for some images; evidence of more images is added to it.

    spikes: those before t_max, noise on the spike times apart. binned: pairs the certificate left open and the bins
    certified. simulated: pairs simulated event by event. early: of these the spikes before t_min. deviation: the
    largest |x − x̂| of a simulated pair, between the decoded value and the closed form. peak: the largest lead of all
    pairs, noise apart.
    """

    spikes: int = 0
    binned: int = 0
    simulated: int = 0
    early: int = 0
    deviation: float = 0.0
    peak: float = 0.0

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(
            self.spikes + other.spikes,
            self.binned + other.binned,
            self.simulated + other.simulated,
            self.early + other.early,
            max(self.deviation, other.deviation),
            max(self.peak, other.peak),
        )


@dataclass(frozen=True)
class Neurons:
    """A layer as a convolution, in float64: what its neurons' potentials follow.

    weights J (kh, kw, channels, units), rows (units, inputs) the same in float32; size Σ|J|, drive α and rise
    α + ΣJ (units,); threshold ϑ (units,) or a map (h, w, units); before D and window B are durations.
    """

    weights: Floats
    rows: NDArray[np.float32]
    size: Floats
    threshold: Floats
    drive: Floats
    rise: Floats
    before: float
    window: float
    strides: tuple[int, int]
    dilation: tuple[int, int]


def decide(
    closed: Floats,
    slack: Bits,
    floor: Floats,
    limit: Floats,
    lift: Floats,
    latest: Floats,
    leads: Floats,
    margins: tuple[tuple[int, int], tuple[int, int]],
    neurons: Neurons,
) -> tuple[NDArray[np.int64], Floats, Evidence]:
    """Where the closed form is not the simulation, the leads there, and what happened.

    Returns indices into closed.ravel(), the values there, and the evidence of these images.

    closed, slack, floor, limit and lift as in `bounds.unproved`, latest (batch,) the lateness of each image's last
    input; leads (batch, h, w, channels) with `margins` of padding.

    An open pair is first put to the test that V, bounded from above on each of a
    number of bins of time, stays below ϑ; only pairs that fail it are walked event by event. Memory beside the result:
    a few receptive fields, and a row of units for each position with an open pair.
    """
    positions, spikes, peak = unproved(closed, slack, floor, limit, lift)
    where = np.flatnonzero(positions)
    if not where.size:
        return np.empty(0, np.int64), np.empty(0), Evidence(spikes, peak=peak)
    # Threads take runs of positions; dealt out in turn, the images that leave many open are shared by all.
    threads = get_num_threads()
    where = np.concatenate([where[thread::threads] for thread in range(threads)])
    kh, kw, _, units = neurons.weights.shape
    levels, floors = as_map(neurons.threshold), as_map(floor)
    left = np.zeros((where.size, units), np.bool_)
    binned = np.zeros(where.size, np.int64)
    geometry = (margins[0][0], margins[1][0]), (kh, kw), neurons.strides, neurons.dilation
    _test_bins(
        where, closed, slack, bit_shift(slack), floors, limit, lift, latest, leads, neurons.rows,
        neurons.size, levels, neurons.drive, neurons.rise, neurons.before, neurons.window, *geometry, left, binned,
    )  # fmt: skip
    walked = np.flatnonzero(left.any(axis=1))
    if not walked.size:
        return np.empty(0, np.int64), np.empty(0), Evidence(spikes, int(binned.sum()), peak=peak)
    where, left = where[walked], left[walked]
    matrix = neurons.weights.reshape(-1, units)
    found = np.empty(left.shape)
    _walk(where, left, leads, matrix, levels, neurons.drive, neurons.before, neurons.window, *geometry, closed.shape[1:3], found)  # fmt: skip  # noqa: E501
    rows, columns = np.nonzero(left)
    indices, values = where[rows] * units + columns, found[rows, columns]
    expected = closed.reshape(-1)[indices]
    # What the closed form counted there is put right.
    spikes += int(np.count_nonzero(values > 0)) - int(np.count_nonzero(expected > 0))
    early = int(np.count_nonzero(is_early(values, neurons.before, neurons.window)))
    with np.errstate(invalid="ignore"):
        deviation = float(np.abs(values - expected).max())
    if not expected.max() < peak:
        # The largest lead may be one that was replaced.
        kept = closed.reshape(-1).copy()
        kept[indices] = 0.0
        peak = float(kept.max())
    peak = max(peak, float(values.max()))
    return indices, values, Evidence(spikes, int(binned.sum()), values.size, early, deviation, peak)


def is_early(leads: Floats, before: float, window: float) -> NDArray[np.bool_]:
    """Which spikes came before t_min, by their leads."""
    return np.asarray(leads - window > ROUNDING * (before + window))


@njit(cache=True, parallel=True)
def _test_bins(where, closed, slack, shift, floors, limit, lift, latest, leads, rows, size, levels, drive, rise, before, window, origin, sizes, strides, dilation, left, binned):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    """`left`: the pairs of the positions `where` that neither the certificate nor the bins prove; `binned`: counts."""
    height, width = closed.shape[1:3]
    block = block_side(closed, slack)
    for p in prange(where.size):
        n, i, j = where[p] // (height * width), where[p] // width % height, where[p] % width
        mask = left[p]
        is_open(
            closed[n, i, j], slack[n, i // block, j // block], at_position(floors, i, j), limit[n], lift[n], shift, mask
        )
        field = gather(leads, n, i, j, origin, sizes, strides, dilation)
        level = at_position(levels, i, j)
        late = latest[n]
        highest = highest_of(field) + late
        if late < np.inf and 0 < highest < np.inf:
            field += late
            leading = closed[n, i, j] + late - window
            proved = prove_wide(mask, field, highest * TWO, rows, level, drive, size, rise, before + late, leading)
            if mask.any():
                proved += prove_wide(mask, field, highest * SIX, rows, level, drive, size, rise, before + late, leading)
            if mask.any():
                proved += prove(mask, field, highest, rows, level, drive, size, rise, before + late)
            binned[p] = proved


@njit(cache=True, parallel=True)
def _walk(where, left, leads, weights, levels, drive, before, window, origin, sizes, strides, dilation, sides, found):  # type: ignore[no-untyped-def]  # fmt: skip
    """Event-by-event simulation of the neurons `left` of the positions `where`, into `found`.

    The neurons of a position share their sorted inputs.
    """
    height, width = sides
    for p in prange(where.size):
        i, j = where[p] // width % height, where[p] % width
        chosen = np.flatnonzero(left[p])
        field = gather(leads, where[p] // (height * width), i, j, origin, sizes, strides, dilation)
        level = at_position(levels, i, j)
        matrix = np.empty((field.size, chosen.size))
        total = np.zeros(chosen.size)
        threshold, drives, out = np.empty(chosen.size), np.empty(chosen.size), np.empty(chosen.size)
        for k in range(chosen.size):
            threshold[k], drives[k] = level[chosen[k]], drive[chosen[k]]
        for s in range(field.size):
            for k in range(chosen.size):
                matrix[s, k] = weights[s, chosen[k]]
                total[k] += matrix[s, k]
        first_crossings(field, matrix, total, threshold, drives, before, window, out)
        for k in range(chosen.size):
            found[p, chosen[k]] = out[k]
