"""The user's own network in float64, by Keras' own layers, without what it applies to its outputs."""

from typing import Any

import keras

# Random values, only to be replaced, would take three times a layer's memory, which TensorFlow does not give back.
_BLANK = {"kernel_initializer": "zeros"}
# What belongs to training, and may be code that cannot be copied; and LoRA, which a layer's kernel contains.
_TRAINING = ("kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint")
_COPIED = {**_BLANK, **dict.fromkeys((*_TRAINING, "lora_rank", "lora_alpha"))}


def logits_model(model: keras.Model, dtype: str = "float64") -> keras.Model:
    """A copy of a Keras model that computes in `dtype` and gives logits: a softmax at the output is left out.

    The original network is evaluated through Keras' own layers, so that a fault in the mapping cannot hide in
    both sides of the comparison.
    """
    # As a functional model, since a Sequential one cannot be given the float64 input that a clone needs.
    inputs = keras.Input(model.inputs[0].shape[1:], dtype=dtype)
    rebuilt = _Rebuild(model.outputs[0]._keras_history[0], dtype)
    return keras.Model(inputs, rebuilt.visit(model.outputs[0], {id(model.inputs[0]): inputs}))


class _Rebuild:
    """Applies copies of a model's layers again; keras.models.clone_model would keep nested models in float32."""

    def __init__(self, last: Any, dtype: str) -> None:
        self.last, self.dtype = last, dtype
        self.copies: dict[int, Any] = {}
        self.seen: dict[tuple[int, ...], Any] = {}

    def visit(self, tensor: Any, given: dict[int, Any]) -> Any:
        """The new tensor for `tensor`; `given` maps the inputs of the model around it to new ones."""
        if id(tensor) in given:
            return given[id(tensor)]
        key = (id(tensor), *(id(value) for value in given.values()))
        if key not in self.seen:
            layer, call, _ = tensor._keras_history
            inputs = [self.visit(source, given) for source in layer._inbound_nodes[call].input_tensors]
            self.seen[key] = self.apply(layer, inputs)
        return self.seen[key]

    def apply(self, layer: Any, inputs: list[Any]) -> Any:
        if isinstance(layer, keras.Model):
            around = dict(zip((id(tensor) for tensor in layer.inputs), inputs, strict=True))
            return self.visit(layer.outputs[0], around)
        if layer is self.last and _is_softmax(layer) and not layer.weights:
            return inputs[0]
        copy = self.copies.get(id(layer))
        if copy is None:
            config = {**layer.get_config(), "dtype": self.dtype}
            config |= {key: value for key, value in _COPIED.items() if key in config}
            if layer is self.last and _is_softmax(layer):
                config["activation"] = "linear"
            copy = self.copies[id(layer)] = type(layer).from_config(config)
        outputs = copy(inputs[0] if len(inputs) == 1 else inputs)
        # By name, so that a kernel is what the layer computes with, shared and LoRA's part in it. Not by way of numpy,
        # which would hold a large kernel twice more.
        for new in copy.weights:
            new.assign(keras.ops.cast(getattr(layer, new.name), self.dtype))
        return outputs


def _is_softmax(layer: Any) -> bool:
    softmax = keras.activations.softmax
    return isinstance(layer, keras.layers.Softmax) or getattr(layer, "activation", None) is softmax
