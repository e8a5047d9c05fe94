"""A scaled network as a spiking one: windows one after the other, J and ϑ of every neuron, for any graph.

t_min of a segment is when the last of its inputs' windows ends; it integrates for D, the longest of these windows, and
its own lasts B = (1 + ζ) X. With α = 1, b the neuron's bias and S' < 1 what its mapping's `full_sums` says,

    J = W / (1 − S'),   ϑ = D + B + B Σ J − (1 + Σ J) b = D + (B − b) / (1 − S'),

Σ J = S' / (1 − S') over all inputs: where the weights W add up to something else, an input that always spikes at t_min
has the rest. If all inputs are there before V reaches ϑ, then V = ϑ at t_max − (b + Σ W x): the ReLU, whatever S' is.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.linear import input_sums
from relu2snn.graph.nodes import Extremum, Network, Population, Readout, Segment, Source, made, used
from relu2snn.mapping import published, reference
from relu2snn.spiking.nodes import Earliest, Encoder, Firing, Neurons, Potential, SpikingNetwork, SpikingNode
from relu2snn.spiking.perturb import perturbed

Array = NDArray[np.float64]
Spans = Mapping[str, tuple[float, float]]
FullSums = Callable[[Segment, Population, Array], Array]

MAPPINGS = ("published", "reference")


def to_spiking(
    network: Network,
    maxima: Mapping[str, float],
    *,
    mapping: str,
    zeta: float = 0.5,
    noise: float = 0.0,
    reference_noise: float = 0.0,
    alpha_noise: float = 0.0,
    stretch: float | None = None,
    seed: int = 0,
    precision: str = "float64",
) -> SpikingNetwork:
    """The spiking network of a scaled network.

    mapping: "published" (arXiv:2212.12522; the network is scaled by `bounded_sums`) or "reference" (by `unit_maxima`).
    maxima: X of every population, by name; a segment takes the largest of its populations'. noise: standard deviation
    of every spike time but those of clocks; reference_noise: of those of the references, which the published mapping
    does not have; alpha_noise: of α, drawn once per channel of each population, in the dynamics only: J and ϑ are those
    of α = 1. stretch: K / N of the mapping with a reference, exact by construction from 1.001 on; None: 1.02. A
    segment that was never active (X = 0) gets the window of X = 1. precision: "float64" or "float32".

    Raises ValueError for zeta ≤ −1 or not finite, a published S ≥ 1, a missing maximum, one that is negative or not
    finite, weights that are not finite, windows or thresholds too large for the numbers of `precision`, and a
    reference_noise or a stretch of the published mapping.

    Example:
        >>> network = read_keras(model)
        >>> measured = measure(relu_model(network), [calibration])
        >>> network, maxima = unit_maxima(network, measured.channel_maxima)
        >>> to_spiking(network, maxima, mapping="reference", zeta=1.0).windows
        {'conv': (1.0, 3.0), 'dense': (3.0, 5.0)}
    """
    if mapping not in MAPPINGS:
        raise ValueError(f"mapping={mapping!r}: must be {' or '.join(MAPPINGS)}")
    if not -1 < zeta < np.inf:
        raise ValueError(f"zeta={zeta}: must be finite and greater than -1, or windows would have no length")
    for name, value in (("noise", noise), ("alpha_noise", alpha_noise), ("reference_noise", reference_noise)):
        if not 0 <= value < np.inf:
            raise ValueError(f"{name}={value}: must be finite and at least 0")
    if reference_noise and mapping != "reference":
        raise ValueError(f"reference_noise={reference_noise}: the mapping {mapping} has no reference")
    if stretch is not None and not 0 < stretch < np.inf:
        raise ValueError(f"stretch={stretch}: must be finite and above 0")
    if stretch is not None and mapping != "reference":
        raise ValueError(f"stretch={stretch}: the mapping {mapping} has no K to choose")
    full_sums = published.full_sums if mapping == "published" else partial(reference.full_sums, stretch=stretch)
    if precision not in ("float64", "float32"):
        raise ValueError(f'precision={precision!r}: must be "float64" or "float32"')
    spans: dict[str, tuple[float, float]] = {}
    nodes: list[SpikingNode] = []
    tensors = _encoders(network)
    for node in network:
        match node:
            case Source():
                name = tensors[node.name]
                nodes.append(Encoder(name, node.shape, node.low, node.high, node.name))
                spans[name] = (0.0, 1.0)
            case Extremum():
                names = tuple(tensors.get(each, each) for each in node.tensors)
                end = max(spans[each][1] for each in names)
                spans[node.name] = (end - max(stop - start for start, stop in (spans[each] for each in names)), end)
                nodes.append(Earliest(node.name, node.shape, names, node.window, node.minimum, *spans[node.name]))
            case Segment():
                firing = _segment(node, tensors, spans, maxima, zeta, precision, full_sums)
                spans |= dict.fromkeys(made(node), (firing.t_min, firing.t_max))
                nodes.append(firing)
            case Readout():
                maps = {tensors.get(name, name): map_ for name, map_ in node.maps.items()}
                before, t_min = _start(node, tensors, spans)
                _check(node, precision, bias=node.bias)
                nodes.append(Potential(node.name, node.shape, maps, node.bias, before, t_min, node.activation))
    found = SpikingNetwork(tuple(nodes), noise, precision, reference_noise)
    return perturbed(found, seed, alpha_noise=alpha_noise)


def _encoders(network: Network) -> dict[str, str]:
    """The tensors of spikes that images become, by the name of the input."""
    taken = set(network.tensors) | {node.name for node in network}
    found = {}
    for source in network.sources:
        wanted = "encoder" if len(network.sources) == 1 else f"{source.name}_encoder"
        while wanted in taken:
            wanted += "_"
        found[source.name] = wanted
        taken.add(wanted)
    return found


def _start(node: Segment | Readout, tensors: Mapping[str, str], spans: Spans) -> tuple[float, float]:
    """D and t_min of a node: its longest input window, and the end of the last one."""
    windows = [spans[tensors.get(name, name)] for name in used(node)]
    return max(end - start for start, end in windows), max(end for _, end in windows)


def _segment(
    node: Segment, tensors: Mapping[str, str], spans: Spans, maxima: Mapping[str, float], zeta: float, precision: str,
    full_sums: FullSums,
) -> Firing:  # fmt: skip
    before, t_min = _start(node, tensors, spans)
    largest = max(_maximum(node, each.name, maxima) for each in node.populations)
    window = (1 + zeta) * (largest or 1.0)
    if not t_min < t_min + window < np.inf:
        raise ValueError(
            f"layer {node.name!r}: zeta={zeta} and layer maximum {largest} give it a window from {t_min} to "
            f"{t_min + window}, which has no length or no end in float64; use a smaller zeta"
        )
    sums = input_sums(node.maps, node.shape[-1])
    _check(node, precision, weights=sums, bias=node.bias)
    populations = tuple(
        _neurons(node, each, full_sums(node, each, sums), before, window, maximum=float(maxima[each.name]))
        for each in node.populations
    )
    for each in populations:
        _check(node, precision, **{"kernel J": each.gain * sums, "threshold": each.threshold})
    maps = {tensors.get(name, name): map_ for name, map_ in node.maps.items()}
    return Firing(node.name, node.shape, maps, populations, before, window, t_min)


def _maximum(node: Segment, name: str, maxima: Mapping[str, float]) -> float:
    if name not in maxima:
        raise ValueError(f"layer {name!r}: no maximum was measured, only of {', '.join(maxima)}")
    value = float(maxima[name])
    if not 0 <= value < np.inf:
        raise ValueError(f"layer maximum {value} of {name!r}: must be finite and at least 0")
    return value


def _check(node: Segment | Readout, precision: str, **values: Array) -> None:
    """Refuse numbers that `precision` cannot hold: NaN, infinity, or what becomes infinity there."""
    for name, value in values.items():
        with np.errstate(over="ignore"):
            if np.isfinite(np.asarray(value, precision)).all():
                continue
        raise ValueError(f"layer {node.name!r}: {name} has numbers that are not finite in {precision}")


def _neurons(node: Segment, each: Population, own: Array, before: float, window: float, *, maximum: float) -> Neurons:
    """own (channels,): S', what all weights of a neuron add up to, those of its clock inputs too."""
    bias = each.sign * node.bias + each.offset
    return Neurons(
        name=each.name,
        gain=each.sign / (1 - own),
        total=own / (1 - own),
        threshold=before + (window - bias) / (1 - own),
        drive=np.ones_like(own),
        sign=each.sign,
        scale=np.broadcast_to(each.scale, own.shape),
        maximum=maximum,
    )
