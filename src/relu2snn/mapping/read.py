"""Reading a Keras model into a Network: every layer by its type, never by its name or position."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from relu2snn.mapping.layers import BiasMap, UnitRangeRescaling
from relu2snn.mapping.network import (
    Affine,
    Array,
    Conv2D,
    Dense,
    Flatten,
    Input,
    Network,
    Node,
    Pool,
    ReLU,
    Shape,
    UnitRange,
    UnsupportedLayerError,
)
from relu2snn.spiking.pooling import ExtremumPooling2D


def read(model: keras.Model, low: float = 0.0, high: float = 1.0) -> Network:
    """Read a Keras model whose images have values in [low, high].

    A softmax or linear activation at the output is left out: the network's output are the logits.
    Raises UnsupportedLayerError for a layer that cannot be mapped, also for a weight that is not finite, ValueError for
    an input range that is empty or not finite, or a model with several inputs or outputs.
    """
    if not (low < high and np.isfinite(high - low)):
        raise ValueError(f"input range [{low}, {high}]: low must be less than high, and both finite")
    _plain(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: "
            "expected one of each"
        )
    reader = _Reader(low, high)
    output = reader.visit(model.outputs[0], {})
    return Network(reader.nodes, reader.logits.get(output, output))


def refuse(layer: Any, reason: str, way_out: str) -> UnsupportedLayerError:
    """An error that names the layer, the reason and the way out."""
    return UnsupportedLayerError(f"layer {layer.name!r} ({type(layer).__name__}): {reason}; {way_out}")


class _Reader:
    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.nodes: dict[str, Node] = {}
        # Softmax outputs, which may only be the network's output: name -> name of the logits.
        self.logits: dict[str, str] = {}
        self.seen: dict[tuple[object, ...], str] = {}

    def visit(self, tensor: Any, given: dict[int, str]) -> str:
        """The name of the node that makes a symbolic tensor; `given` holds the inputs of a nested model."""
        layer, call, _ = tensor._keras_history
        if id(tensor) in given:
            return given[id(tensor)]
        # The same layer inside a nested model makes other nodes each time that model is called.
        key = (id(layer), call, *given.values())
        if key not in self.seen:
            node = layer._inbound_nodes[call]
            if node.arguments.kwargs.get("training"):
                raise refuse(
                    layer,
                    "it is called with training=True, so it does at inference what it does in training",
                    "build the network without",
                )
            inputs = [self.visit(source, given) for source in node.input_tensors]
            self.seen[key] = self.add(layer, inputs, tuple(tensor.shape[1:]))
        return self.seen[key]

    def add(self, layer: Any, inputs: list[str], shape: Shape) -> str:
        if len(inputs) > 1:
            raise refuse(layer, "it joins several branches", "only chains of layers can be mapped in this version")
        if isinstance(layer, keras.Model):
            _plain(layer)
            return self.visit(layer.outputs[0], {id(layer.inputs[0]): inputs[0]})
        for name in inputs:
            if name in self.logits:
                raise refuse(layer, "it follows a softmax", "a softmax can only be the network's output")
        handler = _HANDLERS.get(type(layer))
        if handler is None:
            known = ", ".join(sorted(kind.__name__ for kind in _HANDLERS))
            raise refuse(layer, "this kind of layer is not supported", f"build the network from {known}")
        if getattr(layer, "quantization_mode", None) is not None:
            # Keras rounds the layer's inputs, too, so that it is no linear map of them.
            raise refuse(
                layer, f"it is quantized ({layer.quantization_mode})", "convert the network before it is quantized"
            )
        return handler(self, layer, inputs, shape)

    def put(self, kind: type[Node], name: str, inputs: list[str], shape: Shape, **values: Any) -> str:
        # A layer that is called twice makes two nodes.
        unique, count = name, 1
        while unique in self.nodes:
            count += 1
            unique = f"{name}_call{count}"
        self.nodes[unique] = kind(unique, tuple(inputs), shape, **values)
        return unique

    def activate(self, layer: Any, activation: Any, name: str, shape: Shape, own_name: str) -> str:
        """The node, called `own_name`, after an activation function of `layer` applied to the node `name`."""
        if activation is None or activation is keras.activations.linear:
            return name
        if activation is keras.activations.relu:
            return self.put(ReLU, own_name, [name], shape)
        if activation is keras.activations.softmax:
            self.logits[own_name] = name
            return own_name
        label = getattr(activation, "__name__", str(activation))
        raise refuse(layer, f"activation {label!r} is not a ReLU", "train the network with ReLU activations")


def _plain(model: Any) -> None:
    """Refuse a model that computes something else than its layers in turn."""
    if not getattr(model, "inputs", None) or not type(model).call.__module__.startswith("keras."):
        kind = f"model {getattr(model, 'name', '?')!r} ({type(model).__name__})"
        raise UnsupportedLayerError(
            f"{kind}: it has a call of its own or no fixed input; "
            "build it as keras.Sequential or keras.Model(inputs, outputs)"
        )


def _values(layer: Any, name: str) -> Array:
    """A weight of `layer` as it takes part in what the layer computes.

    Raises UnsupportedLayerError where it is not finite.
    """
    values = np.asarray(keras.ops.convert_to_numpy(getattr(layer, name)), np.float64)
    if not np.isfinite(values).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise refuse(layer, f"weight {name!r} is {values[place]} at {place}", "every weight must be a finite number")
    return values


def _bias(layer: Any, units: int) -> Array:
    return _values(layer, "bias") if layer.use_bias else np.zeros(units)


def _input(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    if None in shape:
        raise refuse(layer, f"its shape {shape} is not fixed", "give the model a fixed input shape")
    return reader.put(Input, layer.name, inputs, shape, low=reader.low, high=reader.high)


def _unit_range(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    reader.nodes[inputs[0]] = Input(inputs[0], (), shape, low=layer.low, high=layer.high)
    return reader.put(UnitRange, layer.name, inputs, shape, low=layer.low, high=layer.high)


def _dense(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    if len(shape) != 1:
        raise refuse(layer, f"its input is not flat (output shape {shape})", "put a Flatten layer before it")
    kernel = _values(layer, "kernel")
    name = reader.put(Dense, layer.name, inputs, shape, kernel=kernel, bias=_bias(layer, kernel.shape[-1]))
    return reader.activate(layer, layer.activation, name, shape, f"{name}_activation")


def _conv2d(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    _channels_last(layer)
    if layer.groups != 1:
        raise refuse(layer, f"groups={layer.groups}", "only groups=1 can be mapped in this version")
    kernel = _values(layer, "kernel")
    name = reader.put(
        Conv2D,
        layer.name,
        inputs,
        shape,
        kernel=kernel,
        bias=_bias(layer, kernel.shape[-1]),
        strides=tuple(layer.strides),
        padding=layer.padding,
        dilation=tuple(layer.dilation_rate),
    )
    return reader.activate(layer, layer.activation, name, shape, f"{name}_activation")


def _bias_map(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    scale = np.ones(shape[-1])
    return reader.put(Affine, layer.name, inputs, shape, scale=scale, shift=_values(layer, "bias"))


def _batch_norm(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    axis = layer.axis[0] if isinstance(layer.axis, list | tuple) else layer.axis
    if axis not in (-1, len(shape)):
        raise refuse(layer, f"axis={axis} is not the channel axis", "normalise the last axis")
    variance = _values(layer, "moving_variance") + layer.epsilon
    if not (variance > 0).all():
        raise refuse(layer, f"moving_variance + epsilon is {variance.min()}", "it must be above 0")
    scale = 1.0 / np.sqrt(variance)
    if layer.scale:
        scale = scale * _values(layer, "gamma")
    shift = -_values(layer, "moving_mean") * scale
    if layer.center:
        shift = shift + _values(layer, "beta")
    return reader.put(Affine, layer.name, inputs, shape, scale=scale, shift=shift)


def _rescaling(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    # Keras takes these constants as float32, so that is what the network was trained with.
    scale, offset = (np.float64(np.float32(value)) for value in (layer.scale, layer.offset))
    ones = np.ones(shape[-1])
    return reader.put(Affine, layer.name, inputs, shape, scale=ones * scale, shift=ones * offset)


def _activation(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    return reader.activate(layer, layer.activation, inputs[0], shape, layer.name)


def _relu(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    if layer.max_value is not None or layer.negative_slope or layer.threshold:
        raise refuse(
            layer,
            f"max_value={layer.max_value}, negative_slope={layer.negative_slope}, threshold={layer.threshold}",
            "only the plain ReLU can be mapped in this version",
        )
    return reader.activate(layer, keras.activations.relu, inputs[0], shape, layer.name)


def _softmax(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    return reader.activate(layer, keras.activations.softmax, inputs[0], shape, layer.name)


def _max_pool(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    _channels_last(layer)
    size, strides = tuple(layer.pool_size), tuple(layer.strides)
    minimum = np.zeros(shape[-1], bool)
    return reader.put(
        Pool, layer.name, inputs, shape, size=size, strides=strides, padding=layer.padding, minimum=minimum
    )


def _extremum_pool(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    minimum = np.asarray(layer.minimum, bool)
    return reader.put(
        Pool,
        layer.name,
        inputs,
        shape,
        size=layer.pool_size,
        strides=layer.strides,
        padding=layer.padding,
        minimum=minimum,
    )


def _flatten(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    _channels_last(layer)
    return reader.put(Flatten, layer.name, inputs, shape)


def _identity(reader: _Reader, layer: Any, inputs: list[str], shape: Shape) -> str:
    return inputs[0]


def _channels_last(layer: Any) -> None:
    if layer.data_format != "channels_last":
        raise refuse(layer, f"data_format={layer.data_format!r}", "build the network with channels_last")


_Handler = Callable[[_Reader, Any, list[str], Shape], str]

_HANDLERS: dict[type, _Handler] = {
    keras.layers.InputLayer: _input,
    UnitRangeRescaling: _unit_range,
    keras.layers.Dense: _dense,
    keras.layers.Conv2D: _conv2d,
    BiasMap: _bias_map,
    keras.layers.BatchNormalization: _batch_norm,
    keras.layers.Rescaling: _rescaling,
    keras.layers.Activation: _activation,
    keras.layers.ReLU: _relu,
    keras.layers.Softmax: _softmax,
    keras.layers.MaxPooling2D: _max_pool,
    ExtremumPooling2D: _extremum_pool,
    keras.layers.Flatten: _flatten,
    # These do nothing at inference.
    keras.layers.Dropout: _identity,
    keras.layers.SpatialDropout2D: _identity,
    keras.layers.GaussianDropout: _identity,
    keras.layers.GaussianNoise: _identity,
    keras.layers.ActivityRegularization: _identity,
}
