"""The user's network itself, in float64: Keras' own layers, so that no fault of the mapping is on both sides."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from relu2snn.mapping.keras_activations import ending
from relu2snn.mapping.keras_graph import calls, functional, inner_inputs
from relu2snn.mapping.keras_layers import does_nothing
from relu2snn.mapping.unsupported import refuse_activation

# What belongs to training, and may be code that cannot be copied; and LoRA, which a layer's kernel contains.
_TRAINING = ("_regularizer", "_constraint", "lora_rank", "lora_alpha")


def logits_model(model: keras.Model, *, dtype: str = "float64") -> keras.Model:
    """A copy of a functional or Sequential model that computes in `dtype` and gives what it has before its ends.

    Left out are softmax, log_softmax, sigmoid and tanh at the very end, the `activation` of `read_keras`' read-outs.
    It gives a tensor, or for several outputs a list in the model's order, and takes inputs by the model's own names.
    Raises UnsupportedLayerError where something follows such an activation.

    Example:
        >>> logits = logits_model(model)(images)
        >>> bool(np.allclose(keras.ops.softmax(logits), model(images), atol=1e-5))
        True
    """
    inputs = [keras.Input(tensor.shape[1:], dtype=dtype, name=tensor._keras_history[0].name) for tensor in model.inputs]
    outputs = _Copy(dtype).walk(model, inputs, range(len(model.outputs)))
    made = list(outputs.values())
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], made if len(made) > 1 else made[0])


class _Copy:
    """Applies copies of a model's layers again; keras.models.clone_model would keep nested models in float32."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.copies: dict[int, Any] = {}
        # Layers whose end was left out, by the tensors that they then gave.
        self.ended: dict[int, Any] = {}

    def walk(self, model: Any, inputs: Sequence[Any], wanted: Iterable[int]) -> dict[int, Any]:
        """The outputs `wanted`, by number, of a model for `inputs`."""
        graph, numbers = functional(model), list(wanted)
        found = {id(tensor): given for tensor, given in zip(graph.inputs, inputs, strict=True)}
        for node, asked in calls(graph, numbers):
            if isinstance(node.operation, keras.Model):
                given = [found[id(tensor)] for tensor in node.input_tensors]
                inner = [_fitted(tensor, len(shape) + 1) for tensor, shape in inner_inputs(node, given)]
                made = self.walk(node.operation, inner, asked)
                found |= {id(node.outputs[number]): tensor for number, tensor in made.items()}
            else:
                made = keras.tree.flatten(self.apply(node, found))
                found |= {id(tensor): new for tensor, new in zip(node.outputs, made, strict=True)}
        return {number: found[id(graph.outputs[number])] for number in numbers}

    def apply(self, node: Any, found: dict[int, Any]) -> Any:
        """What the copy of a layer gives for the new tensors of its inputs."""
        layer = node.operation
        first = found[id(node.input_tensors[0])]
        if does_nothing(layer, tuple(node.outputs[0].shape[1:]), tuple(first.shape[1:])):
            return first
        for tensor in node.input_tensors:
            before = self.ended.get(id(found[id(tensor)]))
            if before is not None:
                raise refuse_activation(before, ending(before), follower=layer)
        if not isinstance(layer, keras.layers.Layer):
            arguments, options = node.arguments.fill_in(found)
            return layer(*arguments, **options)
        end = ending(layer)
        if isinstance(layer, _POOLS):
            made = _pooled(layer, first)
        elif isinstance(layer, keras.layers.Softmax):
            made = keras.layers.Activation("linear", dtype=self.dtype)(first)
        else:
            arguments, options = node.arguments.fill_in(found)
            made = self.copied(layer)(*arguments, **options)
            self.fill(layer, made)
        if end:
            self.ended[id(made)] = layer
        return made

    def copied(self, layer: Any) -> Any:
        if id(layer) not in self.copies:
            config = {key: value for key, value in layer.get_config().items() if not key.endswith(_TRAINING)}
            # Random values, only to be replaced, would take three times a layer's memory.
            config |= {key: "zeros" for key in config if key.endswith("_initializer")}
            config["dtype"] = self.dtype
            function = getattr(layer, "activation", None)
            if ending(layer):
                config["activation"] = "linear"
            elif function is not None:
                config["activation"] = self.copied(function) if isinstance(function, keras.layers.Layer) else function
            self.copies[id(layer)] = type(layer).from_config(config)
        return self.copies[id(layer)]

    def fill(self, layer: Any, made: Any) -> None:
        """Give the copy of a layer, which has made the tensor `made`, the layer's weights."""
        copy = self.copies[id(layer)]
        function = getattr(copy, "activation", None)
        if isinstance(function, keras.layers.Layer) and not function.built:
            function.build(made.shape)
        own = [weight for weight in layer.weights if not weight.name.startswith("lora_")]
        for new, weight in zip(copy.weights, own, strict=True):
            value = layer.kernel if new.name == "kernel" and getattr(layer, "lora_enabled", False) else weight
            # Not by way of numpy, which would hold a large kernel twice more.
            new.assign(keras.ops.cast(value, new.dtype))
        if isinstance(copy, keras.layers.Normalization):
            # It computes with these, which are set when it has been adapted or loaded.
            copy.mean, copy.variance = (keras.ops.cast(each, self.dtype) for each in (layer.mean, layer.variance))


_POOLS = (keras.layers.MaxPooling3D, keras.layers.AveragePooling3D)


def _pooled(layer: Any, tensor: Any) -> Any:
    """A pool of rank 3 as one over rows and columns, then one over depth: TensorFlow has none in float64."""
    kinds = [f"{'Max' if isinstance(layer, _POOLS[0]) else 'Average'}Pooling{rank}D" for rank in (1, 2)]
    along, across = (getattr(keras.layers, kind) for kind in kinds)
    options = {"padding": layer.padding, "dtype": tensor.dtype}
    depth, *sides, channels = tensor.shape[1:]
    flat = keras.ops.reshape(tensor, (-1, *sides, channels))
    flat = across(layer.pool_size[1:], layer.strides[1:], **options)(flat)
    sides = flat.shape[1:-1]
    lines = keras.ops.reshape(flat, (-1, depth, sides[0] * sides[1] * channels))
    lines = along(layer.pool_size[0], layer.strides[0], **options)(lines)
    return keras.ops.reshape(lines, (-1, lines.shape[1], *sides, channels))


def _fitted(tensor: Any, rank: int) -> Any:
    """Keras adds or drops a last axis of 1 where the input of a model inside has one or not."""
    if len(tensor.shape) == rank:
        return tensor
    shape = tensor.shape[1:-1] if len(tensor.shape) > rank else (*tensor.shape[1:], 1)
    return keras.layers.Reshape(shape, dtype=tensor.dtype)(tensor)
