"""Phase 1 keeps the function of the network, and says clearly what it cannot map."""

import keras
import numpy as np
import pytest
from networks import conv_network, dense_network, randomise
from relu2snn.mapping.network import Affine, Conv2D, Pool

from relu2snn.mapping import (
    UnsupportedLayerError,
    convert,
    fold,
    input_sums,
    logits_model,
    measure,
    read,
    scale,
    to_keras,
    to_spiking,
    verify,
)

LOW, HIGH = -2.0, 3.0


def images(shape: tuple[int, ...], count: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(LOW, HIGH, (count, *shape))


def assert_same_function(model: keras.Model, mapped: keras.Model) -> None:
    x = images(model.input_shape[1:])
    expected = np.asarray(logits_model(model)(x))
    np.testing.assert_allclose(np.asarray(mapped(x)), expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


CONVOLUTIONS = [
    {"padding": "same"},
    {"padding": "valid", "pool_padding": "valid"},
    {"padding": "same", "kernel": (5, 5)},
    {"padding": "same", "kernel": (4, 2)},
    {"padding": "same", "strides": (2, 2)},
    {"padding": "same", "strides": (3, 2), "kernel": (2, 5)},
    {"padding": "same", "dilation": (2, 3)},
    {"padding": "valid", "strides": (2, 1)},
]


@pytest.mark.parametrize("batch_norm", ["none", "before", "after"])
@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_folding_and_scaling_keep_the_function_of_convolutions(batch_norm: str, options: dict) -> None:
    model = conv_network(3, batch_norm, **options)
    network = read(model, LOW, HIGH)
    assert_same_function(model, to_keras(fold(network)))
    assert_same_function(model, to_keras(scale(network, -0.5, 0.3)))


@pytest.mark.parametrize("batch_norm", ["none", "before", "after"])
def test_folding_and_scaling_keep_the_function_of_dense_networks(batch_norm: str) -> None:
    model = dense_network(5, batch_norm)
    network = read(model, LOW, HIGH)
    assert_same_function(model, to_keras(fold(network)))
    assert_same_function(model, to_keras(scale(network, -0.5, 0.3)))


def test_no_batch_norm_is_left_and_negative_scales_turn_max_pools_into_min_pools() -> None:
    network = fold(read(conv_network(3, "after"), LOW, HIGH))
    assert not any(isinstance(node, Affine) for node in network)
    (pool,) = [node for node in network if isinstance(node, Pool)]
    gamma = conv_network(3, "after").layers[3].get_weights()[0]
    assert pool.minimum.tolist() == (gamma < 0).tolist()
    assert 0 < pool.minimum.sum() < pool.minimum.size


def test_a_shift_folded_into_a_padded_convolution_becomes_a_bias_map_and_into_a_valid_one_does_not() -> None:
    padded = [node for node in fold(read(conv_network(3, "after"), LOW, HIGH)) if isinstance(node, Conv2D)]
    assert [node.bias.shape for node in padded] == [(7, 8, 4), (4, 4, 3)]
    valid = fold(read(conv_network(3, "after", padding="valid", pool_padding="valid"), LOW, HIGH))
    assert [node.bias.ndim for node in valid if isinstance(node, Conv2D)] == [1, 1]


def test_scaling_brings_every_hidden_sum_into_the_bounds_and_leaves_the_output_layer() -> None:
    network = read(conv_network(1, "after"), LOW, HIGH)
    before = fold(network).hidden()
    assert any((input_sums(layer) > 0.3).any() for layer in before)
    assert any((input_sums(layer) < -0.5).any() for layer in before)
    scaled = scale(network, -0.5, 0.3)
    for layer in scaled.hidden():
        sums = input_sums(layer)
        assert sums.min() >= -0.5 - 1e-12
        assert sums.max() <= 0.3 + 1e-12
    # A neuron inside the bounds keeps its parameters; only the first layer has no scaled inputs.
    first, sums = scaled.hidden()[0], input_sums(before[0])
    inside = (sums >= -0.5) & (sums <= 0.3)
    np.testing.assert_array_equal(first.kernel[..., inside], before[0].kernel[..., inside])


def test_a_preprocessed_network_reads_back_to_the_same_parameters() -> None:
    network = scale(read(conv_network(2, "after"), LOW, HIGH))
    again = fold(read(to_keras(network)))
    assert list(again.nodes)[2:] == list(network.nodes)[2:]
    for one, other in zip(network.hidden(), again.hidden(), strict=True):
        np.testing.assert_array_equal(one.kernel, other.kernel)
        np.testing.assert_allclose(one.bias, other.bias, rtol=1e-15, atol=0)


def test_layer_maxima_and_activity_are_those_of_all_images_whatever_the_batches() -> None:
    model = conv_network(4, "before")
    network = scale(read(model, LOW, HIGH))
    x = images(model.input_shape[1:], 23)
    scaled = to_keras(network)
    relus = [layer.output for layer in scaled.layers if isinstance(layer, keras.layers.ReLU)]
    outputs = [np.asarray(value) for value in keras.Model(scaled.inputs[0], relus)(x)]
    for batch in (23, 5, 1):
        found = measure(network, (x[i : i + batch] for i in range(0, 23, batch)))
        assert found.images == 23
        np.testing.assert_allclose(found.layer_maxima, [value.max() for value in outputs], rtol=1e-12)
        np.testing.assert_allclose(found.nonzero_fraction, [np.mean(value > 0) for value in outputs])
    assert found.layers == [layer.name for layer in network.hidden()]


def test_nested_sequential_and_reused_models_are_read() -> None:
    block = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6, activation="relu")])
    start = keras.Input((6,))
    model = keras.Model(start, keras.layers.Dense(3)(block(block(start))))
    randomise(block, 1)
    network = read(model, LOW, HIGH)
    assert len(network.hidden()) == 2
    x = images((6,))
    np.testing.assert_allclose(np.asarray(to_keras(fold(network))(x)), np.asarray(logits_model(model)(x)), rtol=1e-9)


