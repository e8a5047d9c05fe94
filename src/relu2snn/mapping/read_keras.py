"""Reading a Keras model into a network of segments: every layer by its type, never by its name or position.

Only this module and its `keras_*` neighbours know Keras' layers and their private fields.
"""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import layers

from relu2snn.graph.geometry import Shape
from relu2snn.graph.maps import Selection
from relu2snn.graph.nodes import Network
from relu2snn.mapping.activations import ENDS
from relu2snn.mapping.forms import Builder
from relu2snn.mapping.keras_activations import Ended, Tensor
from relu2snn.mapping.keras_graph import calls, functional, inner_inputs, require_plain, require_readable
from relu2snn.mapping.keras_layers import HANDLERS, JOINING, does_nothing
from relu2snn.mapping.keras_weights import CASTING
from relu2snn.mapping.ranges import input_ranges
from relu2snn.mapping.unsupported import UnsupportedLayerError, refuse, refuse_activation, refuse_kind, refuse_operation

__all__ = ["UnsupportedLayerError", "read_keras"]


def read_keras(model: Any, low: Any = 0.0, high: Any = 1.0) -> Network:
    """The network of a Keras model whose images have values in [low, high].

    low and high: numbers, or arrays (channels,), or dictionaries of these by the names of the model's inputs. An
    activation at the very end that is no sum of ReLUs is left out, and named in its read-out.
    Raises UnsupportedLayerError for a layer or a weight that cannot be mapped, TypeError for what is no Keras model,
    ValueError for an empty input range.

    Example:
        >>> network = read_keras(model, 0.0, 1.0)
        >>> list(network.populations)
        ['conv', 'dense']
    """
    require_readable(model)
    inputs = [tensor._keras_history[0] for tensor in model.inputs]
    shapes = {
        layer.name: _input_shape(model, layer, tensor) for layer, tensor in zip(inputs, model.inputs, strict=True)
    }
    ranges = input_ranges(shapes, low, high)
    reader = _Reader(frozenset(layer.name for layer in model.layers))
    sources: list[Tensor] = [
        reader.builder.source(name, shape, low=ranges[name].low, high=ranges[name].high)
        for name, shape in shapes.items()
    ]
    found = reader.walk(model, sources, range(len(model.outputs)))
    for number, tensor in enumerate(model.outputs):
        form, activation = found[number], "linear"
        if isinstance(form, Ended):
            form, activation, layer = form
            if activation not in ENDS:
                raise refuse_activation(layer, activation)
        reader.builder.readout(form, tensor._keras_history[0].name, activation)
    return reader.builder.network()


def _input_shape(model: Any, layer: Any, tensor: Any) -> Shape:
    shape = tuple(tensor.shape[1:])
    if None in shape or not shape:
        way_out = "build the model with all sides given, as in keras.Input((224, 224, 3))"
        if len(shape) > 1 and isinstance(model, keras.Sequential) and None not in shape[1:]:
            # Keras 3 takes the batch of a file without an InputLayer, of Keras before 2.3, for a side of the images.
            way_out += (
                f"; if it is from a file of Keras 2, which Keras 3 may load with an axis too many: "
                f"keras.Sequential([keras.Input({shape[1:]}), *model.layers])"
            )
        raise refuse(layer, f"its shape {shape} is not fixed", way_out)
    return shape


class _Reader:
    def __init__(self, names: frozenset[str]) -> None:
        self.builder = Builder(reserved=names)

    def walk(self, model: Any, inputs: Sequence[Tensor], wanted: Iterable[int]) -> dict[int, Tensor]:
        """What the outputs `wanted`, by number, of a functional model are for `inputs`; other branches are not read."""
        graph, numbers = functional(model), list(wanted)
        found = {id(tensor): form for tensor, form in zip(graph.inputs, inputs, strict=True)}
        for node, asked in calls(graph, numbers):
            given = [found[id(tensor)] for tensor in node.input_tensors]
            if isinstance(node.operation, keras.Model):
                _require_inference(node)
                require_plain(node.operation)
                inner = [self.fitted(node.operation, form, shape) for form, shape in inner_inputs(node, given)]
                made = self.walk(node.operation, inner, asked)
                found |= {id(node.outputs[number]): form for number, form in made.items()}
            else:
                found[id(node.outputs[0])] = self.step(node, given)
        return {number: found[id(graph.outputs[number])] for number in numbers}

    def step(self, node: Any, given: list[Tensor]) -> Tensor:
        layer = node.operation
        if not isinstance(layer, layers.Layer):
            raise refuse_operation(layer)
        _require_inference(node)
        if len(given) != 1 and type(layer) not in JOINING and type(layer) in HANDLERS:
            raise refuse(layer, f"it is called with {len(given)} tensors", "call it with one, and without a mask")
        if getattr(layer, "quantization_mode", None) is not None:
            # Keras rounds the layer's inputs, too, so that it is no linear map of them.
            raise refuse(
                layer, f"it is quantized ({layer.quantization_mode})", "convert the network before it is quantized"
            )
        if does_nothing(layer, tuple(node.outputs[0].shape[1:]), given[0].shape):
            _require_precision(layer, node)
            return given[0]
        if type(layer) not in HANDLERS:
            raise refuse_kind(layer)
        _require_precision(layer, node)
        if getattr(layer, "data_format", None) == "channels_first":
            raise refuse(layer, "data_format='channels_first'", "build the network with channels_last")
        forms = []
        for each in given:
            if isinstance(each, Ended):
                raise refuse_activation(each.layer, each.activation, follower=layer)
            forms.append(each)
        return HANDLERS[type(layer)](self.builder, layer, forms)

    def fitted(self, model: Any, form: Tensor, shape: Shape) -> Tensor:
        """What a model inside takes for `form`: Keras adds or drops a last axis of 1 where its input has one or not."""
        if len(form.shape) == len(shape):
            return form
        if isinstance(form, Ended):
            raise refuse_activation(form.layer, form.activation, follower=model)
        fitted = form.shape[:-1] if len(form.shape) > len(shape) else (*form.shape, 1)
        return self.builder.affine(form, Selection(form.shape, fitted))


def _require_inference(node: Any) -> None:
    # Layers of augmentation have it as their default, which a model's inference overrides.
    usual = inspect.signature(node.operation.call).parameters.get("training")
    if node.arguments.kwargs.get("training") and (usual is None or usual.default is not True):
        raise refuse(
            node.operation,
            "it is called with training=True, so it does at inference what it does in training",
            "build the network without",
        )


def _require_precision(layer: Any, node: Any) -> None:
    if layer.compute_dtype not in _PRECISIONS:
        raise refuse(
            layer,
            f"it computes in {layer.compute_dtype}, which rounds what the network is to give",
            "build the network with dtype='float32' and give it these weights (model.set_weights)",
        )
    given = keras.backend.standardize_dtype(node.input_tensors[0].dtype)
    if given not in _PRECISIONS and type(layer) in HANDLERS and type(layer) not in CASTING:
        raise refuse(layer, f"it is given numbers of type {given}", "build the network with keras.Input(shape)")


_PRECISIONS = ("float32", "float64")
