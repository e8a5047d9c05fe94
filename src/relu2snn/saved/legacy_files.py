"""Whole models in the HDF5 of Keras 2 (and of Keras 3 under that suffix), read as carefully as `.keras` files.

The file is only opened in a child (`hdf5`); its description, an attribute, is JSON, and its weights are arrays.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import reading
from relu2snn.saved.hdf5 import Group, read_hdf5
from relu2snn.saved.keras_files import deserialize, require_finite, require_size

_DESCRIPTION, _WEIGHTS = "model_config", "model_weights"


# What Keras 2 has written of its layers and Keras 3 does not take: it means nothing to them.
_KERNEL = ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")
_LEFT_OUT = {
    "DepthwiseConv1D": ("groups",),
    "DepthwiseConv2D": ("groups",),
    "SeparableConv1D": _KERNEL,
    "SeparableConv2D": _KERNEL,
}


def load_legacy_model(path: str | Path, way_out: str) -> keras.Model:
    """Load a whole model from HDF5, not compiled; no code that it may carry is run.

    Raises UserError when the file is missing, damaged or hostile, holds weights alone, or has a weight that is NaN or
    infinite; `way_out` says what to do then.
    """
    with reading(path, "whole Keras model in HDF5", way_out):
        file = read_hdf5(path, skip=("optimizer_weights", "optimizer"))
        if _DESCRIPTION not in file.names or _WEIGHTS not in file.members:
            raise ValueError("it holds weights without a network")
        config = "".join(file.names[_DESCRIPTION]).encode()
        weights = file.group(_WEIGHTS)
        require_size(config, sum(array.nbytes for array in _arrays(weights)), _model_of)
        model = deserialize(config, _model_of)
        _fill(model, weights)
    require_finite(model, path, way_out)
    return model


def _model_of(config: dict[str, Any]) -> Any:
    from keras.src.legacy.saving import saving_utils  # what keras.models.load_model does with such a file

    return saving_utils.model_from_config(_as_keras3(config))


def _as_keras3(config: Any) -> Any:
    """A description without the arguments that layers of Keras 3 do not have any more."""
    if isinstance(config, list):
        return [_as_keras3(each) for each in config]
    if not isinstance(config, dict):
        return config
    left_out = _LEFT_OUT.get(str(config.get("class_name")), ())
    found = {key: _as_keras3(value) for key, value in config.items()}
    if left_out and isinstance(found.get("config"), dict):
        found["config"] = {key: value for key, value in found["config"].items() if key not in left_out}
    return found


def _arrays(group: Group) -> list[NDArray[Any]]:
    found: list[NDArray[Any]] = []
    for item in group.members.values():
        found += _arrays(item) if isinstance(item, Group) else [item]
    return found


def saved_arrays(group: Group, name: str) -> list[NDArray[Any]]:
    """The weights of a layer of this name, in the order in which Keras 2 has written them."""
    layer = group.group(name)
    return [layer.array(key) for key in attribute_names(layer, "weight_names")]


def attribute_names(group: Group, attribute: str) -> list[str]:
    """An attribute of names, which Keras splits into attribute0, attribute1, … when there are many."""
    chunks = [attribute] if attribute in group.names else []
    while f"{attribute}{len(chunks)}" in group.names:
        chunks.append(f"{attribute}{len(chunks)}")
    if not chunks:
        raise ValueError(f"no attribute {attribute}")
    return [name for chunk in chunks for name in group.names[chunk]]


def _fill(model: keras.Model, group: Group) -> None:
    """Put the arrays into the layers of the same names; those of a model in it are one list, the trainable first."""
    for layer in model.layers:
        weights = [*layer.trainable_weights, *layer.non_trainable_weights]
        if not weights:
            continue
        arrays = saved_arrays(group, layer.name)
        needed = [tuple(weight.shape) for weight in weights]
        if [array.shape for array in arrays] != needed:
            raise ValueError(f"layer {layer.name} has weights of other shapes than its network")
        for weight, array in zip(weights, arrays, strict=True):
            weight.assign(np.asarray(array))
