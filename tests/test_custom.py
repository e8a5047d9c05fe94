"""A user's own network and images: to the files that every experiment has, or one line that says why not."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from runs import environment, paths, snakemake

from relu2snn.config import FIGURES, Experiment, Paths, compose_experiment, compose_suite, from_slice
from relu2snn.config.schema import Preprocess
from relu2snn.config.selection import select
from relu2snn.config.shaping import job_slice
from relu2snn.config.variants import file_digest
from relu2snn.datasets import SUPPORTED_FORMATS, ArrayDataset
from relu2snn.datasets.own import Wanted, load_own
from relu2snn.errors import UserError
from relu2snn.made import load_json
from relu2snn.networks import own
from relu2snn.saved.keras_files import load_model
from relu2snn.stages import custom_data, weights

SHAPE, CLASSES = (6, 5, 1), 3
WANTED = Wanted(SHAPE, CLASSES, "the network in my.keras")
UNIT = Preprocess(0.0, 1.0, 0.0, 1.0)


def small(shape: tuple[int, ...] = SHAPE, classes: int = CLASSES) -> keras.Model:
    """A network of no family here, with layers that only Keras knows to be harmless."""
    keras.utils.set_random_seed(0)
    image = keras.Input(shape)
    x = keras.layers.SeparableConv2D(4, 3, padding="same")(keras.layers.RandomFlip()(image))
    y = keras.Sequential([keras.layers.PReLU(), keras.layers.ZeroPadding2D(1), keras.layers.Conv2D(4, 3)])(x)
    x = keras.layers.ReLU()(keras.layers.Maximum()([x, y]))
    return keras.Model(image, keras.layers.Dense(classes)(keras.layers.GlobalMaxPooling2D()(x)))


def images(count: int = 7, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> Any:
    return np.random.default_rng(seed).random((count, *shape))


def files(folder: Path, model: keras.Model | None = None, name: str = "my", **arrays: Any) -> dict[str, str]:
    """The overrides of a network and an npz that are saved in `folder`."""
    (model or small()).save(folder / f"{name}.keras")
    np.savez(folder / f"{name}.npz", **arrays)
    return {"weights.file": f"{folder}/{name}.keras", "dataset.file": f"{folder}/{name}.npz"}


def composed(folder: Path, given: dict[str, str], *more: str, name: str = "custom") -> Experiment:
    overrides = [f"outputs={folder}/outputs", *(f"{key}={value}" for key, value in given.items()), *more]
    return compose_experiment(name, compose_suite("graphs"), overrides)


def prepared(folder: Path, given: dict[str, str], *more: str) -> tuple[ArrayDataset, Experiment]:
    config = composed(folder, given, *more)
    custom_data.run(from_slice(job_slice(config, "custom_data")))
    return ArrayDataset(Paths.of(config).dataset), config


def test_arrays_and_network_become_the_files_of_every_experiment(tmp_path: Path) -> None:
    x, labels = images(), np.arange(7, dtype=np.uint8) % CLASSES
    calibration = images(9, seed=1).astype(np.float32)
    model = small()
    given = files(tmp_path, model, x_test=x, y_test=labels, x_train=calibration, y_train=np.zeros((9, 1), int))
    data, config = prepared(tmp_path, given)
    np.testing.assert_array_equal(data.images("test"), x)
    np.testing.assert_array_equal(data.labels("test"), labels)
    np.testing.assert_array_equal(data.images("train"), calibration)
    assert data.images("train").dtype == np.float32
    np.testing.assert_array_equal(data.labels("train"), np.zeros(9))
    source, _ = load_json(f"{Paths.of(config).dataset}/source.json")
    assert (source["classes"], source["image_shape"]) == (CLASSES, list(SHAPE))
    assert (source["train_images"], source["test_images"], source["kind"]) == (9, 7, "real")

    weights.run(from_slice(job_slice(config, "weights")))
    place = Paths.of(config).weights
    taken = load_model(f"{place}/original.keras", "")
    np.testing.assert_array_equal(np.asarray(taken(x, training=False)), np.asarray(model(x, training=False)))
    source, _ = load_json(f"{place}/source.json")
    digest = file_digest("weights.file", given["weights.file"])
    assert source == {"kind": "pretrained", "file": given["weights.file"], "sha256": digest}


def test_without_labels_and_training_images_the_test_images_calibrate(tmp_path: Path) -> None:
    x = images().astype(np.float16)
    data, config = prepared(tmp_path, files(tmp_path, images=x))
    assert data.labels("test") is data.labels("train") is None
    np.testing.assert_array_equal(data.images("train"), x)
    assert not list(Path(Paths.of(config).dataset).glob("*_labels.npy"))
    batches = list(data.batches("test", 4, config.dataset.preprocess))
    assert [label for _, label in batches] == [None, None]
    np.testing.assert_array_equal(np.concatenate([pixels for pixels, _ in batches]), x.astype(np.float64))


def test_labels_that_are_taken_away_leave_no_file(tmp_path: Path) -> None:
    data, config = prepared(tmp_path, files(tmp_path, x_test=images(), y_test=np.zeros(7, int)))
    assert data.labels("test") is not None
    given = files(tmp_path, x_test=images())
    changed = composed(tmp_path, given)
    assert Paths.of(changed).dataset != Paths.of(config).dataset
    again = from_slice(job_slice(changed, "custom_data"))
    again.run.dataset = config.run.dataset
    custom_data.run(again)
    assert ArrayDataset(Paths.of(config).dataset).labels("test") is None
    assert not list(Path(Paths.of(config).dataset).glob("*_labels.npy"))


def test_an_axis_of_one_channel_may_be_left_out_and_vectors_and_bytes_are_images_too(tmp_path: Path) -> None:
    flat = keras.Sequential([keras.Input((30,)), keras.layers.Dense(2)])
    data, _ = prepared(tmp_path, files(tmp_path, flat, "flat", images=images(3, (30,))))
    assert data.images("test").shape == (3, 30)
    bytes_ = np.arange(7 * 30, dtype=np.uint8).reshape(7, 6, 5)
    given = files(tmp_path, None, "grey", x_test=bytes_)
    data, config = prepared(tmp_path, given, "dataset.preprocess.std=255")
    assert data.images("test").shape == (7, *SHAPE)
    assert config.dataset.image_shape is None
    values, _ = next(data.batches("test", 7, config.dataset.preprocess))
    np.testing.assert_allclose(values[..., 0], bytes_ / 255)


def test_low_and_high_are_the_users(tmp_path: Path) -> None:
    given = files(tmp_path, x_test=6 * images() - 3)
    data, _ = prepared(tmp_path, given, "dataset.preprocess.low=-3", "dataset.preprocess.high=3")
    assert data.count("test") == 7


def test_what_float32_rounds_by_is_put_to_the_bound() -> None:
    data = Wanted((1,), 2, "x")
    assert data.classes == 2
    from relu2snn.datasets.dataset import preprocessed

    high = np.nextafter(np.float32(3), np.float32(4))
    wide = Preprocess(0.0, 1.0, -3.0, 3.0)
    assert preprocessed(np.array([[high, -high]]), wide, "test", 0).tolist() == [[3.0, -3.0]]
    with pytest.raises(UserError, match=r"test image 5: a preprocessed pixel is 3.000000"):
        preprocessed(np.array([[np.float64(high)]]), wide, "test", 5)


ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"x": images()}, r"no array x_test \(nor images\), only x; save it as in numpy.savez\('my.npz', x_test=images"),
    ({}, "no array x_test .*only nothing"),
    ({"x_test": images(), "y_tets": np.zeros(7, int)}, "has y_tets, none of x_test, images, y_test, labels, x_train"),
    ({"x_test": images(), "images": images()}, "has both x_test and images; keep the one to be used"),
    ({"x_test": images(), "y_train": np.zeros(7, int)}, "y_train without x_train"),
    (
        {"x_test": images(4, (5, 6, 1))},
        r"x_test: of shape \(4, 5, 6, 1\), so an image is 5 x 6 x 1, but the network in my.keras takes 6 x 5 x 1",
    ),
    ({"x_test": images(30, ())}, r"of shape \(30,\), so an image is single numbers"),
    ({"x_test": images(1)[0]}, r"of shape \(6, 5, 1\), so an image is 5 x 1"),
    ({"x_test": images(0)}, "x_test: has no images"),
    ({"x_test": images(), "x_train": images(2, (6, 5, 3))}, "x_train: of shape .* so an image is 6 x 5 x 3"),
    ({"x_test": np.where(images() > 0.9, np.nan, 0.5)}, r"x_test: image \d holds a NaN or an infinity"),
    ({"x_test": images(), "x_train": np.full((3, *SHAPE), np.inf)}, "x_train: image 0 holds a NaN or an infinity"),
    ({"images": 2 + images()}, r"images: test image \d: a preprocessed pixel is .* outside the range from "),
    (
        {"x_test": np.full((2, *SHAPE), 255, np.uint8)},
        r"image 0: .* is 255, outside .*correct .*mean and std \(bytes become 0 to 1 by dataset.preprocess.std=255\)",
    ),
    ({"x_test": images(), "x_train": -images()}, r"x_train: train image \d: a preprocessed pixel is -"),
    (
        {"x_test": images(), "y_test": np.zeros(6, int)},
        "y_test: 6 labels for the 7 images of x_test; give one",
    ),
    (
        {"x_test": images(), "y_test": np.arange(7)},
        "y_test: label 3 at index 3 is not in 0..2, the classes of the network in my.keras; count them from 0",
    ),
    ({"x_test": images(), "labels": -np.ones(7, int)}, "labels: label -1 at index 0 is not in 0..2"),
    ({"x_test": images(), "y_test": np.eye(7, 3)}, r"labels are float64 of shape \(7, 3\); .*argmax\(axis=1\)"),
    ({"x_test": images(), "y_test": np.zeros(7)}, r"labels are float64 of shape \(7,\); expected integers"),
    ({"x_test": np.array(["a"])}, "not a readable .npz of numbers"),
    ({"x_test": np.array([{}])}, "not a readable .npz of numbers"),
]


@pytest.mark.parametrize(("arrays", "message"), ARRAYS, ids=[message[:40] for _, message in ARRAYS])
def test_wrong_arrays_are_one_line_that_names_them(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = tmp_path / "my.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=message) as caught:
        load_own(path, WANTED, UNIT)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()


def test_a_damaged_npz_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "my.npz"
    np.savez(path, x_test=images())
    content = path.read_bytes()
    for damaged in (b"", b"not a zip", content[:200], content[:-30]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"not a readable \.npz of numbers") as caught:
            load_own(path, WANTED, UNIT)
        assert str(caught.value).isprintable()


def two_outputs() -> keras.Model:
    image = keras.Input(SHAPE)
    x = keras.layers.Flatten()(image)
    return keras.Model(image, [keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)])


def of(*layers: Any, shape: tuple[int | None, ...] = SHAPE) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *layers])


MODELS: list[tuple[Callable[[], keras.Model], str]] = [
    (two_outputs, "has 2 outputs; the workflow takes networks with one"),
    (lambda: of(keras.layers.Flatten(), keras.layers.Dense(1)), "gives 1 for an image; the workflow counts classes"),
    (lambda: of(keras.layers.Conv2D(3, 1)), "gives 6 x 5 x 3 for an image"),
    (
        lambda: of(keras.layers.GlobalMaxPooling2D(), shape=(None, None, 3)),
        r"takes images of \? x \? x 3, of no fixed size; build it for one",
    ),
]


@pytest.mark.parametrize(("make", "message"), MODELS, ids=[message[:20] for _, message in MODELS])
def test_networks_that_count_no_classes_are_refused(make: Callable[[], keras.Model], message: str) -> None:
    with pytest.raises(UserError, match=rf"^weights.file=my.keras: {message}") as caught:
        own.sizes(make(), Path("my.keras"))
    assert str(caught.value).isprintable()


def test_files_that_hold_no_whole_network_say_what_to_save(tmp_path: Path) -> None:
    model = small()
    model.save_weights(tmp_path / "my.weights.h5")
    (tmp_path / "my.txt").write_text("")
    (tmp_path / "my.keras").write_bytes(b"PK")
    of(keras.layers.Flatten(), keras.layers.Dense(2)).save_weights(tmp_path / "x.weights.h5")
    (tmp_path / "x.weights.h5").rename(tmp_path / "my.h5")
    for name, message in (
        ("my.weights.h5", "weights without a network; save the whole network, with model.save"),
        ("my.txt", "neither .keras nor .h5; save the whole network"),
        ("my.keras", "not a readable Keras model"),
        ("my.h5", r"not a readable whole Keras model in HDF5 \(it holds weights without a network\); save the whole"),
        ("none.keras", "no such file; name your own network"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            own.load_own(tmp_path / name)
        assert str(caught.value).isprintable()


KERAS2 = """
import sys
import numpy as np
import tf_keras as keras
from tf_keras.layers import *

