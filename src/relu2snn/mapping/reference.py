"""The mapping with a reference spike: exact for every input by construction, in windows of one length.

Each layer has one more input, a reference neuron that always spikes at t_min, with the weight W_r,i = S'_i − S_i. Its
lead is 0, so it changes no value, and S' is free. Before t_min the slope of V is never below α − Σ_j J⁻_ij, J = W / K
with K = 1 − S'. With K_i ≥ N_i = Σ_j W⁻_ij, W⁻ = max(−W, 0), V never falls between t_start and t_min, so that

    neuron i spikes early if and only if z_i = b_i + Σ_j W_ij x_j > B

and computes its ReLU otherwise: there is nothing else to prove. (Ours: docs/reference_spike.md.)
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.nodes import Network, Population, Segment, Source, made
from relu2snn.mapping.scaling import scaled
from relu2snn.mapping.ties import Ties

Array = NDArray[np.float64]
_OPS = NumpyOps()

STRETCH = 1.02
"""K is this times N unless another is given: more than rounding and a small α noise take from it."""
CONSTRUCTED = 1.001
"""The smallest K / N at which a run is exact by construction."""
SMALLEST = 0.05
"""The smallest K, of neurons with few negative weights or none."""


def full_sums(node: Segment, each: Population, sums: Array, *, stretch: float | None = None) -> Array:
    """S' = 1 − K of every neuron of a population, (channels,), whatever `sums` are; N is the largest over positions.

    stretch: K / N, above 0, None for `STRETCH`. Errors of α, of ϑ and of the reference's spike time grow with K; below
    1 a potential can fall before t_min, so that a neuron can spike early though its z is not above B.
    """
    negative = sum(
        (map_.magnitudes(-each.sign, _OPS) for map_ in node.maps.values()), np.zeros(node.shape[-1], np.float64)
    )
    found: Array = 1 - np.maximum((stretch or STRETCH) * negative, SMALLEST)
    return found


def unit_maxima(
    network: Network, channels: Mapping[str, Array], *, floor: float = 0.1
) -> tuple[Network, dict[str, float]]:
    """An equal network in which every channel's largest value over the calibration images is 1, and its layer maxima.

    channels: the largest value of each channel of every population, (channels,), by name. Channels that meet in an
    extremum, or rectify one z, share their factor. floor: channels whose largest value is below this share of their
    layer's get the factor of one that has it, since a channel that hardly fires would get a huge one; 0 < floor ≤ 1. A
    layer that was never active keeps its scale.

    Raises ValueError for a floor outside (0, 1], and a maximum that is missing, negative or not finite.

    Example:
        >>> network = read_keras(model)
        >>> measured = measure(relu_model(network), [calibration])
        >>> network, maxima = unit_maxima(network, measured.channel_maxima)
        >>> maxima
        {'conv': 1.0, 'dense': 1.0}
    """
    if not 0 < floor <= 1:
        raise ValueError(f"floor={floor}: must be above 0 and at most 1")
    ties = Ties.of(network)
    images = {node.name for node in network if isinstance(node, Source)}
    factors: dict[str, Array] = {}
    maxima: dict[str, float] = {}
    for node in network:
        if not isinstance(node, Segment):
            continue
        tied = ties.together(made(node)[0])
        largest = np.max(
            [_checked(name, channels, node.shape[-1]) for name in sorted(tied & network.populations.keys())], axis=0
        )
        known = np.maximum(largest, floor * largest.max())
        # An image that meets them in an extremum has its range already.
        fixed = bool(tied & images) or not largest.any()
        factors |= dict.fromkeys(made(node), np.ones_like(known) if fixed else 1 / known)
        maxima |= dict.fromkeys(made(node), float(largest.max()) if fixed else 1.0)
    return scaled(network, factors), maxima


def _checked(name: str, channels: Mapping[str, Array], count: int) -> Array:
    if name not in channels:
        raise ValueError(f"layer {name!r}: no channel maxima were measured, only of {', '.join(channels)}")
    found: Array = np.asarray(channels[name], np.float64)
    if found.shape != (count,) or not ((found >= 0) & np.isfinite(found)).all():
        raise ValueError(f"channel maxima of {name!r}: must be {count} finite numbers of at least 0")
    return found
