"""Membrane potentials over time, event by event: of hidden neurons, and of the output neurons until they are read.

A hidden neuron's potential is V(t) = α (t − t_start) + Σ_{t_j < t} J_ij (t − t_j) for t ≥ t_start, the start of its
inputs' window; it spikes at the first t with V(t) ≥ ϑ_i, and at t_max at the latest (arXiv:2212.12522). V is a line
between two input spikes, so its values at the input spikes say all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.linear import LinearMap
from relu2snn.spiking.decide import is_early
from relu2snn.spiking.events import Floats
from relu2snn.spiking.network import network_of
from relu2snn.spiking.nodes import Neurons, inputs_of
from relu2snn.spiking.record import leads_of
from relu2snn.spiking.references import reference_shape, with_references
from relu2snn.spiking.synapses import Synapses, fields_of

EARLY, ON_TIME, FORCED, LATE = KINDS = ("early", "on time", "forced", "late")
"""Kinds of spikes: before t_min; in the window; at t_max, since V stayed below ϑ; noise put it after t_max."""


@dataclass(frozen=True)
class MembranePotential:
    """The potential of one hidden neuron for one image, from t_start to t_max, as if it went on after its spike.

    times (k,) and potentials (k,): where V bends, in order, a line between each two; times in units of the input
    window, V in units of α · time. threshold ϑ. neuron: its index in the layer's output. crossing: the first time with
    V ≥ ϑ, or t_max. spike: the time the layer passes on, which is the crossing plus the noise. kind: one of KINDS.
    """

    layer: str
    neuron: tuple[int, ...]
    times: Floats
    potentials: Floats
    threshold: float
    t_start: float
    t_min: float
    t_max: float
    crossing: float
    spike: float
    kind: str


@dataclass(frozen=True)
class OutputPotentials:
    """The potentials of the output neurons for one image, from t_start to t_min, where they are read as the logits.

    times (k,) and potentials (k, classes): where they bend, in order, a line between each two. classes: the indices of
    the output neurons that are here, of `units` in all.
    """

    classes: NDArray[np.int64]
    times: Floats
    potentials: Floats
    t_start: float
    t_min: float
    units: int

    def highest(self, count: int, also: int | None = None) -> "OutputPotentials":
        """Those of the `count` classes with the highest potentials at the read-out, highest first, and of `also`."""
        order = np.argsort(-self.potentials[-1], kind="stable")
        kept = [k for place, k in enumerate(order) if place < count or self.classes[k] == also]
        return replace(self, classes=self.classes[kept], potentials=self.potentials[:, kept])


def membrane_potentials(
    model: Any,
    image: Any,
    *,
    layer: str,
    neurons: int | Sequence[tuple[int, ...]] = 4,
    seed: int = 0,
    leads: Mapping[str, Floats] | None = None,
) -> list[MembranePotential]:
    """Potentials of neurons of one spiking layer for one image (*shape).

    neurons: their indices in the layer's output (without the batch), or how many to draw with `seed`: in turn of every
    kind of spike that the layer has. leads: those of `leads_of`, if they are known.

    Raises ValueError for an unknown layer or a neuron that it does not have.

    Example:
        >>> [found] = membrane_potentials(spiking, images[0], layer="dense", neurons=[(3,)])
        >>> found.kind in ("on time", "forced")
        True
        >>> len(found.times) == len(found.potentials)
        True
    """
    network = network_of(model)
    expanded, references = with_references(network)
    node, population = expanded.population(layer)
    found = leads_of(model, image) if leads is None else leads
    inputs, outputs = _in_a_row(found, inputs_of(node)), np.asarray(found[layer], np.float64)
    if isinstance(neurons, int):
        neurons = _draw(outputs, node.before, node.window, neurons, seed)
    for neuron in neurons:
        if len(neuron) != outputs.ndim or any(not 0 <= i < side for i, side in zip(neuron, outputs.shape, strict=True)):
            raise ValueError(f"neuron {tuple(neuron)}: layer {layer!r} has outputs of shape {outputs.shape}")
    shapes = network.shapes | {name: reference_shape(each) for name, each in references.items()}
    synapses = Synapses(node, population, shapes, lambda: fields_of(node, shapes))
    return [_trace(synapses, population, inputs, tuple(neuron), float(outputs[tuple(neuron)])) for neuron in neurons]


def output_potentials(
    model: Any, image: Any, *, output: str | None = None, leads: Mapping[str, Floats] | None = None
) -> OutputPotentials:
    """Potentials of the output neurons for one image (*shape) until they are read.

    V_i(t) = α_i (t − t_start) + Σ_{t_j < t} W_ij (t − t_j). output: the name of the read-out, where there are several;
    of one with positions all neurons follow each other, position by position. leads: those of `leads_of`, if known.

    Example:
        >>> found = output_potentials(spiking, images[0])
        >>> found.t_min, found.units
        (4.0, 3)
        >>> bool(np.allclose(found.potentials[-1], spiking(images[:1])[0]))
        True
    """
    network = network_of(model)
    chosen = {node.name: node for node in network.potentials}
    node = chosen[output] if output is not None else network.potentials[0]
    inputs = _in_a_row(leads_of(model, image) if leads is None else leads, inputs_of(node))
    channels, columns, elements = node.shape[-1], [], []
    for position in range(int(np.prod(node.shape[:-1]))):
        found = _pulled(node.maps, position, network.shapes)
        elements.append(found[0])
        columns.append(found[1])
    drive = np.broadcast_to(node.bias, node.shape).reshape(-1, channels) / node.before
    walked = [
        _walk(np.append(inputs, 0.0)[each], weights, row, node.before, 0.0)
        for each, weights, row in zip(elements, columns, drive, strict=True)
    ]
    times = np.unique(np.concatenate([each for each, _ in walked]))
    # Between its own bends a potential is a line, so it may be read off at those of the others.
    potentials = [np.interp(times, own, values[:, k]) for own, values in walked for k in range(channels)]
    units = np.arange(len(potentials))
    t_start = node.t_min - node.before
    return OutputPotentials(units, node.t_min + times, np.stack(potentials, 1), t_start, node.t_min, len(units))


def _pulled(maps: Mapping[str, LinearMap], position: int, shapes: Mapping[str, tuple[int, ...]]) -> tuple[Any, Floats]:
    """The elements among all tensors that the neurons at a position see, and their weights."""
    offset, found = 0, []
    for name, map_ in maps.items():
        elements, weights = map_.synapses(position)
        found.append((elements + offset, weights))
        offset += int(np.prod(shapes[name]))
    return np.concatenate([each for each, _ in found]), np.concatenate([each for _, each in found])


def spike_kinds(leads: Floats, before: float, window: float) -> NDArray[np.int64]:
    """The kind of each spike of a layer, as an index of KINDS, by its lead; a spike at t_max counts as forced."""
    conditions = [is_early(leads, before, window), leads > 0, leads == 0]
    return np.select(conditions, [KINDS.index(EARLY), KINDS.index(ON_TIME), KINDS.index(FORCED)], KINDS.index(LATE))


def _in_a_row(leads: Mapping[str, Floats], tensors: Sequence[str]) -> Floats:
    return np.concatenate([np.asarray(leads[name], np.float64).ravel() for name in tensors])


def _draw(leads: Floats, before: float, window: float, count: int, seed: int) -> list[tuple[int, ...]]:
    """Indices of up to `count` neurons, one of every kind of spike in turn."""
    draw = np.random.default_rng(seed)
    flat = leads.ravel()
    kinds = spike_kinds(flat, before, window)
    # The largest tenth goes first: these neurons cross their threshold well before t_max.
    large = flat >= np.quantile(flat, 0.9)
    orders = [draw.permutation(np.flatnonzero(kinds == kind)) for kind in range(len(KINDS))]
    waiting = [order[np.argsort(large[order], kind="stable")].tolist() for order in orders]
    chosen: list[int] = []
    while len(chosen) < count and any(waiting):
        chosen += [each.pop() for each in waiting if each][: count - len(chosen)]
    chosen.sort(key=lambda index: kinds[index])
    return [tuple(int(i) for i in np.unravel_index(index, leads.shape)) for index in chosen]


def _trace(
    synapses: Synapses, neurons: Neurons, inputs: Floats, neuron: tuple[int, ...], lead: float
) -> MembranePotential:
    node, unit = synapses.node, neuron[-1]
    position = int(np.ravel_multi_index(neuron[:-1], node.shape[:-1])) if len(neuron) > 1 else 0
    elements, weights = synapses.at(position)
    # Synapses are in units of the neuron's gain.
    gain = abs(float(neurons.gain[unit]))
    level = float(synapses.levels[min(position, len(synapses.levels) - 1), unit]) * gain
    column = np.asarray(weights[:, [unit]], np.float64) * gain
    drive = np.asarray(neurons.drive, np.float64)[[unit]]
    times, values = _walk(np.append(inputs, 0.0)[elements], column, drive, node.before, node.window)
    potentials = values[:, 0]
    crossing = _crossing(times, potentials, level)
    first = node.window if crossing is None else crossing
    if lead < 0:
        kind = LATE
    elif crossing is None:
        kind = FORCED
    else:
        kind = EARLY if is_early(np.array(node.window - first), node.before, node.window) else ON_TIME
    return MembranePotential(
        neurons.name, neuron, node.t_min + times, potentials, level, node.t_start, node.t_min, node.t_max,
        node.t_min + first, node.t_max - lead, kind,
    )  # fmt: skip


def _walk(leads: Floats, weights: Floats, drive: Floats, before: float, window: float) -> tuple[Floats, Floats]:
    """Times (k,) after t_min at which potentials bend, and the potentials (k, units) there.

    Inputs `leads` (inputs,) before t_min, weights (inputs, units), drive (units,). Times run from −before to window.
    """
    order = np.argsort(-leads, kind="stable")
    arrivals = -leads[order]
    between = arrivals[(arrivals > -before) & (arrivals < window)]
    times = np.unique(np.concatenate([[-before, 0.0, window], between]))
    sums = np.concatenate([np.zeros((1, drive.size)), np.cumsum(weights[order], axis=0)])
    slopes = drive + sums[np.searchsorted(arrivals, times, side="right")]
    # What came before t_start counts in full.
    first = np.maximum(-before - arrivals, 0.0) @ weights[order]
    steps = slopes[:-1] * np.diff(times)[:, None]
    return times, np.concatenate([first[None], first + np.cumsum(steps, axis=0)])


def _crossing(times: Floats, potentials: Floats, threshold: float) -> float | None:
    """The first time with V ≥ ϑ; None if there is none."""
    reached = np.flatnonzero(potentials >= threshold)
    if not reached.size:
        return None
    after = reached[0]
    if after == 0:
        return float(times[0])
    rise = (potentials[after] - potentials[after - 1]) / (times[after] - times[after - 1])
    return float(times[after - 1] + (threshold - potentials[after - 1]) / rise)
