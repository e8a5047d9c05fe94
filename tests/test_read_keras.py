"""What is read from a Keras model computes what Keras computes, layer by layer, in float64."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from relu2snn.graph.nodes import Extremum, Network, Segment, evaluate
from relu2snn.mapping.read_keras import read_keras
from relu2snn.mapping.scaling import bounded_sums

LOW, HIGH = -1.0, 2.0


@contextmanager
def in_float64() -> Iterator[None]:
    """Layers made meanwhile compute in float64: the policy is Keras' own, made once of the first floatx."""
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with in_float64():
        yield


def randomise(model: keras.Model, seed: int = 0) -> None:
    """Weights of every kind, so that no term of a layer is absent by chance."""
    draw = np.random.default_rng(seed)
    for variable in model.variables:
        if "seed" in variable.path:
            continue
        values = draw.normal(size=variable.shape) / np.sqrt(max(np.prod(variable.shape[:-1]), 1))
        variable.assign(np.abs(values) + 0.5 if "variance" in variable.path else values)


def build(shape: tuple[int, ...], *steps: Any) -> keras.Model:
    inputs = tensor = keras.Input(shape)
    for step in steps:
        tensor = step(tensor)
    model = keras.Model(inputs, tensor)
    randomise(model)
    return model


def in_float32(model: keras.Model) -> keras.Model:
    """A copy of a chain that computes in float32."""
    keras.config.set_floatx("float32")
    inputs = tensor = keras.Input(model.inputs[0].shape[1:])
    for layer in model.layers[1:]:
        tensor = type(layer).from_config({**layer.get_config(), "dtype": "float32"})(tensor)
    copy = keras.Model(inputs, tensor)
    copy.set_weights(model.get_weights())
    return copy


def compare(model: keras.Model, images: Any = None, low: Any = LOW, high: Any = HIGH) -> Network:
    """Read a model and compare its outputs with Keras' own."""
    draw = np.random.default_rng(1)
    network = read_keras(model, low, high)
    if images is None:
        images = [draw.uniform(LOW, HIGH, (3, *tensor.shape[1:])) for tensor in model.inputs]
    # TensorFlow has no float64 for average pools of rank 3, but for its compiler, and none for max pools; and on a CPU
    # nothing but that compiler takes dilated transposed convolutions.
    rank3 = [type(each).__name__ for each in model.layers if "Pooling3D" in type(each).__name__]
    narrow = "MaxPooling3D" in rank3
    dtype, tolerance = (tf.float32, 1e-5) if narrow else (tf.float64, 1e-9)
    judge = in_float32(model) if narrow else model
    dilated = any("Transpose" in type(each).__name__ and max(each.dilation_rate) > 1 for each in model.layers)
    run = tf.function(lambda x: judge(x, training=False), jit_compile=dilated or "AveragePooling3D" in rank3)
    given = [tf.constant(each, dtype) for each in images]
    expected = run(given if len(given) > 1 else given[0])
    names = [node.name for node in network.sources]
    values = evaluate(network, dict(zip(names, images, strict=True)))
    for readout, truth in zip(network.readouts, keras.tree.flatten(expected), strict=True):
        found = values[readout.name]
        if readout.activation != "linear":
            found = np.asarray(getattr(keras.activations, readout.activation)(tf.constant(found)))
        np.testing.assert_allclose(found, np.asarray(truth), rtol=tolerance, atol=tolerance)
    for name, tensor in values.items():
        assert name in network.nodes or (tensor >= 0).all()
    return network


RELU = layers.ReLU
END: Callable[[], Any] = lambda: layers.Dense(3)  # noqa: E731

