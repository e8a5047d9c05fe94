"""Whole models in the HDF5 of Keras 2 (and of Keras 3 under that suffix), read as carefully as `.keras` files.

The file is only opened in a child (`hdf5`); its description, an attribute, is JSON, and its weights are arrays.
Descriptions of Keras 2 that stand elsewhere are read here, too.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import reading
from relu2snn.saved.hdf5 import Group, read_hdf5
from relu2snn.saved.keras2_config import as_keras3
from relu2snn.saved.keras_files import deserialize, require_finite, require_size

_DESCRIPTION, _WEIGHTS = "model_config", "model_weights"


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
        require_size(config, arrays_bytes(weights), legacy_model)
        model = deserialize(config, legacy_model)
        fill_legacy(model, weights)
    require_finite(model, path, way_out)
    return model


def legacy_model(config: dict[str, Any]) -> Any:
    """The model of a description of Keras 2, its weights not yet set; for `keras_files.deserialize`."""
    from keras.src.legacy.saving import saving_utils  # what keras.models.load_model does with such a file

    return saving_utils.model_from_config(as_keras3(config))


def arrays_bytes(group: Group) -> int:
    """How many bytes the arrays of a group and those below it have."""
    members = group.members.values()
    return sum(arrays_bytes(each) if isinstance(each, Group) else each.nbytes for each in members)


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


def fill_legacy(model: keras.Model, group: Group) -> None:
    """Put the arrays into the layers of the same names; those of a model in it are one list, the trainable first.

    Raises ValueError or KeyError for arrays that are not the layers' own.
    """
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
