"""What a network costs, counted synapse by synapse over the oracle's spikes: what the library is compared with.

Like the oracle, it shares no code with `relu2snn` and must stay so: matrices and spike times in, sums out.
"""
# The capitals are the paper's symbols, as in the oracle.
# ruff: noqa: N806

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import oracle
from numpy.typing import NDArray

Array = NDArray[np.float64]


def run_layers(
    nodes: Sequence[Any], pixels: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, tuple[float, float]]]:
    """Spike times and windows of every tensor, as `oracle.run_graph` gives them, for more than a few neurons.

    A neuron is given the inputs that it has a synapse with, and the clock at t_min; others change nothing.
    """
    times = {name: 1 - x for name, x in pixels.items()}
    windows = dict.fromkeys(pixels, (0.0, 1.0))
    for node in nodes:
        tensors = node.tensors if isinstance(node, oracle.Extremum) else tuple(node.weights)
        t_min = max(windows[name][1] for name in tensors)
        t_start = t_min - max(windows[name][1] - windows[name][0] for name in tensors)
        arrivals = {name: times[name] + (t_min - windows[name][1]) for name in tensors}
        if isinstance(node, oracle.Extremum):
            (given,) = arrivals.values()
            assert not node.minimum.any()
            times[node.name] = np.array([min(given[k] for k in cells) for cells in node.cells])
            windows[node.name] = (t_start, t_min)
        elif isinstance(node, oracle.Segment):
            ((name, W),) = node.weights.items()
            for each in node.populations:
                bias, found = each.sign * node.bias + each.offset, np.empty(len(W))
                for i, row in enumerate(each.sign * W):
                    seen = np.flatnonzero(row)
                    weights = np.append(row[seen], each.S[i] - row.sum())
                    inputs = np.append(arrivals[name][seen], t_min)
                    found[i] = oracle.fire(weights, bias[i], inputs, t_start, t_min, node.B, each.alpha[i])
                times[each.name], windows[each.name] = found, (t_min, t_min + node.B)
    return times, windows


def count(
    nodes: Sequence[Any], times: Mapping[str, Array], windows: Mapping[str, tuple[float, float]]
) -> dict[str, Counter[str]]:
    """By the name of a segment's first population, or of a read-out, what one image costs: synapse after synapse.

    Of a neuron with a spike before the end of its window, and of any input with one, the time is below that end by more
    than rounding.
    """
    found: dict[str, Counter[str]] = {}
    for node in nodes:
        if isinstance(node, oracle.Extremum):
            continue
        populations = node.populations if isinstance(node, oracle.Segment) else ()
        name = populations[0].name if populations else node.name
        seen = found[name] = Counter()
        t_min = max(windows[tensor][1] for tensor in node.weights)
        t_start = t_min - max(windows[tensor][1] - windows[tensor][0] for tensor in node.weights)
        sums = np.zeros(len(node.bias))
        for tensor, W in node.weights.items():
            sums += W.sum(axis=1)
            before = is_before(times[tensor], windows[tensor][1])
            for i, j in itertools.product(range(W.shape[0]), range(W.shape[1])) if W.size < 5000 else _pairs(W):
                if W[i, j] == 0:
                    continue
                kind = "operations" if before[j] else "forced"
                for _ in populations or (None,):
                    seen["synapses"] += 1
                    seen[kind] += 1
        for each in populations:
            for i, total in enumerate(each.S):
                seen["neurons"] += 1
                seen["start"] += 1
                # One clock for whatever is missing: a reference neuron, or padding.
                seen["reference"] += bool(abs(total - each.sign * sums[i]) > 1e-9 * (1 + abs(total)))
            seen["spikes"] += int(is_before(times[each.name], windows[each.name][1]).sum())
            seen["integration"] += len(each.S) * (windows[each.name][1] - t_start)  # type: ignore[assignment]
        if not populations:
            seen["neurons"] += len(node.bias)
            seen["start"] += len(node.bias)
            seen["integration"] += len(node.bias) * (t_min - t_start)  # type: ignore[assignment]
    return found


def is_before(times: Array, end: float) -> NDArray[np.bool_]:
    """Which of the spikes come before the end of their window."""
    return np.asarray(times < end - 1e-11 * max(end, 1.0))


def _pairs(matrix: Array) -> Any:
    """Of large matrices, only where there is something."""
    return zip(*np.nonzero(matrix), strict=True)
