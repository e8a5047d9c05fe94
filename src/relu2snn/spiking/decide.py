"""Deciding the pairs that the certificate left open: a finer bound in bins of time, then the events themselves."""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from relu2snn.spiking.events import Floats, first_crossings, output_sides

_BINS = 32
_DENSE = 8
ROUNDING = 1e-12
"""A spike counts as early when it comes before t_min by more than this share of D + B: less is rounding."""


@dataclass
class Evidence:
    """What became of the pairs of one layer that the certificate left open, summed over batches.

    binned: pairs the bins certified. simulated: pairs simulated event by event. early: of these the spikes before
    t_min. deviation: the largest |x − x̂| of a simulated pair, between the decoded value and the closed form.
    """

    binned: int = 0
    simulated: int = 0
    early: int = 0
    deviation: float = 0.0


def decide(
    closed: Floats,
    open_pairs: NDArray[np.bool_],
    leads: Floats,
    weights: Floats,
    threshold: Floats,
    drive: Floats,
    before: float,
    window: float,
    strides: tuple[int, int],
    dilation: tuple[int, int],
    evidence: Evidence,
) -> Floats:
    """The leads of a layer: `closed` where certified, simulated event by event where `open_pairs` is true.

    closed and open_pairs (batch, h_out, w_out, filters); leads (batch, h, w, channels), already padded; the rest as
    in `events.simulate_conv2d`. What happened is added to `evidence`. A pair in open_pairs is first put to the test
    that V, bounded from above on each of a number of bins of time, stays below ϑ; only pairs that fail it are walked.
    Memory beside the result: one receptive field per thread.
    """
    kh, kw, _, filters = weights.shape
    assert closed.shape[1:3] == output_sides(leads.shape, (kh, kw), strides, dilation)
    matrix = np.ascontiguousarray(weights.reshape(-1, filters))
    levels = np.ascontiguousarray(threshold.reshape((1, 1, filters) if threshold.ndim == 1 else threshold.shape))
    out = closed.copy()
    positions = out.shape[0] * out.shape[1] * out.shape[2]
    counts = np.zeros((positions, 3), np.int32)
    deviations = np.zeros(positions)
    _decide(
        open_pairs,
        np.ascontiguousarray(leads),
        matrix,
        drive + matrix.sum(axis=0) > 0,
        np.abs(matrix).sum(axis=0),
        levels,
        np.ascontiguousarray(drive),
        float(before),
        float(window),
        (kh, kw),
        strides,
        dilation,
        out,
        counts,
        deviations,
    )
    binned, simulated, early = counts.sum(axis=0, dtype=np.int64).tolist()
    evidence.binned += binned
    evidence.simulated += simulated
    evidence.early += early
    evidence.deviation = max(evidence.deviation, float(deviations.max(initial=0.0)))
    return out


def is_early(leads: Floats, before: float, window: float) -> NDArray[np.bool_]:
    """Which spikes came before t_min, by their leads."""
    return np.asarray(leads - window > ROUNDING * (before + window))


@njit(cache=True)
def _gather(leads, image, row, column, sizes, strides, dilation):  # type: ignore[no-untyped-def]
    """The receptive field of one position, (inputs,)."""
    channels = leads.shape[3]
    field = np.empty(sizes[0] * sizes[1] * channels)
    k = 0
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            for c in range(channels):
                field[k] = leads[image, row * strides[0] + i * dilation[0], column * strides[1] + j * dilation[1], c]
                k += 1
    return field


@njit(cache=True)
def _sort_into_bins(field, before):  # type: ignore[no-untyped-def]
    """Inputs grouped by bin, the latest bin last in time: (span, highest lead, order, ends).

    The bins cover [0, span]: from the first input, or t_start, to the last input or t_min. `order` lists the inputs
    before the last edge, first in time first; those of group g end at ends[g]. Group 0 came at or before the edge
    `span`, group g lies in the bin from span (1 − g / bins) on. A span below 0: inputs that are no numbers.
    """
    highest = 0.0
    group = np.empty(field.size, np.int64)
    ends = np.zeros(_BINS + 1, np.int64)
    for j in range(field.size):
        if not field[j] >= 0:
            return -1.0, highest, group, ends
        highest = max(highest, field[j])
    span = min(highest, before)
    count = 0
    for j in range(field.size):
        x = field[j]
        group[j] = -1
        if x > 0:
            group[j] = 0 if x >= span else _BINS - min(int(x / span * _BINS), _BINS - 1)
            ends[group[j]] += 1
            count += 1
    order = np.empty(count, np.int64)
    begins = np.zeros(_BINS + 1, np.int64)
    for g in range(1, _BINS + 1):
        ends[g] += ends[g - 1]
        begins[g] = ends[g - 1]
    for j in range(field.size):
        if group[j] >= 0:
            order[begins[group[j]]] = j
            begins[group[j]] += 1
    return span, highest, order, ends


