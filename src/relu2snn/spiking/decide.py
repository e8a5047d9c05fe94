"""Deciding the pairs that the certificate left open: a finer bound in bins of time, then the events themselves."""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from relu2snn.spiking.events import Floats, first_crossings, output_sides

_BINS = 48
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
    matrix = np.ascontiguousarray(weights.reshape(-1, filters).T)
    levels = np.ascontiguousarray(threshold.reshape((1, 1, filters) if threshold.ndim == 1 else threshold.shape))
    out = closed.copy()
    positions = out.shape[0] * out.shape[1] * out.shape[2]
    counts = np.zeros((positions, 3), np.int32)
    deviations = np.zeros(positions)
    _decide(
        open_pairs,
        np.ascontiguousarray(leads),
        matrix,
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
def _bin(field, before, bins, active):  # type: ignore[no-untyped-def]
    """Edges of the bins, the indices of the inputs before the last edge (in `active`) and the bin of each.

    The bins cover [0, span]: from the first input, or t_start, to the last input or t_min. Returns (span, number of
    active inputs), or a span below 0 for inputs that are no numbers.
    """
    count = 0
    highest = 0.0
    for j in range(field.size):
        if not field[j] >= 0:
            return -1.0, 0
        if field[j] > 0:
            active[count] = j
            count += 1
            highest = max(highest, field[j])
    span = min(highest, before)
    for k in range(count):
        x = field[active[k]]
        # An input from before the first edge counts as if it lay in a bin of its own before it.
        bins[k] = _BINS if x >= span else min(int(x / span * _BINS), _BINS - 1)
    return span, count


@njit(cache=True)
def _stays_below(field, weights, level, drive, before, span, bins, active, count):  # type: ignore[no-untyped-def]
    """Whether V stays below ϑ until the last input: α⁺ (D − s_k) + F⁺(s_k) − F⁻(s_k+1) bounds it on [s_k, s_k+1].

    F±(s) = Σ_j J±_j max(x_j − s, 0), from sums over the bins.
    """
    plus = np.zeros(_BINS + 1)
    plus_x = np.zeros(_BINS + 1)
    minus = np.zeros(_BINS + 1)
    minus_x = np.zeros(_BINS + 1)
    for k in range(count):
        x, w, b = field[active[k]], weights[active[k]], bins[k]
        if w > 0:
            plus[b] += w
            plus_x[b] += w * x
        else:
            minus[b] -= w
            minus_x[b] -= w * x
    rise = max(drive, 0.0)
    # All inputs in the last group come at or before the edge `span`, from where V is bounded by its end.
    p, px, m, mx = plus[_BINS], plus_x[_BINS], minus[_BINS], minus_x[_BINS]
    # What rounding can add up to in any of the sums below.
    size = abs(level) + rise * before + plus_x.sum() + minus_x.sum()
    tolerance = 4.5e-16 * (field.size + 8) * size
    if rise * (before - span) + max(px - p * span, 0.0) >= level - tolerance:
        return False
    for b in range(_BINS - 1, -1, -1):
        lower, upper = span * b / _BINS, span * (b + 1) / _BINS
        relief = mx - m * upper
        p += plus[b]
        px += plus_x[b]
        m += minus[b]
        mx += minus_x[b]
        if rise * (before - lower) + (px - p * lower) - relief >= level - tolerance:
            return False
    return True


@njit(cache=True, parallel=True)
def _decide(open_pairs, leads, weights, threshold, drive, before, window, sizes, strides, dilation, out, counts, deviations):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
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
            bins = np.empty(field.size, np.int64)
            active = np.empty(field.size, np.int64)
            # Where inputs come after t_min, time counts backwards from the last of them.
            lateness = max(-field.min(), 0.0)
            shifted = field + lateness if lateness > 0 else field
            span, count = _bin(shifted, before + lateness, bins, active)
            chosen = np.empty(waiting, np.int64)
            left = 0
            for i in range(filters):
                if mask[i]:
                    rise = drive[i] + weights[i].sum()
                    below = span > 0 and rise > 0
                    if below:
                        below = _stays_below(
                            shifted, weights[i], level[i], drive[i], before + lateness, span, bins, active, count
                        )
                    if not below:
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
            matrix[j, k] = weights[chosen[k], j]
            total[k] += weights[chosen[k], j]
    first_crossings(field, matrix, total, levels, drives, before, window, found)
    counts[1] = chosen.size
    for k in range(chosen.size):
        counts[2] += found[k] - window > ROUNDING * (before + window)
        deviation[0] = max(deviation[0], abs(found[k] - out[chosen[k]]))
        out[chosen[k]] = found[k]
