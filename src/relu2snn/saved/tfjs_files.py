"""Layers models of TensorFlow.js: `model.json`, which holds a Keras description and a manifest, and binary shards.

    modelTopology     the description, or {"model_config": description, …} where the converter has written it
    weightsManifest   groups {"paths": [shard, …], "weights": [entry, …]}

The shards of a group, one after the other, are the bytes of its entries, one after the other and little-endian. An
entry is {"name": "layer/weight", "shape", "dtype"}, and where it is quantized {"quantization": {"dtype", "scale",
"min"}}: uint8 and uint16 stand for q · scale + min, float16 for itself.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import UserError, reading, shown
from relu2snn.files import read_text
from relu2snn.saved.keras2_config import without_modules
from relu2snn.saved.keras_files import deserialize, require_finite, require_size
from relu2snn.saved.layers import flat_layers
from relu2snn.saved.legacy_files import legacy_model

Array = NDArray[np.float32]

_STORED: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "uint8": np.dtype("u1"),
    "uint16": np.dtype("<u2"),
}
# What belongs to training; JavaScript has functions there that Keras does not know.
_TRAINING = ("_initializer", "_regularizer", "_constraint")
_OTHER_NAMES = {"depthwise_kernel": "kernel"}


def is_tfjs(description: Any) -> bool:
    """Whether what a JSON file holds is a model of TensorFlow.js."""
    return isinstance(description, dict) and "modelTopology" in description


def load_tfjs_model(path: Path, way_out: str) -> keras.Model:
    """The network of a `model.json` and the shards beside it, not compiled; no code that it may name is run.

    Raises UserError when a file is missing, damaged or hostile, for a graph model, whose layers are gone, and for a
    weight that is NaN or infinite; `way_out` says what to do then.
    """
    with reading(path, "layers model of TensorFlow.js", way_out):
        given = json.loads(read_text(path))
        topology = given["modelTopology"]
        if given.get("format") == "graph-model" or (isinstance(topology, dict) and "node" in topology):
            raise UserError(
                f"{path}: a graph model of TensorFlow.js, whose layers are gone; give the Keras model that it was "
                "made from, or a layers model (tensorflowjs_converter --output_format tfjs_layers_model)"
            )
        if not isinstance(topology, dict):
            raise ValueError("its modelTopology describes no layers")
        described = without_modules(_without_training(topology.get("model_config", topology)))
        config = json.dumps(described).encode()
        weights = dict(_weights(path.parent, given["weightsManifest"]))
        require_size(config, sum(array.nbytes for array in weights.values()), legacy_model)
        model = deserialize(config, legacy_model)
        _fill(model, weights)
    require_finite(model, path, way_out)
    return model


def _without_training(config: Any) -> Any:
    if isinstance(config, list):
        return [_without_training(each) for each in config]
    if not isinstance(config, dict):
        return config
    return {key: _without_training(value) for key, value in config.items() if not key.endswith(_TRAINING)}


def _weights(folder: Path, manifest: Any) -> Iterator[tuple[str, Array]]:
    """The arrays of all groups, by name."""
    known: set[str] = set()
    for group in manifest:
        shards = [_shard(folder, name) for name in group["paths"]]
        entries = [_Entry(each) for each in group["weights"]]
        declared, there = sum(each.bytes for each in entries), sum(shard.stat().st_size for shard in shards)
        if declared != there:
            names = ", ".join(shard.name for shard in shards)
            raise ValueError(f"it declares weights of {declared} bytes, but {shown(names)} has {there}")
        content, start = b"".join(shard.read_bytes() for shard in shards), 0
        for entry in entries:
            if entry.name in known:
                raise ValueError(f"two weights are called {entry.name}")
            known.add(entry.name)
            if not entry.of_optimizer:
                yield entry.name, entry.array(content[start : start + entry.bytes])
            start += entry.bytes


def _shard(folder: Path, name: Any) -> Path:
    """The file of a shard, which may not lie outside the folder, by its name or by a link."""
    if not isinstance(name, str) or "://" in name:
        raise ValueError(f"{shown(name)} is no file beside it")
    found = folder / name
    if not found.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"its shard {shown(name)} lies outside its folder; that is not read")
    if not found.is_file():
        raise ValueError(f"its shard {shown(name)} is missing")
    return found


class _Entry:
    """One weight of a manifest; raises ValueError, or KeyError, for what no weight of a layer can be."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.name, self.shape = str(given["name"]), tuple(given["shape"])
        self.of_optimizer = given.get("group") == "optimizer"
        quantization = given.get("quantization") or {}
        dtype = str(quantization.get("dtype", given["dtype"]))
        if dtype not in _STORED or str(given["dtype"]) not in ("float32", "float16"):
            raise ValueError(f"{self.name} is of type {shown(given['dtype'])}, stored as {shown(dtype)}")
        if any(type(side) is not int or side < 0 for side in self.shape):
            raise ValueError(f"{self.name} is of shape {shown(self.shape)}")
        self.dtype = _STORED[dtype]
        if self.dtype.kind == "u" and not quantization:
            raise ValueError(f"{self.name} is of type {dtype}, without a scale")
        self.scale, self.least = float(quantization.get("scale", 1.0)), float(quantization.get("min", 0.0))
        self.bytes = math.prod(self.shape) * self.dtype.itemsize

    def array(self, content: bytes) -> Array:
        stored = np.frombuffer(content, self.dtype).reshape(self.shape).astype(np.float32)
        # In the order, and the precision, of TensorFlow.js.
        return stored * np.float32(self.scale) + np.float32(self.least) if self.dtype.kind == "u" else stored


def _fill(model: keras.Model, weights: dict[str, Array]) -> None:
    """Put arrays called layer/weight, whatever stands before, into the layers of these names."""
    named: dict[str, dict[str, Array]] = {}
    for name, array in weights.items():
        layer, _, weight = name.rpartition("/")
        named.setdefault(layer.rpartition("/")[2], {})[weight] = array
    for layer in flat_layers(model):
        if not layer.weights:
            continue
        if layer.name not in named:
            raise ValueError(f"no weights of layer {layer.name}")
        given = named.pop(layer.name)
        own = {_OTHER_NAMES.get(name, name): array for name, array in given.items()}
        # Keras 2 calls some weights otherwise, but has them in the same order.
        by_name = set(own) == {weight.name for weight in layer.weights}
        arrays = [own[weight.name] for weight in layer.weights] if by_name else list(given.values())
        needed = [tuple(weight.shape) for weight in layer.weights]
        if [array.shape for array in arrays] != needed:
            raise ValueError(f"layer {layer.name} has weights of other shapes than its network")
        for weight, array in zip(layer.weights, arrays, strict=True):
            weight.assign(array)
    if named:
        raise ValueError(f"weights of {shown(', '.join(named))}, of which there is no layer, or two")
