"""Networks of nodes as Keras models: a layer for each node, its maps and arrays as weights, wired by tensors' names."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from relu2snn.graph.geometry import Window
from relu2snn.graph.saved import describe, require_room, restore, slots
from relu2snn.spiking.backend import view
from relu2snn.spiking.checks import finite, increasing, name, natural, shape

_WINDOW = ("sizes", "strides", "dilation", "margins", "spread")


class MappedLayer(keras.layers.Layer):
    """A layer that holds a node of a network; place: its number in the order of the network.

    sides: shape of its outputs, without the batch. made: its weights in the order in which they were added; Keras lists
    those that are trained first.
    """

    def __init__(self, place: int, sides: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.place, self.sides = natural("place", place, least=0), shape("sides", sides)
        self._arrays: list[Any] = []
        self.made: list[Any] = []
        self.maps: list[dict[str, Any]] = []

    def node(self) -> Any:
        """The node as it is now; its arrays are views of the layer's weights."""
        raise NotImplementedError

    def tensors_in(self) -> list[str]:
        """The names of the tensors that the layer takes, those of its maps; of the images none."""
        return [each["tensor"] for each in self.maps]

    def tensors_out(self) -> list[str]:
        """The names of the tensors that the layer gives."""
        return [self.name]

    def add(self, label: str, sides: Sequence[int], kind: str = "") -> Any:
        """A weight; `kind` "index" for whole numbers."""
        whole = kind == "index"
        options = {"dtype": "int64", "autocast": False} if whole else {}
        found = self.add_weight(name=label, shape=tuple(sides), initializer="zeros", trainable=not whole, **options)
        self.made.append(found)
        return found

    def add_maps(self, maps: Sequence[Mapping[str, Any]]) -> None:
        """Weights for the arrays of maps, as they are described."""
        needed = [slot for each in maps for slot in slots(each["map"])]
        self._arrays = [
            self.add(slot.kind if not k else f"{slot.kind}_{k}", slot.shape, slot.kind) for k, slot in enumerate(needed)
        ]

    def maps_now(self, maps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The maps by tensor, of the weights as they are now."""
        arrays = iter([view(each) for each in self._arrays])
        return {each["tensor"]: restore(each["map"], arrays) for each in maps}

    def compute_output_spec(self, *tensors: Any, **_: Any) -> Any:
        batch = keras.tree.flatten(tensors)[0].shape[0]
        found = [keras.KerasTensor((batch, *self.sides), dtype=self.compute_dtype) for _ in self.tensors_out()]
        return found[0] if len(found) == 1 else found

    def compute_output_shape(self, *_: Any) -> Any:
        return (None, *self.sides)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "place": self.place, "sides": self.sides}


class Part(NamedTuple):
    """A layer of a model that is put together, the values of its weights, and whether the model gives its output."""

    layer: Any
    arrays: Sequence[Any]
    is_output: bool = False


def assembled(kind: type[Any], parts: Sequence[Part], *, title: str) -> Any:
    """A functional model of the class `kind`; a layer that takes no tensor takes the images of its `image`."""
    tensors: dict[str, Any] = {}
    inputs: list[Any] = []
    outputs: list[Any] = []
    for layer, _, is_output in parts:
        wanted = layer.tensors_in()
        if wanted:
            found = layer(*(tensors[each] for each in wanted))
        else:
            inputs.append(keras.Input(layer.sides, name=layer.image, dtype=layer.dtype))
            found = layer(inputs[-1])
        several = found if isinstance(found, list | tuple) else [found]
        tensors |= dict(zip(layer.tensors_out(), several, strict=True))
        outputs += several if is_output else []
    model = kind(inputs[0] if len(inputs) == 1 else inputs, outputs[0] if len(outputs) == 1 else outputs, name=title)
    for layer, arrays, _ in parts:
        for variable, array in zip(layer.made, arrays, strict=True):
            variable.assign(np.asarray(array))
    return model


def nodes_of(model: Any, kind: type[MappedLayer]) -> list[Any]:
    """The nodes that a model's layers of a `kind` hold, in order.

    Raises ValueError unless each layer takes the tensors that it names, from the layers that make them, in maps of
    their shapes, and all compute in one precision, float64 or float32.
    """
    layers = layers_of(model, kind)
    precisions = sorted({str(layer.compute_dtype) for layer in layers})
    if precisions not in (["float64"], ["float32"]):
        raise ValueError(f"its layers compute in {' and '.join(precisions)}: must be float64 or float32 alone")
    made: dict[str, tuple[Any, int, tuple[int, ...]]] = {}
    nodes = []
    for layer in layers:
        if len(layer._inbound_nodes) != 1:
            raise ValueError(f"layer {layer.name!r} is called {len(layer._inbound_nodes)} times, instead of once")
        given, wanted = layer._inbound_nodes[0].input_tensors, layer.tensors_in()
        if len(given) != max(len(wanted), 1):
            raise ValueError(f"layer {layer.name!r} takes {len(given)} tensors instead of {max(len(wanted), 1)}")
        if not wanted:
            _check_images(layer, given[0])
        for tensor, each in zip(given, wanted, strict=False):
            maker, _, index = tensor._keras_history
            if each not in made or made[each][:2] != (maker, index):
                raise ValueError(f"layer {layer.name!r} does not follow {each!r}")
        node = layer.node()
        _check_shapes(layer.name, node, {each: made[each][2] for each in wanted})
        for index, each in enumerate(layer.tensors_out()):
            if each in made:
                raise ValueError(f"layer {layer.name!r}: a tensor {each!r} is made already")
            made[each] = layer, index, node.shape
        nodes.append(node)
    return nodes


def check_outputs(model: Any, kind: type[MappedLayer]) -> None:
    """Raise ValueError unless a model gives the outputs of its layers of a `kind`, in their order."""
    found = [tensor._keras_history[0].name for tensor in model.outputs]
    wanted = [layer.name for layer in layers_of(model, kind)]
    if found != wanted:
        raise ValueError(f"its outputs are those of {', '.join(found)}, not of {', '.join(wanted) or 'read-outs'}")


def _check_images(layer: Any, tensor: Any) -> None:
    maker = tensor._keras_history[0]
    if not isinstance(maker, keras.layers.InputLayer) or maker.name != layer.image:
        raise ValueError(f"layer {layer.name!r} does not follow the input {layer.image!r}")
    if tuple(tensor.shape[1:]) != layer.sides:
        raise ValueError(f"layer {layer.name!r}: the input {layer.image!r} is {tensor.shape[1:]}, not {layer.sides}")


def layers_of(model: Any, kind: type[MappedLayer]) -> list[Any]:
    """The layers of a `kind` in the order of the network."""
    return sorted((layer for layer in model.layers if isinstance(layer, kind)), key=lambda layer: layer.place)


def _check_shapes(label: str, node: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name_, map_ in getattr(node, "maps", {}).items():
        if (map_.inputs, map_.outputs) != (shapes[name_], node.shape):
            raise ValueError(
                f"layer {label!r}: a map from {map_.inputs} to {map_.outputs}, but {name_!r} is {shapes[name_]} "
                f"and the layer {node.shape}"
            )
    for name_ in getattr(node, "tensors", ()):
        side = shapes[name_]
        if node.window.rank != len(side) - 1 or (*node.window.outputs(side[:-1]), side[-1]) != node.shape:
            raise ValueError(f"layer {label!r}: its window over {name_!r} {side} does not give {node.shape}")
        require_room(node.window, side)


def describe_maps(maps: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[Any]]:
    """Maps by tensor as a layer is made with, and their arrays in order."""
    texts, arrays = [], []
    for tensor, map_ in maps.items():
        text, own = describe(map_)
        texts.append({"tensor": tensor, "map": text})
        arrays += own
    return texts, arrays


def checked_maps(maps: Any) -> list[dict[str, Any]]:
    """Descriptions of maps by tensor; raises ValueError where there are none, and for two of one tensor."""
    found = [
        {"tensor": name("tensor", each.get("tensor")), "map": each.get("map")} for each in checked_items("maps", maps)
    ]
    tensors = [each["tensor"] for each in found]
    if len(set(tensors)) < len(tensors):
        raise ValueError(f"maps of {tensors}: one for each tensor")
    return found


def checked_items(label: str, items: Any) -> list[Mapping[str, Any]]:
    """`items` as a list of descriptions, at least one; raises ValueError for what is none."""
    if not isinstance(items, list | tuple) or not items or not all(isinstance(each, Mapping) for each in items):
        raise ValueError(f"{label}={str(items)[:40]}: must be descriptions, at least one")
    return list(items)


def describe_window(window: Window) -> dict[str, Any]:
    """A window as a layer is made with."""
    return {key: getattr(window, key) for key in _WINDOW}


def checked_ranges(low: Any, high: Any, channels: int) -> tuple[Any, Any]:
    """low and high, numbers or lists of one a channel; raises ValueError unless low is less than high everywhere."""
    found: list[Any] = []
    for label, value in (("low", low), ("high", high)):
        if isinstance(value, list | tuple):
            if len(value) != channels:
                raise ValueError(f"{label} for {len(value)} channels, but there are {channels}")
            found.append([finite(label, each) for each in value])
        else:
            found.append(finite(label, value))
    bottoms, tops = np.broadcast_arrays(*(np.atleast_1d(each) for each in found))
    for bottom, top in zip(bottoms.tolist(), tops.tolist(), strict=True):
        increasing(low=bottom, high=top)
    return found[0], found[1]


def checked_window(window: Any) -> Window:
    """The window of a description; raises ValueError for what is none."""
    if not isinstance(window, Mapping) or set(window) != set(_WINDOW):
        raise ValueError(f"window={str(window)[:40]}: must have {', '.join(_WINDOW)}")
    sizes, strides, dilation, spread = (
        tuple(natural(key, side) for side in window[key]) for key in ("sizes", "strides", "dilation", "spread")
    )
    margins = tuple(
        (natural("margin", a, least=-(1 << 30)), natural("margin", b, least=-(1 << 30))) for a, b in window["margins"]
    )
    if len({len(each) for each in (sizes, strides, dilation, spread, margins)}) > 1:
        raise ValueError(f"a window of {sizes} with strides {strides} and margins {margins}")
    return Window(sizes, strides, dilation, margins, spread)
