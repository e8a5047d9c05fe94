"""Event-by-event simulation of single-spike neurons: the first-crossing rule for every neuron.

A neuron's potential is V(t) = α (t − t_start) + Σ_{t_j < t} J_ij (t − t_j) for t ≥ t_start, where t_start is
the start of its inputs' window. It spikes at the first such t with V(t) ≥ ϑ_i, and at the end t_max of its own
window at the latest (arXiv:2212.12522). Inputs that came before t_start count in full.

Times are kept relative to window ends, so that no precision is lost as windows add up along the network: an
input's lead is x_j = (end of its window) − t_j, and while the neuron integrates, time is s = t_min − t, which
falls from `before` = t_min − t_start to −`window` = t_min − t_max. A lead of 0 is a spike at the end of the
window, a negative one a late spike.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True)
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


@njit(cache=True)
def _finish(potential, slope, level, now, window, out):  # type: ignore[no-untyped-def]
    """The last line: neurons that still wait spike where it crosses, or at the end of the window."""
    for i in range(level.size):
        if level[i] != np.inf:
            out[i] = 0.0
            if slope[i] > 0:
                out[i] = max(window + now - (level[i] - potential[i]) / slope[i], 0.0)


@njit(cache=True)
def gather(leads, image, row, column, origin, sizes, strides, dilation):  # type: ignore[no-untyped-def]
    """The receptive field of one position, (inputs,); `origin` is where the padded inputs begin, padding has lead 0."""
    height, width, channels = leads.shape[1:]
    field = np.zeros(sizes[0] * sizes[1] * channels)
    k = 0
    for i in range(sizes[0]):
        y = row * strides[0] + i * dilation[0] - origin[0]
        for j in range(sizes[1]):
            x = column * strides[1] + j * dilation[1] - origin[1]
            if 0 <= y < height and 0 <= x < width:
                field[k : k + channels] = leads[image, y, x]
            k += channels
    return field


@njit(cache=True)
def at_position(values, i, j):  # type: ignore[no-untyped-def]
    """Values per unit of one position, from a map or one for all positions."""
    return values[min(i, values.shape[0] - 1), min(j, values.shape[1] - 1)]


def as_map(values: Floats) -> Floats:
    """Values per unit (units,), or a map of them (h, w, units), as a map: one of a single position if need be."""
    return np.ascontiguousarray(values.reshape((1, 1, -1) if values.ndim == 1 else values.shape))


@njit(cache=True, parallel=True)
def _simulate(leads, weights, total, threshold, drive, before, window, sizes, strides, dilation, out):  # type: ignore[no-untyped-def]  # fmt: skip
    rows, columns = out.shape[1], out.shape[2]
    for flat in prange(out.shape[0] * rows * columns):
        image = flat // (rows * columns)
        row = flat // columns % rows
        column = flat % columns
        field = gather(leads, image, row, column, (0, 0), sizes, strides, dilation)
        level = at_position(threshold, row, column)
        first_crossings(field, weights, total, level, drive, before, window, out[image, row, column])


def output_sides(
    shape: tuple[int, ...], kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int]:
    """(h_out, w_out) of a convolution over padded inputs of `shape` (batch, h, w, channels)."""
    rows = (shape[1] - (kernel[0] - 1) * dilation[0] - 1) // strides[0] + 1
    columns = (shape[2] - (kernel[1] - 1) * dilation[1] - 1) // strides[1] + 1
    return rows, columns


def simulate_conv2d(
    leads: Floats,
    weights: Floats,
    threshold: Floats,
    drive: Floats,
    before: float,
    window: float,
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> Floats:
    """Leads of a layer of spiking neurons with shared weights, every neuron simulated event by event.

    leads (batch, h, w, channels): the inputs, already padded (padding has lead 0, a spike at t_min).
    weights J (kh, kw, channels, filters). threshold ϑ (filters,) or a map (h_out, w_out, filters). drive α
    (filters,). before = t_min − t_start and window = t_max − t_min are durations. Returns
    (batch, h_out, w_out, filters): t_max − t, at least 0.
    """
    kh, kw, _, filters = weights.shape
    rows, columns = output_sides(leads.shape, (kh, kw), strides, dilation)
    matrix = np.ascontiguousarray(weights.reshape(-1, filters))
    out = np.empty((leads.shape[0], rows, columns, filters))
    _simulate(
        np.ascontiguousarray(leads),
        matrix,
        matrix.sum(axis=0),
        as_map(threshold),
        np.ascontiguousarray(drive),
        float(before),
        float(window),
        (kh, kw),
        strides,
        dilation,
        out,
    )
    return out


def simulate_dense(
    leads: Floats, weights: Floats, threshold: Floats, drive: Floats, before: float, window: float
) -> Floats:
    """As simulate_conv2d, for leads (batch, inputs), weights J (inputs, units), threshold and drive (units,)."""
    grid = leads[:, None, None, :]
    return simulate_conv2d(grid, weights[None, None], threshold, drive, before, window)[:, 0, 0, :]


def as_grid(leads: Floats, kernel: Floats) -> tuple[Floats, Floats]:
    """Leads and kernel of a layer as those of a convolution."""
    return (leads, kernel) if kernel.ndim > 2 else (leads[:, None, None], kernel[None, None])
