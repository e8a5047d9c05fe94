"""Scaling a network neuron by neuron, channel by channel: the ReLU is positively homogeneous, so no output changes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.linear import input_sums
from relu2snn.graph.nodes import Extremum, Network, Node, Readout, Segment, Source, made
from relu2snn.mapping.ties import Ties

Array = NDArray[np.float64]


def scaled(network: Network, factors: Mapping[str, Array]) -> Network:
    """The network whose tensors are x' = factor x: `factors` (channels,) > 0 by tensor, 1 where there is none.

    Neurons' weights, biases and offsets are multiplied by their factor, and every consumer divides by it.
    Raises ValueError where tensors that meet in one extremum, or populations of one segment, differ in theirs.
    """
    known = {name: np.asarray(factors.get(name, np.ones(shape[-1]))) for name, shape in network.tensors.items()}
    nodes: list[Node] = []
    for node in network:
        match node:
            case Segment():
                own = _common(node, [known[each.name] for each in node.populations])
                maps = {name: map_.scaled(1 / known[name], own) for name, map_ in node.maps.items()}
                shifted = tuple(
                    replace(each, offset=each.offset * own, scale=each.scale * own) for each in node.populations
                )
                nodes.append(replace(node, maps=maps, bias=node.bias * own, populations=shifted))
            case Readout():
                one = np.ones(node.shape[-1])
                maps = {name: map_.scaled(1 / known[name], one) for name, map_ in node.maps.items()}
                nodes.append(replace(node, maps=maps))
            case Extremum():
                known[node.name] = _common(node, [known[name] for name in node.tensors])
                nodes.append(node)
            case Source():
                nodes.append(node)
    return Network(nodes)


def bounded_sums(network: Network, lower: float = -10.0, upper: float = 0.99) -> Network:
    """An equal network in which every neuron's S_i = Σ_j W_ij lies in [lower, upper] (arXiv:2212.12522, phase 1).

    Where S_i is outside, W_i and b_i are multiplied by bound / S_i > 0 and every consumer divides by it. Populations of
    one z, and tensors that meet in one extremum, take the smallest factor of theirs.
    Raises ValueError unless lower < 0 < upper < 1, and where ties of tensors that feed each other leave no factor.

    Example:
        >>> scaled = bounded_sums(read_keras(model))
        >>> maxima = measure(relu_model(scaled), [calibration]).maxima
        >>> to_spiking(scaled, maxima, mapping="published").latency > 1
        True
    """
    if not lower < 0 < upper < 1:
        raise ValueError(f"lower={lower}, upper={upper}: need lower < 0 < upper < 1")
    ties = Ties.of(network)
    caps: dict[frozenset[str], Array] = {}
    for _ in range(_ROUNDS):
        factors: dict[str, Array] = {}
        tighter: dict[frozenset[str], Array] = {}
        for node in network:
            if isinstance(node, Extremum):
                factors[node.name] = factors.get(node.tensors[0], np.ones(node.shape[-1]))
            if not isinstance(node, Segment):
                continue
            known = {name: factors.get(name, np.ones(1)) for name in node.maps}
            maps = {name: map_.scaled(1 / known[name], np.ones(1)) for name, map_ in node.maps.items()}
            sums = input_sums(maps, node.shape[-1])
            tie = ties.together(made(node)[0])
            own = np.minimum(
                _factor(sums, [each.sign for each in node.populations], lower, upper), caps.get(tie, np.inf)
            )
            tighter[tie] = np.minimum(tighter.get(tie, np.inf), own)
            factors |= dict.fromkeys(made(node), own)
        if _agree(network, factors):
            return scaled(network, factors)
        caps = tighter
    raise ValueError(
        "tensors that meet in one maximum feed each other, and no factor fits all; write max(u, v) as u + ReLU(v - u)"
    )


_ROUNDS = 50


def _factor(sums: Array, signs: list[int], lower: float, upper: float) -> Array:
    factor = np.ones_like(sums)
    for sign in signs:
        own = sign * sums
        outside = (own < lower) | (own > upper)
        needed = np.ones_like(sums)
        needed[outside] = np.where(own < 0, lower, upper)[outside] / own[outside]
        factor = np.minimum(factor, needed)
    return factor


def _agree(network: Network, factors: Mapping[str, Array]) -> bool:
    groups = [node.tensors for node in network if isinstance(node, Extremum)]
    one = np.ones(1)
    pairs = ((name, group[0]) for group in groups for name in group[1:])
    return all(bool((factors.get(a, one) == factors.get(b, one)).all()) for a, b in pairs)


def _common(node: Node, found: list[Array]) -> Array:
    if not all((each == found[0]).all() for each in found):
        raise ValueError(f"{node.name!r}: what meets there has different factors")
    return found[0]
