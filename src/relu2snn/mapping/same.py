"""Whether a spiking network is that of a ReLU network: its maps are that network's, up to a scale per neuron.

Each neuron stands for one ReLU. A spiking network says which: its maps L, the biases that its thresholds hold, and
factors f > 0, one for each neuron (channel); where these do not fit, they are found from the weights, since an equal
network may have its units scaled otherwise. With W, b the ReLU network's own it must hold that

    L_ij = f_i W_ij / f_j,   b̂_i = f_i b_i,   f = 1 for the images and the output,

and that each neuron's closed form has the slope of its ReLU, gain / (1 + Σ J) = ±1. The ReLU is positively homogeneous,
so that then, and for all inputs, the neuron's ReLU is f_i times the original's. This says which ReLU a neuron computes
also where it is silent for every image at hand. Neurons in another order are another network.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.nodes import Extremum, Network, Readout, Segment, Source
from relu2snn.graph.saved import describe
from relu2snn.mapping.scaling import scaled
from relu2snn.spiking.certificate import sums_of, unit_roundoff
from relu2snn.spiking.nodes import Earliest, Encoder, Firing, Potential, SpikingNetwork
from relu2snn.spiking.rounding import Rounding

Array = NDArray[np.float64]
_OPS = NumpyOps()
_KINDS = {Source: Encoder, Segment: Firing, Extremum: Earliest, Readout: Potential}
_CHUNK = 2**22
"""Weights that are compared at once: the largest layers have a hundred million."""


def difference(network: Network, spiking: SpikingNetwork) -> str | None:
    """The first thing in which a spiking network is not that of a ReLU network, in words; None if it is.

    Numbers may differ by what rounding can do to them in the precision of the spiking network.
    """
    kinds = [_KINDS[type(node)] for node in network]
    if kinds != [type(node) for node in spiking]:
        return f"its layers {_names(spiking)} are not those that the ReLU network's would become: {_names(network)}"
    names: dict[str, str] = {}
    for node, found in zip(network, spiking, strict=True):
        if isinstance(node, Segment) and isinstance(found, Firing):
            if [each.sign for each in node.populations] != [each.sign for each in found.populations]:
                return f"layer {found.name!r}: its populations are not those of {node.name!r} in the ReLU network"
            names |= {own.name: other.name for own, other in zip(node.populations, found.populations, strict=True)}
        else:
            names[node.name] = found.name
    populations = spiking.populations
    said = {name: np.asarray(populations[names[name]][1].scale, np.float64) for name in network.populations}
    text = _first_difference_of(network, spiking, names, said)
    if text is None:
        return None
    # The ReLU network may be an equal one whose units have other scales.
    recovered = _factors(network, spiking, names)
    if recovered is not None and _first_difference_of(network, spiking, names, recovered) is None:
        return None
    return text


def _first_difference_of(
    network: Network, spiking: SpikingNetwork, names: Mapping[str, str], factors: Mapping[str, Array]
) -> str | None:
    for name, each in factors.items():
        if not ((each > 0) & np.isfinite(each)).all():
            return f"layer {names[name]!r}: its scale has numbers that are not above 0"
    try:
        expected = scaled(network, factors)
    except ValueError as error:
        return str(error)
    for original, node, found in zip(network, expected, spiking, strict=True):
        text = _differs(node, found, names, spiking.precision, original)
        if text is not None:
            return text
    return None


def _factors(network: Network, spiking: SpikingNetwork, names: Mapping[str, str]) -> dict[str, Array] | None:
    """The f of every population, by the sizes of its weights in both networks; None where the maps do not fit.

    A unit without weights has what the spiking network says.
    """
    factors: dict[str, Array] = {}
    one = np.ones(1)
    for node, found in zip(network, spiking, strict=True):
        if node.shape != found.shape:
            return None
        if isinstance(node, Extremum):
            factors[node.name] = factors.get(node.tensors[0], one)
        if not isinstance(node, Segment) or not isinstance(found, Firing):
            continue
        if [names[each] for each in node.maps] != list(found.maps):
            return None
        maps = {name: map_.scaled(1 / factors.get(name, one), one) for name, map_ in node.maps.items()}
        own, other = (_size(each, node.shape[-1]) for each in (maps, found.maps))
        for each, neurons in zip(node.populations, found.populations, strict=True):
            known = (own > 0) & (other > 0)
            factors[each.name] = np.where(known, other / np.where(known, own, 1), neurons.scale)
    return factors


def _size(maps: Mapping[str, LinearMap], channels: int) -> Array:
    """Σ_j |L_ij| of every unit, (channels,)."""
    return sum((map_.magnitudes(sign, _OPS) for map_ in maps.values() for sign in (1, -1)), np.zeros(channels))


def _differs(node: Any, found: Any, names: Mapping[str, str], precision: str, original: Any) -> str | None:
    if node.shape != found.shape:
        return f"layer {found.name!r}: its shape is {found.shape}, and {node.shape} in the ReLU network"
    match node:
        case Source():
            for name in ("low", "high"):
                own, other = np.broadcast_arrays(getattr(node, name), getattr(found, name))
                if not (own == other).all():
                    return f"layer {found.name!r}: {name} is {other.tolist()}, and {own.tolist()} in the ReLU network"
            return None
        case Extremum():
            if [names[each] for each in node.tensors] != list(found.tensors):
                return f"layer {found.name!r}: it pools {list(found.tensors)}, which are others in the ReLU network"
            if node.window != found.window or not (node.minimum == found.latest).all():
                return f"layer {found.name!r}: its pools are {found.window}, and {node.window} in the ReLU network"
            return None
    text = _maps_differ(node, found, names, precision, original)
    if text is not None:
        return text
    if isinstance(node, Readout):
        if node.activation != found.activation:
            return f"layer {found.name!r}: {found.activation} instead of {node.activation} at the end"
        error = 64 * unit_roundoff(precision) * np.abs(node.bias)
        return _biases_differ(found.name, node.bias, found.bias, error, np.ones(node.shape[-1]))
    return _neurons_differ(node, found, precision)


def _names(network: Any) -> str:
    return ", ".join(node.name for node in network)


def _maps_differ(node: Any, found: Any, names: Mapping[str, str], precision: str, original: Any) -> str | None:
    if [names[each] for each in node.maps] != list(found.maps):
        return f"layer {found.name!r}: its inputs {list(found.maps)} are others in the ReLU network"
    for name, own, other in zip(node.maps, node.maps.values(), found.maps.values(), strict=True):
        (text, arrays), (other_text, others) = describe(own), describe(other)
        if text != other_text:
            shown, wanted_text = _short(other_text, text), _short(text, other_text)
            return f"layer {found.name!r}: its connections are {shown}, and {wanted_text} in the ReLU network"
        for number, (wanted, weights) in enumerate(zip(arrays, others, strict=True)):
            place = _first_difference(wanted, weights, 64 * unit_roundoff(precision))
            if place is not None:
                # In the units of the ReLU network, where its map has not been taken apart to be scaled.
                unscaled_text, unscaled = describe(original.maps[name])
                factor = 1.0
                if unscaled_text == text and wanted[place]:
                    factor = float(unscaled[number][place] / wanted[place])
                return (
                    f"layer {found.name!r}: its weight {place} stands for {weights[place] * factor:.9g}, "
                    f"and is {wanted[place] * factor:.9g} in the ReLU network"
                )
    return None


def _first_difference(wanted: Any, found: Any, error: float) -> tuple[int, ...] | None:
    """The index of the first number that differs by more than `error` of its size."""
    a, b = np.ascontiguousarray(wanted).reshape(-1), np.ascontiguousarray(found).reshape(-1)
    for start in range(0, a.size, _CHUNK):
        own, other = (np.asarray(each[start : start + _CHUNK], np.float64) for each in (a, b))
        with np.errstate(invalid="ignore", over="ignore"):
            wrong = np.flatnonzero(~(np.abs(other - own) <= error * np.abs(own)))
        if wrong.size:
            return tuple(int(i) for i in np.unravel_index(start + int(wrong[0]), wanted.shape))
    return None


def _short(text: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What of a description is not the same in another, cut short."""
    shown = str({key: value for key, value in text.items() if value != other.get(key)})
    return shown if len(shown) < 160 else shown[:160] + "…"


