"""Keras models in `.keras` files: loaded without running what they name or allocating what they declare; saved whole.

Only `relu2snn.saved.hdf5` reads their weights, so what hangs or crashes HDF5 ends a child.
"""

import json
import math
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import UserError, reading
from relu2snn.files import atomic_path, require_space, temporary_folder
from relu2snn.saved.archives import member, stored
from relu2snn.saved.hdf5 import Group, hdf5_items

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_SHARED = "shared_object_id"
_CONFIG_BYTES = 1 << 26
# What HDF5 adds to the numbers themselves: for each array, and in all.
_ARRAY_BYTES, _FILE_BYTES = 1 << 13, 1 << 16
# Values of one layer for one image: VGG16 has 3.2 million at 224 x 224.
_LARGEST_LAYER = 1 << 26
# Where a model may name classes and functions of; "builtins" are Keras' own functions.
_MODULES = re.compile(
    r"keras|builtins|keras\.(layers|initializers|regularizers|constraints|activations|models|dtype_policies)(\..*)?"
    r"|keras\.src\.models\..*"
)


def load_model(path: str | Path, way_out: str) -> keras.Model:
    """Load a whole model of layers with weights of their own, not compiled; no code that it may carry is run.

    Layers of this package load when it is imported. Raises UserError when the file is missing, damaged or hostile, or
    has a weight that is NaN or infinite; `way_out` says what to do then.
    """
    with reading(path, "Keras model", way_out):
        with zipfile.ZipFile(path) as archive:
            config = member(archive, _CONFIG, _CONFIG_BYTES)
            start, size = stored(archive, _WEIGHTS)
        require_size(config, size)
        model = deserialize(config)
        fill(model, hdf5_items(path, skip=("optimizer",), start=start, size=size))
    require_finite(model, path, way_out)
    return model


def require_finite(model: keras.Model, path: str | Path, way_out: str) -> None:
    """Raise UserError, naming layer and variable, for a weight that is NaN or infinite."""
    for layer in model.layers:
        for weight in layer.weights:
            values = keras.ops.convert_to_numpy(weight)
            if not np.isfinite(values).all():
                where = f"layer {layer.name} has a {weight.name} that is not a finite number"
                raise UserError(f"{path}: {where} ({values[~np.isfinite(values)].ravel()[0]}); {way_out}")


def save_model(
    model: keras.Model, path: str | Path, *, describe: Callable[[Path, Any], Mapping[str, Any]] = lambda _, found: found
) -> None:
    """Save a model as `.keras`, atomically.

    Equal models give equal members, metadata.json apart. `model.save` would put the file together in memory: twice the
    weights more. describe: what its metadata.json is to hold, of the folder of the other members and of what Keras has
    written there.
    """
    with atomic_path(path) as temporary, temporary_folder(path) as each:
        # HDF5 and the archive of it stand side by side for a moment.
        require_space(temporary, 2 * _bytes(model.variables))
        folder = each / "model"
        keras.saving.save_model(model, folder, zipped=False)
        config = folder / _CONFIG
        config.write_text(json.dumps(_renumbered(json.loads(config.read_text()), {})))
        metadata = folder / "metadata.json"
        metadata.write_text(json.dumps(describe(folder, json.loads(metadata.read_text()))))
        with zipfile.ZipFile(temporary, "w") as archive:
            for file in sorted(filter(Path.is_file, folder.rglob("*"))):
                archive.write(file, file.relative_to(folder))


def _renumbered(config: Any, numbers: dict[int, int]) -> Any:
    """A description in which shared objects are numbered in their order: Keras takes their addresses in memory."""
    if isinstance(config, list):
        return [_renumbered(each, numbers) for each in config]
    if not isinstance(config, dict):
        return config
    return {
        key: numbers.setdefault(each, len(numbers) + 1)
        if key == _SHARED and each is not None
        else _renumbered(each, numbers)
        for key, each in config.items()
    }


def save_state(model: keras.Model, path: str | Path) -> None:
    """Save the weights and the optimizer of a compiled model as `.weights.h5`, atomically."""
    with atomic_path(path) as temporary:
        # HDF5 that meets a full disk crashes at the end of the process.
        require_space(temporary, _bytes([*model.variables, *model.optimizer.variables]))
        model.save_weights(temporary)


def load_state(model: keras.Model, path: str | Path) -> None:
    """Put what `save_state` has saved into a model that is compiled as then.

    To be used within `relu2snn.errors.reading`: raises ValueError, KeyError or OSError for a damaged file.
    """
    model.optimizer.build(model.trainable_variables)
    others = fill(model, hdf5_items(path))
    above = "optimizer/vars/"
    arrays = {place.removeprefix(above): array for place, array in others.items() if place.startswith(above)}
    if len(arrays) != len(model.optimizer.variables):
        raise ValueError(f"{len(arrays)} arrays for an optimizer that has {len(model.optimizer.variables)}")
    model.optimizer.load_own_variables(arrays)


