"""Training: recipes, batches, resumption after a kill, and the files that it leaves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from stamped import job, prepare

from relu2snn.config import Experiment, Paths, compose_experiment, compose_suite, stage_slice
from relu2snn.config.schema import Augmentation, Dropout, Model, Preprocess, Train
from relu2snn.datasets import ArrayDataset, ArraySet
from relu2snn.errors import UserError
from relu2snn.made import load_json
from relu2snn.networks.batches import Batches
from relu2snn.networks.training import _compiled, train

SHAPE = (8, 8, 1)
PREPROCESS = Preprocess(mean=0.0, std=255.0, low=0.0, high=1.0)
NO_AUGMENTATION = Augmentation(shift=0.0, rotation=0.0, flip=False)
FC = Model(name="fc", family="fc", width=1.0, blocks=[], dense=[16], batch_norm="none")
VGG = Model(name="vgg", family="vgg", width=1.0, blocks=[[4, 4]], dense=[8], batch_norm="after_relu")


def recipe(**changes: Any) -> Train:
    values: dict[str, Any] = {
        "optimizer": "adam",
        "learning_rate": 0.01,
        "decay_rate": 0.5,
        "decay_steps": 10,
        "staircase": False,
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
        "activity_l1": 0.0,
        "norm_momentum": 0.99,
        "dropout": Dropout(first=0.0, between=0.0, dense=0.0),
        "augmentation": NO_AUGMENTATION,
        "epochs": 2,
        "batch": 32,
        "seed": 3,
    }
    return Train(**{**values, **changes})


# Everything that has a state: momentum, batch norm, dropout, augmentation, a batch that is not full.
STATEFUL = recipe(
    optimizer="sgd",
    momentum=0.9,
    nesterov=True,
    weight_decay=0.001,
    activity_l1=0.0001,
    dropout=Dropout(first=0.2, between=0.2, dense=0.2),
    augmentation=Augmentation(shift=0.1, rotation=15.0, flip=True),
    epochs=4,
)


def make_dataset(folder: Path, shape: tuple[int, ...] = SHAPE) -> ArrayDataset:
    """170 training and 40 test images of three classes, which differ in the rows that are bright."""
    random = np.random.default_rng(0)

    def images(count: int) -> tuple[Any, Any]:
        labels = random.integers(3, size=count)
        pixels = random.integers(20, 100, size=(count, *shape), dtype=np.uint8)
        for image, label in zip(pixels, labels, strict=True):
            image[2 * label : 2 * label + 2] += 120
        return pixels, labels

    prepare(folder, "synthetic", "synthetic", ArraySet(*images(170), *images(40), origin="made by a test", files=[]))
    return ArrayDataset(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ArrayDataset:
    return make_dataset(tmp_path_factory.mktemp("dataset"))


def batches(dataset: ArrayDataset, augmentation: Augmentation = NO_AUGMENTATION, seed: int = 0) -> Batches:
    return Batches(dataset, PREPROCESS, augmentation, 32, seed)


def collect(pipeline: Any) -> tuple[Any, Any]:
    images, labels = zip(*((images.numpy(), labels.numpy()) for images, labels in pipeline), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def test_an_epoch_holds_every_image_once_with_its_label(dataset: ArrayDataset) -> None:
    images, labels = collect(batches(dataset).train(epoch=1))
    expected = dataset.images("train").astype(np.float32) / 255
    assert images.dtype == np.float32
    assert not np.array_equal(labels, dataset.labels("train"))
    position = {image.tobytes(): index for index, image in enumerate(expected)}
    rows = [position[image.tobytes()] for image in images]
    assert sorted(rows) == list(range(170))
    np.testing.assert_array_equal(labels, dataset.labels("train")[rows])


def test_pixels_are_standardised(dataset: ArrayDataset) -> None:
    preprocess = Preprocess(mean=120.7, std=64.15, low=-3.0, high=3.0)
    images, labels = collect(Batches(dataset, preprocess, NO_AUGMENTATION, 32, 0).test())
    np.testing.assert_allclose(images, (dataset.images("test") - 120.7) / 64.15, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(labels, dataset.labels("test"))


def test_order_and_augmentation_follow_from_seed_and_epoch(dataset: ArrayDataset) -> None:
    augmentation = STATEFUL.augmentation
    first, _ = collect(batches(dataset, augmentation).train(epoch=2))
    again, _ = collect(batches(dataset, augmentation).train(epoch=2))
    np.testing.assert_array_equal(first, again)
    for other in (batches(dataset, augmentation).train(epoch=3), batches(dataset, augmentation, seed=1).train(epoch=2)):
        assert not np.array_equal(first, collect(other)[0])


@pytest.mark.parametrize("augmentation", [Augmentation(0.2, 0.0, False), Augmentation(0.0, 30.0, False)])
def test_shift_and_rotation_change_images_within_their_range(dataset: ArrayDataset, augmentation: Augmentation) -> None:
    plain, labels = collect(batches(dataset).train(epoch=1))
    moved, moved_labels = collect(batches(dataset, augmentation).train(epoch=1))
    np.testing.assert_array_equal(moved_labels, labels)
    assert np.mean(np.abs(moved - plain)) > 0.01
    # What moves in is the nearest pixel, never black.
    assert moved.min() >= plain.min()
    assert moved.max() <= plain.max() + 1e-6


def test_flip_mirrors_about_half_of_the_images(dataset: ArrayDataset) -> None:
    mirrored = []
    for epoch in (1, 2):
        plain, _ = collect(batches(dataset).train(epoch))
        flipped, _ = collect(batches(dataset, Augmentation(0.0, 0.0, True)).train(epoch))
        same = [np.array_equal(a, b) for a, b in zip(plain, flipped, strict=True)]
        mirrored.append([np.array_equal(a, b[:, ::-1]) for a, b in zip(plain, flipped, strict=True)])
        assert all(a or b for a, b in zip(same, mirrored[-1], strict=True))
        assert 50 < sum(mirrored[-1]) < 120
    assert mirrored[0] != mirrored[1]


@pytest.fixture(scope="module")
def trained(dataset: ArrayDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The folder and the history of a training that nothing interrupts."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "checkpoint-stale").mkdir()
    return folder, train(VGG, STATEFUL, dataset, PREPROCESS, SHAPE, 3, folder, "whole", job=job("/train/"))


def test_training_leaves_the_network_and_its_history_only(trained: tuple[Path, list[Any]]) -> None:
    folder, epochs = trained
    assert sorted(path.name for path in folder.iterdir()) == ["history.json", "trained.keras"]
    assert load_json(folder / "history.json")[0] == {"epochs": epochs}
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4]
    # 170 images are six batches of 32; the schedule multiplies by 0.5 every 10 steps, smoothly.
    rates = [0.01 * 0.5 ** (6 * epoch / 10) for epoch in (1, 2, 3, 4)]
    assert [epoch["learning_rate"] for epoch in epochs] == pytest.approx(rates, rel=1e-5)


def test_trained_network_is_for_inference(trained: tuple[Path, list[Any]], dataset: ArrayDataset) -> None:
    folder, epochs = trained
    model = keras.models.load_model(folder / "trained.keras")
    assert {type(layer).__name__ for layer in model.layers} == {
        "InputLayer",
        "Conv2D",
        "ReLU",
        "BatchNormalization",
        "MaxPooling2D",
        "Flatten",
        "Dense",
    }
    assert not model.compiled
    images = dataset.images("test").astype(np.float32) / 255
    model(images[:1])
    assert model.losses == []
    accuracy = np.mean(np.argmax(model.predict(images, verbose=0), axis=1) == dataset.labels("test"))
    assert accuracy == pytest.approx(epochs[-1]["test_accuracy"], abs=1e-6)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
from test_training import PREPROCESS, SHAPE, STATEFUL, VGG, ArrayDataset, job, train

class Killing(ArrayDataset):
    epoch = 0
    def images(self, split):
        self.epoch += split == "train"
        return Rows(super().images(split), self.epoch if split == "train" else 0)

class Rows:
    def __init__(self, images, epoch):
        self.images, self.epoch, self.batches = images, epoch, 0
        self.shape, self.dtype = images.shape, images.dtype
    def __getitem__(self, rows):
        self.batches += 1
        if (self.epoch, self.batches) == (3, 4):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.images[rows]

train(VGG, STATEFUL, Killing(sys.argv[1]), PREPROCESS, SHAPE, 3, sys.argv[2], "whole", job=job("/train/"))
"""