def _neurons_differ(node: Segment, found: Firing, precision: str) -> str | None:
    sums = sums_of(found)
    for own, neurons in zip(node.populations, found.populations, strict=True):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            total = np.asarray(neurons.total, np.float64)
            slope = np.asarray(neurons.gain, np.float64) / (1 + total)
            digits = 64 * unit_roundoff(precision) * (1 + np.abs(total)) * np.maximum(1 / (1 + total), 1)
        wrong = ~(np.abs(slope - neurons.sign) <= digits)
        if wrong.any():
            unit = int(np.argmax(wrong))
            return (
                f"layer {neurons.name!r}: its weights to neuron {unit} stand for {slope[unit]:.9g} times those of the "
                "ReLU network"
            )
        rounding = Rounding.of(found, neurons, sums, precision=precision)
        bias = own.sign * node.bias + own.offset
        error = 2 * rounding.fixed + 64 * unit_roundoff(precision) * np.abs(bias)
        text = _biases_differ(neurons.name, bias, rounding.bias, error, np.asarray(neurons.scale))
        if text is not None:
            return text
    return None


def _biases_differ(name: str, wanted: Any, found: Any, error: Any, scale: Any) -> str | None:
    wanted, found, error, scale = np.broadcast_arrays(wanted, np.asarray(found, np.float64), error, scale)
    with np.errstate(invalid="ignore", over="ignore"):
        wrong = ~(np.abs(found - wanted) <= error)
    if not wrong.any():
        return None
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"layer {name!r}: its bias {place} stands for {found[place] / scale[place]:.9g}, "
        f"and is {wanted[place] / scale[place]:.9g} in the ReLU network"
    )