CHAINS: dict[str, tuple[tuple[int, ...], Callable[[], list[Any]]]] = {
    "dense": ((5,), lambda: [layers.Dense(4, activation="relu"), END()]),
    "dense on a sequence": ((6, 5), lambda: [layers.Dense(4, activation="relu"), layers.Flatten(), END()]),
    "dense on an image": ((4, 3, 2), lambda: [layers.Dense(4, activation="relu"), layers.Flatten(), END()]),
    "no bias": ((5,), lambda: [layers.Dense(4, activation="relu", use_bias=False), END()]),
    "conv1d": ((9, 2), lambda: [layers.Conv1D(4, 3, strides=2, padding="same"), RELU(), layers.Flatten(), END()]),
    "conv1d causal": ((9, 2), lambda: [layers.Conv1D(4, 3, dilation_rate=2, padding="causal"), RELU()]),
    "conv2d": ((7, 6, 2), lambda: [layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same"), RELU()]),
    "conv2d valid": ((7, 6, 2), lambda: [layers.Conv2D(4, 3, activation="relu"), layers.Conv2D(2, 2)]),
    "conv2d dilated": ((9, 8, 2), lambda: [layers.Conv2D(4, 3, dilation_rate=(2, 3), padding="same"), RELU()]),
    "conv2d groups": ((7, 6, 4), lambda: [layers.Conv2D(6, 3, groups=2, padding="same"), RELU(), layers.Conv2D(2, 1)]),
    "conv3d": ((4, 5, 4, 2), lambda: [layers.Conv3D(3, 2, padding="same"), RELU(), layers.Conv3D(2, 2, strides=2)]),
    "depthwise1d": ((8, 3), lambda: [layers.DepthwiseConv1D(3, depth_multiplier=2, padding="same"), RELU()]),
    "depthwise2d": (
        (7, 6, 3),
        lambda: [layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same"), RELU()],
    ),
    "separable1d": ((8, 3), lambda: [layers.SeparableConv1D(4, 3, padding="same", activation="relu")]),
    "separable2d": ((7, 6, 3), lambda: [layers.SeparableConv2D(4, 3, strides=2, padding="same"), RELU()]),
    "transposed1d": ((5, 3), lambda: [layers.Conv1DTranspose(4, 3, strides=2, padding="same"), RELU()]),
    "transposed2d": (
        (4, 3, 2),
        lambda: [layers.Conv2DTranspose(3, (3, 4), strides=(2, 3)), RELU(), layers.Conv2D(2, 2)],
    ),
    "transposed2d same": ((4, 3, 2), lambda: [layers.Conv2DTranspose(3, 5, strides=2, padding="same"), RELU()]),
    "transposed2d small": ((4, 3, 2), lambda: [layers.Conv2DTranspose(3, 2, strides=3), RELU()]),
    "transposed2d extra": ((4, 3, 2), lambda: [layers.Conv2DTranspose(3, 3, strides=2, output_padding=1), RELU()]),
    "transposed3d": ((3, 2, 3, 2), lambda: [layers.Conv3DTranspose(2, 3, strides=2, padding="same"), RELU()]),
    "padding1d": ((6, 2), lambda: [layers.ZeroPadding1D((1, 2)), layers.Conv1D(3, 3), RELU()]),
    "padding2d": ((6, 5, 2), lambda: [layers.ZeroPadding2D(((1, 2), (0, 3))), layers.Conv2D(3, 3, strides=2), RELU()]),
    "padding3d": ((3, 3, 3, 1), lambda: [layers.ZeroPadding3D(1), layers.Conv3D(2, 3), RELU()]),
    "cropping1d": ((8, 2), lambda: [layers.Conv1D(3, 3, activation="relu"), layers.Cropping1D((1, 2)), END()]),
    "cropping2d": (
        (6, 6, 2),
        lambda: [layers.Cropping2D(((1, 0), (2, 1))), layers.Conv2D(3, 3, padding="same"), RELU()],
    ),
    "cropping3d": ((4, 4, 4, 1), lambda: [layers.Cropping3D(1), layers.Conv3D(2, 2), RELU()]),
    "crop, then pad": ((6, 6, 2), lambda: [layers.Cropping2D(1), layers.ZeroPadding2D(2), layers.Conv2D(3, 3), RELU()]),
    "upsampling1d": ((5, 2), lambda: [layers.UpSampling1D(2), layers.Conv1D(3, 3, activation="relu")]),
    "upsampling2d": ((4, 3, 2), lambda: [layers.Conv2D(3, 2, activation="relu"), layers.UpSampling2D((2, 3))]),
    "upsampling3d": ((2, 2, 2, 1), lambda: [layers.UpSampling3D(2), layers.Conv3D(2, 2, activation="relu")]),
    "norm before": ((6, 5, 2), lambda: [layers.Conv2D(3, 3, padding="same"), layers.BatchNormalization(), RELU()]),
    "norm after": (
        (6, 5, 2),
        lambda: [
            layers.Conv2D(3, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(2, 3, padding="same"),
            RELU(),
        ],
    ),
    "norm first": ((6, 5, 2), lambda: [layers.BatchNormalization(), layers.Conv2D(3, 3, padding="same"), RELU()]),
    "norm on rows": ((6, 5, 2), lambda: [layers.BatchNormalization(axis=1), layers.Conv2D(3, 3, activation="relu")]),
    "norm, padding, pool": (
        (6, 5, 2),
        lambda: [
            layers.Conv2D(3, 3, activation="relu", padding="same"),
            layers.BatchNormalization(),
            layers.ZeroPadding2D(1),
            layers.MaxPooling2D(3, 2),
            layers.Conv2D(2, 2),
            RELU(),
        ],
    ),
    "norm, padding, conv": (
        (6, 5, 2),
        lambda: [
            layers.Conv2D(3, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.ZeroPadding2D(2),
            layers.Conv2D(3, 3, dilation_rate=2),
            RELU(),
        ],
    ),
    "rescaling": ((6, 5, 2), lambda: [layers.Rescaling(1 / 127.5, -1), layers.Conv2D(3, 3, activation="relu")]),
    "normalization": (
        (4, 3, 2),
        lambda: [layers.Normalization(mean=[0.1, 0.2], variance=[0.5, 2.0]), layers.Conv2D(3, 2, activation="relu")],
    ),
    "max pool1d": ((9, 2), lambda: [layers.Conv1D(3, 2, activation="relu"), layers.MaxPooling1D(3, 2, padding="same")]),
    "max pool2d": (
        (8, 7, 2),
        lambda: [layers.Conv2D(3, 2, activation="relu"), layers.MaxPooling2D((3, 2), (2, 1), "same")],
    ),
    "max pool3d": ((4, 4, 4, 1), lambda: [layers.Conv3D(2, 2, activation="relu"), layers.MaxPooling3D(2)]),
    "norm, pool": (
        (8, 7, 2),
        lambda: [
            layers.Conv2D(3, 2, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Conv2D(2, 2),
            RELU(),
        ],
    ),
    "pool before relu": (
        (8, 7, 2),
        lambda: [layers.Conv2D(3, 2), layers.MaxPooling2D(3, 2), RELU(), layers.Conv2D(2, 2)],
    ),
    "pool, norm, relu": (
        (8, 7, 2),
        lambda: [layers.Conv2D(3, 2), layers.MaxPooling2D(2), layers.BatchNormalization(), RELU()],
    ),
    "pool without relu": ((8, 7, 2), lambda: [layers.Conv2D(3, 2), layers.MaxPooling2D(2), layers.Conv2D(2, 2)]),
    "pool of a pool": (
        (9, 9, 2),
        lambda: [layers.Conv2D(3, 2), layers.MaxPooling2D(2), layers.MaxPooling2D(2), RELU()],
    ),
    "pool of one": ((8, 7, 2), lambda: [layers.Conv2D(3, 2), layers.MaxPooling2D(1, 2), RELU()]),
    "pool of images": ((8, 7, 2), lambda: [layers.MaxPooling2D(2), layers.Conv2D(3, 2, activation="relu")]),
    "average pool1d": ((9, 2), lambda: [layers.Conv1D(3, 2, activation="relu"), layers.AveragePooling1D(3, 2, "same")]),
    "average pool2d": (
        (8, 7, 2),
        lambda: [layers.AveragePooling2D(3, 2, "same"), layers.Conv2D(3, 2, activation="relu")],
    ),
    "average pool3d": (
        (4, 4, 4, 1),
        lambda: [layers.Conv3D(2, 2, activation="relu"), layers.AveragePooling3D(2), layers.Conv3D(1, 1), RELU()],
    ),
    "global max": ((6, 5, 2), lambda: [layers.Conv2D(3, 2, activation="relu"), layers.GlobalMaxPooling2D(), END()]),
    "global max1d": ((6, 2), lambda: [layers.Conv1D(3, 2), layers.GlobalMaxPooling1D(keepdims=True), RELU()]),
    "global max3d": (
        (3, 3, 3, 2),
        lambda: [layers.Conv3D(3, 2, activation="relu"), layers.GlobalMaxPooling3D(), END()],
    ),
    "global average": (
        (6, 5, 2),
        lambda: [layers.Conv2D(3, 2, activation="relu"), layers.GlobalAveragePooling2D(), END()],
    ),
    "global average1d": ((6, 2), lambda: [layers.Conv1D(3, 2, activation="relu"), layers.GlobalAveragePooling1D()]),
    "global average3d": (
        (3, 3, 3, 2),
        lambda: [layers.Conv3D(3, 2), layers.GlobalAveragePooling3D(keepdims=True), RELU()],
    ),
    "reshape": (
        (12,),
        lambda: [layers.Dense(12, activation="relu"), layers.Reshape((2, 3, 2)), layers.Conv2D(2, 2), RELU()],
    ),
    "permute": (
        (4, 3, 2),
        lambda: [layers.Conv2D(3, 2, activation="relu"), layers.Permute((3, 1, 2)), layers.Flatten(), END()],
    ),
    "repeat": ((4,), lambda: [layers.Dense(3, activation="relu"), layers.RepeatVector(3), layers.Conv1D(2, 2), RELU()]),
    "two linear convolutions": (
        (8, 7, 2),
        lambda: [layers.Conv2D(3, 2), layers.Conv2D(4, 2), RELU(), layers.Conv2D(2, 1)],
    ),
    "nothing at inference": (
        (8, 7, 2),
        lambda: [
            layers.RandomFlip(),
            layers.Conv2D(3, 2),
            layers.SpatialDropout2D(0.5),
            RELU(),
            layers.GaussianNoise(0.1),
            layers.Identity(),
            layers.Flatten(),
            END(),
        ],
    ),
    "no hidden layer": ((4,), lambda: [END()]),
    "relu6": ((6, 5, 2), lambda: [layers.Conv2D(3, 2), layers.ReLU(6), layers.MaxPooling2D(2), layers.Conv2D(2, 1)]),
    "small max_value": (
        (6, 5, 2),
        lambda: [layers.Conv2D(3, 2), layers.ReLU(0.4, negative_slope=0.3), layers.MaxPooling2D(2)],
    ),
    "leaky": (
        (6, 5, 2),
        lambda: [layers.Conv2D(3, 2), layers.LeakyReLU(0.3), layers.MaxPooling2D(2), layers.Conv2D(2, 1)],
    ),
    "leaky, falling": ((6, 5, 2), lambda: [layers.Conv2D(3, 2), layers.LeakyReLU(0.3), layers.Dense(3), RELU()]),
    "prelu": ((6, 5, 2), lambda: [layers.Conv2D(3, 2), layers.PReLU(), layers.Conv2D(2, 1)]),
    "prelu, shared": (
        (6, 5, 2),
        lambda: [layers.Conv2D(3, 2), layers.PReLU(shared_axes=(1, 2)), layers.MaxPooling2D(2)],
    ),
    "pool, prelu": (
        (7, 6, 2),
        lambda: [layers.Conv2D(3, 2), layers.MaxPooling2D(2), layers.PReLU(), layers.Conv2D(2, 1)],
    ),
    "hard sigmoid": ((5,), lambda: [layers.Dense(8, activation="hard_sigmoid"), END()]),
    "hard tanh": ((5,), lambda: [layers.Dense(8, activation="hard_tanh"), END()]),
    "soft shrink": ((5,), lambda: [layers.Dense(8, activation=keras.activations.soft_shrink), END()]),
    "relu twice": ((5,), lambda: [layers.Dense(8, activation="relu"), RELU(), layers.ReLU(6), END()]),
    "relu of images": ((5,), lambda: [RELU(), END()]),
    "tf.nn.relu": ((5,), lambda: [layers.Dense(8, activation=tf.nn.relu), layers.Dense(3, activation=tf.nn.softmax)]),
    "ops.relu": ((5,), lambda: [layers.Dense(8, activation=keras.ops.relu), layers.Dense(3, activation="sigmoid")]),
    "a layer as activation": (
        (5,),
        lambda: [layers.Dense(8, activation=layers.ReLU()), layers.Dense(3), layers.Softmax()],
    ),
    "relu at the end": ((5,), lambda: [layers.Dense(8, activation="relu"), layers.Dense(3, activation="relu")]),
    "tanh at the end": ((5,), lambda: [layers.Dense(8, activation="relu"), layers.Dense(3, activation="tanh")]),
    "log softmax": ((5,), lambda: [layers.Dense(8, activation="relu"), layers.Dense(3, activation="log_softmax")]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_layer_is_read_as_keras_computes_it(name: str) -> None:
    shape, steps = CHAINS[name]
    compare(build(shape, *steps()))


def branch(tensor: Any, filters: int = 4, **options: Any) -> Any:
    tensor = layers.Conv2D(filters, 3, padding="same", **options)(tensor)
    return layers.BatchNormalization()(tensor)


def residual() -> Any:
    inputs = keras.Input((6, 5, 2))
    tensor = RELU()(branch(inputs))
    for _ in range(2):
        tensor = RELU()(layers.Add()([tensor, branch(RELU()(branch(tensor)))]))
    shortcut = layers.Conv2D(6, 1, strides=2)(tensor)
    tensor = RELU()(layers.Add()([shortcut, branch(tensor, 6, strides=2)]))
    return inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(tensor))


def preactivation() -> Any:
    inputs = keras.Input((6, 5, 2))
    tensor = layers.Conv2D(4, 3, padding="same")(inputs)
    for _ in range(3):
        inner = RELU()(layers.BatchNormalization()(tensor))
        tensor = layers.Add()([tensor, layers.Conv2D(4, 3, padding="same")(inner)])
    tensor = layers.MaxPooling2D(1, 2)(tensor)
    return inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(RELU()(layers.BatchNormalization()(tensor))))


def dense_block() -> Any:
    inputs = keras.Input((6, 5, 2))
    tensor = layers.MaxPooling2D(3, 1, "same")(layers.Conv2D(3, 3, padding="same")(inputs))
    for _ in range(3):
        inner = RELU()(layers.BatchNormalization()(tensor))
        tensor = layers.Concatenate()([tensor, layers.Conv2D(2, 3, padding="same")(inner)])
    tensor = layers.AveragePooling2D(2)(layers.Conv2D(4, 1)(RELU()(layers.BatchNormalization()(tensor))))
    return inputs, layers.Dense(3)(layers.Flatten()(tensor))


def inverted() -> Any:
    inputs = keras.Input((6, 6, 4))
    tensor = inputs
    for stride in (1, 2):
        wide = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False)(tensor)))
        if stride == 2:
            wide = layers.ZeroPadding2D(((0, 1), (0, 1)))(wide)
        wide = layers.DepthwiseConv2D(3, stride, "valid" if stride == 2 else "same", use_bias=False)(wide)
        narrow = layers.BatchNormalization()(layers.Conv2D(4, 1)(layers.ReLU(6.0)(layers.BatchNormalization()(wide))))
        tensor = layers.Add()([tensor, narrow]) if stride == 1 else narrow
    return inputs, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(tensor))


def inception() -> Any:
    inputs = keras.Input((6, 5, 2))
    parts = [
        layers.Conv2D(2, 1, activation="relu")(inputs),
        layers.Conv2D(3, 3, padding="same", activation="relu")(layers.Conv2D(2, 1, activation="relu")(inputs)),
        layers.Conv2D(2, 1, activation="relu")(layers.MaxPooling2D(3, 1, "same")(inputs)),
        layers.Conv2D(2, 1, activation="relu")(layers.AveragePooling2D(3, 1, "same")(inputs)),
    ]
    tensor = layers.MaxPooling2D(2)(layers.Concatenate()(parts))
    return inputs, layers.Dense(3)(layers.Flatten()(RELU()(layers.Conv2D(3, 2)(tensor))))


def maximum() -> Any:
    inputs = keras.Input((5,))
    left, right = layers.Dense(4, activation="relu")(inputs), layers.Dense(4, activation="relu")(inputs)
    plain = layers.Maximum()([left, right])
    mixed = layers.Minimum()([layers.BatchNormalization()(left), layers.Dense(4)(right), layers.Dense(4)(inputs)])
    return inputs, layers.Dense(3)(layers.Concatenate()([plain, mixed, layers.Maximum()([left, mixed])]))


def merges() -> Any:
    inputs = keras.Input((4, 3, 2))
    one = layers.Conv2D(2, 1, activation="relu")(inputs)
    mean = layers.Average()([one, inputs, layers.LeakyReLU()(one)])
    gap = layers.Subtract()([mean, layers.GlobalMaxPooling2D(keepdims=True)(one)])
    side = layers.Concatenate(axis=1)([gap, one])
    return inputs, layers.Conv2D(3, 2)(RELU()(side))


def shared() -> Any:
    inputs = keras.Input((5,))
    layer, norm = layers.Dense(5, activation="relu"), layers.BatchNormalization()
    return inputs, layers.Dense(3)(norm(layer(norm(layer(layer(inputs))))))


def nested() -> Any:
    inside = keras.Input((5,)), keras.Input((4,))
    hidden = RELU()(layers.Add()([layers.Dense(6)(inside[0]), layers.Dense(6)(inside[1])]))
    inner = keras.Model(inside, [layers.Dense(4)(hidden), layers.Dense(5, activation="relu")(hidden)])
    inputs = keras.Input((5,)), keras.Input((4,))
    first, second = inner(inputs)
    third, _ = inner([second, RELU()(first)])
    block = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, activation="relu"), layers.Dropout(0.5), layers.Dense(2)]
    )
    return inputs, [block(third), layers.Dense(2, activation="sigmoid")(second)]


