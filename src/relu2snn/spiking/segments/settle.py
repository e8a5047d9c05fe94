"""Deciding the pairs that the chord left open: bins of time, then the events themselves; arrays in, arrays out."""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from relu2snn.spiking.bins import SIX, TWO, highest_of, prove, prove_wide
from relu2snn.spiking.events import first_crossings

Floats = NDArray[np.float64]


@njit(cache=True)
def settle_position(field, late, mask, closed, weights, rows, size, total, level, drive, before, window, out):  # type: ignore[no-untyped-def]  # fmt: skip
    """Prove or simulate the neurons `mask` (units,) of one position and image, which share the inputs `field` (n,).

    late: how long after t_min the last input comes. closed (units,): the closed form. Returns how many bins have
    proved; what is left in `mask` was simulated, and its leads are in `out`.
    """
    rise = drive + total
    highest = highest_of(field) + late
    proved = 0
    if late < np.inf and 0 < highest < np.inf:
        shifted = field + late
        leading = closed + late - window
        proved = prove_wide(mask, shifted, highest * TWO, rows, level, drive, size, rise, before + late, leading)
        if mask.any():
            proved += prove_wide(mask, shifted, highest * SIX, rows, level, drive, size, rise, before + late, leading)
        if mask.any():
            proved += prove(mask, shifted, highest, rows, level, drive, size, rise, before + late)
    chosen = np.flatnonzero(mask)
    if chosen.size:
        matrix = np.empty((field.size, chosen.size))
        sums, levels, drives = np.empty(chosen.size), np.empty(chosen.size), np.empty(chosen.size)
        found = np.empty(chosen.size)
        for k in range(chosen.size):
            sums[k], levels[k], drives[k] = 0.0, level[chosen[k]], drive[chosen[k]]
        for s in range(field.size):
            for k in range(chosen.size):
                matrix[s, k] = weights[s, chosen[k]]
                sums[k] += matrix[s, k]
        first_crossings(field, matrix, sums, levels, drives, before, window, found)
        for k in range(chosen.size):
            out[chosen[k]] = found[k]
    return proved


@njit(cache=True)
def gather_runs(values, starts, lengths):  # type: ignore[no-untyped-def]
    """The receptive field of one position from the concatenated inputs `values`; padding has lead 0."""
    field = np.zeros(lengths.sum())
    k = 0
    for run in range(lengths.size):
        start = starts[run]
        if start >= 0:
            field[k : k + lengths[run]] = values[start : start + lengths[run]]
        k += lengths[run]
    return field


@njit(cache=True, parallel=True)
def settle_runs(where, masks, inputs, image, late, starts, lengths, closed, weights, rows, size, total, levels, drive, before, window, found, proved):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    """`settle_position` for the open positions `where` of `image` (k,), inputs (images, elements)."""
    for p in prange(where.size):
        field = gather_runs(inputs[image[p]], starts[where[p]], lengths)
        level = levels[min(where[p], levels.shape[0] - 1)]
        proved[p] = settle_position(
            field,
            late[image[p]],
            masks[p],
            closed[p],
            weights,
            rows,
            size,
            total,
            level,
            drive,
            before,
            window,
            found[p],
        )
