"""A whole network in whatever files it stands in: which reader reads it, or how to convert what none can."""

import json
from pathlib import Path

import keras

from relu2snn.errors import UserError, reading
from relu2snn.files import read_text
from relu2snn.saved.json_files import load_json_model, weights_beside
from relu2snn.saved.keras_files import load_model
from relu2snn.saved.legacy_files import load_legacy_model
from relu2snn.saved.tfjs_files import is_tfjs, load_tfjs_model

KINDS = ".keras, .h5, .json with weights, model.json of TensorFlow.js"
"""What `load_whole` reads, for messages."""


def load_whole(path: str | Path, *, weights: str | Path | None = None, way_out: str) -> keras.Model:
    """The network in `.keras`, whole-model `.h5` of Keras 2 or 3, JSON with weights, or TensorFlow.js' layers format.

    weights: the file of the weights of an architecture in JSON, else sought beside it. Not compiled; no code that files
    may carry is run. Raises UserError, one line, for a file that is missing, damaged or hostile, and for formats in
    which there are no layers, with how to convert them; `way_out` says what to do where a file is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file; give a network that is saved ({KINDS})")
    if path.is_dir():
        path = _in_folder(path)
    json_file = path.suffix == ".json"
    if weights is not None and not json_file:
        raise UserError(f"{path}: has its weights in it; leave {weights} out, which is for an architecture in .json")
    if path.name.endswith(".weights.h5"):
        raise UserError(f"{path}: weights without a network; {way_out}")
    if path.suffix == ".keras":
        return load_model(path, way_out)
    if path.suffix in (".h5", ".hdf5"):
        return load_legacy_model(path, way_out)
    if not json_file:
        raise UserError(f"{path}: none of {KINDS}; {way_out}")
    with reading(path, "JSON file of a network", way_out):
        tfjs = is_tfjs(json.loads(read_text(path)))
    if tfjs:
        if weights is not None:
            raise UserError(f"{path}: names the files of its weights itself; leave {weights} out")
        return load_tfjs_model(path, way_out)
    return load_json_model(path, weights_beside(path) if weights is None else Path(weights), way_out)


def _in_folder(folder: Path) -> Path:
    """The file in a folder that is a network; raises UserError, with the way out, where there is none."""
    if (folder / "saved_model.pb").is_file() or (folder / "saved_model.pbtxt").is_file():
        raise UserError(
            f"{folder}: a SavedModel, of which Keras 3 reads no layers; of Keras 2, convert it once: "
            f"tf_keras.models.load_model('{folder}').save('NAME.h5') (pip install tf_keras); any other: "
            f"python -m tf2onnx.convert --saved-model {folder} --output NAME.onnx"
        )
    if (folder / "model.json").is_file():
        return folder / "model.json"
    raise UserError(f"{folder}: a folder without model.json (TensorFlow.js) or saved_model.pb; give the network's file")
