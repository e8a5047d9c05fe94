"""Membrane potentials over time, event by event: of hidden neurons, and of the output neurons until they are read.

A hidden neuron's potential is V(t) = α (t − t_start) + Σ_{t_j < t} J_ij (t − t_j) for t ≥ t_start, the start of its
inputs' window; it spikes at the first t with V(t) ≥ ϑ_i, and at t_max at the latest (arXiv:2212.12522). V is a line
between two input spikes, so its values at the input spikes say all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn.spiking.decide import is_early
from relu2snn.spiking.events import Floats, as_grid, as_map, at_position, gather
from relu2snn.spiking.network import chain, readout, spiking_layer
from relu2snn.spiking.simulation import Simulation

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
    model: keras.Model, image: Floats, layer: str, neurons: int | Sequence[tuple[int, ...]] = 4, seed: int = 0
) -> list[MembranePotential]:
    """Potentials of neurons of one spiking layer for one image (h, w, c).

    neurons: their indices in the layer's output (without the batch), or how many to draw with `seed`: in turn of every
    kind of spike that the layer has.

    Raises ValueError for an unknown layer or a neuron that it does not have.
    """
    chosen = spiking_layer(model, layer)
    inputs, outputs = _run(model, image, chosen)
    if isinstance(neurons, int):
        neurons = _draw(outputs, chosen.before, chosen.window, neurons, seed)
    for neuron in neurons:
        if len(neuron) != outputs.ndim or any(not 0 <= i < side for i, side in zip(neuron, outputs.shape, strict=True)):
            raise ValueError(f"neuron {tuple(neuron)}: layer {layer!r} has outputs of shape {outputs.shape}")
    # Once for all neurons: a large kernel takes a gigabyte.
    parameters = [np.asarray(each, np.float64) for each in (chosen.kernel, chosen.threshold, chosen.drive)]
    return [_trace(chosen, parameters, inputs, tuple(neuron), float(outputs[tuple(neuron)])) for neuron in neurons]


def output_potentials(model: keras.Model, image: Floats) -> OutputPotentials:
    """Potentials of the output neurons for one image (h, w, c) until they are read.

    V_i(t) = α_i (t − t_start) + Σ_{t_j < t} W_ij (t − t_j).
    """
    layer = readout(model)
    leads, _ = _run(model, image, layer)
    kernel, drive = (np.asarray(weight, np.float64) for weight in (layer.kernel, layer.drive))
    times, potentials = _walk(leads, kernel, drive, layer.t_min - layer.t_start, 0.0)
    classes = np.arange(layer.units)
    return OutputPotentials(classes, layer.t_min + times, potentials, layer.t_start, layer.t_min, layer.units)


def spike_kinds(leads: Floats, before: float, window: float) -> NDArray[np.int64]:
    """The kind of each spike of a layer, as an index of KINDS, by its lead; a spike at t_max counts as forced."""
    conditions = [is_early(leads, before, window), leads > 0, leads == 0]
    return np.select(conditions, [KINDS.index(EARLY), KINDS.index(ON_TIME), KINDS.index(FORCED)], KINDS.index(LATE))


def _run(model: keras.Model, image: Floats, layer: Any) -> tuple[Floats, Floats]:
    """The leads into `layer` and out of it for one image, of the same run, so that they share the noise; in float64."""
    layers = chain(model)
    before = layers[layers.index(layer) - 1]
    leads = Simulation(model, keep=[before.name, layer.name])(np.asarray(image)[None]).leads
    inputs, outputs = (np.asarray(leads[each.name][0], np.float64) for each in (before, layer))
    return inputs, outputs


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
    layer: Any, parameters: Sequence[Floats], inputs: Floats, neuron: tuple[int, ...], lead: float
) -> MembranePotential:
    kernel, threshold, drive = parameters
    grid, weights = as_grid(inputs[None], kernel)
    row, column, unit = neuron if len(neuron) == 3 else (0, 0, neuron[0])
    (top, _), (left, _) = layer.margins(grid.shape[1:3])
    field = gather(grid, 0, row, column, (top, left), weights.shape[:2], layer.strides, layer.dilation)
    level = float(at_position(as_map(threshold), row, column)[unit])
    column_of_weights = weights.reshape(-1, weights.shape[-1])[:, [unit]]
    times, values = _walk(field, column_of_weights, drive[[unit]], layer.before, layer.window)
    potentials = values[:, 0]
    crossing = _crossing(times, potentials, level)
    first = layer.window if crossing is None else crossing
    if lead < 0:
        kind = LATE
    elif crossing is None:
        kind = FORCED
    else:
        kind = EARLY if is_early(np.array(layer.window - first), layer.before, layer.window) else ON_TIME
    return MembranePotential(
        layer.name, neuron, layer.t_min + times, potentials, level, layer.t_start, layer.t_min, layer.t_max,
        layer.t_min + first, layer.t_max - lead, kind,
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