def test_a_killed_training_resumes_as_if_nothing_had_happened(
    trained: tuple[Path, list[Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "dataset"), str(tmp_path), str(Path(__file__).parent)]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "epoch 2/4: loss" in killed.stderr
    assert "epoch 3/4" not in killed.stderr
    assert not (tmp_path / "trained.keras").exists()

    capfd.readouterr()
    epochs = train(VGG, STATEFUL, dataset, PREPROCESS, SHAPE, 3, tmp_path, "whole", job=job("/train/"))
    shown = capfd.readouterr().err
    assert "epoch 2/4" not in shown
    assert "epoch 4/4: loss" in shown
    folder, expected = trained
    for epoch, other in zip(epochs, expected, strict=True):
        assert {**epoch, "seconds": 0} == pytest.approx({**other, "seconds": 0}, rel=1e-6)
    models = [keras.models.load_model(path / "trained.keras") for path in (tmp_path, folder)]
    for found, wanted in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "history.json", "trained.keras"]


def interrupt(folder: Path, dataset: ArrayDataset, config: Train, key: str) -> Path:
    """Leave the checkpoint of a training that was stopped after its first epoch."""

    class Stopping:
        count, labels = dataset.count, dataset.labels
        epochs = 0

        def images(self, split: str) -> Any:
            self.epochs += split == "train"
            if self.epochs > 1:
                raise KeyboardInterrupt
            return dataset.images(split)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        train(FC, config, Stopping(), PREPROCESS, SHAPE, 3, folder, key, job=job("/train/"))
    return folder / f"checkpoint-{key}"


