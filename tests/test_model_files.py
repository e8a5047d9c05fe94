"""Networks in other files than .keras: JSON with weights, old HDF5, TensorFlow.js: read right, or one line."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from relu2snn import UnsupportedLayerError, convert, verify
from relu2snn.errors import UserError
from relu2snn.saved.whole import load_whole

KERAS2 = """
import json, sys
import numpy as np
import tf_keras as keras
from tf_keras.layers import *

folder = sys.argv[1]
random = np.random.default_rng(0)

def filled(model):
    model.set_weights([random.uniform(0.2, 1, w.shape) * (1 if w.ndim < 2 else random.choice([1, -1], w.shape))
                       for w in model.get_weights()])
    return model

image = Input((6, 5, 1))
x = ReLU()(BatchNormalization()(Conv2D(3, 3, padding="same")(image)))
x = DepthwiseConv2D(3, padding="same", activation="relu")(SeparableConv2D(3, 3, padding="same")(x))
# Models in models, called once and twice: Keras 2 counts their calls otherwise than Keras 3.
inside = Input((6, 5, 3))
twice = keras.Model(inside, Add()([Conv2D(3, 3, padding="same", activation="relu")(inside), inside]))
chained = keras.Sequential([Conv2D(3, 1, activation="relu", input_shape=(6, 5, 3))])
begun = keras.Sequential([keras.Model(inside, MaxPooling2D(2)(inside)), Conv2D(4, 1, activation="relu")])
x = begun(chained(twice(chained(twice(x)))))
model = filled(keras.Model(image, Dense(4, activation="softmax")(Flatten()(x))))
model.save(f"{folder}/whole.h5")
model.save(f"{folder}/saved")
model.save_weights(f"{folder}/net_weights.h5")
open(f"{folder}/net.json", "w").write(model.to_json())
images = random.random((5, 6, 5, 1), dtype=np.float32)
arrays = {w.name.removesuffix(":0"): w.numpy() for w in model.weights}
np.savez(f"{folder}/values.npz", images=images, y=model.predict(images, verbose=0), **arrays)

chain = filled(keras.Sequential([Conv2D(2, 3, activation="relu", input_shape=(6, 5, 1)), Flatten(), Dense(3)]))
chain.save(f"{folder}/chain.h5")
np.save(f"{folder}/chain.npy", chain.predict(images, verbose=0))

first = Input((1, 6, 5))
y = MaxPooling2D(2, data_format="channels_first", name="pool")(first)
keras.Model(first, Dense(3)(Flatten()(y))).save(f"{folder}/first.h5")
"""


@pytest.fixture(scope="module")
def keras2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of networks that Keras 2 has saved, and what they compute."""
    folder = tmp_path_factory.mktemp("keras2")
    subprocess.run([sys.executable, "-c", KERAS2, str(folder)], check=True, capture_output=True)
    return folder


def same(model: keras.Model, folder: Path) -> None:
    saved = np.load(folder / "values.npz")
    assert np.ptp(saved["y"], axis=0).max() > 0.01
    np.testing.assert_allclose(np.asarray(model(saved["images"], training=False)), saved["y"], atol=1e-5)


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_whole(path, way_out="save it again", **options)
    text = str(caught.value)
    assert text.isprintable()
    return text


def test_a_whole_model_of_keras2_is_read_and_mapped(keras2: Path) -> None:
    model = load_whole(keras2 / "whole.h5", way_out="")
    same(model, keras2)
    images = np.load(keras2 / "values.npz")["images"]
    assert verify(model, convert(model, images), images).exact


def test_an_architecture_finds_the_weights_beside_it(keras2: Path, tmp_path: Path) -> None:
    same(load_whole(keras2 / "net.json", way_out=""), keras2)
    shutil.copy(keras2 / "net.json", tmp_path)
    assert refused(tmp_path / "net.json") == (
        f"{tmp_path}/net.json: an architecture without weights; put them beside it, as net.weights.h5, or name their "
        "file"
    )
    same(load_whole(tmp_path / "net.json", weights=keras2 / "net_weights.h5", way_out=""), keras2)
    # A whole model has the weights, too.
    same(load_whole(tmp_path / "net.json", weights=keras2 / "whole.h5", way_out=""), keras2)


def test_an_architecture_of_keras3_takes_its_weights(keras2: Path, tmp_path: Path) -> None:
    model = load_whole(keras2 / "whole.h5", way_out="")
    (tmp_path / "net.json").write_text(model.to_json())
    model.save_weights(tmp_path / "net.weights.h5")
    same(load_whole(tmp_path / "net.json", way_out=""), keras2)