def segmentation() -> Any:
    inputs = keras.Input((8, 6, 2))
    down = layers.Conv2D(3, 3, padding="same", activation="relu")(inputs)
    low = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.MaxPooling2D(2)(down))
    up = layers.Conv2DTranspose(3, 2, strides=2, activation="relu")(low)
    return inputs, layers.Conv2D(3, 1, activation="softmax")(layers.Concatenate()([up, down]))


def constant_branch() -> Any:
    inputs = keras.Input((5,))
    nothing = layers.Dense(4, kernel_initializer="zeros")(inputs)
    return inputs, layers.Dense(3)(layers.Add()([RELU()(nothing), layers.Dense(4, activation="relu")(inputs)]))


GRAPHS = (
    residual,
    preactivation,
    dense_block,
    inverted,
    inception,
    maximum,
    merges,
    shared,
    nested,
    segmentation,
    constant_branch,
)


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.__name__)
def test_a_graph_is_read_as_keras_computes_it(graph: Callable[[], Any]) -> None:
    inputs, outputs = graph()
    model = keras.Model(inputs, outputs)
    randomise(model)
    compare(model)


def test_ranges_may_differ_by_channel_and_by_input() -> None:
    inputs, outputs = nested()
    model = keras.Model(inputs, outputs)
    randomise(model)
    names = [tensor._keras_history[0].name for tensor in model.inputs]
    compare(
        model, low={names[0]: np.full(5, -1.0), names[1]: -2.0}, high={names[0]: np.arange(2.0, 7.0), names[1]: 2.0}
    )


