"""What a file of a spiking network holds, in plain arrays by name: docs/export.md is about these names, one by one."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from relu2snn.exported.entries import TooManyError, entries, window_entries
from relu2snn.exported.neurons import constants_of, delays_of, ends_of
from relu2snn.graph.geometry import Shape, receptive_fields
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.saved import describe
from relu2snn.spiking.mapped import describe_window
from relu2snn.spiking.nodes import Earliest, Encoder, Firing, Potential, SpikingNetwork, inputs_of, tensors_of

FORMAT = "relu2snn spiking network, version 1"

Named = Iterator[tuple[str, Any]]


class _Budget:
    """How many synapses a file may still hold; of a network with more, none are written."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def entries(self, map_: LinearMap, label: str) -> Any:
        try:
            found = entries(map_, self.left)
        except TooManyError:
            raise self._too_many(label) from None
        return self._taken(found, label)

    def pairs(self, fields: Any, channels: int, label: str) -> Any:
        try:
            found = window_entries(fields, channels, most=self.left)
        except TooManyError:
            raise self._too_many(label) from None
        return self._taken(found, label)

    def _taken(self, found: Any, label: str) -> Any:
        self.left -= len(found[0])
        if self.left < 0:
            raise self._too_many(label)
        return found

    def _too_many(self, label: str) -> ValueError:
        return ValueError(
            f"layer {label!r}: with it the network has more than {self.most} synapses, too many for a list; "
            "give synapses=False, which writes the kernels that they come from"
        )


def contents(network: SpikingNetwork, *, synapses: bool, most: int) -> Named:
    """Every array of the file by name, in order, made one after the other; texts as str or lists of str.

    synapses: whether to list them one by one; most: how many there may be. Raises ValueError for more.
    """
    ends, budget = ends_of(network), _Budget(most)
    names = [each for node in network for each in (tensors_of(node) or (node.name,))]
    yield "format", FORMAT
    yield "precision", network.precision
    yield "order", names
    yield "latency", network.latency
    for node in network:
        match node:
            case Encoder():
                yield from _of_encoder(node)
            case Firing():
                yield from _of_segment(node, ends, budget if synapses else None)
            case Earliest():
                yield from _of_pool(node, network.shapes, ends, budget if synapses else None)
            case Potential():
                yield from _of_readout(node, ends, budget if synapses else None)


def _of_encoder(node: Encoder) -> Named:
    yield from _head(node.name, "encoder", node.shape)
    yield f"layers/{node.name}/image", node.image
    for key, value in (("low", node.low), ("high", node.high)):
        yield f"layers/{node.name}/{key}", np.asarray(value, np.float64)
    yield f"layers/{node.name}/t_min", node.t_min
    yield f"layers/{node.name}/t_max", node.t_max


def _of_segment(node: Firing, ends: Mapping[str, float], budget: _Budget | None) -> Named:
    yield from _kernels(f"kernels/{node.name}", node.maps)
    for each in node.populations:
        yield from _head(each.name, "neurons", node.shape)
        yield from _inputs(each.name, node, ends)
        yield f"layers/{each.name}/kernels", f"kernels/{node.name}"
        yield f"layers/{each.name}/gain", np.asarray(each.gain, np.float64)
        for key in ("t_start", "t_min", "t_max"):
            yield f"layers/{each.name}/{key}", getattr(node, key)
        own = constants_of(node, each)
        yield f"layers/{each.name}/threshold", own.threshold
        yield f"layers/{each.name}/slope", own.slope
        yield f"layers/{each.name}/clock", own.clock
        yield f"layers/{each.name}/scale", np.asarray(each.scale, np.float64)
        if budget:
            gain = np.asarray(each.gain, np.float64)
            yield from _synapses(each.name, node.maps, gain, budget)


def _of_pool(node: Earliest, shapes: Mapping[str, Shape], ends: Mapping[str, float], budget: _Budget | None) -> Named:
    yield from _head(node.name, "pool", node.shape)
    yield from _inputs(node.name, node, ends)
    yield f"layers/{node.name}/t_min", node.t_min
    yield f"layers/{node.name}/t_max", node.t_max
    yield f"layers/{node.name}/latest", np.broadcast_to(np.asarray(node.latest, np.bool_), node.shape).ravel()
    for key, value in describe_window(node.window).items():
        yield f"layers/{node.name}/window/{key}", np.asarray(value, np.int64)
    if budget is None:
        return
    for place, name in enumerate(node.tensors):
        fields = receptive_fields(shapes[name][:-1], node.window)
        post, pre = budget.pairs(fields, node.shape[-1], node.name)
        yield f"layers/{node.name}/synapses/{place}/pre", pre.astype(np.int32)
        yield f"layers/{node.name}/synapses/{place}/post", post.astype(np.int32)


def _of_readout(node: Potential, ends: Mapping[str, float], budget: _Budget | None) -> Named:
    yield from _kernels(f"kernels/{node.name}", node.maps)
    yield from _head(node.name, "read-out", node.shape)
    yield from _inputs(node.name, node, ends)
    yield f"layers/{node.name}/kernels", f"kernels/{node.name}"
    yield f"layers/{node.name}/t_start", node.t_min - node.before
    yield f"layers/{node.name}/t_min", node.t_min
    bias = np.broadcast_to(np.asarray(node.bias, np.float64), node.shape).ravel()
    yield f"layers/{node.name}/bias", bias
    yield f"layers/{node.name}/slope", bias / node.before
    yield f"layers/{node.name}/activation", node.activation
    if budget:
        yield from _synapses(node.name, node.maps, np.ones(node.shape[-1]), budget)


def _head(name: str, kind: str, shape: Shape) -> Named:
    yield f"layers/{name}/kind", kind
    yield f"layers/{name}/shape", np.asarray(shape, np.int64)


def _inputs(name: str, node: Firing | Earliest | Potential, ends: Mapping[str, float]) -> Named:
    waits = delays_of(node, ends)
    yield f"layers/{name}/inputs", list(inputs_of(node))
    yield f"layers/{name}/delays", np.array(list(waits.values()), np.float64)


def _kernels(name: str, maps: Mapping[str, LinearMap]) -> Named:
    for place, map_ in enumerate(maps.values()):
        text, arrays = describe(map_)
        yield f"{name}/{place}/description", json.dumps(text)
        for number, array in enumerate(arrays):
            yield f"{name}/{place}/arrays/{number}", np.asarray(array)


def _synapses(name: str, maps: Mapping[str, LinearMap], gain: Any, budget: _Budget) -> Named:
    for place, map_ in enumerate(maps.values()):
        found = budget.entries(map_, name)
        yield f"layers/{name}/synapses/{place}/pre", found.pre.astype(np.int32)
        yield f"layers/{name}/synapses/{place}/post", found.post.astype(np.int32)
        yield f"layers/{name}/synapses/{place}/weight", found.weight * gain[found.post % len(gain)]
