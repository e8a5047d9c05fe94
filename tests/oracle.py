"""A brute-force event-driven simulator of single-spike networks, in plain numpy: what the library is compared with.

Written from the equations of arXiv:2212.12522 alone; it shares no code with `relu2snn` and must stay so. Times are
absolute, one neuron is simulated at a time, and every choice is for being plainly right, not quick.
"""
# The capitals are the paper's symbols: J (weights of the spiking network), W (of the ReLU network), B (window length).
# ruff: noqa: N803, N806

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Pair = tuple[int, int]
Padding = Literal["same", "valid"]


def spike_time(J: ArrayLike, theta: float, alpha: float, inputs: ArrayLike, t_start: float, t_max: float) -> float:
    """When one neuron spikes: the first t in [t_start, t_max] with V(t) >= theta, or t_max if there is none.

    V(t) = alpha (t - t_start) + sum of J_j (t - t_j) over the inputs with t_j < t. An input from before t_start counts
    from its own time on. J and inputs: (n,).
    """
    J, inputs = np.asarray(J, float), np.asarray(inputs, float)
    # V is linear between two events.
    events = sorted({float(t) for t in inputs if t_start < t < t_max})
    for start, end in zip([t_start, *events], [*events, t_max], strict=True):
        arrived = inputs <= start
        potential = float(alpha * (start - t_start) + np.sum(J[arrived] * (start - inputs[arrived])))
        slope = float(alpha + np.sum(J[arrived]))
        if potential >= theta:
            return start
        if slope > 0:
            crossing = start + (theta - potential) / slope
            if crossing <= end:
                return crossing
    return t_max


def potential(J: ArrayLike, alpha: float, inputs: ArrayLike, t_start: float, t: float) -> float:
    """The potential of one neuron at t >= t_start, if it has not spiked: V(t) as in `spike_time`."""
    V = alpha * (t - t_start)
    for weight, arrival in zip(np.asarray(J, float), np.asarray(inputs, float), strict=True):
        if arrival < t:
            V += weight * (t - arrival)
    return float(V)


def translate(w: Array, b: float, t_min_prev: float, t_min: float, B: float) -> tuple[Array, float]:
    """J (n,) and theta of the neuron with weights w (n,) and bias b, for alpha = 1.

    Raises ValueError when the sum of w is 1 or more: such a network has not been scaled by phase 1.
    """
    S = float(np.sum(w))
    if S >= 1:
        raise ValueError(f"weights sum to {S}; the mapping needs a sum below 1")
    J = w / (1 - S)
    theta = (t_min + B - t_min_prev) + B * float(np.sum(J)) - (1 + float(np.sum(J))) * b
    return J, theta


def fire(w: Array, b: float, times: Array, t_min_prev: float, t_min: float, B: float, alpha: float) -> float:
    """Spike time of the neuron with weights w (n,) and bias b, for inputs that spike at times (n,).

    J and theta are those of alpha = 1, so a different alpha is a perturbation of the dynamics.
    """
    J, theta = translate(w, b, t_min_prev, t_min, B)
    return spike_time(J, theta, alpha, times, t_min_prev, t_min + B)


def fire_dense(
    times: Array, W: Array, b: Array, t_min_prev: float, t_min: float, B: float, alpha: ArrayLike | None = None
) -> Array:
    """Spike times (n_out,) of a dense layer: times (n_in,), W (n_in, n_out), b and alpha (n_out,)."""
    alphas = np.broadcast_to(1.0 if alpha is None else np.asarray(alpha, float), b.shape)
    return np.array(
        [fire(W[:, i], float(b[i]), times, t_min_prev, t_min, B, float(alphas[i])) for i in range(W.shape[1])]
    )


