"""A preprocessed ReLU network as a Keras model, and back: what phase 1 leaves, and what spikes are compared with."""

from typing import Any

import keras
import numpy as np

from relu2snn.graph.nodes import Extremum, Network, Node, Readout, Segment, Source
from relu2snn.mapping.relu_layers import AffineReadout, ExtremumPooling, NodeLayer, ReluSegment, UnitRangeRescaling
from relu2snn.spiking.mapped import (
    Part,
    assembled,
    check_outputs,
    describe_maps,
    describe_window,
    layers_of,
    nodes_of,
)


def relu_model(network: Network, *, dtype: str = "float64") -> keras.Model:
    """The ReLU network as a Keras model: images in, logits out; it holds copies of the network's numbers.

    Example:
        >>> known = relu_model(read_keras(model))
        >>> bool(np.allclose(known(images), logits_model(model)(images)))
        True
    """
    used = {node.name for node in network}
    parts = [_part(node, place, dtype, used) for place, node in enumerate(network)]
    model: keras.Model = assembled(keras.Model, parts, title="relu_network")
    return model


def relu_network(model: keras.Model) -> Network:
    """The network that `relu_model` has made a model of; its arrays are views of the model's weights.

    Raises ValueError when the model is another, or contradicts itself.
    """
    if not layers_of(model, NodeLayer):
        raise ValueError(f"model {model.name!r} is no preprocessed ReLU network")
    nodes = nodes_of(model, NodeLayer)
    check_outputs(model, AffineReadout)
    return Network(nodes)


def values_model(model: keras.Model) -> keras.Model:
    """Images in, the ReLU outputs of every population by name out, of a model that `relu_model` has made.

    Example:
        >>> values = values_model(relu_model(read_keras(model)))(images)
        >>> {name: tuple(each.shape) for name, each in values.items()}
        {'conv': (20, 6, 6, 4), 'dense': (20, 10)}
    """
    found: dict[str, Any] = {}
    for layer in layers_of(model, ReluSegment):
        outputs = layer.output if isinstance(layer.output, list | tuple) else [layer.output]
        found |= dict(zip(layer.tensors_out(), outputs, strict=True))
    return keras.Model(model.inputs[0] if len(model.inputs) == 1 else model.inputs, found)


def _part(node: Node, place: int, dtype: str, used: set[str]) -> Part:
    options: dict[str, Any] = {"name": node.name, "place": place, "sides": node.shape, "dtype": dtype}
    match node:
        case Source():
            low, high = (np.asarray(each).tolist() for each in (node.low, node.high))
            title = next(each for each in ("unit_range", f"{node.name}_unit_range") if each not in used)
            used.add(title)
            return Part(UnitRangeRescaling(low, high, node.name, **options | {"name": title}), [])
        case Extremum():
            flags = np.asarray(node.minimum).tolist()
            return Part(ExtremumPooling(node.tensors, describe_window(node.window), flags, **options), [])
        case Readout():
            maps, arrays = describe_maps(node.maps)
            layer: Any = AffineReadout(maps, node.activation, bias_map=node.bias.ndim > 1, **options)
            return Part(layer, [*arrays, _wide(node.bias, node.shape)], True)
        case Segment():
            maps, arrays = describe_maps(node.maps)
            populations = [
                {"name": each.name, "sign": each.sign, "offset_map": each.offset.ndim > 1} for each in node.populations
            ]
            layer = ReluSegment(maps, populations, bias_map=node.bias.ndim > 1, **options)
            numbers = [(_wide(each.offset, node.shape), _wide(each.scale, node.shape)) for each in node.populations]
            return Part(layer, [*arrays, _wide(node.bias, node.shape), *(value for pair in numbers for value in pair)])


def _wide(values: Any, shape: tuple[int, ...]) -> Any:
    """(channels,) or, of a map, the whole shape."""
    return np.broadcast_to(values, shape if np.ndim(values) > 1 else shape[-1:])
