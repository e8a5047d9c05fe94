"""The networks: layers, order, sizes and penalties as the experiments give them."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relu2snn.config import compose_experiment, compose_suite
from relu2snn.config.schema import Dropout, Model
from relu2snn.errors import UserError
from relu2snn.networks.build import build

MNIST = (28, 28, 1)
SHORT = {
    "Conv2D": "conv",
    "Dense": "dense",
    "ReLU": "relu",
    "BatchNormalization": "bn",
    "MaxPooling2D": "pool",
    "Flatten": "flatten",
    "Dropout": "drop",
}


def fc(width: float = 1.0, batch_norm: str = "none") -> Model:
    return Model(name="fc", family="fc", width=width, blocks=[], dense=[600], batch_norm=batch_norm)


def lenet5() -> Model:
    return Model(name="lenet5", family="lenet5", width=1.0, blocks=[], dense=[], batch_norm="before_relu")


def vgg(batch_norm: str = "after_relu") -> Model:
    return Model(name="vgg", family="vgg", width=1.0, blocks=[[4, 5], [6, 7, 8]], dense=[9, 3], batch_norm=batch_norm)


def kinds(model: keras.Model) -> str:
    """The layers after the input, as words; a dropout is followed by its rate."""
    words = []
    for layer in model.layers[1:]:
        word = SHORT[type(layer).__name__]
        words.append(f"{word}{layer.rate}" if word == "drop" else word)
    return " ".join(words)


def weighted(model: keras.Model) -> dict[str, list[tuple[int, ...]]]:
    return {layer.name: [tuple(weight.shape) for weight in layer.weights] for layer in model.layers if layer.weights}


def test_fc_is_784_600_10() -> None:
    model = build(fc(), MNIST, 10)
    assert kinds(model) == "flatten dense relu dense"
    assert weighted(model) == {"dense": [(784, 600), (600,)], "dense_1": [(600, 10), (10,)]}
    assert model.count_params() == 477_010


def test_lenet5_normalises_before_each_relu() -> None:
    model = build(lenet5(), MNIST, 10)
    assert kinds(model) == "conv bn relu pool conv bn relu pool conv bn relu flatten dense bn relu dense"
    assert weighted(model) == {
        "conv2d": [(5, 5, 1, 6), (6,)],
        "batch_normalization": [(6,)] * 4,
        "conv2d_1": [(5, 5, 6, 16), (16,)],
        "batch_normalization_1": [(16,)] * 4,
        "conv2d_2": [(5, 5, 16, 120), (120,)],
        "batch_normalization_2": [(120,)] * 4,
        "dense": [(120, 84), (84,)],
        "batch_normalization_3": [(84,)] * 4,
        "dense_1": [(84, 10), (10,)],
    }
    assert [layer.output.shape[1] for layer in model.layers if isinstance(layer, keras.layers.Conv2D)] == [28, 10, 1]


def test_vgg_normalises_after_each_relu() -> None:
    model = build(vgg(), (8, 8, 3), 10)
    block1, block2 = "conv relu bn conv relu bn pool", "conv relu bn conv relu bn conv relu bn pool"
    assert kinds(model) == f"{block1} {block2} flatten dense relu bn dense relu bn dense"
    names = [layer.name for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert names == ["batch_normalization", *(f"batch_normalization_{number}" for number in range(1, 7))]
    assert all(layer.padding == "same" for layer in model.layers if isinstance(layer, keras.layers.Conv2D))


def test_no_batch_norm() -> None:
    assert kinds(build(vgg("none"), (8, 8, 3), 10)) == (
        "conv relu conv relu pool conv relu conv relu conv relu pool flatten dense relu dense relu dense"
    )


@pytest.mark.parametrize(
    ("experiment", "layers"),
    [
        ("mnist_fc", 2),
        ("mnist_lenet", 5),
        ("mnist_vgg", 16),
        ("cifar10_vgg", 15),
        ("cifar100_vgg", 15),
        ("places365_vgg", 16),
        ("pass_vgg", 16),
    ],
)
def test_published_depth(experiment: str, layers: int) -> None:
    config = compose_experiment(experiment, compose_suite("paper"), ["model.width=0.02"])
    model = build(config.model, config.dataset.image_shape, config.dataset.classes)
    assert sum(isinstance(layer, keras.layers.ReLU) for layer in model.layers) + 1 == layers
    assert model.output_shape == (None, config.dataset.classes)


@settings(max_examples=15, deadline=None)
@given(width=st.floats(1e-4, 4.0))
def test_width_scales_hidden_layers_only(width: float) -> None:
    units = max(1, round(600 * width))
    assert weighted(build(fc(width), MNIST, 10)) == {"dense": [(784, units), (units,)], "dense_1": [(units, 10), (10,)]}


def test_output_is_a_probability() -> None:
    images = np.random.default_rng(0).random((3, 28, 28, 1), dtype=np.float32)
    np.testing.assert_allclose(np.sum(build(lenet5(), MNIST, 10)(images), axis=1), 1, rtol=1e-5)


def test_dropout_where_the_recipes_have_it() -> None:
    dropout = Dropout(first=0.1, between=0.2, dense=0.3)
    assert kinds(build(fc(), MNIST, 10, dropout)) == "flatten dense relu drop0.3 dense"
    assert kinds(build(lenet5(), MNIST, 10, dropout)) == (
        "conv bn relu drop0.1 pool conv bn relu pool conv bn relu flatten drop0.3 dense bn relu drop0.3 dense"
    )
    assert kinds(build(vgg("none"), (8, 8, 3), 10, dropout)) == (
        "conv relu drop0.1 conv relu pool conv relu drop0.2 conv relu drop0.2 conv relu pool "
        "flatten drop0.3 dense relu drop0.3 dense relu drop0.3 dense"
    )
    assert kinds(build(vgg(), (8, 8, 3), 10, dropout)).startswith("conv relu bn drop0.1 conv relu bn pool")


def test_dropout_of_zero_adds_no_layer() -> None:
    assert "drop" not in kinds(build(vgg(), (8, 8, 3), 10, Dropout(first=0.0, between=0.0, dense=0.0)))


def test_activity_l1_is_on_the_output_of_every_hidden_relu() -> None:
    model = build(vgg(), (8, 8, 3), 10, activity_l1=0.01)
    images = np.random.default_rng(0).random((4, 8, 8, 3), dtype=np.float32)
    relus = [layer.output for layer in model.layers if isinstance(layer, keras.layers.ReLU)]
    outputs = keras.Model(model.input, relus)(images, training=False)
    expected = 0.01 * sum(float(np.sum(output)) for output in outputs) / len(images)
    model(images, training=False)
    assert len(model.losses) == len(relus) == 7
    assert sum(float(loss) for loss in model.losses) == pytest.approx(expected, rel=1e-5)


def test_kernel_l2_leaves_out_biases_normalisations_and_the_output() -> None:
    model = build(vgg(), (8, 8, 3), 10, kernel_l2=0.01)
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")][:-1]
    expected = 0.01 * sum(float(np.sum(np.square(kernel))) for kernel in kernels)
    assert sum(float(loss) for loss in model.losses) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (lenet5(), (27, 27, 1), r"model=lenet5, dataset.image_shape=\[27, 27, 1\]: .*5x5 convolution gets 4x4 pixels"),
        (vgg(), (8, 3, 3), r"model=vgg, dataset.image_shape=\[8, 3, 3\]: .*2x2 max pool gets 4x1 pixels"),
        (Model(**{**vars(lenet5()), "dense": [100]}), MNIST, r"model.dense=\[100\]: LeNet5's sizes are fixed"),
        (Model(**{**vars(fc()), "blocks": [[8]]}), MNIST, r"model.blocks=\[\[8\]\]: fc has no blocks"),
        (Model(**{**vars(fc()), "dense": []}), MNIST, r"model.dense=\[\]: fc needs a hidden layer"),
        (Model(**{**vars(fc()), "dense": [0]}), MNIST, r"model.dense=\[0\]: every layer needs a unit"),
        (Model(**{**vars(vgg()), "blocks": []}), MNIST, r"model.blocks=\[\]: vgg needs convolutions"),
        (Model(**{**vars(vgg()), "blocks": [[8], []]}), MNIST, r"model.blocks=\[\[8\], \[\]\]: every block needs"),
    ],
)
def test_wrong_sizes_are_named(model: Model, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build(model, shape, 10)
    assert "\n" not in str(caught.value)


def test_smallest_images_that_fit() -> None:
    assert build(lenet5(), MNIST, 10).output_shape == (None, 10)
    assert build(vgg(), (4, 4, 3), 10).output_shape == (None, 10)
