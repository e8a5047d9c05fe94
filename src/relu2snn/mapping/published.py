"""The published mapping (arXiv:2212.12522): windows one after the other, J and ϑ of every neuron, for any graph.

t_min of a segment is when the last of its inputs' windows ends; it integrates for D, the longest of these windows, and
its own lasts B = (1 + ζ) X. With α = 1, b the neuron's bias and S the sum of its weights,

    J = W / (1 − S),   ϑ = D + B + B Σ J − (1 + Σ J) b = D + (B − b) / (1 − S).

If all inputs are there before V reaches ϑ, then V = ϑ at t_max − (b + Σ W x): the ReLU.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.nodes import Extremum, Network, Population, Readout, Segment, Source, made, used
from relu2snn.mapping.scaling import input_sums
from relu2snn.spiking.segments.network import Earliest, Encoder, Firing, Neurons, Potential, SpikingNetwork, SpikingNode

Array = NDArray[np.float64]


def to_spiking(
    network: Network,
    maxima: Mapping[str, float],
    *,
    zeta: float = 0.5,
    noise: float = 0.0,
    alpha_noise: float = 0.0,
    seed: int = 0,
    precision: str = "float64",
) -> SpikingNetwork:
    """The spiking network of a scaled network.

    maxima: X of every segment, by name: the largest output of any of its populations. noise: standard deviation of
    every spike time; alpha_noise: of α, drawn once per channel of each population, in the dynamics only: J and ϑ are
    those of α = 1. A segment that was never active (X = 0) gets the window of X = 1.

    Raises ValueError for zeta ≤ −1, an S ≥ 1, a missing maximum, and one that is negative or not finite.
    """
    if not zeta > -1 or not np.isfinite(zeta):
        raise ValueError(f"zeta={zeta}: must be greater than -1 and finite, or windows would have no length")
    spans: dict[str, tuple[float, float]] = {}
    nodes: list[SpikingNode] = []
    seeds = np.random.SeedSequence([seed, 1])
    for node in network:
        match node:
            case Source():
                made_node: SpikingNode = Encoder(node.name, node.shape, node.low, node.high)
                spans[node.name] = (0.0, 1.0)
            case Extremum():
                length = max(end - start for start, end in (spans[name] for name in node.tensors))
                end = max(spans[name][1] for name in node.tensors)
                spans[node.name] = (end - length, end)
                made_node = Earliest(node.name, node.shape, node.tensors, node.window, node.minimum, *spans[node.name])
            case Segment():
                before, t_min = _start(node, spans)
                window = (1 + zeta) * (_maximum(node, maxima) or 1.0)
                sums = input_sums(node.maps, node.shape[-1])
                populations = tuple(
                    _neurons(node, each, sums, before, window, alpha_noise, seeds) for each in node.populations
                )
                made_node = Firing(node.name, node.shape, node.maps, populations, before, window, t_min)
                spans |= dict.fromkeys(made(node), (t_min, t_min + window))
            case Readout():
                before, t_min = _start(node, spans)
                made_node = Potential(node.name, node.shape, node.maps, node.bias, before, t_min, node.activation)
        nodes.append(made_node)
    return SpikingNetwork(tuple(nodes), noise, seed, precision)


def _start(node: Segment | Readout, spans: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """D and t_min of a node: its longest input window, and the end of the last one."""
    windows = [spans[name] for name in used(node)]
    return max(end - start for start, end in windows), max(end for _, end in windows)


def _maximum(node: Segment, maxima: Mapping[str, float]) -> float:
    if node.name not in maxima:
        raise ValueError(f"segment {node.name!r}: no maximum was measured")
    value = float(maxima[node.name])
    if not 0 <= value < np.inf:
        raise ValueError(f"layer maximum {value} of {node.name!r}: must be finite and at least 0")
    return value


def _neurons(
    node: Segment, each: Population, sums: Array, before: float, window: float, alpha_noise: float,
    seeds: np.random.SeedSequence,
) -> Neurons:  # fmt: skip
    own = each.sign * sums
    if (own >= 1).any():
        raise ValueError(f"layer {node.name!r}: S_i = {own.max()} must be less than 1; scale the network first")
    bias = each.sign * node.bias + each.offset
    draw = np.random.default_rng(seeds.spawn(1)[0])
    drive = 1.0 + alpha_noise * draw.standard_normal(own.shape)
    return Neurons(
        name=each.name,
        gain=each.sign / (1 - own),
        total=own / (1 - own),
        threshold=before + (window - bias) / (1 - own),
        drive=drive,
    )
