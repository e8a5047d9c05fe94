"""Activations of Keras' layers: given by name, as a function, as a layer, or as layers of their own."""

from typing import Any, NamedTuple

import numpy as np
from keras import layers

from relu2snn.graph.geometry import Shape
from relu2snn.mapping.activations import ENDS, LINEAR, Sum, function_name, leaky, relu
from relu2snn.mapping.form import Form
from relu2snn.mapping.forms import Builder
from relu2snn.mapping.keras_values import values
from relu2snn.mapping.unsupported import refuse


class Ended(NamedTuple):
    """A form after an activation that is no sum of ReLUs, in the user's `layer`: nothing may follow it."""

    form: Form
    activation: str
    layer: Any

    @property
    def shape(self) -> Shape:
        return self.form.shape


Tensor = Form | Ended


def activated(builder: Builder, layer: Any, form: Form, function: Any) -> Tensor:
    """A form after an activation, a function or a layer, of `layer`, which is the user's own."""
    if type(function) in KINDS:
        return _layer(builder, layer, form, function)
    if isinstance(function, layers.Layer):
        raise refuse(
            layer,
            f"a {type(function).__name__} as activation cannot be mapped",
            "give ReLU, LeakyReLU, PReLU or Softmax, or a layer of its own",
        )
    name = function_name(function)
    if name == "linear":
        return form
    if name in LINEAR:
        return _put(builder, layer, form, LINEAR[name]())
    if not name:
        shown = getattr(function, "__name__", type(function).__name__)
        raise refuse(
            layer,
            f"activation {shown!r} is not one of Keras",
            "use one by its name, as in activation='relu', or a layer",
        )
    return Ended(form, name, layer)


def ending(layer: Any) -> str:
    """The activation at the end of `layer` that may only stand at a network's output; "" for all others."""
    if isinstance(layer, layers.Softmax):
        return "softmax"
    function = getattr(layer, "activation", None)
    if isinstance(function, layers.Layer):
        return ending(function)
    name = function_name(function)
    return name if name in ENDS else ""


def _layer(builder: Builder, layer: Any, form: Form, function: Any) -> Tensor:
    match function:
        case layers.ReLU():
            options = {name: getattr(function, name) for name in ("max_value", "negative_slope", "threshold")}
            if options["threshold"]:
                raise refuse(
                    layer, f"threshold={options['threshold']} makes it jump", "train the network with threshold=0"
                )
            return _put(builder, layer, form, relu(**options))
        case layers.LeakyReLU():
            return _put(builder, layer, form, LINEAR["leaky_relu"](function.negative_slope))
        case layers.PReLU():
            if not function.built:
                raise refuse(layer, "its PReLU has no weights yet", "run the model once, or load its weights")
            slope = values(function, "alpha", of=layer)
            return _put(builder, layer, form, leaky(np.broadcast_to(slope, form.shape)))
        case layers.Softmax():
            axis = function.axis if isinstance(function.axis, int) else tuple(function.axis)
            if axis not in (-1, len(form.shape)):
                raise refuse(layer, f"axis={axis} is not the last", "let the classes be the last axis, with Permute")
            return Ended(form, "softmax", layer)
    return activated(builder, layer, form, function.activation)


def _put(builder: Builder, layer: Any, form: Form, function: Sum) -> Form:
    terms, constant = function
    return builder.activated(form, terms, constant=constant, name=layer.name)


def own(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    """A layer that is an activation and nothing else."""
    return _layer(builder, layer, forms[0], layer)


KINDS = (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.Softmax)