def fill(model: keras.Model, items: Iterable[tuple[str, Any]]) -> dict[str, NDArray[Any]]:
    """Put the arrays of a file of Keras 3 into a model, a layer at a time; returns those of no layer by their places.

    Raises ValueError or KeyError for arrays that are not the layers' own.
    """
    layers = {f"{place}/vars": layer for place, layer in layer_places(model) if layer.weights}
    arrays: dict[str, dict[str, NDArray[Any]]] = {above: {} for above in layers}
    others = {}
    for place, item in items:
        above, _, name = place.rpartition("/")
        if isinstance(item, Group):
            continue
        if above not in layers:
            others[place] = item
        elif above not in arrays:
            raise ValueError(f"{place} is one array too many for layer {layers[above].name}")
        else:
            arrays[above][name] = item
            if len(arrays[above]) == len(layers[above].weights):
                layers[above].load_own_variables(arrays.pop(above))
    if arrays:
        missing = next(iter(arrays))
        raise ValueError(f"{len(arrays[missing])} arrays of {len(layers[missing].weights)} for {layers[missing].name}")
    return others


def layer_places(model: keras.Model, above: str = "") -> Iterator[tuple[str, Any]]:
    """The layers of a model and of models in it, with their places in a file: Keras numbers those of each class."""
    used: Counter[str] = Counter()
    for layer in model.layers:
        words = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__))
        name = words.lower()
        number = used[name]
        used[name] += 1
        place = f"{above}layers/{name}_{number}" if number else f"{above}layers/{name}"
        if isinstance(layer, keras.Model):
            yield from layer_places(layer, f"{place}/")
        else:
            yield place, layer


def _model_of(config: dict[str, Any]) -> Any:
    return keras.saving.deserialize_keras_object(config, safe_mode=True)


def deserialize(text: bytes, model_of: Callable[[dict[str, Any]], Any] = _model_of) -> keras.Model:
    """The model of a description in JSON, its weights not yet set; `model_of` is Keras' function of such descriptions.

    Raises ValueError for one that Keras cannot build, or that may run code.
    """
    config = json.loads(text)
    if not isinstance(config, dict):
        raise ValueError(f"{_CONFIG} is no description of a model")
    config["compile_config"] = None
    _require_harmless(config)
    try:
        model = model_of(config)
    except Exception as error:
        # Keras shows the whole config before it says what is wrong.
        reason = str(error).rpartition("Exception encountered: ")[2] or type(error).__name__
        raise ValueError(f"Keras {keras.__version__} cannot build it: {reason}") from error
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"a {type(model).__name__} instead of a model that is built")
    return model


def _require_harmless(config: Any) -> None:
    """Raise ValueError for what may run any code, or names what is no layer."""
    pending = [config]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += item
        elif isinstance(item, dict):
            pending += item.values()
            name, module = item.get("class_name"), item.get("module")
            if name in ("Lambda", "__lambda__"):
                raise ValueError("it holds a Lambda layer, which may run any code")
            ours = str(item.get("registered_name")).startswith("relu2snn>")
            if module is not None and not ours and not (isinstance(module, str) and _MODULES.fullmatch(module)):
                named = item.get("config") if name == "function" else name
                raise ValueError(f"it names {module}.{named}, which is no layer of Keras")


def require_size(config: bytes, size: int, model_of: Callable[[dict[str, Any]], Any] = _model_of) -> None:
    """Raise ValueError for a model larger than its `size` bytes of weights: Keras allocates what a config declares."""
    with keras.StatelessScope(initialize_variables=False):
        model = deserialize(config, model_of)
    declared = sum(math.prod(each.shape) * np.dtype(each.dtype).itemsize for each in model.weights)
    if declared > size:
        raise ValueError(f"it declares weights of {declared} bytes, but has {size}")
    for _, layer in layer_places(model):
        for output in keras.tree.flatten(layer.output):
            values = math.prod(side or 1 for side in output.shape[1:])
            if values > _LARGEST_LAYER:
                raise ValueError(f"layer {layer.name} declares {values} values for an image")


def _bytes(variables: Any) -> int:
    """What an HDF5 file of these variables takes at most."""
    numbers: list[int] = [math.prod(each.shape) * np.dtype(each.dtype).itemsize for each in variables]
    return _FILE_BYTES + _ARRAY_BYTES * len(numbers) + sum(numbers)