def test_a_chain_that_names_no_input_is_read_as_it_was(keras2: Path, tmp_path: Path) -> None:
    """Keras before 2.3, and TensorFlow.js, let the first layer say what the network takes."""
    chain = load_whole(keras2 / "chain.h5", way_out="")
    config = json.loads(chain.to_json())
    layers = [each for each in config["config"]["layers"] if each["class_name"] != "InputLayer"]
    layers[0]["config"]["batch_input_shape"] = [None, 6, 5, 1]
    for number, inside in enumerate((layers, {"name": "chain", "layers": layers})):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps({"class_name": "Sequential", "config": inside}))
        model = load_whole(path, weights=keras2 / "chain.h5", way_out="")
        assert model.input_shape == (None, 6, 5, 1)
        found = np.asarray(model(np.load(keras2 / "values.npz")["images"], training=False))
        np.testing.assert_allclose(found, np.load(keras2 / "chain.npy"), atol=1e-5)


def test_pools_of_channels_first_are_refused_by_name(keras2: Path) -> None:
    model = load_whole(keras2 / "first.h5", way_out="")
    with pytest.raises(UnsupportedLayerError, match=r"^layer 'pool' \(MaxPooling2D\): data_format='channels_first'; b"):
        convert(model, np.zeros((1, 1, 6, 5)))


