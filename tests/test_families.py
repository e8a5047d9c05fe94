"""The families that are no chains: what their layers are, how many weights they have, and that files give them back."""

from math import prod
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from relu2snn.config import Experiment, compose_experiment, compose_suite
from relu2snn.config import sizes as config_sizes
from relu2snn.config.schema import Dropout, Model
from relu2snn.errors import UserError
from relu2snn.networks.build import build
from relu2snn.networks.weights import load_weights

ROWS = list(compose_suite("graphs").experiments)
SHAPE = (28, 28, 1)


def experiment(name: str, *overrides: str) -> Experiment:
    return compose_experiment(name, compose_suite("graphs"), overrides)


def network(config: Experiment, seed: int = 0, **recipe: Any) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return build(config.model, config.dataset.image_shape, config.dataset.classes, **recipe)


def count(model: keras.Model, kind: type) -> int:
    return sum(isinstance(layer, kind) for layer in model.layers)


def convolution(kernel: int, before: int, after: int, norm: bool = True) -> int:
    """Weights of a convolution with its biases, and of the batch normalisation behind it."""
    return kernel * kernel * before * after + after + (4 * after if norm else 0)


def resnet_weights(widths: list[int]) -> int:
    total, before = convolution(3, 1, widths[0]), widths[0]
    for after in widths:
        for _ in range(3):
            total += convolution(3, before, after) + convolution(3, after, after)
            total += convolution(1, before, after) if before != after else 0
            before = after
    return total + before * 10 + 10


def mobilenet_weights(widths: list[int]) -> int:
    first, *others = widths
    total, before = convolution(3, 1, first), first
    for after in others:
        total += 9 * before + before + 4 * before + convolution(1, before, after)
        before = after
    return total + before * 10 + 10


