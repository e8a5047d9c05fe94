"""Descriptions that Keras 2 has written of its models, as Keras 3 takes them: what has changed between the two."""

from collections.abc import Iterator
from typing import Any

MODELS = ("Functional", "Model", "Sequential")
"""Kinds of layers that are networks themselves."""

# Arguments that mean nothing to these layers, and that Keras 3 does not take.
_KERNEL = ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")
_LEFT_OUT = {
    "DepthwiseConv1D": ("groups",),
    "DepthwiseConv2D": ("groups",),
    "SeparableConv1D": _KERNEL,
    "SeparableConv2D": _KERNEL,
}


def as_keras3(config: Any) -> Any:
    """A description, or a part of one, in the words of Keras 3; one of Keras 3 stays as it is."""
    if isinstance(config, list):
        return [as_keras3(each) for each in config]
    if not isinstance(config, dict):
        return config
    kind, inside = str(config.get("class_name")), config.get("config")
    if kind == "Sequential":
        # Before Keras 2.3 the configuration of a chain was the list of its layers.
        inside = inside if isinstance(inside, dict) else {"layers": inside}
        config = {**config, "config": {"name": "chain", **inside, "layers": _with_input(inside["layers"])}}
    elif isinstance(inside, dict) and "output_layers" in inside and "layers" in inside:
        config = {**config, "config": _graph(inside)}
    # A layer in two models is saved with each, and calls in one would be counted in the other.
    found = {key: as_keras3(value) for key, value in config.items() if key != "shared_object_id"}
    if isinstance(found.get("config"), dict):
        found["config"] = _layer(kind, found["config"])
    return found


def _layer(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a layer of this kind without those that it does not have any more."""
    left_out = () if kind == "InputLayer" else ("batch_input_shape", *_LEFT_OUT.get(kind, ()))
    config = {key: value for key, value in config.items() if key not in left_out}
    axis = config.get("axis")
    if kind == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]
    return config


def _with_input(layers: list[Any]) -> list[Any]:
    """The layers of a chain, of which the first may have said itself what it takes; Keras 3 misreads its shape."""
    first = layers[0].get("config") if layers and layers[0].get("class_name") != "InputLayer" else None
    if not isinstance(first, dict) or "batch_input_shape" not in first:
        return layers
    given = {"name": f"{first.get('name', 'first')}_input", "batch_input_shape": first["batch_input_shape"]}
    return [{"class_name": "InputLayer", "config": given}, *layers]


def _graph(config: dict[str, Any]) -> dict[str, Any]:
    """A graph whose nodes are counted as Keras 3 counts them when it reads such a description.

    Keras 2 counted the making of a model as the first of its calls. Keras 3 does so for the outputs of graphs alone.
    """
    nodes = [node for layer in config["layers"] for node in layer["inbound_nodes"]]
    if any(isinstance(node, dict) for node in nodes):
        # Of Keras 3.
        return config
    kinds = {layer["config"]["name"]: layer["class_name"] for layer in config["layers"]}
    models = {name for name, kind in kinds.items() if kind in MODELS}
    used = list(_references([nodes, config["output_layers"]], models))
    # TensorFlow.js itself counts from 0.
    late = models - {name for name, number in used if number < 1}
    chains = {name for name in late if kinds[name] == "Sequential"}
    return {
        **config,
        "layers": [{**each, "inbound_nodes": _earlier(each["inbound_nodes"], late)} for each in config["layers"]],
        "input_layers": _only(config["input_layers"]),
        "output_layers": _only(_earlier(config["output_layers"], chains)),
    }


def _only(tensors: Any) -> Any:
    """The one tensor of a list of one, which Keras 3 takes for a model that is to be called with a list."""
    return tensors[0] if isinstance(tensors, list) and len(tensors) == 1 else tensors


def without_modules(config: Any) -> Any:
    """A description of Keras 2 in which models inside others are found by their kind, not by a module of Keras 2."""
    if isinstance(config, list):
        return [without_modules(each) for each in config]
    if not isinstance(config, dict):
        return config
    left_out = ("module", "registered_name") if config.get("class_name") in MODELS else ()
    return {key: without_modules(value) for key, value in config.items() if key not in left_out}


def _references(value: Any, names: Any) -> Iterator[tuple[str, int]]:
    """Each [name, number of the call, …] in it whose name is one of `names`."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return
    if _is_reference(value, names):
        yield value[0], value[1]
    for each in value:
        yield from _references(each, names)


def _earlier(value: Any, names: Any) -> Any:
    """The same with the calls of `names` one earlier."""
    if isinstance(value, dict):
        return {key: _earlier(each, names) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    if _is_reference(value, names):
        return [value[0], value[1] - 1, *value[2:]]
    return [_earlier(each, names) for each in value]


def _is_reference(value: list[Any], names: Any) -> bool:
    return len(value) > 1 and isinstance(value[0], str) and value[0] in names and type(value[1]) is int
