"""Weights of a Caffe network, from the dictionary that pipeline/places365/caffe.py writes."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import UserError
from relu2snn.networks.weight_files import SavedLayers


def read_dictionary(path: Path, model: keras.Model) -> SavedLayers:
    """Read a .npz of NAME/weight and NAME/bias into Keras' layout, in the order of the file.

    Caffe's convolutions are (out, in, h, w), its fully connected layers (out, in), and the first of these reads the
    channel-first flatten (c, h, w) of what `model` flattens as (h, w, c).

    Raises UserError when the file is not one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    # A damaged archive fails in any of these ways.
    except (OSError, ValueError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: damaged, or not a .npz ({_line(error)}); make or fetch it again") from None
    names = [name.removesuffix("/weight") for name in arrays if name.endswith("/weight")]
    if not names or set(arrays) != {f"{name}/{kind}" for name in names for kind in ("weight", "bias")}:
        raise UserError(f"{path}: not a dictionary of Caffe layers, each with NAME/weight and NAME/bias")
    flattened = [layer.input.shape[1:] for layer in model.layers if isinstance(layer, keras.layers.Flatten)]
    layers: SavedLayers = []
    for name in names:
        weight = arrays[f"{name}/weight"]
        if weight.ndim == 4:
            kernel = weight.transpose(2, 3, 1, 0)
        else:
            first = all(saved[0].ndim == 4 for _, saved in layers)
            kernel = _channels_last(weight, flattened[0]) if first and flattened else weight.T
        layers.append((name, [kernel, arrays[f"{name}/bias"]]))
    return layers


def _channels_last(weight: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The kernel (h w c, out) of a fully connected layer (out, c h w) that reads a flattened image."""
    if len(shape) != 3 or weight.ndim != 2 or weight.shape[1] != np.prod(shape):
        return weight.T
    height, width, channels = shape
    images = weight.reshape(-1, channels, height, width)
    return images.transpose(2, 3, 1, 0).reshape(-1, len(weight))


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
