"""An event-driven interpreter of NIR's equations, for graphs without loops, in plain numpy; no code of `relu2snn`.

A signal is what a node gives over time, exactly: impulses, steps and ramps by the times at which they begin,
s(t) = Σ_k a_k (t − t_k)^d / d! for d = 0, 1 and an impulse at t_k for d = −1. Maps act on the amplitudes a_k, an
integrator I makes d + 1 of d, and IF walks from one time to the next: v is a line between two of them.
"""

from collections import defaultdict
from typing import Any, NamedTuple

import nir
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Terms(NamedTuple):
    """Times (k,) and amplitudes (k, *shape) of one order."""

    times: Array
    amplitudes: Array


Signal = dict[int, Terms]
IMPULSE, STEP, RAMP = -1, 0, 1


class Ran(NamedTuple):
    """Spike times (n,) of every node that fired, NaN where a neuron did not, how often each did, and read-outs."""

    spikes: dict[str, Array]
    counts: dict[str, NDArray[np.int64]]
    potentials: dict[str, Signal]


def run(graph: nir.NIRGraph, inputs: dict[str, Array], until: float) -> Ran:
    """Spikes at `inputs` (*shape), by node, and what becomes of them until a time."""
    sources = defaultdict(list)
    for pre, post in graph.edges:
        sources[post].append(pre)
    signals: dict[str, Signal] = {}
    ran = Ran({}, {}, {})
    waiting = dict(graph.nodes)
    while waiting:
        ready = [name for name in waiting if all(each in signals for each in sources[name])]
        assert ready, f"a loop among {list(waiting)}"
        for name in ready:
            node = waiting.pop(name)
            if isinstance(node, nir.Input):
                signals[name] = {IMPULSE: impulses(inputs[name])}
                continue
            given = added([signals[each] for each in sources[name]])
            if isinstance(node, nir.IF):
                times, counts = integrate_and_fire(node, given, until)
                ran.spikes[name], ran.counts[name] = times, counts
                signals[name] = {IMPULSE: impulses(times)}
            else:
                signals[name] = {order: one for each in given.items() for order, one in [response(node, *each)]}
            if isinstance(node, nir.Output):
                ran.potentials[name] = given
    return ran


def impulses(times: Array) -> Terms:
    """One impulse of 1 for each element, at its time."""
    unique, where = np.unique(times, return_inverse=True)
    amplitudes = np.zeros((len(unique), times.size))
    amplitudes[where.ravel(), np.arange(times.size)] = 1.0
    return Terms(unique, amplitudes.reshape(len(unique), *times.shape))


def added(signals: list[Signal]) -> Signal:
    found: Signal = {}
    for order in sorted({order for each in signals for order in each}):
        parts = [each[order] for each in signals if order in each]
        found[order] = Terms(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    return found


def response(node: Any, order: int, terms: Terms) -> tuple[int, Terms]:
    """What a node that is no neuron makes of the terms of one order."""
    times, x = terms
    match node:
        case nir.I():
            return order + 1, Terms(times, node.r * x)
        case nir.Delay():
            (wait,) = np.unique(node.delay)
            return order, Terms(times + wait, x)
        case nir.Linear():
            return order, Terms(times, x @ node.weight.T)
        case nir.Scale():
            return order, Terms(times, x * node.scale)
        case nir.Flatten():
            assert (node.start_dim, node.end_dim) == (0, -1)
            return order, Terms(times, x.reshape(len(x), -1))
        case nir.SumPool2d():
            windows = places(x, node.kernel_size, node.stride, node.padding, (1, 1))
            return order, Terms(times, windows.sum(axis=(-2, -1)))
        case nir.Conv2d():
            assert node.groups == 1
            windows = places(x, node.weight.shape[2:], node.stride, node.padding, node.dilation)
            found = np.tensordot(windows, node.weight, axes=([1, 4, 5], [1, 2, 3]))
            return order, Terms(times, np.moveaxis(found, -1, 1) + node.bias[:, None, None])
        case nir.Output():
            return order, terms
    raise AssertionError(f"no equation of {type(node).__name__}")


def places(x: Array, sizes: Any, strides: Any, padding: Any, dilation: Any) -> Array:
    """Views of x (k, channels, height, width) under each place of a kernel, (k, channels, y, x, *sizes)."""
    x = np.pad(x, ((0, 0), (0, 0), *((int(p), int(p)) for p in padding)))
    extents = [(int(size) - 1) * int(rate) + 1 for size, rate in zip(sizes, dilation, strict=True)]
    views = sliding_window_view(x, extents, axis=(2, 3))
    return views[:, :, :: int(strides[0]), :: int(strides[1]), :: int(dilation[0]), :: int(dilation[1])]


def integrate_and_fire(node: nir.IF, given: Signal, until: float) -> tuple[Array, NDArray[np.int64]]:
    """The time of each neuron's first spike, and how often it fires: v̇ = R I; v > threshold fires and resets."""
    shape = node.v_threshold.shape
    level, reset, r = (each.ravel() for each in (node.v_threshold, node.v_reset, node.r))
    assert set(given) <= {IMPULSE, STEP}
    jumps, slopes = (given.get(order, Terms(np.empty(0), np.empty((0, *shape)))) for order in (IMPULSE, STEP))
    v, slope = np.zeros(level.size), np.zeros(level.size)
    spikes, counts = np.full(level.size, np.nan), np.zeros(level.size, np.int64)
    now = 0.0
    times = np.unique(np.concatenate([jumps.times, slopes.times, [until]]))
    for t in times[times <= until]:
        now_of = np.full(level.size, now)
        for _ in range(10):
            rising = np.flatnonzero(slope > 0)
            crossing = now_of[rising] + np.maximum(level[rising] - v[rising], 0) / slope[rising]
            fired = crossing < t
            which = rising[fired]
            fire(which, crossing[fired], spikes, counts)
            v[which], now_of[which] = reset[which], crossing[fired]
            if not which.size:
                break
        assert not which.size, "a neuron that does not stop firing"
        v += slope * (t - now_of)
        now = t
        v += r * jumps.amplitudes[jumps.times == t].reshape(-1, level.size).sum(axis=0)
        slope += r * slopes.amplitudes[slopes.times == t].reshape(-1, level.size).sum(axis=0)
        above = np.flatnonzero(v > level)
        fire(above, np.full(above.size, t), spikes, counts)
        v[above] = reset[above]
    return spikes.reshape(shape), counts.reshape(shape)


def fire(which: NDArray[np.int64], times: Array, spikes: Array, counts: NDArray[np.int64]) -> None:
    first = counts[which] == 0
    spikes[which[first]] = times[first]
    counts[which] += 1


def value_at(signal: Signal, t: float) -> Array:
    """What a signal of steps and ramps is at a time, those that begin then included."""
    found: Any = 0.0
    for order, (times, amplitudes) in signal.items():
        assert order in (STEP, RAMP)
        found = found + np.tensordot(np.where(times <= t, (t - times) ** order, 0.0), amplitudes, axes=1)
    return found