def test_a_sequential_model_with_its_own_rescaling_is_converted_and_verified() -> None:
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Rescaling(1 / 255, offset=-0.4),
            keras.layers.Conv2D(3, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
            keras.layers.Softmax(),
        ]
    )
    x = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 1)).astype(float)
    result = verify(model, convert(model, x, 0, 255), x)
    assert (result.images, result.agreement) == (40, 1.0)
    assert result.largest_difference < 1e-11


def build(*layers: keras.layers.Layer, shape: tuple[int, ...] = (8, 8, 2)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *layers])


KL = keras.layers
UNSUPPORTED = [
    (
        lambda: build(KL.Conv2D(2, 3, activation="tanh", name="c"), KL.Flatten(), KL.Dense(2)),
        r"'c'.*'tanh' is not a ReLU",
    ),
    (
        lambda: build(KL.AveragePooling2D(2, name="avg"), KL.Flatten(), KL.Dense(2)),
        r"'avg' \(AveragePooling2D\).*build the",
    ),
    (lambda: build(KL.Conv2D(2, 3, groups=2, name="g"), KL.Flatten(), KL.Dense(2)), r"'g'.*groups=2"),
    (
        lambda: build(KL.Conv2D(2, 3, name="c"), KL.MaxPooling2D(name="p"), KL.Flatten(), KL.Dense(2)),
        r"'p'.*after the ReLU",
    ),
    (lambda: build(KL.ReLU(6.0, name="r6"), KL.Flatten(), KL.Dense(2)), r"'r6'.*max_value=6.0"),
    (lambda: build(KL.Dense(3, name="d"), KL.Flatten(), KL.Dense(2)), r"'d'.*put a Flatten layer before it"),
    (lambda: build(KL.Flatten(), KL.Dense(3, activation="relu", name="d")), r"must end with a dense layer"),
    (lambda: build(KL.Flatten(), KL.Dense(3), KL.Softmax(), KL.Dense(2, name="late")), r"'late'.*follows a softmax"),
]


@pytest.mark.parametrize(("model", "message"), UNSUPPORTED, ids=[message for _, message in UNSUPPORTED])
def test_what_cannot_be_mapped_is_refused_by_name_with_a_reason(model, message: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=message):
        fold(read(model()))


def test_branches_are_refused_by_name() -> None:
    start = keras.Input((4,))
    joined = KL.Add(name="sum")([KL.Dense(3, activation="relu")(start), KL.Dense(3, activation="relu")(start)])
    with pytest.raises(UnsupportedLayerError, match=r"'sum'.*joins several branches"):
        read(keras.Model(start, KL.Dense(2)(joined)))


def test_wrong_arguments_are_named() -> None:
    network = scale(read(dense_network(0)))
    with pytest.raises(ValueError, match=r"upper=1.0: need lower < 0 < upper < 1"):
        scale(network, -1, 1.0)
    with pytest.raises(ValueError, match="1 layer maxima for 2 hidden layers"):
        to_spiking(network, [1.0])
    with pytest.raises(ValueError, match="zeta=-1"):
        to_spiking(network, [1.0, 1.0], zeta=-1)
    with pytest.raises(ValueError, match=r"outside \[0.0, 1.0\]"):
        convert(dense_network(0), np.full((3, 12), 1.5))
