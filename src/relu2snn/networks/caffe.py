"""Weights of a Caffe network, from the dictionary that pipeline/places365/caffe.py writes."""

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import reading
from relu2snn.networks.weight_files import SavedLayers
from relu2snn.saved.archives import members

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_dictionary(path: Path, model: keras.Model) -> SavedLayers:
    """Read a .npz of NAME/weight and NAME/bias into Keras' layout, in the order of the file.

    Caffe's convolutions are (out, in, h, w), its fully connected layers (out, in), and the first of these reads the
    channel-first flatten (c, h, w) of what `model` flattens as (h, w, c).

    Raises UserError when the file is not one.
    """
    with reading(path, "dictionary of Caffe's weights", "make or fetch it again"):
        arrays = _arrays(path)
        names = [name.removesuffix("/weight") for name in arrays if name.endswith("/weight")]
        if not names or set(arrays) != {f"{name}/{kind}" for name in names for kind in ("weight", "bias")}:
            raise ValueError("it lacks layers, each with NAME/weight and NAME/bias")
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


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz, each no larger than what is there of it; their checksums are checked."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name, info in members(archive).items():
            with archive.open(info) as file:
                found[name.removesuffix(".npy")] = _array(file, name, info.file_size)
    return found


def _array(file: IO[bytes], name: str, size: int) -> NDArray[Any]:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{name} is of the version {version} of .npy")
    shape, fortran, dtype = _HEADERS[version](file)
    if dtype.kind not in "fiu":
        raise ValueError(f"{name} holds {dtype}, no numbers")
    needed = math.prod(shape) * dtype.itemsize
    if needed != size - file.tell():
        raise ValueError(f"{name} declares {shape} {dtype}, but {size - file.tell()} bytes are there")
    array = np.frombuffer(file.read(), dtype)
    return array.reshape(shape, order="F" if fortran else "C")
