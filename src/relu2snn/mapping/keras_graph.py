"""Keras models as graphs: which can be read, and how models stand in one another."""

import os
from collections.abc import Iterable
from typing import Any

import keras

from relu2snn.graph.geometry import Shape
from relu2snn.mapping.unsupported import refuse_model


def functional(model: Any) -> Any:
    """The functional model that a Sequential one is made of; any other as it is."""
    return getattr(model, "_functional", None) or model


def calls(graph: Any, wanted: Iterable[int]) -> list[tuple[Any, list[int]]]:
    """The calls (Keras' nodes) that the outputs `wanted`, by number, of a functional model need, in order.

    With each the numbers of its own outputs that are needed.
    """
    needed = {id(graph.outputs[number]) for number in wanted}
    found = []
    for _, level in sorted(graph._nodes_by_depth.items()):
        for node in reversed(level):
            asked = [number for number, tensor in enumerate(node.outputs) if id(tensor) in needed]
            if asked and not node.is_input:
                found.append((node, asked))
                needed |= {id(tensor) for tensor in node.input_tensors}
    return found[::-1]


def inner_inputs(node: Any, given: list[Any]) -> list[tuple[Any, Shape]]:
    """What a model inside another is given, in the order of its inputs, each with the shape that it takes.

    given: what stands for the tensors of `node`, the call of that model.
    Raises UnsupportedLayerError for a call with a mask, or with nothing for an input.
    """
    graph = functional(node.operation)
    arguments = node.arguments
    passed = arguments.args[0] if arguments.args else arguments.kwargs.get("inputs")
    # Keras takes a dictionary by the names of the inputs' tensors, whatever their order.
    if isinstance(passed, dict) and not isinstance(graph._inputs_struct, dict):
        passed = [passed[tensor.name] for tensor in graph.inputs]
    known = {id(tensor): form for tensor, form in zip(node.input_tensors, given, strict=True)}
    flat = keras.tree.flatten(passed)
    if len(known.keys() - {id(tensor) for tensor in flat}) or any(id(tensor) not in known for tensor in flat):
        raise refuse_model(node.operation, "it is called with more or less than its inputs", "call it with these alone")
    shapes = [tuple(tensor.shape[1:]) for tensor in graph.inputs]
    return [(known[id(tensor)], shape) for tensor, shape in zip(flat, shapes, strict=True)]


def require_readable(model: Any) -> None:
    """Raise TypeError for what is no Keras model, UnsupportedLayerError for one whose layers cannot be read."""
    if not isinstance(model, keras.Model):
        raise TypeError(_no_model(model))
    if _is_spiking(model):
        raise refuse_model(model, "it is a spiking network already", "give the ReLU network that it was made from")
    require_plain(model)


def require_plain(model: Any) -> None:
    """Raise UnsupportedLayerError for a model that computes something else than its layers in turn."""
    # A Sequential model has a call of Keras, but no input before it is built.
    if not all(getattr(type(model), name).__module__.startswith("keras.") for name in ("call", "__call__")):
        raise refuse_model(
            model,
            "it has a call of its own, in which no layers can be seen",
            "build it as keras.Sequential or keras.Model(inputs, outputs)",
        )
    if not getattr(model, "inputs", None):
        raise refuse_model(model, "it has no input yet", "build it with a first line keras.Input(shape)")


def _is_spiking(model: Any) -> bool:
    return any(type(each).__module__.startswith("relu2snn.spiking") for each in (model, *getattr(model, "layers", ())))


def _no_model(given: Any) -> str:
    kind, module = type(given).__name__, type(given).__module__
    if given is None:
        way_out = "load one with keras.models.load_model(path)"
    elif isinstance(given, str | os.PathLike) and os.fspath(given).endswith(".onnx"):
        return f"expected a Keras model, not a path: give relu2snn.load_onnx({os.fspath(given)!r})"
    elif isinstance(given, str | os.PathLike):
        return f"expected a Keras model, not a path: give keras.models.load_model({os.fspath(given)!r})"
    elif module.startswith("relu2snn.spiking"):
        way_out = "give the ReLU network that this spiking network was made from"
    elif module.startswith("tf_keras"):
        way_out = "save this model of Keras 2 as .h5, and load that with keras.models.load_model"
    elif isinstance(given, keras.layers.Layer):
        way_out = "build keras.Sequential([keras.Input(shape), …]) of layers"
    elif module.startswith("torch"):
        way_out = "export it with torch.onnx.export, and give relu2snn.load_onnx(path)"
    else:
        way_out = "the model comes first, as in convert(model, images)"
    return f"expected a Keras model, not {kind}; {way_out}"
