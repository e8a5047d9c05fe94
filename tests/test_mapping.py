"""Phase 1 keeps the function of the network, and says clearly what it cannot map."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from networks import conv_network, dense_network, randomise, scaled_network
from numpy.typing import NDArray

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.linear import input_sums
from relu2snn.graph.nodes import Extremum, Network, Segment
from relu2snn.mapping import (
    UnsupportedLayerError,
    bounded_sums,
    convert,
    logits_model,
    measure,
    read_keras,
    relu_model,
    relu_network,
    to_spiking,
    values_model,
    verify,
)

LOW, HIGH = -2.0, 3.0
KL = keras.layers


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
    network = read_keras(model, LOW, HIGH)
    assert_same_function(model, relu_model(network))
    assert_same_function(model, relu_model(bounded_sums(network, -0.5, 0.3)))


@pytest.mark.parametrize("batch_norm", ["none", "before", "after"])
def test_folding_and_scaling_keep_the_function_of_dense_networks(batch_norm: str) -> None:
    model = dense_network(5, batch_norm)
    network = read_keras(model, LOW, HIGH)
    assert_same_function(model, relu_model(network))
    assert_same_function(model, relu_model(bounded_sums(network, -0.5, 0.3)))


def convolutions(network: Network) -> list[Segment]:
    """The segments that are convolutions of images."""
    maps = {node.name: next(iter(node.maps.values())) for node in network.segments}
    return [
        node
        for node in network.segments
        if isinstance(maps[node.name], Convolution) and maps[node.name].window.rank == 2
    ]


def sums_of(node: Segment) -> NDArray[np.float64]:
    return input_sums(node.maps, node.shape[-1])


def test_no_batch_norm_is_left_and_negative_scales_turn_max_pools_into_min_pools() -> None:
    network = read_keras(conv_network(3, "after"), LOW, HIGH)
    kinds = [type(node).__name__ for node in network]
    assert kinds == ["Source", "Segment", "Extremum", "Segment", "Segment", "Readout"]
    (pool,) = [node for node in network if isinstance(node, Extremum)]
    gamma = conv_network(3, "after").layers[3].get_weights()[0]
    assert pool.minimum.tolist() == (gamma < 0).tolist()
    assert 0 < pool.minimum.sum() < pool.minimum.size


def test_a_shift_folded_into_a_padded_convolution_becomes_a_bias_map_and_into_a_valid_one_does_not() -> None:
    padded = convolutions(read_keras(conv_network(3, "after"), LOW, HIGH))
    assert [node.bias.shape for node in padded] == [(7, 8, 4), (4, 4, 3)]
    valid = read_keras(conv_network(3, "after", padding="valid", pool_padding="valid"), LOW, HIGH)
    assert [node.bias.ndim for node in convolutions(valid)] == [1, 1]


def test_scaling_brings_every_hidden_sum_into_the_bounds_and_leaves_the_output_layer() -> None:
    network = read_keras(conv_network(1, "after"), LOW, HIGH)
    before = network.segments
    assert any((sums_of(node) > 0.3).any() for node in before)
    assert any((sums_of(node) < -0.5).any() for node in before)
    scaled = bounded_sums(network, -0.5, 0.3)
    for node in scaled.segments:
        sums = sums_of(node)
        assert sums.min() >= -0.5 - 1e-12
        assert sums.max() <= 0.3 + 1e-12
    # A neuron inside the bounds keeps its parameters; only the first layer has no scaled inputs.
    first, sums = convolutions(bounded_sums(network, -2.0, 0.3))[0], sums_of(before[0])
    inside = (sums >= -2.0) & (sums <= 0.3)
    assert 0 < inside.sum() < inside.size
    (new,), (old,) = first.maps.values(), before[0].maps.values()
    np.testing.assert_array_equal(new.kernel[..., inside], old.kernel[..., inside])
    assert (new.kernel[..., ~inside] != old.kernel[..., ~inside]).all()


def test_a_preprocessed_network_reads_back_to_the_same_parameters() -> None:
    network = scaled_network(conv_network(2, "after"), LOW, HIGH)
    again = relu_network(relu_model(network))
    assert list(again.nodes) == list(network.nodes)
    assert again.tensors == network.tensors
    for one, other in zip(network.segments, again.segments, strict=True):
        (kernel,), (found,) = one.maps.values(), other.maps.values()
        for first, second in ((kernel, found), (getattr(kernel, "second", kernel), getattr(found, "second", found))):
            assert type(first) is type(second)
        np.testing.assert_array_equal(first.kernel, second.kernel)
        np.testing.assert_array_equal(one.bias, other.bias)
        np.testing.assert_array_equal(one.populations[0].scale, other.populations[0].scale)


def test_layer_maxima_and_activity_are_those_of_all_images_whatever_the_batches() -> None:
    model = conv_network(4, "before")
    network = scaled_network(model, LOW, HIGH)
    x = images(model.input_shape[1:], 23)
    scaled = relu_model(network)
    outputs = [np.asarray(value) for value in values_model(scaled)(x).values()]
    for batch in (23, 5, 1):
        found = measure(scaled, (x[i : i + batch] for i in range(0, 23, batch)))
        assert found.images == 23
        for each, value in zip(found.channel_maxima.values(), outputs, strict=True):
            np.testing.assert_allclose(each, value.reshape(-1, value.shape[-1]).max(axis=0), rtol=1e-12)
        assert found.maxima == {name: each.max() for name, each in found.channel_maxima.items()}
        np.testing.assert_allclose(found.nonzero_fraction, [np.mean(value > 0) for value in outputs])
    names = [layer.name for layer in model.layers if isinstance(layer, KL.Conv2D | KL.Dense)]
    assert found.layers == list(network.populations) == names[:-1]


def test_nested_sequential_and_reused_models_are_read() -> None:
    block = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6, activation="relu")])
    start = keras.Input((6,))
    model = keras.Model(start, keras.layers.Dense(3)(block(block(start))))
    randomise(block, 1)
    network = read_keras(model, LOW, HIGH)
    assert len(network.populations) == 2
    x = images((6,))
    np.testing.assert_allclose(np.asarray(relu_model(network)(x)), np.asarray(logits_model(model)(x)), rtol=1e-9)


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
    result = verify(model, convert(model, x, low=0, high=255), x)
    assert (result.images, result.agreement) == (40, 1.0)
    assert result.largest_difference < 1e-11


def build(*layers: keras.layers.Layer, shape: tuple[int, ...] = (8, 8, 2)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *layers])


UNSUPPORTED = [
    (
        lambda: build(KL.Conv2D(2, 3, activation="tanh", name="c"), KL.Flatten(), KL.Dense(2)),
        r"'c' \(Conv2D\).*'tanh' is not piecewise linear",
    ),
    (lambda: build(KL.LayerNormalization(name="n"), KL.Flatten(), KL.Dense(2)), r"'n' \(LayerNormalization\): it"),
    (
        lambda: build(KL.Flatten(), KL.Dense(3), KL.Softmax(name="s"), KL.Dense(2, name="late")),
        r"'s' \(Softmax\): activation 'softmax' .*may only stand at the very end, but layer 'late' \(Dense\) follows",
    ),
]


@pytest.mark.parametrize(("model", "message"), UNSUPPORTED, ids=[message for _, message in UNSUPPORTED])
def test_what_cannot_be_mapped_is_refused_by_name_with_a_reason(model: Callable[[], Any], message: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=message):
        read_keras(model())


def branched() -> keras.Model:
    start = keras.Input((8, 8, 2))
    left, right = (KL.Conv2D(3, size, padding="same", activation="relu")(start) for size in (1, 3))
    return keras.Model(start, KL.Dense(2)(KL.Flatten()(KL.Add()([left, right]))))


MAPPED = {
    "average pool": lambda: build(
        KL.AveragePooling2D(2), KL.Conv2D(3, 3, activation="relu"), KL.Flatten(), KL.Dense(2)
    ),
    "groups": lambda: build(KL.Conv2D(4, 3, groups=2, activation="relu"), KL.Flatten(), KL.Dense(2)),
    "pool before the ReLU": lambda: build(KL.Conv2D(3, 3), KL.MaxPooling2D(), KL.ReLU(), KL.Flatten(), KL.Dense(2)),
    "ReLU6": lambda: build(KL.Conv2D(3, 3), KL.ReLU(6.0), KL.Flatten(), KL.Dense(2)),
    "dense on maps": lambda: build(KL.Dense(3, activation="relu"), KL.Flatten(), KL.Dense(2)),
    "ReLU at the end": lambda: build(KL.Flatten(), KL.Dense(5, activation="relu"), KL.Dense(3, activation="relu")),
    "branches": branched,
}


@pytest.mark.parametrize("name", MAPPED)
def test_networks_that_are_no_chains_of_three_layers_are_converted_and_exact(name: str) -> None:
    """What earlier versions refused."""
    model = randomise(MAPPED[name](), 1)
    x = images((8, 8, 2), 12)
    result = verify(model, convert(model, x, low=LOW, high=HIGH, zeta=60.0), x)
    assert result.exact, result
    assert (result.agreement, result.images) == (1.0, 12)


def test_wrong_arguments_are_named() -> None:
    network = scaled_network(dense_network(0), 0.0, 1.0)
    with pytest.raises(ValueError, match=r"upper=1.0: need lower < 0 < upper < 1"):
        bounded_sums(network, -1, 1.0)
    first, second = network.populations
    with pytest.raises(ValueError, match=rf"layer '{second}': no maximum was measured"):
        to_spiking(network, {first: 1.0}, mapping="published")
    with pytest.raises(ValueError, match="zeta=-1"):
        to_spiking(network, {first: 1.0, second: 1.0}, mapping="published", zeta=-1)
    with pytest.raises(ValueError, match=r"outside \[0.0, 1.0\]"):
        convert(dense_network(0), np.full((3, 12), 1.5))
