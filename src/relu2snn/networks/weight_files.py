"""Reading the weights of a file, layer by layer, in the formats of Keras 2 and 3."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import UserError

# The layers of a network that have weights, in order: name in the file, and kernel and bias, or the gamma, beta,
# moving mean and moving variance of a batch normalisation.
SavedLayers = list[tuple[str, list[NDArray[Any]]]]

_TOLERANCE = 1e-3


def read_hdf5(path: Path, model: keras.Model) -> SavedLayers:
    """Read an HDF5 file of Keras 2 (weights only or whole model) or Keras 3 (.weights.h5, ordered as in `model`).

    Raises UserError when the file is not one.
    """
    try:
        with h5py.File(path, "r") as file:
            if "layers" in file:
                return _read_layers(file["layers"], model)
            return _read_legacy(file.get("model_weights", file))
    except KeyError as error:
        raise UserError(f"{path}: an HDF5 file, but not weights saved by Keras ({_line(error)})") from None
    # h5py answers damage with any of these.
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged, or not an HDF5 file ({_line(error)}); fetch or save it again") from None


def load_keras(path: Path) -> keras.Model:
    """Load a whole model, without running any code it may carry.

    Raises UserError when the file cannot be loaded so.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = archive.read("config.json").decode()
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: damaged, or not a .keras file ({_line(error)}); fetch or save it again") from None
    if '"class_name": "Lambda"' in config:
        raise UserError(f"{path}: holds a Lambda layer, which may run any code; save the network without it")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    # A config can fail in as many ways as there are layers.
    except Exception as error:
        raise UserError(
            f"{path}: Keras {keras.__version__} cannot load it ({_line(error)}); save the weights alone, "
            "with model.save_weights('NAME.weights.h5')"
        ) from None


def read_layers(saved: keras.Model) -> SavedLayers:
    """The weights of a model, those of models nested in it included."""
    return [(layer.name, layer.get_weights()) for layer in _flat(saved) if layer.weights]


def require_same_function(model: keras.Model, saved: keras.Model, path: Path) -> None:
    """Raise UserError unless both networks give the same class probabilities for random images.

    Weights of the same shapes may belong to another activation, order of layers or preprocessing.
    """
    images = np.random.default_rng(0).random((8, *model.input_shape[1:]), dtype=np.float32)
    expected = np.asarray(model(images, training=False))
    try:
        found = np.asarray(saved(images, training=False))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: does not take images of {images.shape[1:]} ({_line(error)})") from None
    # The network in the file may end at its logits.
    for probabilities in (found, np.asarray(keras.ops.softmax(found))):
        if probabilities.shape == expected.shape and np.allclose(probabilities, expected, atol=_TOLERANCE):
            return
    raise UserError(
        f"{path}: has the weights of model={model.name}, but computes something else (another activation, order of "
        "layers, or preprocessing); give a network of this model"
    )


def _flat(model: keras.Model) -> Iterator[Any]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _flat(layer)
        else:
            yield layer


def _read_legacy(group: h5py.Group) -> SavedLayers:
    layers = [(name, group[name]) for name in _names(group, "layer_names")]
    saved = [(name, [np.asarray(layer[key]) for key in _names(layer, "weight_names")]) for name, layer in layers]
    return [(name, arrays) for name, arrays in saved if arrays]


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """An attribute of names, which Keras splits into attribute0, attribute1, … when there are many."""
    chunks = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(chunks)}" in group.attrs:
        chunks.append(f"{attribute}{len(chunks)}")
    if not chunks:
        raise KeyError(f"no attribute {attribute} in {group.name}")
    names = [name for chunk in chunks for name in group.attrs[chunk]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _read_layers(group: h5py.Group, model: keras.Model) -> SavedLayers:
    """Keras 3 keeps no order of all layers, but numbers those of each class, just as `build` names them."""
    saved = {}
    for name, layer in group.items():
        variables = layer.get("vars", {})
        if len(variables):
            saved[name] = [np.asarray(variables[str(index)]) for index in range(len(variables))]
    ordered = [(layer.name, saved.pop(layer.name, [])) for layer in model.layers if layer.weights]
    return ordered + list(saved.items())


def _line(error: Exception) -> str:
    """The first sentence of an error's text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