def test_other_settings_never_resume(dataset: ArrayDataset, tmp_path: Path) -> None:
    stale = interrupt(tmp_path, dataset, recipe(), "one")
    assert stale.is_dir()
    other = recipe(learning_rate=0.02)
    epochs = train(FC, other, dataset, PREPROCESS, SHAPE, 3, tmp_path, "two", job=job("/train/"))
    assert not stale.exists()
    expected = train(FC, other, dataset, PREPROCESS, SHAPE, 3, tmp_path / "fresh", "two", job=job("/train/"))
    assert epochs[0]["loss"] == pytest.approx(expected[0]["loss"], rel=1e-6)


def test_history_ahead_of_the_state_is_cut(dataset: ArrayDataset, tmp_path: Path) -> None:
    history = interrupt(tmp_path, dataset, recipe(), "key") / "history.json"
    saved = json.loads(history.read_text())["epochs"]
    history.write_text(json.dumps({"epochs": [*saved, {**saved[0], "epoch": 2}]}))
    epochs = train(FC, recipe(), dataset, PREPROCESS, SHAPE, 3, tmp_path, "key", job=job("/train/"))
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert epochs[1]["loss"] != saved[0]["loss"]


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("state.weights.h5", lambda data: data[:1000], r"state.weights.h5: not a readable checkpoint \("),
        ("history.json", lambda data: data[:30], r"history.json: not a readable history of a checkpoint \("),
        ("history.json", lambda data: b"\xff" + data, r"history.json: not a readable history of a checkpoint \("),
        ("history.json", lambda data: b'{"epochs": [{}]}', r"history.json: not a readable history of a checkpoint \("),
    ],
)
def test_damaged_checkpoint_is_named(
    dataset: ArrayDataset, tmp_path: Path, file: str, damage: Any, message: str
) -> None:
    damaged = interrupt(tmp_path, dataset, recipe(), "key") / file
    damaged.write_bytes(damage(damaged.read_bytes()))
    with pytest.raises(UserError, match=rf"{message}.*\); delete the folder .*checkpoint-key to train from") as caught:
        train(FC, recipe(), dataset, PREPROCESS, SHAPE, 3, tmp_path, "key", job=job("/train/"))
    assert "\n" not in str(caught.value)


