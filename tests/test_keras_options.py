"""Options of Keras' layers that change what they compute, each against Keras in float64."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from test_read_keras import LOW, build, compare, in_float64, randomise

from relu2snn.mapping.read_keras import read_keras

L = layers
RELU = L.ReLU


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with in_float64():
        yield


CHAINS: dict[str, tuple[tuple[int, ...], Callable[[], list[Any]]]] = {
    "conv1d groups": ((9, 4), lambda: [L.Conv1D(6, 3, groups=2, dilation_rate=2, padding="same"), RELU()]),
    "conv1d causal strides": ((10, 2), lambda: [L.Conv1D(4, 3, strides=2, padding="causal"), RELU(), L.Conv1D(2, 2)]),
    "conv2d even kernel": ((7, 6, 2), lambda: [L.Conv2D(3, (4, 2), strides=(3, 2), padding="same"), RELU()]),
    "conv2d without bias": (
        (7, 6, 2),
        lambda: [L.Conv2D(3, 2, use_bias=False), RELU(), L.Conv2D(2, 2, use_bias=False)],
    ),
    "conv3d dilated": ((6, 5, 5, 1), lambda: [L.Conv3D(2, 2, dilation_rate=2, padding="same"), RELU()]),
    "depthwise1d strides": (
        (9, 3),
        lambda: [L.DepthwiseConv1D(3, strides=2, padding="same", depth_multiplier=2), RELU()],
    ),
    "depthwise2d dilated": ((9, 8, 3), lambda: [L.DepthwiseConv2D(3, dilation_rate=2, padding="same"), RELU()]),
    "depthwise2d inline": ((6, 6, 2), lambda: [L.DepthwiseConv2D((2, 3), use_bias=False, activation="relu6")]),
    "separable1d strides": ((9, 3), lambda: [L.SeparableConv1D(4, 3, strides=2, depth_multiplier=2), RELU()]),
    "separable1d dilated": ((9, 3), lambda: [L.SeparableConv1D(4, 3, dilation_rate=2, padding="same"), RELU()]),
    "separable2d dilated": ((9, 8, 3), lambda: [L.SeparableConv2D(4, 2, dilation_rate=2, padding="same"), RELU()]),
    "transposed1d valid": ((5, 3), lambda: [L.Conv1DTranspose(4, 4, strides=3), RELU(), L.Conv1D(2, 3)]),
    "transposed1d dilated": ((6, 3), lambda: [L.Conv1DTranspose(4, 3, dilation_rate=2, padding="same"), RELU()]),
    "transposed1d extra": (
        (5, 3),
        lambda: [L.Conv1DTranspose(4, 3, strides=2, padding="same", output_padding=0), RELU()],
    ),
    "transposed2d uneven": ((4, 3, 2), lambda: [L.Conv2DTranspose(3, (2, 5), strides=(3, 2), padding="same"), RELU()]),
    "transposed2d dilated": ((5, 4, 2), lambda: [L.Conv2DTranspose(3, (3, 2), dilation_rate=2), RELU()]),
    "transposed2d dilated same": (
        (5, 4, 2),
        lambda: [L.Conv2DTranspose(3, 3, dilation_rate=2, padding="same"), RELU()],
    ),
    "transposed2d twice": (
        (3, 3, 2),
        lambda: [L.Conv2DTranspose(3, 3, strides=2, padding="same"), RELU(), L.Conv2DTranspose(2, 2, strides=2)],
    ),
    "transposed3d valid": ((2, 3, 2, 2), lambda: [L.Conv3DTranspose(2, (2, 3, 2), strides=(1, 2, 2)), RELU()]),
    "padding2d of one number": ((5, 4, 2), lambda: [L.ZeroPadding2D(2), L.Conv2D(3, 3), RELU()]),
    "padding2d of a pair": ((5, 4, 2), lambda: [L.ZeroPadding2D((0, 2)), L.Conv2D(3, 3), RELU()]),
    "padding of a shift": (
        (6, 5, 2),
        lambda: [
            L.Conv2D(3, 2, activation="relu"),
            L.BatchNormalization(),
            L.ZeroPadding2D(((2, 0), (1, 3))),
            L.DepthwiseConv2D(3, strides=2, padding="same"),
            L.BatchNormalization(),
            RELU(),
            L.Conv2D(2, 1),
        ],
    ),
    "padding of a shift, average": (
        (6, 5, 2),
        lambda: [
            L.Conv2D(3, 2, activation="relu"),
            L.BatchNormalization(),
            L.ZeroPadding2D(1),
            L.AveragePooling2D(3, 2),
            L.Conv2D(2, 1),
            RELU(),
        ],
    ),
    "padding between pools": (
        (9, 8, 2),
        lambda: [
            L.Conv2D(3, 2),
            L.BatchNormalization(),
            L.MaxPooling2D(2, 1, "same"),
            L.ZeroPadding2D(1),
            L.MaxPooling2D(3, 2),
            RELU(),
            L.Conv2D(2, 1),
        ],
    ),
    "cropping of a shift": (
        (6, 5, 2),
        lambda: [L.BatchNormalization(), L.ZeroPadding2D(2), L.Cropping2D((1, 3)), L.Conv2D(3, 2), RELU()],
    ),
    "norm without scale": ((5, 4, 2), lambda: [L.Conv2D(3, 2), L.BatchNormalization(scale=False), RELU()]),
    "norm without centre": (
        (5, 4, 2),
        lambda: [L.Conv2D(3, 2), L.BatchNormalization(center=False, epsilon=0.1), RELU()],
    ),
    "norm of a sequence": (
        (6, 3),
        lambda: [L.Conv1D(3, 2), RELU(), L.BatchNormalization(), L.Conv1D(2, 3, padding="same")],
    ),
    "norm of units": ((5,), lambda: [L.Dense(6), L.BatchNormalization(), RELU(), L.BatchNormalization(), L.Dense(2)]),
    "normalization of all": (
        (4, 3, 2),
        lambda: [L.Normalization(axis=None, mean=0.3, variance=2.0), L.Conv2D(3, 2), RELU()],
    ),
    "normalization, inverted": (
        (4, 3, 2),
        lambda: [L.Normalization(mean=[0.1, 0.2], variance=[0.5, 2.0], invert=True), L.Conv2D(3, 2), RELU()],
    ),
    "normalization of rows": (
        (2, 3, 2),
        lambda: [L.Normalization(axis=1, mean=[0.1, 0.2], variance=[0.5, 2.0]), L.Conv2D(3, 2), RELU()],
    ),
    "rescaling by channel": ((4, 3, 2), lambda: [L.Rescaling([0.5, -2.0], offset=[1.0, 0.5]), L.Conv2D(3, 2), RELU()]),
    "max pool1d valid": ((9, 2), lambda: [L.Conv1D(3, 2), RELU(), L.MaxPooling1D(3, 2), L.Conv1D(2, 2), RELU()]),
    "max pool2d, overlapping": (
        (9, 8, 2),
        lambda: [L.Conv2D(3, 2), RELU(), L.MaxPooling2D((2, 3), 1, "same"), L.Conv2D(2, 1)],
    ),
    "max pool3d same": (
        (4, 5, 3, 1),
        lambda: [L.Conv3D(2, 2), RELU(), L.MaxPooling3D(2, 1, "same"), L.Conv3D(2, 1), RELU()],
    ),
    "average pool1d valid": ((9, 2), lambda: [L.AveragePooling1D(2), L.Conv1D(3, 2), RELU()]),
    "average pool2d same": (
        (7, 6, 2),
        lambda: [L.Conv2D(3, 2), RELU(), L.AveragePooling2D((3, 2), (2, 2), "same"), RELU()],
    ),
    "average pool3d same": (
        (4, 5, 3, 1),
        lambda: [L.Conv3D(2, 2), RELU(), L.AveragePooling3D(2, 2, "same"), L.Conv3D(2, 1)],
    ),
    "global max2d, kept": (
        (6, 5, 2),
        lambda: [L.Conv2D(3, 2), RELU(), L.GlobalMaxPooling2D(keepdims=True), L.Conv2D(2, 1)],
    ),
    "global max3d, kept": ((3, 3, 3, 2), lambda: [L.Conv3D(3, 2), L.GlobalMaxPooling3D(keepdims=True), RELU()]),
    "global average1d, kept": ((6, 2), lambda: [L.Conv1D(3, 2), RELU(), L.GlobalAveragePooling1D(keepdims=True)]),
    "global average2d, kept": ((6, 5, 2), lambda: [L.Conv2D(3, 2), L.GlobalAveragePooling2D(keepdims=True), RELU()]),
    "global max before relu": ((6, 5, 2), lambda: [L.Conv2D(3, 2), L.GlobalMaxPooling2D(), RELU(), L.Dense(2)]),
    "reshape, open": ((12,), lambda: [L.Dense(12), RELU(), L.Reshape((-1, 3, 2)), L.Conv2D(2, 2), RELU()]),
    "permute of a map": ((4, 3, 2), lambda: [L.Conv2D(3, 2), L.Permute((2, 3, 1)), RELU(), L.Conv2D(2, 1)]),
    "repeat of images": ((4,), lambda: [L.RepeatVector(3), L.Dense(3), RELU()]),
    "upsampling of a shift": (
        (4, 3, 2),
        lambda: [L.BatchNormalization(), L.UpSampling2D((3, 1)), L.Conv2D(3, 2, padding="same"), RELU()],
    ),
    "relu6 by name": ((6, 5, 2), lambda: [L.Conv2D(3, 2, activation="relu6"), L.MaxPooling2D(2), L.Conv2D(2, 1)]),
    "relu6 that clips": ((5,), lambda: [L.Rescaling(9.0), L.Dense(8, activation="relu6"), L.Dense(2)]),
    "leaky_relu by name": ((5,), lambda: [L.Dense(8, activation="leaky_relu"), L.Dense(2)]),
    "leaky, slope above 1": ((5,), lambda: [L.Dense(8), L.LeakyReLU(1.5), L.Dense(2)]),
    "leaky, slope 0": ((5,), lambda: [L.Dense(8), L.LeakyReLU(0.0), L.Dense(2)]),
    "relu of max and slope, pooled": (
        (7, 6, 2),
        lambda: [L.Conv2D(3, 2), L.MaxPooling2D(2), L.ReLU(0.5, negative_slope=0.2), L.Conv2D(2, 1)],
    ),
    "prelu over rows": ((6, 5, 2), lambda: [L.Conv2D(3, 2), L.PReLU(shared_axes=(2,)), L.Conv2D(2, 1)]),
    "hard_sigmoid that clips": ((5,), lambda: [L.Rescaling(9.0), L.Dense(8, activation="hard_sigmoid"), L.Dense(2)]),
    "hard_sigmoid, pooled": (
        (6, 5, 2),
        lambda: [L.Conv2D(3, 2), L.Activation("hard_sigmoid"), L.MaxPooling2D(2), L.Conv2D(2, 1)],
    ),
    "hard_tanh, pooled": (
        (6, 5, 2),
        lambda: [L.Conv2D(3, 2), L.MaxPooling2D(2), L.Activation("hard_tanh"), L.Conv2D(2, 1)],
    ),
    "sparse_sigmoid": ((5,), lambda: [L.Rescaling(3.0), L.Dense(8, activation="sparse_sigmoid"), L.Dense(2)]),
    "linear by name": ((5,), lambda: [L.Dense(8, activation="linear"), L.Activation("linear"), RELU(), L.Dense(2)]),
    "a pooled convolution head": (
        (7, 6, 2),
        lambda: [L.Conv2D(3, 2), RELU(), L.Conv2D(4, 1), L.GlobalAveragePooling2D(), L.Softmax()],
    ),
    "a max-pooled head": ((7, 6, 2), lambda: [L.Conv2D(3, 2), RELU(), L.Conv2D(4, 1), L.MaxPooling2D(2)]),
    "a map of classes": ((7, 6, 2), lambda: [L.Conv2D(3, 2), RELU(), L.Dense(4, activation="log_softmax")]),
    "a pool at the end": ((7, 6, 2), lambda: [L.Conv2D(3, 2), L.GlobalMaxPooling2D(), L.Activation("sigmoid")]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_an_option_is_read_as_keras_computes_it(name: str) -> None:
    shape, steps = CHAINS[name]
    compare(build(shape, *steps()))


def broadcast() -> Any:
    inputs = keras.Input((4, 3))
    row = L.Dense(3, activation="relu")(L.Flatten()(inputs))
    wide = L.Conv1D(3, 1, activation="relu")(inputs)
    flat = L.Reshape((1, 3))(row)
    return inputs, L.Dense(2)(
        L.Concatenate(axis=-1)([L.Add()([wide, flat]), L.Maximum()([flat, wide]), L.Average()([inputs, flat, wide])])
    )


def ranks() -> Any:
    inputs = keras.Input((4, 3))
    row = L.Dense(3, activation="relu")(L.Flatten()(inputs))
    return inputs, L.Dense(2)(RELU()(L.Subtract()([inputs, row])))


def halves() -> Any:
    inputs = keras.Input((6, 5, 2))
    tensor = L.Conv2D(4, 3, padding="same")(inputs)
    parts = [L.MaxPooling2D(2)(tensor), L.AveragePooling2D(2)(tensor), L.Cropping2D(((3, 0), (3, 0)))(tensor)]
    low = L.Minimum()([L.Maximum()(parts), parts[1]])
    return inputs, [L.Concatenate(axis=2)([low, *parts]), L.Softmax()(L.Flatten()(low))]


def same_twice() -> Any:
    inputs = keras.Input((5,))
    hidden = L.Dense(4, activation="relu")(inputs)
    out = L.Dense(3)(L.Add()([hidden, hidden]))
    return inputs, [out, hidden, L.Concatenate()([hidden, hidden])]


def pooled_by_both() -> Any:
    inputs = keras.Input((6, 5, 2))
    tensor = L.BatchNormalization()(L.Conv2D(4, 3, padding="same", activation="relu")(inputs))
    return inputs, L.Dense(2)(L.Add()([L.GlobalMaxPooling2D()(tensor), L.GlobalAveragePooling2D()(tensor)]))


def stacked() -> Any:
    """A model of a model, shared, with one of its outputs unused."""
    start = keras.Input((5, 4, 2))
    inner = keras.Model(start, [L.Conv2D(2, 1, activation="relu")(start), L.GlobalMaxPooling2D()(start)])
    block = keras.Sequential([keras.Input((5, 4, 2)), L.BatchNormalization(), L.Conv2D(2, 1), L.LeakyReLU()])
    inputs = keras.Input((5, 4, 2))
    first, _ = inner(block(inputs))
    second, top = inner(block(first))
    return inputs, [L.Conv2D(3, 2, activation="softmax")(second), L.Dense(2, activation="tanh")(top)]


@pytest.mark.parametrize(
    "graph", [broadcast, ranks, halves, same_twice, pooled_by_both, stacked], ids=lambda graph: graph.__name__
)
def test_a_graph_is_read_as_keras_computes_it(graph: Callable[[], Any]) -> None:
    inputs, outputs = graph()
    model = keras.Model(inputs, outputs)
    randomise(model)
    compare(model)


def test_networks_of_keras_applications_are_read() -> None:
    """Deep graphs with random weights: every layer is known, and no neuron is lost."""
    model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), alpha=0.35, classes=5)
    network = read_keras(model, LOW, 1.0)
    assert len(network.segments) == sum(isinstance(layer, L.ReLU) for layer in model.layers)
    assert network.readouts[0].activation == "softmax"
    np.testing.assert_array_equal(network.readouts[0].shape, (5,))
