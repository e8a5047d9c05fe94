"""What commands ask of a spiking network: its range, its costs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from relu2snn.command.images import Range
from relu2snn.errors import UserError
from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.convolution import Convolution
from relu2snn.graph.linear import Array, LinearMap
from relu2snn.graph.maps import Chain, Diagonal, Selection, Sum


def known_range(spiking: Any) -> Range:
    """The range of the values that a spiking network was made for; raises UserError unless it has one input."""
    encoder, *others = spiking.network.encoders
    if others:
        raise UserError(f"the spiking network has {1 + len(others)} inputs; the command takes networks with one")
    return Range(np.asarray(encoder.low), np.asarray(encoder.high))


@dataclass(frozen=True)
class Row:
    """One layer of a spiking network: neurons, synapses, and when it spikes; None where it does not."""

    name: str
    kind: str
    shape: tuple[int, ...]
    neurons: int
    synapses: int
    t_min: float
    t_max: float | None


def rows(spiking: Any) -> Iterator[Row]:
    """The layers of a spiking network, in order; populations that share their inputs are a row each."""
    from relu2snn.spiking.nodes import Earliest, Encoder, Firing, neurons_in

    for node in spiking.network:
        count = neurons_in(node.shape)
        match node:
            case Encoder():
                yield Row(node.name, "input", node.shape, count, 0, node.t_min, node.t_max)
            case Earliest():
                yield Row(node.name, "earliest spike", node.shape, 0, 0, node.t_min, node.t_max)
            case Firing():
                wires = sum(map(connections, node.maps.values()))
                for each in node.populations:
                    yield Row(each.name, "spiking", node.shape, count, wires, node.t_min, node.t_max)
            case _:
                wires = sum(map(connections, node.maps.values()))
                yield Row(node.name, "read-out", node.shape, count, wires, node.t_min, None)


def connections(map_: LinearMap) -> int:
    """How many ways lead from an element of a map's input to one of its output by weights that are not 0.

    Where two lead from one element to another, as through an average pool within a convolution, both are counted.
    """
    return round(float(_ways(map_, np.ones((1, *map_.inputs))).sum()))


def _ways(map_: LinearMap, given: Array) -> Array:
    """The ways (1, *outputs) to every element, where `given` (1, *inputs) lead to those of the input."""
    ops = NumpyOps()
    match map_:
        case Chain():
            return _ways(map_.second, _ways(map_.first, given))
        case Sum():
            return np.asarray(sum(_ways(each, given) for each in map_.parts))
        case Diagonal():
            return np.asarray(given * (map_.factors != 0))
        case Selection():
            return np.asarray(map_.apply(given, ops))
        case Convolution():
            return _through(map_, given)
    raise TypeError(f"{type(map_).__name__}: a map whose synapses are not counted")


def _through(map_: Convolution, given: Array) -> Array:
    kernel, ops = map_.kernel, NumpyOps()
    if not (kernel != 0).all():
        alike = (given == given[..., :1]).all()
        if not alike or map_.groups > 1:
            pattern = (kernel != 0).astype(np.float64)
            return np.asarray(Convolution(map_.inputs, pattern, map_.window, groups=map_.groups).apply(given, ops))
        # One channel does for all of them: how many weights each cell of the kernel has, for each filter.
        taps = np.count_nonzero(kernel, axis=-2).astype(np.float64)[..., None, :]
        return np.asarray(Convolution((*map_.inputs[:-1], 1), taps, map_.window).apply(given[..., :1], ops))
    # Filters of a group all see the same cells, mostly as those of every other group.
    wide = given.reshape(*given.shape[:-1], map_.groups, -1).sum(axis=-1)
    groups = 1 if (wide == wide[..., :1]).all() else map_.groups
    cells = Convolution(
        (*map_.inputs[:-1], groups), np.ones((*kernel.shape[:-2], 1, groups)), map_.window, groups=groups
    )
    return np.repeat(np.asarray(cells.apply(wide[..., :groups], ops)), map_.outputs[-1] // groups, axis=-1)