def test_a_pool_before_its_relu_costs_no_window() -> None:
    network = compare(build((8, 7, 2), layers.Conv2D(3, 2), layers.MaxPooling2D(2), RELU(), layers.Conv2D(2, 2)))
    assert [type(node).__name__ for node in network] == ["Source", "Segment", "Extremum", "Readout"]


def pooled_after(*padding: layers.Layer, pool: int = 3) -> list[str]:
    """The kinds of nodes of a network whose ReLU is padded before a max pool."""
    network = compare(
        build((8, 7, 2), layers.Conv2D(3, 2), RELU(), *padding, layers.MaxPooling2D(pool, 2), layers.Conv2D(2, 2))
    )
    return [type(node).__name__ for node in network]


def test_zeros_around_what_is_never_negative_are_the_margins_of_its_pool() -> None:
    assert pooled_after(layers.ZeroPadding2D(1)) == ["Source", "Segment", "Extremum", "Readout"]
    assert pooled_after(layers.ZeroPadding2D(((2, 0), (0, 1)))) == ["Source", "Segment", "Extremum", "Readout"]
    assert pooled_after(layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 1, "same"), pool=2)[2:4] == ["Extremum"] * 2


def test_a_pool_that_sees_nothing_but_zeros_somewhere_has_relays_for_what_is_never_negative() -> None:
    network = compare(
        build(
            (6, 6, 2), layers.Conv2D(3, 2), RELU(), layers.ZeroPadding2D(2), layers.MaxPooling2D(2), layers.Conv2D(2, 2)
        )
    )
    assert [len(each.populations) for each in network.segments] == [1, 1]


