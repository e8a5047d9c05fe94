"""Weight files that users drop in: found, read in every format, refused with a message that names the culprit."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from stamped import job

from relu2snn.config import Experiment, Paths, compose_experiment, compose_suite, from_slice, stage_slice
from relu2snn.config.schema import Dropout, Model, Weights
from relu2snn.errors import UserError
from relu2snn.made import load_json
from relu2snn.made.keras_file import read_stamp
from relu2snn.networks.build import build
from relu2snn.networks.weights import find_weights, load_weights
from relu2snn.stages.weights import run

SHAPE = (28, 28, 1)
FC = Model(name="fc", family="fc", width=1.0, blocks=[], dense=[600], batch_norm="none")
LENET5 = Model(name="lenet5", family="lenet5", width=1.0, blocks=[], dense=[], batch_norm="before_relu")
VGG = Model(name="vgg", family="vgg", width=1.0, blocks=[[2, 3, 2], [4, 2]], dense=[5], batch_norm="after_relu")
MODELS = {"fc": FC, "lenet5": LENET5, "vgg": VGG}

# Networks as the published code builds them, with Keras 2 and weights that are nowhere near their first values.
KERAS2 = """
import sys
import numpy as np
import tf_keras as keras
from tf_keras.layers import *

folder = sys.argv[1]
relu, norm, softmax = lambda: Activation("relu"), BatchNormalization, "softmax"
start, pool = lambda: Input((28, 28, 1)), lambda: MaxPooling2D((2, 2))
conv = lambda filters: [Conv2D(filters, 3, padding="same"), relu(), norm(), Dropout(0.1)]
networks = {
    "fc": [start(), Flatten(), Dense(600, activation="relu"), Dropout(0.1), Dense(10, activation=softmax)],
    "lenet5": [
        start(), Conv2D(6, 5, padding="same"), norm(), relu(), pool(), Conv2D(16, 5), norm(), relu(), pool(),
        Conv2D(120, 5), norm(), relu(), Flatten(), Dense(84), norm(), relu(), Dense(10), Activation("softmax"),
    ],
    "vgg": [
        start(), *conv(2), *conv(3), *conv(2), pool(), *conv(4), *conv(2), pool(),
        Flatten(), Dense(5), relu(), norm(), Dropout(0.1), Dense(10), Activation("softmax"),
    ],
}
# The few inputs of the narrow VGG's filters need larger weights for the images to make a difference.
gain = {"fc": 1, "lenet5": 1, "vgg": 6}
random = np.random.default_rng(0)
images = random.random((20, 28, 28, 1), dtype=np.float32)
for name, layers in networks.items():
    model = keras.Sequential(layers)
    model.set_weights([gain[name] * random.uniform(0.02, 0.1, w.shape) * random.choice([1, -1], w.shape)
                       if w.ndim > 1 else random.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.save_weights(f"{folder}/{name}.h5")
    model.save(f"{folder}/{name}_whole.h5")
    model.save_weights(f"{folder}/{name}.weights.h5")
    model.save(f"{folder}/{name}_keras2.keras")
    np.save(f"{folder}/{name}.npy", model.predict(images, verbose=0))
"""


def images() -> Any:
    return np.random.default_rng(0).random((20, 28, 28, 1), dtype=np.float32)


def predict(model: keras.Model) -> Any:
    return np.asarray(model(images(), training=False))


@pytest.fixture(scope="module")
def keras2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that Keras 2 has written, with its predictions."""
    folder = tmp_path_factory.mktemp("keras2")
    subprocess.run([sys.executable, "-c", KERAS2, str(folder)], check=True, capture_output=True)
    return folder


def randomised(model: keras.Model, seed: int = 1) -> keras.Model:
    random = np.random.default_rng(seed)
    model.set_weights([random.uniform(0.05, 0.3, weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("name", ["fc", "lenet5", "vgg"])
@pytest.mark.parametrize("file", ["{}.h5", "{}_whole.h5", "{}.weights.h5"])
def test_keras2_files_give_keras2_predictions(keras2: Path, name: str, file: str) -> None:
    model = build(MODELS[name], SHAPE, 10)
    load_weights(model, keras2 / file.format(name))
    expected = np.load(keras2 / f"{name}.npy")
    assert np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(predict(model), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["fc", "lenet5", "vgg"])
@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_keras3_files_give_the_same_predictions(tmp_path: Path, name: str, suffix: str) -> None:
    trained = randomised(build(MODELS[name], SHAPE, 10, Dropout(first=0.1, between=0.2, dense=0.3)))
    trained.compile("adam", "sparse_categorical_crossentropy")
    path = tmp_path / f"network{suffix}"
    trained.save_weights(path) if suffix == ".weights.h5" else trained.save(path)
    model = build(MODELS[name], SHAPE, 10)
    load_weights(model, path)
    np.testing.assert_allclose(predict(model), predict(trained), atol=1e-6)


def test_networks_of_the_users_own_making(tmp_path: Path) -> None:
    """Fused activations, a nested model and logits at the end: the same network to the eye of its weights."""
    layers = keras.layers
    inner = keras.Sequential([layers.Input(SHAPE), layers.Flatten(), layers.Dense(600, activation="relu", name="a")])
    saved = keras.Sequential([layers.Input(SHAPE), inner, layers.Dense(10, name="b")])
    saved.save(tmp_path / "own.keras")
    model = build(FC, SHAPE, 10)
    load_weights(model, tmp_path / "own.keras")
    np.testing.assert_allclose(predict(model), np.asarray(keras.ops.softmax(predict(saved))), atol=1e-6)


def refused(model: Model, path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_weights(build(model, SHAPE, 10), path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_another_width_is_refused(keras2: Path) -> None:
    message = refused(Model(**{**vars(FC), "width": 0.5}), keras2 / "fc.h5")
    assert message.startswith(
        "layer dense has weights of the shapes (784, 600) (600,), but layer dense of model=fc needs (784, 300) (300,);"
    )


@pytest.mark.parametrize("file", ["lenet5.h5", "lenet5_whole.h5"])
def test_another_architecture_is_refused(keras2: Path, file: str) -> None:
    assert refused(FC, keras2 / file).startswith(
        "layer conv2d has weights of the shapes (5, 5, 1, 6) (6,), but layer dense of model=fc needs (784, 600) (600,);"
    )


def test_another_architecture_in_keras3_weights_is_refused(keras2: Path) -> None:
    message = refused(FC, keras2 / "lenet5.weights.h5")
    assert message.startswith("layer dense has weights of the shapes (120, 84) (84,), but layer dense of model=fc")
    message = refused(LENET5, keras2 / "fc.weights.h5")
    assert message.startswith("layer conv2d has weights of the shapes none, but layer conv2d of model=lenet5 needs")


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_missing_and_additional_layers_are_named(tmp_path: Path, suffix: str) -> None:
    square = {**vars(FC), "dense": [10, 10, 10]}
    path = tmp_path / f"network{suffix}"
    deep = build(Model(**square), SHAPE, 10)
    deep.save_weights(path) if suffix == ".weights.h5" else deep.save(path)
    message = refused(Model(**{**square, "dense": [10, 10]}), path)
    assert message.startswith("4 layers with weights, but model=fc has 3 (too many: dense_3);")
    message = refused(Model(**{**square, "dense": [10] * 4}), path)
    if suffix == ".weights.h5":
        assert message.startswith("layer dense_4 has weights of the shapes none, but layer dense_4 of model=fc needs")
    else:
        assert message.startswith("4 layers with weights, but model=fc has 5 (missing: dense_4);")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    model = build(LENET5, SHAPE, 10)
    weights = model.get_layer("batch_normalization_2").get_weights()
    weights[3][7] = value
    model.get_layer("batch_normalization_2").set_weights(weights)
    model.save_weights(tmp_path / "bad.weights.h5")
    message = refused(LENET5, tmp_path / "bad.weights.h5")
    assert message.startswith(
        f"layer batch_normalization_2 has a moving_variance that is not a finite number ({value})"
    )


@pytest.mark.parametrize("file", ["fc.h5", "fc_whole.h5", "fc.weights.h5"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_hdf5_is_refused(keras2: Path, tmp_path: Path, file: str, share: float) -> None:
    data = (keras2 / file).read_bytes()
    (tmp_path / file).write_bytes(data[: int(share * len(data))])
    assert refused(FC, tmp_path / file).startswith("not a readable HDF5 file of weights saved by Keras (")


def test_hdf5_without_keras_weights_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["measurements"] = [1.0, 2.0]
    assert refused(FC, tmp_path / "other.h5").startswith(
        "not a readable HDF5 file of weights saved by Keras (no attribute layer_names)"
    )


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_truncated_keras_is_refused(tmp_path: Path, share: float) -> None:
    build(FC, SHAPE, 10).save(tmp_path / "network.keras")
    data = (tmp_path / "network.keras").read_bytes()
    (tmp_path / "network.keras").write_bytes(data[: int(share * len(data))])
    assert refused(FC, tmp_path / "network.keras").startswith("not a readable Keras model (")


def fc_with(*before: Any, activation: str = "relu") -> keras.Model:
    layers = keras.layers
    hidden = layers.Dense(600, activation=activation)
    return keras.Sequential([layers.Input(SHAPE), *before, layers.Flatten(), hidden, layers.Dense(10, "softmax")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: fc_with(keras.layers.Lambda(lambda x: 2 * x)),
            "not a readable Keras model (it holds a Lambda layer, which may run any code);",
        ),
        (lambda: fc_with(keras.layers.Rescaling(1 / 255)), "has the weights of model=fc, but computes something else"),
        (lambda: fc_with(activation="tanh"), "has the weights of model=fc, but computes something else"),
    ],
)
def test_whole_models_that_compute_something_else_are_refused(
    tmp_path: Path, make: Callable[[], keras.Model], message: str
) -> None:
    randomised(make()).save(tmp_path / "network.keras")
    assert refused(FC, tmp_path / "network.keras").startswith(message)


def test_whole_model_of_keras2_says_what_to_do(keras2: Path) -> None:
    message = refused(LENET5, keras2 / "lenet5_keras2.keras")
    assert message.startswith("not a readable Keras model (Keras 3.")
    assert message.endswith("save the weights alone, with model.save_weights('NAME.weights.h5')")


def test_finding_weights(tmp_path: Path) -> None:
    place = Weights(root=str(tmp_path), directory="MNIST/FC", stem="mnist_fc_relu_original")
    assert find_weights(place) is None
    folder = tmp_path / "MNIST" / "FC"
    folder.mkdir(parents=True)
    for suffix in (".h5", ".weights.h5", ".keras"):
        path = folder / f"mnist_fc_relu_original{suffix}"
        path.touch()
        assert find_weights(place) == path
        path.unlink()
    for suffix in (".h5", ".keras"):
        (folder / f"mnist_fc_relu_original{suffix}").touch()
    with pytest.raises(UserError, match=r"2 files .* mnist_fc_relu_original\.h5, mnist_fc_relu_original\.keras; keep"):
        find_weights(place)


def test_finding_weights_needs_no_tensorflow() -> None:
    code = "import sys, relu2snn.stages.weights; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def experiment(folder: Path, *overrides: str) -> Experiment:
    places = [f"outputs={folder}/outputs", f"weights.root={folder}/models"]
    whole = compose_experiment("fmnist_fc", compose_suite("paper"), [*places, *overrides])
    return from_slice(stage_slice(whole, "weights"))


def drop_in(keras2: Path, folder: Path) -> Path:
    path = folder / "models" / "fMNIST" / "FC" / "fmnist_fc_relu_original.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes((keras2 / "fc.h5").read_bytes())
    return path


def test_stage_takes_the_file_before_the_trained_network(keras2: Path, tmp_path: Path) -> None:
    path = drop_in(keras2, tmp_path)
    trained = tmp_path / "outputs/paper/fmnist_fc/train/base/trained.keras"
    trained.parent.mkdir(parents=True)
    trained.write_bytes(b"not read")
    run(experiment(tmp_path))
    folder = Path(Paths.of(experiment(tmp_path)).weights)
    source, _ = load_json(folder / "source.json")
    digest = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True).stdout.split()[0]
    assert source == {"kind": "pretrained", "file": str(path), "sha256": digest}
    original = keras.models.load_model(folder / "original.keras")
    assert not original.compiled
    np.testing.assert_allclose(predict(original), np.load(keras2 / "fc.npy"), atol=1e-6)


def test_stage_copies_the_trained_network(tmp_path: Path) -> None:
    trained = tmp_path / "outputs/paper/fmnist_fc/train/base/trained.keras"
    trained.parent.mkdir(parents=True)
    job(trained).write_model(trained, build(FC, SHAPE, 10))
    run(experiment(tmp_path))
    folder = Path(Paths.of(experiment(tmp_path)).weights)
    source, _ = load_json(folder / "source.json")
    copy = folder / "original.keras"
    assert source == {"kind": "trained", "file": None, "sha256": read_stamp(trained).content}
    assert read_stamp(copy).content == read_stamp(trained).content
    with zipfile.ZipFile(trained) as before, zipfile.ZipFile(copy) as after:
        for name in ("config.json", "model.weights.h5"):
            assert after.read(name) == before.read(name)


def run_stage(config: Experiment) -> subprocess.CompletedProcess[str]:
    values = json.dumps(stage_slice(config, "weights"))
    command = [sys.executable, "-m", "relu2snn.stages", "weights", "--slice", values]
    return subprocess.run(command, capture_output=True, text=True)


def test_stage_refuses_another_architecture_and_writes_nothing(keras2: Path, tmp_path: Path) -> None:
    path = drop_in(keras2, tmp_path)
    finished = run_stage(experiment(tmp_path, "model.width=0.5"))
    assert finished.returncode == 1
    message = finished.stderr.splitlines()[-1]
    assert message.startswith(f"relu2snn weights: {path}: layer dense has weights of the shapes (784, 600) (600,)")
    assert "Traceback" not in finished.stderr
    assert not [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]


def test_stage_without_any_weights_says_so(tmp_path: Path) -> None:
    finished = run_stage(experiment(tmp_path))
    assert finished.returncode == 1
    assert finished.stderr.startswith("relu2snn weights: ")
    assert "trained.keras: no such file; run the train stage first" in finished.stderr
    assert not [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]