def test_a_saved_model_says_how_to_convert_it(keras2: Path) -> None:
    text = refused(keras2 / "saved")
    assert text.startswith(f"{keras2}/saved: a SavedModel, of which Keras 3 reads no layers; ")
    assert f"tf_keras.models.load_model('{keras2}/saved').save('NAME.h5')" in text
    assert "tf2onnx" in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.h5", None, "no such file; give a network that is saved"),
        ("my.txt", "", r"none of \.keras, \.h5, .*; save it again"),
        ("my.weights.h5", "", "weights without a network; save it again"),
        ("my.json", "[1", r"not a readable JSON file of a network \(.*\); save it again"),
        ("my.json", "[" * 100_000, r"not a readable JSON file of a network \(.*\); save it again"),
        ("my.json", "{}", "it has no class_name and config"),
    ],
)
def test_files_that_hold_no_network_say_what_to_give(
    keras2: Path, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    import re

    if content is not None:
        (tmp_path / name).write_text(content)
    options = {"weights": keras2 / "net_weights.h5"} if name.endswith(".json") else {}
    text = refused(tmp_path / name, **options)
    assert text.startswith(f"{tmp_path / name}: ")
    assert re.search(message, text), text


def test_a_folder_without_a_network_and_weights_too_many_are_refused(keras2: Path, tmp_path: Path) -> None:
    assert "a folder without model.json (TensorFlow.js) or saved_model.pb" in refused(tmp_path)
    assert "has its weights in it; leave" in refused(keras2 / "whole.h5", weights=keras2 / "net_weights.h5")


def test_weights_of_another_architecture_are_refused(keras2: Path) -> None:
    text = refused(keras2 / "net.json", weights=keras2 / "chain.h5")
    assert text.startswith(f"{keras2}/net.json: not a readable architecture of a Keras model (it declares weights of ")
    model = keras.Sequential([keras.Input((6, 5, 1)), keras.layers.Flatten(), keras.layers.Dense(90)])
    model.save_weights(keras2 / "other.weights.h5")
    assert f"{keras2}/other.weights.h5: not a readable file of the weights of net.json" in refused(
        keras2 / "net.json", weights=keras2 / "other.weights.h5"
    )


def test_an_architecture_that_may_run_code_is_refused(keras2: Path, tmp_path: Path) -> None:
    config = (keras2 / "net.json").read_text().replace('"SeparableConv2D"', '"Lambda"')
    (tmp_path / "net.json").write_text(config)
    assert "a Lambda layer, which may run any code" in refused(tmp_path / "net.json", weights=keras2 / "net_weights.h5")


def tfjs(folder: Path, keras2: Path, quantization: str = "", changes: Callable[[Any], None] | None = None) -> Path:
    """The network in the documented layout of a layers model, written by hand, in shards of 100 bytes."""
    values = np.load(keras2 / "values.npz")
    entries, content = [], b""
    for name in (each for each in values.files if each not in ("images", "y")):
        array = values[name].astype("<f4")
        entry: dict[str, Any] = {"name": name, "shape": array.shape, "dtype": "float32"}
        if quantization == "float16":
            array, entry["quantization"] = array.astype("<f2"), {"dtype": "float16"}
        elif quantization:
            most = np.iinfo(quantization).max
            least, scale = float(array.min()), float(np.ptp(array) / most) or 1.0
            array = np.round((array - least) / scale).astype(np.dtype(quantization).newbyteorder("<"))
            entry["quantization"] = {"dtype": quantization, "min": least, "scale": scale}
        entries.append(entry)
        content += array.tobytes()
    paths = [f"group1-shard{number}" for number in range(-(-len(content) // 100))]
    for number, name in enumerate(paths):
        (folder / name).write_bytes(content[100 * number : 100 * (number + 1)])
    model = {
        "format": "layers-model",
        "generatedBy": "keras v2.21.0",
        "modelTopology": {"keras_version": "2.21.0", "model_config": json.loads((keras2 / "net.json").read_text())},
        "weightsManifest": [{"paths": paths, "weights": entries}],
    }
    if changes:
        changes(model)
    (folder / "model.json").write_text(json.dumps(model))
    return folder / "model.json"


def test_a_layers_model_of_tensorflow_js_computes_what_it_did(keras2: Path, tmp_path: Path) -> None:
    path = tfjs(tmp_path, keras2)
    same(load_whole(path, way_out=""), keras2)
    same(load_whole(tmp_path, way_out=""), keras2)


@pytest.mark.parametrize(("quantization", "tolerance"), [("float16", 1e-3), ("uint16", 1e-4), ("uint8", 2e-2)])
def test_quantized_weights_stand_for_what_they_did(
    keras2: Path, tmp_path: Path, quantization: str, tolerance: float
) -> None:
    model = load_whole(tfjs(tmp_path, keras2, quantization), way_out="")
    whole = load_whole(keras2 / "whole.h5", way_out="")
    for found, expected in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())
    assert any((a != b).any() for a, b in zip(model.get_weights(), whole.get_weights(), strict=True))


def change(*keys: Any, value: Any) -> Callable[[Any], None]:
    def set_value(model: Any) -> None:
        for key in keys[:-1]:
            model = model[key]
        model[keys[-1]] = value

    return set_value


ENTRY = ("weightsManifest", 0, "weights", 0)
HOSTILE = [
    (change("format", value="graph-model"), "a graph model of TensorFlow.js, whose layers are gone; give the Keras"),
    (change("weightsManifest", 0, "paths", 0, value="../../etc/passwd"), "lies outside its folder; that is not read"),
    (change("weightsManifest", 0, "paths", 0, value="/etc/passwd"), "lies outside its folder; that is not read"),
    (change("weightsManifest", 0, "paths", 0, value="link"), "its shard link lies outside its folder"),
    (change("weightsManifest", 0, "paths", 0, value="https://x/y"), "https://x/y is no file beside it"),
    (change("weightsManifest", 0, "paths", 0, value="gone"), "its shard gone is missing"),
    (change("weightsManifest", 0, "paths", value=[]), "it declares weights of "),
    (change(*ENTRY, "shape", value=[10**9, 10**9]), "it declares weights of 4000000000000"),
    (change(*ENTRY, "shape", value=[-3, 3, 1, 3]), "is of shape (-3, 3, 1, 3)"),
    (change(*ENTRY, "shape", value=[3, 3, 3, 1]), "has weights of other shapes than its network"),
    (change(*ENTRY, "dtype", value="string"), "is of type string, stored as string"),
    (change(*ENTRY, "dtype", value={"a": 1}), "is of type "),
    (change(*ENTRY, "name", value="elsewhere/kernel"), "layer conv2d has weights of other shapes than its"),
    (change("modelTopology", value=[]), "its modelTopology describes no layers"),
    (change("modelTopology", "model_config", "config", "layers", 1, "class_name", value="Lambda"), "a Lambda layer"),
    (change("weightsManifest", value=None), "not a readable layers model of TensorFlow.js"),
]


@pytest.mark.parametrize(("changes", "message"), HOSTILE, ids=[message[:24] for _, message in HOSTILE])
def test_damaged_and_hostile_layers_models_are_one_line(
    keras2: Path, tmp_path: Path, changes: Callable[[Any], None], message: str
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"0" * 100)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "link").symlink_to(outside)
    text = refused(tfjs(tmp_path / "model", keras2, changes=changes))
    assert text.startswith(f"{tmp_path}/model/model.json: ")
    assert message in text, text


def test_a_shard_that_is_cut_short_and_a_nan_are_one_line(keras2: Path, tmp_path: Path) -> None:
    path = tfjs(tmp_path, keras2)
    shard = tmp_path / "group1-shard0"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    assert "it declares weights of " in refused(path)
    shard.write_bytes(np.full(1, np.nan, "<f4").tobytes() + content[4:])
    assert "that is not a finite number (nan); save it again" in refused(path)
