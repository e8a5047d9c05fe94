"""The simulation of one segment: the closed form, the certificate, and events where it proves nothing.

Time counts backwards from the arrival of the last input, which lies at t = t_min + L with L ≥ 0 (L = 0 unless noise
has delayed an input). `relu2snn.spiking.certificate` has the derivation; here it is for any number of sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.geometry import Shape, positions
from relu2snn.graph.linear import LinearMap
from relu2snn.spiking.certificate import UNDERFLOW
from relu2snn.spiking.decide import is_early
from relu2snn.spiking.segments.backend import TensorFlowOps
from relu2snn.spiking.segments.evidence import Evidence
from relu2snn.spiking.segments.network import Firing, Neurons
from relu2snn.spiking.segments.settle import settle_position, settle_runs
from relu2snn.spiking.segments.synapses import Runs, Synapses, runs_of

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Constants:
    """What the closed form and the chord need of a population, all (units,) but offset and floor, which may be maps.

    gain: of L x in the closed form, offset: B + (α D − ϑ) / (α + ΣJ). scale: of the negative part of L in the slack,
    with a margin; floor and pull: below the lead floor + (pull − 1) L it is V(M) that counts. rounding: per
    unit of the largest input, what rounding can add to the closed form. missing: Σ J⁻ / (α + ΣJ), of all inputs.
    """

    gain: Array
    offset: Array
    scale: Array
    floor: Array
    pull: Array
    rounding: Array
    missing: Array


class Step:
    """One segment, ready to be simulated batch by batch; holds nothing of what it simulates."""

    def __init__(self, node: Firing, shapes: Mapping[str, Shape], ops: TensorFlowOps) -> None:
        self.node, self._ops, self._shapes = node, ops, {name: shapes[name] for name in node.maps}
        self._synapses = Synapses(node, shapes)
        self._runs = [runs_of(node, each, shapes) for each in node.populations]
        self._negative = {sign: _parts(node, sign) for sign in {_sign(each) for each in node.populations}}
        self._constants = [self._derive(each) for each in node.populations]
        self._closed = tf.function(self._compute, reduce_retracing=True)

    def _derive(self, neurons: Neurons) -> Constants:
        node, plain = self.node, NumpyOps()
        rise = neurons.drive + neurons.total
        inverse = np.where(rise > 0, 1 / np.where(rise > 0, rise, 1), 0.0)
        inputs = max(self._inputs(), 1)
        channels = node.shape[-1]
        size = np.zeros(channels)
        below = np.zeros(channels)
        for map_ in node.maps.values():
            up, down = map_.magnitudes(_sign(neurons), plain), map_.magnitudes(-_sign(neurons), plain)
            size, below = size + up + down, below + down
        strength = np.abs(neurons.gain)
        clock = np.abs(neurons.total) + strength * size
        unit = 2.0**-24 if self._ops.dtype == tf.float32 else 2.0**-53
        margin = 1 + (inputs + 16) * 4 * unit
        floor = node.window - (neurons.threshold - np.maximum(neurons.drive, 0) * node.before) * inverse
        return Constants(
            gain=neurons.gain * inverse,
            offset=node.window + (neurons.drive * node.before - neurons.threshold) * inverse,
            scale=strength * inverse * margin,
            # A potential that does not rise in the end has no closed form, so nothing is proved of it.
            floor=np.where(rise > 0, floor, np.inf),
            pull=np.maximum(neurons.drive, 0) * inverse,
            rounding=2 * (inputs + 8) * unit * strength * size * inverse,
            missing=(strength * below + clock) * inverse,
        )

    def _inputs(self) -> int:
        """Most inputs of a neuron, roughly: what the margins for rounding grow with."""
        return sum(int(np.prod(map_.inputs)) for map_ in self.node.maps.values())

    def _compute(self, leads: Mapping[str, Any], gaps: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
        z = self._ops.total(self.node.maps, leads)
        closed, slacks = [], []
        for neurons, constants in zip(self.node.populations, self._constants, strict=True):
            closed.append(tf.nn.relu(z * self._ops.constant(constants.gain) + self._ops.constant(constants.offset)))
            parts = self._negative[_sign(neurons)]
            slack = self._ops.total(parts, gaps) if parts else tf.zeros_like(z)
            slacks.append(slack * self._ops.constant(constants.scale))
        return closed, slacks

    def fire(self, leads: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Evidence]]:
        """The leads of every population for those of its sources, (batch, *shape), and what became of the pairs."""
        inputs = {name: leads[name] for name in self.node.maps}
        batch = len(next(iter(inputs.values())))
        flat = [np.reshape(each, (batch, -1)) for each in inputs.values()]
        late = np.maximum(-np.min([each.min(axis=1) for each in flat], axis=0), 0.0).astype(np.float64)
        largest = np.max([each.max(axis=1) for each in flat], axis=0).astype(np.float64) + late
        gaps = {name: _gaps(each, late, largest) for name, each in inputs.items()}
        closed, slacks = self._closed(
            {name: tf.constant(each, self._ops.dtype) for name, each in inputs.items()},
            {name: tf.constant(each, self._ops.dtype) for name, each in gaps.items()},
        )
        found, evidence = {}, {}
        for number, neurons in enumerate(self.node.populations):
            values = np.array(closed[number])
            evidence[neurons.name] = self._decide(number, values, np.asarray(slacks[number]), flat, late, largest)
            found[neurons.name] = values
        return found, evidence

    def _decide(
        self, number: int, closed: Array, slack: Array, flat: list[Array], late: Array, largest: Array
    ) -> Evidence:
        """Put what is simulated into `closed`, in place."""
        node, constants = self.node, self._constants[number]
        wide = (-1, *(1,) * (len(node.shape) - 1))
        lateness = late.reshape(*wide, 1) if closed.ndim > 1 else late
        limit = node.window - lateness - constants.rounding * largest.reshape(lateness.shape) - UNDERFLOW
        limit = limit - lateness * constants.missing
        bound = np.maximum(closed, constants.floor + lateness * (constants.pull - 1)) + slack
        # In this form NaN is open.
        unproved = ~(bound < limit)
        spikes = int(np.count_nonzero(closed > 0))
        pairs = closed.size
        if not unproved.any():
            return Evidence(spikes=spikes, chord=pairs)
        units, places = node.shape[-1], positions(node.shape)
        masks = unproved.reshape(-1, units)
        where = np.flatnonzero(masks.any(axis=1))
        masks = np.ascontiguousarray(masks[where])
        opened = int(masks.sum())
        values = closed.reshape(-1, units)
        before = np.asarray(values[where], np.float64)
        found = np.zeros(before.shape)
        images, position = where // places, where % places
        proved = self._settle(number, masks, images, position, flat, late, before, found)
        simulated = int(masks.sum())
        values[where] = np.where(masks, found, before).astype(closed.dtype)
        left, expected = found[masks], before[masks]
        return Evidence(
            spikes=spikes + int(np.count_nonzero(left > 0)) - int(np.count_nonzero(expected > 0)),
            chord=pairs - opened,
            binned=proved,
            simulated=simulated,
            early=int(np.count_nonzero(is_early(left, node.before, node.window))),
            deviation=float(np.abs(left - expected).max()) if simulated else 0.0,
        )

    def _settle(
        self, number: int, masks: Any, images: Any, position: Any, flat: list[Array], late: Array, closed: Array,
        found: Array,
    ) -> int:  # fmt: skip
        node, neurons, runs = self.node, self.node.populations[number], self._runs[number]
        levels = np.ascontiguousarray(
            np.broadcast_to(neurons.threshold, node.shape) if neurons.threshold.ndim > 1 else neurons.threshold
        )
        levels = levels.reshape(-1, node.shape[-1])
        used, image = np.unique(images, return_inverse=True)
        inputs = np.ascontiguousarray(np.concatenate([each[used] for each in flat], axis=1), np.float64)
        late = late[used]
        if isinstance(runs, Runs):
            proved = np.zeros(len(images), np.int64)
            settle_runs(
                position, masks, inputs, image, late, runs.starts, runs.lengths, closed, runs.weights, runs.rows,
                runs.size, neurons.total, levels, neurons.drive, node.before, node.window, found, proved,
            )  # fmt: skip
            return int(proved.sum())
        total = 0
        order = np.argsort(position, kind="stable")
        last, known = -1, None
        for k in order:
            if position[k] != last:
                elements, weights = self._synapses.at(int(position[k]), neurons)
                known = (
                    elements,
                    weights,
                    np.ascontiguousarray(weights.T.astype(np.float32)),
                    np.abs(weights).sum(axis=0),
                )
                last = position[k]
            assert known is not None
            elements, weights, rows, size = known
            field = np.append(inputs[image[k]], 0.0)[elements]
            level = levels[min(int(position[k]), len(levels) - 1)]
            total += settle_position(
                field, late[image[k]], masks[k], closed[k], weights, rows, size, neurons.total, level, neurons.drive,
                node.before, node.window, found[k],
            )  # fmt: skip
        return total


def _sign(neurons: Neurons) -> int:
    return -1 if (neurons.gain < 0).any() else 1


def _parts(node: Firing, sign: int) -> dict[str, LinearMap]:
    """Maps whose entries are at least the negative part of sign · L."""
    parts = {name: map_.part(-sign) for name, map_ in node.maps.items()}
    return {name: part for name, part in parts.items() if part is not None}


def _gaps(leads: Array, late: Array, largest: Array) -> Array:
    """g(x) = x (1 − x / M) of every input counted from the last one's arrival, M the largest of the image."""
    shape = (-1, *(1,) * (leads.ndim - 1))
    x, most = leads + late.reshape(shape), largest.reshape(shape)
    gaps: Array = x * np.maximum(1 - x / np.where(most > 0, most, 1), 0) * (1 + 2.0**-20)
    return gaps