def fire_conv2d(
    times: Array,
    W: Array,
    b: Array,
    t_min_prev: float,
    t_min: float,
    B: float,
    strides: Pair = (1, 1),
    padding: Padding = "valid",
    dilation: Pair = (1, 1),
    alpha: ArrayLike | None = None,
) -> Array:
    """Spike times (H, W, f) of a convolution: times (h, w, c), W (kh, kw, c, f), b and alpha (f,) or (H, W, f).

    Padding is an input that spikes at t_min, which stands for x = 0.
    """
    kh, kw, _, filters = W.shape
    height, _ = _output_size(times.shape[0], kh, strides[0], padding, dilation[0])
    width, _ = _output_size(times.shape[1], kw, strides[1], padding, dilation[1])
    biases = np.broadcast_to(b, (height, width, filters))
    alphas = np.broadcast_to(1.0 if alpha is None else np.asarray(alpha, float), biases.shape)
    spikes = np.empty(biases.shape)
    for y, x in np.ndindex(height, width):
        field = receptive_field(times, (kh, kw), (y, x), t_min, strides, padding, dilation)
        for f in range(filters):
            w, bias, drive = W[..., f].ravel(), float(biases[y, x, f]), float(alphas[y, x, f])
            spikes[y, x, f] = fire(w, bias, field, t_min_prev, t_min, B, drive)
    return spikes


def receptive_field(
    times: Array, kernel: Pair, place: Pair, t_min: float, strides: Pair, padding: Padding, dilation: Pair
) -> Array:
    """The input spike times (kh kw c,) of the neurons at `place` (y, x) of a convolution, padding at t_min."""
    top = _output_size(times.shape[0], kernel[0], strides[0], padding, dilation[0])[1]
    left = _output_size(times.shape[1], kernel[1], strides[1], padding, dilation[1])[1]
    field = np.full((*kernel, times.shape[2]), t_min, float)
    for i, j in np.ndindex(*kernel):
        row, column = place[0] * strides[0] - top + i * dilation[0], place[1] * strides[1] - left + j * dilation[1]
        if 0 <= row < times.shape[0] and 0 <= column < times.shape[1]:
            field[i, j] = times[row, column]
    return field.ravel()


def pool_earliest(times: Array, pool: Pair, strides: Pair, padding: Padding) -> Array:
    """A max pool: the earliest spike of each pool. times (h, w, c); padding never spikes, so it never wins."""
    return _pool(np.min, times, pool, strides, padding)


def pool_latest(times: Array, pool: Pair, strides: Pair, padding: Padding) -> Array:
    """A min pool: the latest spike of each pool. times (h, w, c); padding never wins."""
    return _pool(np.max, times, pool, strides, padding)


def read_out(times: Array, W: Array, b: Array, t_min_prev: float, t_min: float) -> Array:
    """Potentials (n_out,) of the output layer at its t_min: the logits. times (n_in,), W (n_in, n_out), b (n_out,).

    V_i = alpha_i (t_min - t_min_prev) + sum of W_ji (t_min - t_j) over the inputs with t_j <= t_min.
    """
    logits = np.empty(b.shape)
    for i in range(W.shape[1]):
        # alpha_i = b_i / (t_min - t_min_prev), so the drive has added b_i by then, however short the window.
        logits[i] = b[i]
        for j, t in enumerate(times):
            if t <= t_min:
                logits[i] += W[j, i] * (t_min - t)
    return logits


@dataclass(frozen=True)
class Population:
    """Neurons of a segment: x = ReLU(sign z + offset), offset (n,). S and alpha (n,).

    S is what J and theta are made of: one number per channel. Where a neuron's weights add up to something else, a
    clock that spikes at t_min, as padding does, has the rest. Of that, what the reference neuron has, (n,), may come
    `late`, or early where that is negative.
    """

    name: str
    sign: int
    offset: Array
    S: Array
    alpha: Array
    reference: Array | None = None
    late: float = 0.0


@dataclass(frozen=True)
class Segment:
    """z = sum of W x + bias over the tensors of `weights`, W (n, m) by name, and what rectifies it in windows of B."""

    weights: Mapping[str, Array]
    bias: Array
    populations: tuple[Population, ...]
    B: float


@dataclass(frozen=True)
class Extremum:
    """The largest value of the cells of each pool, over several tensors; the smallest where `minimum` (n,)."""

    name: str
    tensors: tuple[str, ...]
    cells: Sequence[Sequence[int]]
    minimum: NDArray[np.bool_]


@dataclass(frozen=True)
class Readout:
    """z = sum of W x + bias, read as a potential."""

    name: str
    weights: Mapping[str, Array]
    bias: Array


