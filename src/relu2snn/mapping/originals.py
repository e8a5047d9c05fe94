"""The ReLU network that a user gives, whatever wrote it: a Keras model, or the network of an ONNX file."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import keras
import numpy as np

from relu2snn.graph.nodes import Array, Network
from relu2snn.mapping.onnx_file import OnnxModel
from relu2snn.mapping.original import logits_model
from relu2snn.mapping.read_keras import read_keras
from relu2snn.mapping.read_onnx import check_parity, logits, read_onnx

Given: TypeAlias = keras.Model | OnnxModel
"""What `convert` and `verify` take; of ONNX also an `onnx.ModelProto`."""


class Original(NamedTuple):
    """The user's network by its own framework: a function of images by input, in order, that gives a list of outputs.

    ends: what errors call its outputs.
    """

    outputs: Callable[[Sequence[Array]], list[Array]]
    ends: list[str]


def given(model: Any) -> Any:
    """The model that a user gives, of ONNX's own class as an `OnnxModel`; others as they are."""
    is_proto = type(model).__module__.startswith("onnx.") and type(model).__name__ == "ModelProto"
    return OnnxModel(model) if is_proto else model


def read(model: Given, low: Any = 0.0, high: Any = 1.0) -> Network:
    """The network of a model whose images have values in [low, high]; raises what its reader raises."""
    return read_onnx(model, low, high) if isinstance(model, OnnxModel) else read_keras(model, low, high)


def input_names(model: Given) -> list[str]:
    """The names of the inputs, in order."""
    if isinstance(model, OnnxModel):
        return list(model.inputs)
    return [tensor._keras_history[0].name for tensor in model.inputs]


def original(model: Given) -> Original:
    """The network by Keras' own layers, or by ONNX's reference implementation, in float64, before its ends."""
    if isinstance(model, OnnxModel):
        wanted = logits(model)
        return Original(lambda images: model.run(images, wanted), [f"output {name!r}" for name in model.outputs])
    copy = logits_model(model)

    def outputs(images: Sequence[Array]) -> list[Array]:
        found = copy(list(images) if len(images) > 1 else images[0], training=False)
        return [np.asarray(each) for each in (found if isinstance(found, list | tuple) else [found])]

    return Original(outputs, [f"layer {tensor._keras_history[0].name!r}" for tensor in model.outputs])


def require_parity(model: Given, network: Network, known: keras.Model, images: dict[str, Array]) -> None:
    """Raise ValueError where an ONNX file was read as another network than it is; see `check_parity`.

    known: what `relu_model` makes of the network; images: a few, by the network's sources.
    """
    if not isinstance(model, OnnxModel):
        return
    given_ = [images[source.name] for source in network.sources]
    found = known(given_ if len(given_) > 1 else given_[0], training=False)
    several = found if isinstance(found, list | tuple) else [found]
    check_parity(model, network, given_, [np.asarray(each) for each in several])