def test_training_learns_and_depends_on_its_seed(dataset: ArrayDataset, tmp_path: Path) -> None:
    config = recipe(epochs=8, decay_rate=1.0)
    epochs = train(FC, config, dataset, PREPROCESS, SHAPE, 3, tmp_path / "one", "key", job=job("/train/"))
    assert epochs[-1]["test_accuracy"] == 1.0
    assert epochs[-1]["loss"] < 0.5 * epochs[0]["loss"]
    same = train(
        FC, recipe(epochs=1, decay_rate=1.0), dataset, PREPROCESS, SHAPE, 3, tmp_path / "two", "key", job=job("/train/")
    )
    other = train(
        FC,
        recipe(epochs=1, decay_rate=1.0, seed=2**40),
        dataset,
        PREPROCESS,
        SHAPE,
        3,
        tmp_path,
        "key",
        job=job("/train/"),
    )
    assert same[0]["loss"] == pytest.approx(epochs[0]["loss"], rel=1e-6)
    assert other[0]["loss"] != pytest.approx(epochs[0]["loss"], rel=1e-3)


def test_staircase_schedule(dataset: ArrayDataset, tmp_path: Path) -> None:
    epochs = train(FC, recipe(staircase=True), dataset, PREPROCESS, SHAPE, 3, tmp_path, "key", job=job("/train/"))
    assert [epoch["learning_rate"] for epoch in epochs] == pytest.approx([0.01, 0.005], rel=1e-5)


def test_divergence_is_named_and_leaves_nothing(dataset: ArrayDataset, tmp_path: Path) -> None:
    config = recipe(optimizer="sgd", learning_rate=1e30)
    with pytest.raises(UserError, match=r"training diverged: the loss is .* in epoch \d; lower train.learning_rate=1e"):
        train(VGG, config, dataset, PREPROCESS, SHAPE, 3, tmp_path, "key", job=job("/train/"))
    assert list(tmp_path.iterdir()) == []


def test_momentum_without_sgd_is_refused(dataset: ArrayDataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train.momentum=0.9, train.nesterov=False: adam has neither"):
        train(FC, recipe(momentum=0.9), dataset, PREPROCESS, SHAPE, 3, tmp_path, "key", job=job("/train/"))


def experiment(outputs: Path) -> Experiment:
    overrides = [f"outputs={outputs}", "dataset.image_shape=[8,8,1]", "dataset.classes=3", "model.dense=[16]"]
    return compose_experiment("fmnist_fc", compose_suite("paper"), [*overrides, "train.epochs=1"])


def run_stage(config: Experiment) -> subprocess.CompletedProcess[str]:
    values = json.dumps(stage_slice(config, "train"))
    command = [sys.executable, "-m", "relu2snn.stages", "train", "--slice", values]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_stage_writes_its_files(tmp_path: Path) -> None:
    make_dataset(Path(Paths.of(experiment(tmp_path)).dataset))
    finished = run_stage(experiment(tmp_path))
    assert finished.returncode == 0, finished.stderr
    assert "epoch 1/1: loss" in finished.stderr
    assert finished.stdout.startswith("fmnist_fc: test accuracy ")
    folder = Path(Paths.of(experiment(tmp_path)).train)
    assert sorted(path.name for path in folder.iterdir()) == ["history.json", "trained.keras"]


def test_stage_without_its_data_set_says_so(tmp_path: Path) -> None:
    finished = run_stage(experiment(tmp_path))
    assert finished.returncode == 1
    assert finished.stderr.startswith("relu2snn train: ")
    assert f"{Paths.of(experiment(tmp_path)).dataset}/source.json: no such file" in finished.stderr
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("most", "steps", "expected"), [(0.99, 938, 0.99), (0.99, 79, 1 - 5 / 79), (0.9, 10, 0.5), (0.9, 3, 0.0)]
)
def test_the_statistics_of_a_short_epoch_follow_the_weights(most: float, steps: int, expected: float) -> None:
    model = _compiled(VGG, recipe(norm_momentum=most), SHAPE, 3, steps)
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert layers
    assert [layer.momentum for layer in layers] == pytest.approx([expected] * len(layers))