def test_zeros_around_what_may_be_negative_stay() -> None:
    negative = layers.Conv2D(2, 1), RELU(), layers.Rescaling(-1.5), layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 2)
    network = compare(build((6, 6, 2), *negative, layers.Conv2D(2, 2)))
    assert len(network.segments) == 2


@pytest.mark.parametrize("hidden", [1, 2])
def test_what_meets_what_it_is_computed_from_needs_no_factor_in_common(hidden: int) -> None:
    """max(x, ReLU(2 x)): its neurons' sums are 2 by any factor that both have."""
    inputs = keras.Input((4,))
    x = later = layers.Dense(4, activation="relu")(inputs)
    doubled = [layers.Dense(4, "relu", use_bias=False) for _ in range(hidden)]
    for layer in doubled:
        later = layer(later)
    model = keras.Model(inputs, layers.Dense(2)(layers.Maximum()([x, later])))
    randomise(model)
    for layer in doubled:
        layer.kernel.assign(2 * np.eye(4))
    bounded_sums(compare(model))


def test_populations_of_one_z_share_a_segment() -> None:
    network = compare(build((5,), layers.Dense(8), layers.ReLU(6), layers.Dense(8), layers.LeakyReLU(), END()))
    assert [len(each.populations) for each in network.segments] == [2, 2]


def test_what_a_kernel_can_take_in_is_one_convolution() -> None:
    network = compare(
        build(
            (8, 7, 2),
            layers.ZeroPadding2D(1),
            layers.Conv2D(3, 3, strides=2),
            layers.BatchNormalization(),
            RELU(),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Conv2D(2, 1),
            RELU(),
        )
    )
    maps = [type(map_).__name__ for node in network if isinstance(node, Segment) for map_ in node.maps.values()]
    assert maps == ["Convolution", "Convolution"]
    extremum = next(node for node in network if isinstance(node, Extremum))
    assert extremum.minimum.any()
    assert not extremum.minimum.all()