def inception_weights(stem: int, modules: list[int]) -> int:
    total, before = convolution(3, 1, stem), stem
    for after in modules:
        e = after // 8
        total += 2 * convolution(1, before, 2 * e) + convolution(1, before, e) + convolution(3, e, 3 * e)
        total += convolution(1, before, e // 2) + convolution(5, e // 2, e)
        before = after
    return total + before * 10 + 10


def allconv_weights(widths: list[int]) -> int:
    total, before = 0, 1
    for after in widths:
        total += convolution(3, before, after, norm=False)
        before = after
    return total + convolution(1, before, before, norm=False) + convolution(1, before, 10, norm=False)


WEIGHTS = {
    "fmnist_resnet": resnet_weights([16, 32, 64]),
    "fmnist_mobilenet": mobilenet_weights([32, 64, 128, 128, 256, 256]),
    "fmnist_inception": inception_weights(32, [64, 64, 128, 128]),
    "fmnist_allconv": allconv_weights([96, 96, 96, 192, 192, 192, 192]),
}


@pytest.mark.parametrize("name", ROWS)
def test_the_whole_width_has_as_many_weights_as_its_formula(name: str) -> None:
    model = network(experiment(name, "model.width=1"))
    assert model.input_shape == (None, *SHAPE)
    assert model.output_shape == (None, 10)
    assert model.count_params() == WEIGHTS[name]


def test_resnet20_has_twenty_layers_and_two_projections() -> None:
    model = network(experiment("fmnist_resnet"))
    assert count(model, keras.layers.Conv2D) + count(model, keras.layers.Dense) == 20 + 2
    assert count(model, keras.layers.Add) == 9
    assert count(model, keras.layers.ReLU) == 19
    assert count(model, keras.layers.BatchNormalization) == count(model, keras.layers.Conv2D)
    assert [layer.output.shape[1] for layer in model.layers if isinstance(layer, keras.layers.Add)] == (
        [28] * 3 + [14] * 3 + [7] * 3
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert isinstance(layer.input._keras_history.operation, keras.layers.Conv2D)


def test_mobilenet_bounds_every_relu_at_six() -> None:
    model = network(experiment("fmnist_mobilenet"))
    relus = [layer for layer in model.layers if isinstance(layer, keras.layers.ReLU)]
    assert len(relus) == 11
    assert {float(layer.max_value) for layer in relus} == {6.0}
    depthwise = [layer for layer in model.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
    assert [layer.strides for layer in depthwise] == [(1, 1), (2, 2), (1, 1), (2, 2), (1, 1)]


def test_inception_joins_four_branches_of_each_module() -> None:
    model = network(experiment("fmnist_inception", "model.width=1"))
    joins = [layer for layer in model.layers if isinstance(layer, keras.layers.Concatenate)]
    assert [layer.output.shape[1:] for layer in joins] == [(14, 14, 64)] * 2 + [(7, 7, 128)] * 2
    assert [[part.shape[-1] for part in layer.input] for layer in joins[:1]] == [[16, 24, 8, 16]]
    assert count(model, keras.layers.AveragePooling2D) == 4
    assert count(model, keras.layers.MaxPooling2D) == 2


def test_allconv_ends_in_a_pooled_convolution() -> None:
    model = network(experiment("fmnist_allconv"))
    assert count(model, keras.layers.Dense) == 0
    assert [type(layer).__name__ for layer in model.layers[-4:]] == [
        "ReLU", "Conv2D", "GlobalAveragePooling2D", "Softmax",
    ]  # fmt: skip
    strides = [layer.strides[0] for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert strides == [1, 1, 2, 1, 1, 2, 1, 1, 1]


@pytest.mark.parametrize("name", ROWS)
def test_the_seed_decides_the_first_weights(name: str) -> None:
    config = experiment(name)
    first, again, other = (network(config, seed).get_weights() for seed in (3, 3, 4))
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(first, other, strict=True))


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_files_of_weights_give_the_same_predictions(tmp_path: Path, name: str, suffix: str) -> None:
    """Branches are numbered otherwise in files than in the order in which they were added."""
    config, path = experiment(name), tmp_path / f"network{suffix}"
    trained = network(config, 1, dropout=Dropout(first=0.1, between=0.2, dense=0.3))
    random = np.random.default_rng(0)
    trained.set_weights(
        [
            random.normal(0, (2 / prod(weight.shape[:-1])) ** 0.5, weight.shape)
            if weight.ndim > 1
            else random.uniform(0.5, 1.5, weight.shape)
            for weight in trained.get_weights()
        ]
    )
    trained.save_weights(path) if suffix == ".weights.h5" else trained.save(path)
    model = network(config, 2)
    load_weights(model, path)
    images = random.random((5, *SHAPE), dtype=np.float32)
    expected = np.asarray(trained(images, training=False))
    # Random statistics leave little of what tells the images apart, but much more than rounding.
    differ = np.ptp(expected, axis=0).max()
    assert differ > 1e-6
    np.testing.assert_allclose(np.asarray(model(images, training=False)), expected, rtol=0, atol=min(1e-5, differ / 20))


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("batch_norm", ["none", "before_relu", "after_relu"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (33, 17, 3), (1, 1, 1)])
def test_sizes_are_counted_as_they_are_built(monkeypatch, name: str, batch_norm: str, shape: tuple[int, ...]) -> None:
    """The walk before the building sees every weight of a kernel and the largest output."""
    model = Model(**{**vars(experiment_model(name)), "batch_norm": batch_norm})
    built = build(model, shape, 7)
    kernels = sum(prod(weight.shape) for weight in built.weights if weight.name == "kernel")
    kept = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense, keras.layers.Concatenate)
    largest = max(prod(layer.output.shape[1:]) for layer in built.layers if isinstance(layer, kept))
    for key, most in (("_MOST_WEIGHTS", kernels), ("_MOST_VALUES", largest)):
        with monkeypatch.context() as patch:
            patch.setattr(config_sizes, key, most)
            config_sizes.check_sizes(model, shape, 7)
            patch.setattr(config_sizes, key, most - 1)
            with pytest.raises(UserError, match=r"the network would have"):
                config_sizes.check_sizes(model, shape, 7)


def experiment_model(name: str) -> Model:
    found = experiment(name, "model.width=0.25").model
    blocks = [list(block) for block in found.blocks]
    return Model(found.name, found.family, found.width, blocks, [], found.batch_norm)


def test_penalties_are_on_every_hidden_kernel_and_relu() -> None:
    for name in ROWS:
        model = network(experiment(name), kernel_l2=0.01, activity_l1=0.01)
        kernels = [weight for weight in model.weights if weight.name == "kernel"]
        output = [layer for layer in model.layers if getattr(layer, "kernel", None) is not None][-1]
        hidden = [kernel for kernel in kernels if kernel is not output.kernel]
        expected = 0.01 * sum(float(np.sum(np.square(kernel))) for kernel in hidden)
        penalties = [float(loss) for loss in model.losses]
        assert sum(penalties) == pytest.approx(expected, rel=1e-4)
        model(np.zeros((1, *SHAPE), np.float32))
        assert len(model.losses) == len(penalties) + count(model, keras.layers.ReLU)


@pytest.mark.parametrize("family", ["resnet", "mobilenet", "inception", "allconv"])
def test_sizes_that_a_family_cannot_have_are_named(family: str) -> None:
    model = Model(name="x", family=family, width=1.0, blocks=[[4], [8]], dense=[], batch_norm="none")
    assert build(model, (8, 8, 1), 3).output_shape == (None, 3)
    for change, message in (
        ({"dense": [5]}, rf"model.dense=\[5\]: {family} has no hidden dense layer"),
        ({"blocks": []}, rf"model.blocks=\[\]: {family} needs convolutions"),
        ({"blocks": [[8], []]}, "every block needs a convolution"),
    ):
        with pytest.raises(UserError, match=message):
            build(Model(**{**vars(model), **change}), (8, 8, 1), 3)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_real_fashion_mnist_and_reports_nothing_of_others(name: str) -> None:
    config = experiment(name)
    assert (config.dataset.name, config.dataset.source.kind, config.dataset.source.train_images) == (
        "fmnist",
        "real",
        60_000,
    )
    assert config.published.accuracy is config.published.source is None
    assert config.weights.source == "train"
