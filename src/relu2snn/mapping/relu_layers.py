"""The parts of a preprocessed ReLU network as Keras layers: images brought to [0, 1], segments, extrema, read-outs."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from relu2snn.graph.nodes import Extremum, Population, Readout, Segment, Source
from relu2snn.spiking.backend import TensorFlowOps, unit_range, view
from relu2snn.spiking.checks import name
from relu2snn.spiking.mapped import (
    MappedLayer,
    checked_items,
    checked_maps,
    checked_ranges,
    checked_window,
    describe_window,
)


class NodeLayer(MappedLayer):
    """A layer that holds a node of a ReLU network."""

    def total(self, maps: Sequence[Mapping[str, Any]], tensors: Sequence[Any]) -> Any:
        """Σ_s L_s x_s."""
        ops = TensorFlowOps(self.compute_dtype, self._arrays)
        found = self.maps_now(maps)
        return ops.total(found, dict(zip(found, tensors, strict=True)))


@keras.saving.register_keras_serializable(package="relu2snn")
class UnitRangeRescaling(NodeLayer):
    """Images with values in [low, high] brought to [0, 1]: x' = (x − low) / (high − low); numbers, or one a channel.

    image: the name of the network's input.
    """

    def __init__(self, low: Any, high: Any, image: str, **options: Any) -> None:
        super().__init__(**options)
        self.low, self.high = checked_ranges(low, high, self.sides[-1])
        self.image = name("image", image)

    def node(self) -> Source:
        low, high = np.asarray(self.low, np.float64), np.asarray(self.high, np.float64)
        return Source(self.image, self.sides, low, high)

    def tensors_out(self) -> list[str]:
        return [self.image]

    def call(self, images: Any) -> Any:
        node = self.node()
        return unit_range(images, node.low, node.high)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "low": self.low, "high": self.high, "image": self.image}


@keras.saving.register_keras_serializable(package="relu2snn")
class ReluSegment(NodeLayer):
    """x = ReLU(sign z + offset) of each population, z = Σ_s L_s x_s + bias over the tensors of `maps`.

    populations: name and sign of each; its weights are offset and scale (see `relu2snn.graph.nodes.Population`).
    """

    def __init__(
        self,
        maps: Sequence[Mapping[str, Any]],
        populations: Sequence[Mapping[str, Any]],
        bias_map: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.maps = checked_maps(maps)
        self.populations: list[dict[str, Any]] = [
            {
                "name": name("population", each.get("name")),
                "sign": -1 if each.get("sign") == -1 else 1,
                "offset_map": bool(each.get("offset_map", False)),
            }
            for each in checked_items("populations", populations)
        ]
        self.bias_map = bool(bias_map)

    def build(self, *_: Any) -> None:
        self.add_maps(self.maps)
        self.bias = self.add("bias", self.sides if self.bias_map else self.sides[-1:])
        self._offsets = []
        for number, each in enumerate(self.populations):
            suffix = f"_{number}" if number else ""
            offset = self.add(f"offset{suffix}", self.sides if each["offset_map"] else self.sides[-1:])
            self._offsets.append((offset, self.add(f"scale{suffix}", self.sides[-1:])))
        self.built = True

    def node(self) -> Segment:
        populations = tuple(
            Population(each["name"], each["sign"], view(offset), view(scale))
            for each, (offset, scale) in zip(self.populations, self._offsets, strict=True)
        )
        return Segment(self.name, self.sides, self.maps_now(self.maps), view(self.bias), populations)

    def tensors_out(self) -> list[str]:
        return [each["name"] for each in self.populations]

    def call(self, *tensors: Any) -> Any:
        z = self.total(self.maps, tensors) + tf.convert_to_tensor(self.bias)
        found = [
            tf.nn.relu((z if each["sign"] > 0 else -z) + tf.convert_to_tensor(offset))
            for each, (offset, _) in zip(self.populations, self._offsets, strict=True)
        ]
        return found[0] if len(found) == 1 else found

    def get_config(self) -> dict[str, Any]:
        own = {"maps": self.maps, "populations": self.populations, "bias_map": self.bias_map}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="relu2snn")
class ExtremumPooling(NodeLayer):
    """The largest of each pool over all `tensors`, the smallest in channels where `minimum`; padding never wins."""

    def __init__(
        self, tensors: Sequence[str], window: Mapping[str, Any], minimum: Sequence[bool], **options: Any
    ) -> None:
        super().__init__(**options)
        self.tensors = [name("tensor", each) for each in tensors]
        self.window = checked_window(window)
        self.minimum = [bool(flag) for flag in minimum]
        if len(self.minimum) != self.sides[-1]:
            raise ValueError(f"minimum for {len(self.minimum)} channels, but there are {self.sides[-1]}")

    def tensors_in(self) -> list[str]:
        return list(self.tensors)

    def node(self) -> Extremum:
        flags = np.array(self.minimum)
        return Extremum(self.name, self.sides, tuple(self.tensors), self.window, flags)

    def call(self, *tensors: Any) -> Any:
        node, ops = self.node(), TensorFlowOps(self.compute_dtype)
        return ops.extremes(tensors, node.window, node.minimum)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "tensors": self.tensors,
            "window": describe_window(self.window),
            "minimum": self.minimum,
        }


@keras.saving.register_keras_serializable(package="relu2snn")
class AffineReadout(NodeLayer):
    """z = Σ_s L_s x_s + bias, the logits; activation: what the user's network applies to them."""

    def __init__(
        self, maps: Sequence[Mapping[str, Any]], activation: str, bias_map: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.maps = checked_maps(maps)
        self.activation, self.bias_map = name("activation", activation), bool(bias_map)

    def build(self, *_: Any) -> None:
        self.add_maps(self.maps)
        self.bias = self.add("bias", self.sides if self.bias_map else self.sides[-1:])
        self.built = True

    def node(self) -> Readout:
        return Readout(self.name, self.sides, self.maps_now(self.maps), view(self.bias), self.activation)

    def call(self, *tensors: Any) -> Any:
        return self.total(self.maps, tensors) + tf.convert_to_tensor(self.bias)

    def get_config(self) -> dict[str, Any]:
        own = {"maps": self.maps, "activation": self.activation, "bias_map": self.bias_map}
        return {**super().get_config(), **own}
