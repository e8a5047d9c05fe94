"""Reading the weights of a file, layer by layer, in the formats of Keras 2 and 3."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import UserError, one_line, reading
from relu2snn.saved.hdf5 import Group, read_hdf5
from relu2snn.saved.keras_files import layer_places
from relu2snn.saved.layers import flat_layers
from relu2snn.saved.legacy_files import attribute_names, saved_arrays

# The layers of a network that have weights, in order: name in the file, and kernel and bias, or the gamma, beta,
# moving mean and moving variance of a batch normalisation.
SavedLayers = list[tuple[str, list[NDArray[Any]]]]

_TOLERANCE = 1e-3


def read_weights(path: Path, model: keras.Model) -> SavedLayers:
    """Read an HDF5 file of Keras 2 (weights only or whole model) or Keras 3 (.weights.h5, ordered as in `model`).

    Raises UserError when the file is not one.
    """
    with reading(path, "HDF5 file of weights saved by Keras", "fetch or save it again"):
        # The state of an optimizer is twice the weights, and not asked for.
        file = read_hdf5(path, skip=("optimizer_weights", "optimizer"))
        if "layers" in file.members:
            return _read_layers(file.group("layers"), model)
        return _read_legacy(file.group("model_weights") if "model_weights" in file.members else file)


def read_layers(saved: keras.Model) -> SavedLayers:
    """The weights of a model, those of models nested in it included."""
    return [(layer.name, layer.get_weights()) for layer in flat_layers(saved) if layer.weights]


def require_same_function(model: keras.Model, saved: keras.Model, path: Path) -> None:
    """Raise UserError unless both networks give the same class probabilities for random images.

    Weights of the same shapes may belong to another activation, order of layers or preprocessing.
    """
    images = np.random.default_rng(0).random((8, *model.input_shape[1:]), dtype=np.float32)
    expected = np.asarray(model(images, training=False))
    try:
        found = np.asarray(saved(images, training=False))
    # A network of the user's own making may fail in as many ways as there are layers.
    except Exception as error:
        raise UserError(f"{path}: does not take images of {images.shape[1:]} ({one_line(error)})") from None
    # The network in the file may end at its logits.
    for probabilities in (found, np.asarray(keras.ops.softmax(found))):
        if probabilities.shape == expected.shape and np.allclose(probabilities, expected, atol=_TOLERANCE):
            return
    raise UserError(
        f"{path}: has the weights of model={model.name}, but computes something else (another activation, order of "
        "layers, or preprocessing); give a network of this model"
    )


def _read_legacy(group: Group) -> SavedLayers:
    saved = [(name, saved_arrays(group, name)) for name in attribute_names(group, "layer_names")]
    return [(name, arrays) for name, arrays in saved if arrays]


def _read_layers(group: Group, model: keras.Model) -> SavedLayers:
    """Keras 3 keeps no order of all layers, but numbers those of each class in the order of the model."""
    saved = {}
    for name in group.members:
        layer = group.group(name)
        if "vars" in layer.members and (variables := layer.group("vars")).members:
            saved[name] = [variables.array(str(index)) for index in range(len(variables.members))]
    places = [(place.rpartition("/")[2], layer) for place, layer in layer_places(model) if layer.weights]
    ordered = [(place, saved.pop(place, [])) for place, _ in places]
    return ordered + list(saved.items())
