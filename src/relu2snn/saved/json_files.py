"""A network in two files: its architecture as JSON (`model.to_json()`), its weights as HDF5 (`model.save_weights`)."""

import json
from pathlib import Path

import keras

from relu2snn.errors import UserError, reading
from relu2snn.files import read_text
from relu2snn.saved.hdf5 import hdf5_items, read_hdf5
from relu2snn.saved.keras2_config import without_modules
from relu2snn.saved.keras_files import deserialize, fill, require_finite, require_size
from relu2snn.saved.legacy_files import arrays_bytes, fill_legacy, legacy_model

# How people call the weights of NAME.json, the most telling first.
_ENDINGS = (".weights.h5", "_weights.h5", ".h5", ".hdf5")
_OPTIMIZER = ("optimizer_weights", "optimizer")


def weights_beside(path: Path) -> Path:
    """The weights of an architecture NAME.json: NAME.weights.h5, NAME_weights.h5, NAME.h5 or NAME.hdf5 beside it.

    Raises UserError when there are none.
    """
    possible = [path.with_name(path.stem + ending) for ending in _ENDINGS]
    found = next((each for each in possible if each.is_file()), None)
    if found is None:
        raise UserError(
            f"{path}: an architecture without weights; put them beside it, as {possible[0].name}, or name their file"
        )
    return found


def load_json_model(path: Path, weights: Path, way_out: str) -> keras.Model:
    """The network of an architecture in JSON and weights in HDF5, both of Keras 2 or 3; no code in them is run.

    Raises UserError when a file is missing, damaged or hostile, when they do not belong together, or for a weight that
    is NaN or infinite; `way_out` says what to do then.
    """
    with reading(path, "architecture of a Keras model", way_out):
        config = read_text(path).encode()
        described = json.loads(config)
        if not isinstance(described, dict) or not {"class_name", "config"} <= set(described):
            raise ValueError("it has no class_name and config, as model.to_json() gives them")
    # Keras 3 writes neither its version here nor this key.
    legacy = "keras_version" in described or b'"batch_input_shape"' in config
    model_of = {"model_of": legacy_model} if legacy else {}
    config = json.dumps(without_modules(described)).encode() if legacy else config
    with reading(weights, "file of weights saved by Keras", way_out):
        file = read_hdf5(weights, skip=_OPTIMIZER)
    with reading(path, "architecture of a Keras model", way_out):
        require_size(config, arrays_bytes(file), **model_of)
        model = deserialize(config, **model_of)
    with reading(weights, f"file of the weights of {path.name}", way_out):
        if "layers" in file.members:
            fill(model, hdf5_items(weights, skip=_OPTIMIZER))
        else:
            fill_legacy(model, file.group("model_weights") if "model_weights" in file.members else file)
    require_finite(model, weights, way_out)
    return model