@njit(cache=True)
def _add(field, order, first, last, weights, open_filters, total, moment, positive):  # type: ignore[no-untyped-def]
    """Add the inputs order[first:last] to the sums Σ J, Σ J x and Σ J⁺ of the filters in question."""
    everyone = total.size == weights.shape[1]
    for k in range(first, last):
        j = order[k]
        x, row = field[j], weights[j]
        if everyone:
            for i in range(total.size):
                w = row[i]
                total[i] += w
                moment[i] += w * x
                positive[i] += w if w > 0.0 else 0.0
        else:
            for i in range(total.size):
                w = row[open_filters[i]]
                total[i] += w
                moment[i] += w * x
                positive[i] += w if w > 0.0 else 0.0


@njit(cache=True)
def _stay_below(field, weights, filters, level, drive, size, before):  # type: ignore[no-untyped-def]
    """Which of `filters` stay below ϑ until the last input, which lies at s = 0, by bounds on bins of time.

    On a bin [s_k, s_k+1], V(s) ≤ α⁺ (D − s_k) + F(s_k) + (s_k+1 − s_k) Σ J⁻ with F(s) = Σ_j J_j max(x_j − s, 0) and
    the last sum over the inputs before s_k. `size` is Σ_j |J_ij| and says how much rounding can add.
    """
    count = filters.size
    below = np.zeros(count, np.bool_)
    span, highest, order, ends = _sort_into_bins(field, before)
    if not span > 0:
        return below
    total, moment, positive = np.zeros(count), np.zeros(count), np.zeros(count)
    rise, room = np.empty(count), np.empty(count)
    for i in range(count):
        f = filters[i]
        rise[i] = max(drive[f], 0.0)
        rounding = 4.5e-16 * (field.size + 8) * (abs(level[f]) + rise[i] * before + size[f] * highest)
        room[i] = level[f] - rounding
        below[i] = True
    _add(field, order, 0, ends[0], weights, filters, total, moment, positive)
    for i in range(count):
        below[i] = rise[i] * (before - span) + positive[i] * (highest - span) < room[i]
    for g in range(1, _BINS + 1):
        _add(field, order, ends[g - 1], ends[g], weights, filters, total, moment, positive)
        lower = span * (_BINS - g) / _BINS
        width = span / _BINS
        for i in range(count):
            negative = positive[i] - total[i]
            bound = rise[i] * (before - lower) + moment[i] - total[i] * lower + negative * width
            below[i] &= bound < room[i]
    return below


@njit(cache=True, parallel=True)
def _decide(open_pairs, leads, weights, rising, size, threshold, drive, before, window, sizes, strides, dilation, out, counts, deviations):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    rows, columns, filters = out.shape[1], out.shape[2], out.shape[3]
    for flat in prange(out.shape[0] * rows * columns):
        image, row, column = flat // (rows * columns), flat // columns % rows, flat % columns
        mask = open_pairs[image, row, column]
        waiting = 0
        for i in range(filters):
            waiting += mask[i]
        if waiting:
            field = _gather(leads, image, row, column, sizes, strides, dilation)
            level = threshold[min(row, threshold.shape[0] - 1), min(column, threshold.shape[1] - 1)]
            # Where inputs come after t_min, time counts backwards from the last of them.
            lateness = max(-field.min(), 0.0)
            shifted = field + lateness if lateness > 0 else field
            # Running through all filters of a position is quicker than picking out a good part of them.
            everyone = waiting * _DENSE > filters
            candidates = np.empty(filters if everyone else waiting, np.int64)
            k = 0
            for i in range(filters):
                if everyone or mask[i]:
                    candidates[k] = i
                    k += 1
            below = _stay_below(shifted, weights, candidates, level, drive, size, before + lateness)
            chosen = np.empty(waiting, np.int64)
            left = 0
            for k in range(candidates.size):
                i = candidates[k]
                # A potential that does not rise in the end has no closed form.
                if mask[i] and not (below[k] and rising[i]):
                    chosen[left] = i
                    left += 1
            counts[flat, 0] = waiting - left
            if left:
                _walk(field, weights, chosen[:left], level, drive, before, window, out[image, row, column], counts[flat], deviations[flat : flat + 1])  # fmt: skip  # noqa: E501


@njit(cache=True)
def _walk(field, weights, chosen, level, drive, before, window, out, counts, deviation):  # type: ignore[no-untyped-def]
    """Event-by-event simulation of the neurons `chosen` of one position, which share their sorted inputs."""
    matrix = np.empty((field.size, chosen.size))
    total = np.zeros(chosen.size)
    levels = np.empty(chosen.size)
    drives = np.empty(chosen.size)
    found = np.empty(chosen.size)
    for k in range(chosen.size):
        levels[k], drives[k] = level[chosen[k]], drive[chosen[k]]
        for j in range(field.size):
            matrix[j, k] = weights[j, chosen[k]]
            total[k] += weights[j, chosen[k]]
    first_crossings(field, matrix, total, levels, drives, before, window, found)
    counts[1] = chosen.size
    for k in range(chosen.size):
        counts[2] += found[k] - window > ROUNDING * (before + window)
        deviation[0] = max(deviation[0], abs(found[k] - out[chosen[k]]))
        out[chosen[k]] = found[k]
