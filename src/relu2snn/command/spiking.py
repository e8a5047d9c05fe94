"""What commands ask of a spiking network: its range, its costs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from relu2snn.command.images import Range
from relu2snn.errors import UserError


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
    from relu2snn.spiking.fanout import fan_out
    from relu2snn.spiking.nodes import Earliest, Encoder, Firing, neurons_in

    for node in spiking.network:
        count = neurons_in(node.shape)
        match node:
            case Encoder():
                yield Row(node.name, "input", node.shape, count, 0, node.t_min, node.t_max)
            case Earliest():
                yield Row(node.name, "earliest spike", node.shape, 0, 0, node.t_min, node.t_max)
            case Firing():
                wires = sum(int(fan_out(each).sum()) for each in node.maps.values())
                for each in node.populations:
                    yield Row(each.name, "spiking", node.shape, count, wires, node.t_min, node.t_max)
            case _:
                wires = sum(int(fan_out(each).sum()) for each in node.maps.values())
                yield Row(node.name, "read-out", node.shape, count, wires, node.t_min, None)