def run_graph(
    nodes: Sequence[Segment | Extremum | Readout], pixels: Mapping[str, Array], noise: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, tuple[float, float]], dict[str, Array]]:
    """Spike times (n,) and windows of every tensor, and the potentials of every read-out, for one image.

    pixels: in [0, 1], (n,), by source. noise: added to the spike times of a tensor, after the clip at t_max; pixels do
    not spike before 0. Tensors are flat, and an input whose window ends before a node's t_min is delayed until then.
    """
    times = {
        name: np.maximum(1 - x + noise.get(name, 0.0), 0.0) if name in noise else 1 - x for name, x in pixels.items()
    }
    windows = dict.fromkeys(pixels, (0.0, 1.0))
    potentials: dict[str, Array] = {}
    for node in nodes:
        tensors = node.tensors if isinstance(node, Extremum) else tuple(node.weights)
        t_min = max(windows[name][1] for name in tensors)
        t_start = t_min - max(windows[name][1] - windows[name][0] for name in tensors)
        arrivals = {name: times[name] + (t_min - windows[name][1]) for name in tensors}
        match node:
            case Extremum():
                pairs = zip(node.cells, node.minimum, strict=True)
                times[node.name] = np.array(
                    [
                        _last_or_first([each[k] for each in arrivals.values() for k in cells], last)
                        for cells, last in pairs
                    ]
                )
                windows[node.name] = (t_start, t_min)
            case Readout():
                W, x = np.concatenate(list(node.weights.values()), axis=1), np.concatenate(list(arrivals.values()))
                potentials[node.name] = read_out(x, W.T, node.bias, t_start, t_min)
            case Segment():
                W, x = np.concatenate(list(node.weights.values()), axis=1), np.concatenate(list(arrivals.values()))
                for each in node.populations:
                    b = each.sign * node.bias + each.offset
                    own = np.zeros(len(b)) if each.reference is None else each.reference
                    clocks = np.append(x, [t_min, t_min + each.late])
                    spikes = [
                        fire(np.append(w, [S - w.sum() - r, r]), bias, clocks, t_start, t_min, node.B, alpha)
                        for w, bias, S, r, alpha in zip(each.sign * W, b, each.S, own, each.alpha, strict=True)
                    ]
                    times[each.name] = np.array(spikes) + noise.get(each.name, 0.0)
                    windows[each.name] = (t_min, t_min + node.B)
    return times, windows, potentials


def cells_of_pools(
    sides: Sequence[int], sizes: Sequence[int], strides: Sequence[int], dilation: Sequence[int], margins: Sequence[Pair]
) -> list[list[int]]:
    """For each place of a window over a grid the cells under it, counted row by row, places row by row.

    margins: cells before and after each axis that are not there.
    """
    axes = []
    for side, size, stride, rate, (before, after) in zip(sides, sizes, strides, dilation, margins, strict=True):
        places = (side + before + after - (size - 1) * rate - 1) // stride + 1
        axes.append([[place * stride - before + k * rate for k in range(size)] for place in range(places)])
    found = []
    for place in itertools.product(*axes):
        inside = [
            cell
            for cell in itertools.product(*place)
            if all(0 <= c < side for c, side in zip(cell, sides, strict=True))
        ]
        found.append([int(np.ravel_multi_index(cell, sides)) if len(sides) else 0 for cell in inside])
    return found


def _last_or_first(times: list[float], last: bool) -> float:
    return max(times) if last else min(times)


def _pool(choose: Callable[..., Array], times: Array, pool: Pair, strides: Pair, padding: Padding) -> Array:
    height, top = _output_size(times.shape[0], pool[0], strides[0], padding, 1)
    width, left = _output_size(times.shape[1], pool[1], strides[1], padding, 1)
    pooled = np.empty((height, width, times.shape[2]))
    for y, x in np.ndindex(height, width):
        row, column = y * strides[0] - top, x * strides[1] - left
        inside = times[max(row, 0) : row + pool[0], max(column, 0) : column + pool[1]]
        pooled[y, x] = choose(inside, axis=(0, 1))
    return pooled


def _output_size(size: int, kernel: int, stride: int, padding: Padding, dilation: int) -> tuple[int, int]:
    """Output size along one axis and the padding before it: TensorFlow's rule, which puts the odd one after."""
    span = (kernel - 1) * dilation + 1
    if padding == "valid":
        return (size - span) // stride + 1, 0
    output = math.ceil(size / stride)
    return output, max((output - 1) * stride + span - size, 0) // 2