folder = sys.argv[1]
random = np.random.default_rng(0)
image = Input((6, 5, 1))
x = ReLU()(BatchNormalization()(Conv2D(3, 3, padding="same")(image)))
y = DepthwiseConv2D(3, padding="same")(SeparableConv2D(3, 3, padding="same")(x))
y = ReLU(max_value=6)(Add()([Conv2D(3, 1, name="b")(x), Dropout(0.5)(y)]))
model = keras.Model(image, Activation("softmax")(Dense(4, name="a")(GlobalAveragePooling2D()(Concatenate()([x, y])))))
model.set_weights([random.uniform(0.2, 1, w.shape) * (1 if w.ndim < 2 else random.choice([1, -1], w.shape))
                   for w in model.get_weights()])
model.compile("adam", "sparse_categorical_crossentropy")
model.save(f"{folder}/keras2.h5")
images = random.random((20, 6, 5, 1), dtype=np.float32)
np.savez(f"{folder}/keras2.npz", x_test=images, y=model.predict(images, verbose=0))
"""


def test_a_whole_model_of_keras2_computes_what_it_did(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KERAS2, str(tmp_path)], check=True, capture_output=True)
    model = own.load_own(tmp_path / "keras2.h5")
    saved = np.load(tmp_path / "keras2.npz")
    assert np.ptp(saved["y"], axis=0).max() > 0.01
    np.testing.assert_allclose(np.asarray(model(saved["x_test"], training=False)), saved["y"], atol=1e-5)
    np.savez(tmp_path / "images.npz", x_test=saved["x_test"])
    given = {"weights.file": f"{tmp_path}/keras2.h5", "dataset.file": f"{tmp_path}/images.npz"}
    data, config = prepared(tmp_path, given)
    assert data.count("test") == 20
    weights.run(from_slice(job_slice(config, "weights")))
    taken = load_model(f"{Paths.of(config).weights}/original.keras", "")
    np.testing.assert_allclose(np.asarray(taken(saved["x_test"], training=False)), saved["y"], atol=1e-5)


def test_a_whole_model_of_keras3_in_hdf5_computes_what_it_did(tmp_path: Path) -> None:
    model = small()
    model.save(tmp_path / "my.h5")
    loaded = own.load_own(tmp_path / "my.h5")
    found, expected = (np.asarray(each(images(), training=False)) for each in (loaded, model))
    np.testing.assert_array_equal(found, expected)


def test_a_lambda_in_hdf5_is_refused_before_it_runs(tmp_path: Path) -> None:
    of(keras.layers.Flatten(), keras.layers.Lambda(lambda x: x), keras.layers.Dense(2)).save(tmp_path / "my.h5")
    with pytest.raises(UserError, match="it holds a Lambda layer, which may run any code"):
        own.load_own(tmp_path / "my.h5")


def test_hdf5_that_declares_more_than_it_has_is_refused(tmp_path: Path) -> None:
    import h5py

    of(keras.layers.Flatten(), keras.layers.Dense(2)).save(tmp_path / "my.h5")
    with h5py.File(tmp_path / "my.h5", "a") as file:
        config = file.attrs["model_config"].replace('"units": 2', '"units": 2000000000')
        file.attrs["model_config"] = config
    with pytest.raises(UserError, match=r"declares weights of .* bytes, but has"):
        own.load_own(tmp_path / "my.h5")


def refusal(folder: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        select(
            {"suite": "graphs", "experiments": "custom", "overrides": [f"outputs={folder}/outputs", *overrides]},
            SUPPORTED_FORMATS,
        )
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_the_workflow_asks_for_both_files_before_any_job(tmp_path: Path) -> None:
    given = files(tmp_path, x_test=images())
    network, arrays = (f"{key}={value}" for key, value in given.items())
    assert refusal(tmp_path) == (
        "experiments=custom: weights.file is not set; name the file of your own network, as in my.keras, among the "
        "overrides: weights.file=…"
    )
    assert "dataset.file is not set; name the file of your own images" in refusal(tmp_path, network)
    assert refusal(tmp_path, network, f"dataset.file={tmp_path}/no.npz") == (
        f"dataset.file={tmp_path}/no.npz: no such file; name one, or leave dataset.file out"
    )
    assert "weights.file is not set" in refusal(tmp_path, arrays)
    assert f"weights.file={tmp_path}/no.keras: no such file" in refusal(
        tmp_path, f"weights.file={tmp_path}/no.keras", arrays
    )


MISTAKES = [
    ("fmnist_fc", "dataset.file={npz}", r"dataset.file=.*: dataset.source.format=idx reads no file of yours"),
    ("fmnist_fc", "dataset=custom dataset.file={npz}", r"dataset.image_shape=null: model=fc is built for images of a"),
    (
        "fmnist_fc",
        "dataset=custom dataset.file={npz} dataset.image_shape=[6,5,1]",
        "dataset.classes=null: model=fc is built for",
    ),
    ("fmnist_fc", "dataset.classes=null", "dataset.classes: no value, but dataset.source.format=idx needs one"),
    ("fmnist_fc", "dataset.source.directory=null", "dataset.source.directory: no value, but"),
    ("fmnist_fc", "dataset.source.test_images=null", "dataset.source.test_images: no value, but"),
    ("custom", "dataset.part_images=5", "dataset.part_images=5: dataset.source.test_images is not set"),
]


@pytest.mark.parametrize(("name", "overrides", "message"), MISTAKES, ids=[message[:30] for *_, message in MISTAKES])
def test_values_of_own_and_other_data_fit_together(tmp_path: Path, name: str, overrides: str, message: str) -> None:
    np.savez(tmp_path / "my.npz", x_test=images())
    words = overrides.format(npz=f"{tmp_path}/my.npz").split()
    with pytest.raises(UserError, match=message) as caught:
        compose_experiment(name, compose_suite("graphs"), words)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.parts=8", "dataset.parts=8: .*my.npz has 7 test images; each needs an image"),
        ("dataset.source.test_images=6", "7 test images, but dataset.source.test_images is 6; leave it out"),
        ("dataset.classes=4", "my.keras: has 3 classes, but dataset.classes is 4"),
        ("dataset.image_shape=[5,6,1]", "my.keras: takes images of 6 x 5 x 1, but dataset.image_shape is 5 x 6 x 1"),
    ],
)
def test_what_the_configuration_says_must_be_true(tmp_path: Path, override: str, message: str) -> None:
    given = files(tmp_path, x_test=images())
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, given, override)
    assert not list((tmp_path / "outputs").rglob("*.npy"))


def test_the_users_network_on_a_data_set_of_the_project_must_take_its_images(tmp_path: Path) -> None:
    given = {"weights.file": files(tmp_path, x_test=images())["weights.file"]}
    config = composed(tmp_path, given, "dataset=fmnist")
    with pytest.raises(UserError, match=r"takes images of 6 x 5 x 1, but dataset.image_shape is 28 x 28 x 1"):
        weights.run(from_slice(job_slice(config, "weights")))
    fitting = tmp_path / "fitting.keras"
    small((28, 28, 1), 10).save(fitting)
    config = composed(tmp_path, {"weights.file": str(fitting)}, "dataset=fmnist")
    weights.run(from_slice(job_slice(config, "weights")))
    assert Path(Paths.of(config).weights, "original.keras").is_file()


def test_a_family_of_the_project_takes_the_users_images(tmp_path: Path) -> None:
    given = {"dataset.file": files(tmp_path, x_test=images(), y_test=np.zeros(7, int))["dataset.file"]}
    sizes = ("dataset=custom", "dataset.image_shape=[6,5,1]", "dataset.classes=3")
    config = composed(tmp_path, given, *sizes, name="fmnist_fc")
    custom_data.run(from_slice(job_slice(config, "custom_data")))
    assert ArrayDataset(Paths.of(config).dataset).count("train") == 7


def test_a_file_is_told_by_its_content(tmp_path: Path) -> None:
    given = files(tmp_path, x_test=images())
    before = Paths.of(composed(tmp_path, given))
    for key, path in given.items():
        Path(path).rename(moved := f"{tmp_path}/moved {Path(path).suffix}")
        given[key] = moved
    after = Paths.of(composed(tmp_path, given))
    assert (after.dataset, after.weights, after.phase2) == (before.dataset, before.weights, before.phase2)
    np.savez(given["dataset.file"].removesuffix(".npz"), x_test=images(seed=3))
    other = Paths.of(composed(tmp_path, given))
    assert other.dataset != before.dataset
    assert other.weights == before.weights


def run_stage(stage: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "relu2snn.stages", stage, "suite=graphs", "experiment=custom", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment())


def test_a_stage_by_hand_says_in_one_line_what_is_missing(tmp_path: Path) -> None:
    place = f"outputs={tmp_path}/outputs"
    for stage, message in (
        ("custom_data", "relu2snn custom_data: dataset.file is not set; name your own images"),
        ("weights", "relu2snn weights: weights.file is not set; name your own network"),
    ):
        run = run_stage(stage, place)
        assert run.returncode == 1
        (line,) = run.stderr.splitlines()
        assert line.startswith(message)
    given = files(tmp_path, x_test=images(), y_test=np.full(7, 9))
    run = run_stage("custom_data", place, *(f"{key}={value}" for key, value in given.items()))
    assert run.returncode == 1
    assert "y_test: label 9 at index 0 is not in 0..2" in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr
    assert not [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the workflow has run a user's network on images without labels, and its overrides."""
    folder = tmp_path_factory.mktemp("custom")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    y = layers.ReLU()(layers.Add()([layers.Conv2D(6, 3, padding="same")(x), x]))
    y = layers.GlobalAveragePooling2D()(layers.Concatenate()([x, y]))
    model = keras.Model(image, layers.Dense(4, activation="softmax")(y))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    model.save(folder / "my model=1, ä.keras")
    np.savez(folder / "it's my data.npz", x_test=random.random((40, 8, 8)))
    overrides = """weights.file='my model=1, ä.keras' dataset.file="it's my data.npz" dataset.parts=2"""
    run = snakemake(folder, suite="graphs", experiments="custom", overrides=overrides)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-3000:]
    return folder, overrides


