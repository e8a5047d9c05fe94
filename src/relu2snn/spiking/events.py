"""Event-by-event simulation of single-spike neurons: the first-crossing rule for every neuron.

A neuron's potential is V(t) = α (t − t_start) + Σ_{t_j < t} J_ij (t − t_j) for t ≥ t_start, where t_start is
the start of its inputs' window. It spikes at the first such t with V(t) ≥ ϑ_i, and at the end t_max of its own
window at the latest (arXiv:2212.12522). Inputs that came before t_start count in full.

Times are kept relative to window ends, so that no precision is lost as windows add up along the network: an
input's lead is x_j = (end of its window) − t_j, and while the neuron integrates, time is s = t_min − t, which
falls from `before` = t_min − t_start to −`window` = t_min − t_max. A lead of 0 is a spike at the end of the
window, a negative one a late spike.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from relu2snn.spiking.compiled import compiled

Floats = NDArray[np.float64]


@compiled()
def first_crossings(leads, weights, total, threshold, drive, before, window, out):  # type: ignore[no-untyped-def]  # fmt: skip
    """Leads `out` (neurons,) of the neurons that share the inputs `leads` (inputs,), by walking the inputs in order."""
    neurons = threshold.size
    potential = np.zeros(neurons)
    slope = drive.copy()
    level = threshold.copy()
    waiting = neurons
    order = np.argsort(-leads)
    first = 0
    while first < order.size and leads[order[first]] > before:
        lead = leads[order[first]] - before
        for i in range(neurons):
            potential[i] += weights[order[first], i] * lead
            slope[i] += weights[order[first], i]
        first += 1
    for i in range(neurons):
        if potential[i] >= level[i]:
            out[i] = before + window
            level[i] = np.inf
            waiting -= 1
    now = before
    for position in range(first, order.size + 1):
        # Beyond the last input the walk ends where the window does.
        upcoming = -window if position == order.size else max(leads[order[position]], -window)
        step = now - upcoming
        if step > 0:
            crossed = 0
            for i in range(neurons):
                potential[i] += slope[i] * step
                crossed += potential[i] >= level[i]
            if crossed:
                for i in range(neurons):
                    if potential[i] >= level[i]:
                        # Within a step V is a line, so the crossing lies this far before the step's end.
                        out[i] = min(window + upcoming + (potential[i] - level[i]) / slope[i], window + now)
                        level[i] = np.inf
                        waiting -= 1
            now = upcoming
        if waiting == 0 or position == order.size or now <= -window:
            break
        source = order[position]
        if leads[source] == 0 and leads[order[-1]] == 0:
            # All the rest arrive at t_min together and no input is late: V then rises with the full sum.
            for i in range(neurons):
                slope[i] = drive[i] + total[i]
            _finish(potential, slope, level, now, window, out)
            waiting = 0
            break
        for i in range(neurons):
            slope[i] += weights[source, i]
    for i in range(neurons):
        if waiting and level[i] != np.inf:
            out[i] = 0.0


@compiled()
def _finish(potential, slope, level, now, window, out):  # type: ignore[no-untyped-def]
    """The last line: neurons that still wait spike where it crosses, or at the end of the window."""
    for i in range(level.size):
        if level[i] != np.inf:
            out[i] = 0.0
            if slope[i] > 0:
                out[i] = max(window + now - (level[i] - potential[i]) / slope[i], 0.0)


class Runs(NamedTuple):
    """Receptive fields of every position as runs of elements that lie side by side.

    starts (positions, runs): where each run of the first group begins; −1 is padding, whose lead is 0. lengths (runs,):
    of one group's, which is how far the next group's are from it. first: the unit that they begin with.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    groups: int
    first: int


@compiled()
def gather(values, runs, position, group):  # type: ignore[no-untyped-def]
    """The receptive field of a group of units at one position, (inputs,) in float64, from `values` (elements,)."""
    # Not np.sum, of which numba compiles much that is never called.
    size = 0
    for run in range(runs.lengths.size):
        size += runs.lengths[run]
    field = np.zeros(size)
    # Unsigned, since of an index that may be negative the compiler does not make a loop of many elements at a time; and
    # not as slices: the message of numba's that they might differ in length takes seconds to compile.
    k = np.uint64(0)
    for run in range(runs.lengths.size):
        length, begin = np.uint64(runs.lengths[run]), runs.starts[position, run]
        if begin >= 0:
            start = np.uint64(begin) + np.uint64(group) * length
            for i in range(length):
                field[k + i] = values[start + i]
        k += length
    return field


@compiled(parallel=True)
def simulate_fields(values, runs, weights, total, levels, drive, before, window, out):  # type: ignore[no-untyped-def]
    """Leads `out` (images, positions, units) of the neurons with these weights, each simulated event by event.

    values (images, elements): the inputs' leads; weights J (inputs of a group, some units), from the unit runs.first
    on, by groups; total Σ_j J_ij, drive α (units,); levels ϑ (positions or 1, units). before and window are durations.
    """
    positions, wide = out.shape[1], weights.shape[1] // runs.groups
    for flat in prange(out.shape[0] * positions):
        image, position = flat // positions, flat % positions
        level, found = levels[min(position, levels.shape[0] - 1)], out[image, position]
        if runs.groups == 1:
            # Apart, since the compiler makes more of weights without gaps.
            field, u, v = gather(values[image], runs, position, 0), runs.first, runs.first + wide
            first_crossings(field, weights, total[u:v], level[u:v], drive[u:v], before, window, found[u:v])
            continue
        for group in range(runs.groups):
            a, b = group * wide, (group + 1) * wide
            field, u, v = gather(values[image], runs, position, group), runs.first + a, runs.first + b
            first_crossings(
                field, weights[:, a:b], total[u:v], level[u:v], drive[u:v], before, window, found[u:v]
            )  # fmt: skip