@pytest.mark.workflow
def test_the_workflow_takes_a_network_and_images_to_the_table(whole: tuple[Path, str], monkeypatch) -> None:
    import csv

    folder, overrides = whole
    monkeypatch.chdir(folder)
    with (folder / "outputs" / "graphs" / "results.csv").open(newline="") as table:
        (row,) = csv.DictReader(table)
    assert (row["experiment"], row["images"], row["agreement"], row["exact"]) == ("custom", "40", "1.0", "True")
    assert row["accuracy"] == row["accuracy_original"] == ""
    assert row["data"] == "real"
    place = paths(folder, "custom", overrides, suite="graphs")
    assert len(list(Path(place.figures).glob("*.png"))) == len(FIGURES)
    assert Path(place.tracked).is_file()
    result, _ = load_json(f"{place.phase2}/result.json")
    assert result["accuracy"] is None


@pytest.mark.workflow
def test_a_second_call_runs_nothing_and_a_change_of_windows_only_what_depends_on_it(whole: tuple[Path, str]) -> None:
    from runs import jobs

    folder, overrides = whole
    again = snakemake(folder, "-n", suite="graphs", experiments="custom", overrides=overrides)
    assert jobs(again.stdout + again.stderr) == {}
    changed = snakemake(folder, "-n", suite="graphs", experiments="custom", overrides=f"{overrides} phase2.zeta=0.3")
    started = jobs(changed.stdout + changed.stderr)
    assert started
    assert not {"custom_data", "weights", "phase1", "train"} & set(started)
