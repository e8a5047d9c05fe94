"""Doors of the reader: what a user may bring, by its values, and what is refused, by the line that says so."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers

from relu2snn.graph.nodes import Network, evaluate
from relu2snn.mapping.keras_layers import HANDLERS, does_nothing
from relu2snn.mapping.original import logits_model
from relu2snn.mapping.read_keras import UnsupportedLayerError, read_keras
from relu2snn.mapping.unsupported import refuse_kind

L = layers
ROOT = Path(__file__).resolve().parents[1]


def chain(*steps: Any, shape: tuple[int | None, ...] = (8, 8, 2)) -> keras.Model:
    return keras.Sequential([keras.Input(shape, name="images"), *steps])


def randomise(model: keras.Model) -> keras.Model:
    draw = np.random.default_rng(0)
    for variable in model.variables:
        if "seed" not in variable.path:
            values = draw.normal(size=variable.shape) / np.sqrt(max(np.prod(variable.shape[:-1]), 1))
            variable.assign(np.abs(values) + 0.5 if "variance" in variable.path else values)
    return model


def images_of(model: keras.Model, count: int = 4) -> list[Any]:
    draw = np.random.default_rng(1)
    return [draw.random((count, *tensor.shape[1:])) for tensor in model.inputs]


def outputs(network: Network, images: list[Any]) -> list[Any]:
    names = [source.name for source in network.sources]
    values = evaluate(network, dict(zip(names, images, strict=True)))
    return [values[readout.name] for readout in network.readouts]


def accept(model: keras.Model, ends: tuple[str, ...] = ("linear",)) -> Network:
    """Read a model, and compare it with its logits in float64 to 1e-9 and with itself as its user runs it."""
    images = images_of(model)
    network = read_keras(randomise(model))
    assert tuple(readout.activation for readout in network.readouts) == ends
    found = outputs(network, images)
    original = logits_model(model)
    given = images if len(images) > 1 else images[0]
    if not isinstance(model, keras.Sequential) and isinstance(model.input, dict):
        given = {source.name: each for source, each in zip(network.sources, images, strict=True)}
    own_values = keras.tree.flatten(model.predict(given, verbose=0))
    logits_values = keras.tree.flatten(original(given))
    for end, mine, logits, own in zip(ends, found, logits_values, own_values, strict=True):
        assert np.asarray(logits).dtype == np.float64
        np.testing.assert_allclose(mine, np.asarray(logits), rtol=1e-9, atol=1e-9)
        ended = np.asarray(getattr(keras.activations, end)(tf.constant(mine)))
        np.testing.assert_allclose(ended, own, rtol=1e-4, atol=1e-4)
    return network


def hidden(activation: Any, **options: Any) -> Any:
    return L.Dense(5, activation=activation, name="hidden", **options)


ACCEPTED: dict[str, tuple[Callable[[], keras.Model], tuple[str, ...]]] = {
    "tf.nn.relu": (lambda: chain(hidden(tf.nn.relu), L.Flatten(), L.Dense(3)), ("linear",)),
    "keras.ops.relu": (lambda: chain(L.Conv2D(3, 2, activation=keras.ops.relu), L.Flatten(), L.Dense(3)), ("linear",)),
    "a ReLU layer as activation": (lambda: chain(L.Flatten(), hidden(L.ReLU()), L.Dense(3)), ("linear",)),
    "a PReLU layer as activation": (lambda: run_once(chain(L.Flatten(), hidden(L.PReLU()), L.Dense(3))), ("linear",)),
    "tf.nn.relu6": (lambda: chain(L.Flatten(), hidden(tf.nn.relu6), L.Dense(3)), ("linear",)),
    "tf.nn.leaky_relu": (lambda: chain(L.Flatten(), hidden(tf.nn.leaky_relu), L.Dense(3)), ("linear",)),
    "hard_tanh": (lambda: chain(L.Flatten(), hidden("hard_tanh"), L.Dense(3)), ("linear",)),
    "sparse_sigmoid": (lambda: chain(L.Flatten(), hidden("sparse_sigmoid"), L.Dense(3)), ("linear",)),
    "tf.nn.softmax": (lambda: chain(L.Flatten(), hidden("relu"), L.Dense(3, activation=tf.nn.softmax)), ("softmax",)),
    "ops.softmax": (lambda: chain(L.Flatten(), L.Dense(3, activation=keras.ops.softmax)), ("softmax",)),
    "tf.nn.log_softmax": (lambda: chain(L.Flatten(), L.Dense(3, activation=tf.nn.log_softmax)), ("log_softmax",)),
    "a Softmax layer as activation": (lambda: chain(L.Flatten(), L.Dense(3, activation=L.Softmax())), ("softmax",)),
    "a Softmax layer": (lambda: chain(L.Flatten(), hidden("relu"), L.Dense(3), L.Softmax()), ("softmax",)),
    "softmax, then dropout": (lambda: chain(L.Flatten(), L.Dense(3), L.Softmax(), L.Dropout(0.5)), ("softmax",)),
    "an Activation layer": (lambda: chain(L.Flatten(), L.Dense(3), L.Activation("sigmoid")), ("sigmoid",)),
    "sigmoid": (lambda: chain(L.Flatten(), L.Dense(1, activation="sigmoid")), ("sigmoid",)),
    "tf.sigmoid": (lambda: chain(L.Flatten(), L.Dense(1, activation=tf.sigmoid)), ("sigmoid",)),
    "tanh": (lambda: chain(L.Flatten(), L.Dense(2, activation="tanh")), ("tanh",)),
    "ReLU at the output": (lambda: chain(L.Flatten(), L.Dense(4, activation="relu")), ("linear",)),
    "ReLU6 at the output": (lambda: chain(L.Flatten(), L.Dense(4), L.ReLU(6.0)), ("linear",)),
    "no hidden layer": (lambda: chain(L.Flatten(), L.Dense(4)), ("linear",)),
    "nothing at all": (lambda: chain(L.Flatten()), ("linear",)),
    "two linear layers": (lambda: chain(L.Conv2D(3, 2), L.Conv2D(3, 2), L.ReLU(), L.Dense(3)), ("linear",)),
    "augmentation": (
        lambda: chain(
            L.RandomFlip(), L.RandomRotation(0.2), L.RandomZoom(0.1), L.RandomTranslation(0.1, 0.1),
            L.RandomContrast(0.1), L.GaussianNoise(0.3), L.Resizing(8, 8), L.CenterCrop(8, 8), L.RandomCrop(8, 8),
            L.Conv2D(3, 2), L.ReLU(), L.Flatten(), L.Dense(3),
        ),
        ("linear",),
    ),
    "an adapted normalization": (lambda: adapted(), ("linear",)),
    "rescaling by channel": (
        lambda: chain(L.Rescaling([0.5, 2.0], offset=[0.1, -1.0]), L.Conv2D(3, 2, activation="relu")),
        ("linear",),
    ),
    "a segmentation map": (
        lambda: chain(L.Conv2D(4, 3, padding="same", activation="relu"), L.Conv2D(3, 1, activation="softmax")),
        ("softmax",),
    ),
    "a pooled convolution head": (
        lambda: chain(L.Conv2D(4, 3, activation="relu"), L.Conv2D(3, 1), L.GlobalAveragePooling2D(), L.Softmax()),
        ("softmax",),
    ),
    "a max-pooled convolution head": (
        lambda: chain(L.Conv2D(4, 3, activation="relu"), L.Conv2D(3, 1), L.GlobalMaxPooling2D()),
        ("linear",),
    ),
}  # fmt: skip


def run_once(model: keras.Model) -> keras.Model:
    """Keras makes the weights of a layer that is given as an activation when it runs."""
    model(images_of(model)[0])
    return model


def adapted() -> keras.Model:
    norm = L.Normalization()
    norm.adapt(np.random.default_rng(2).normal(3, 2, (50, 8, 8, 2)))
    return chain(norm, L.Conv2D(3, 2, activation="relu"), L.Flatten(), L.Dense(3))


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_a_user_may_bring_is_read_with_its_values(name: str) -> None:
    build, ends = ACCEPTED[name]
    accept(build(), ends)


def test_several_inputs_and_outputs_in_lists_tuples_and_dictionaries() -> None:
    first, second = keras.Input((5,), name="first"), keras.Input((4,), name="second")
    shared = L.Dense(6, activation="relu")
    left, right = shared(L.Dense(5, activation="relu")(first)), shared(L.Dense(5)(second))
    logits = L.Dense(3, activation="softmax", name="class")(L.Add()([left, right]))
    score = L.Dense(1, activation=tf.nn.sigmoid, name="score")(left)
    ends = ("softmax", "sigmoid")
    accept(keras.Model([first, second], [logits, score]), ends)
    accept(keras.Model((second, first), (score, logits)), ends[::-1])
    named = keras.Model({"second": second, "first": first}, {"a": score, "b": logits, "c": right})
    network = accept(named, ("sigmoid", "softmax", "linear"))
    assert [source.name for source in network.sources] == ["first", "second"]


def test_models_inside_models_take_their_inputs_as_keras_gives_them() -> None:
    one, two = keras.Input((5,), name="one"), keras.Input((4, 1), name="two")
    flat = L.Flatten()(two)
    inner = keras.Model([one, two], [L.Dense(4, activation="relu")(one), L.Dense(5)(flat), L.Dense(4)(flat)])
    start, other = keras.Input((5,), name="start"), keras.Input((4,), name="other")
    # By name and out of order, and without the last axis of 1.
    first, second, _ = inner({"two": other, "one": start})
    third, _, fourth = inner([second, first])
    head = chain(L.Dense(3), L.Dropout(0.2), L.Softmax(), shape=(4,))
    accept(keras.Model([start, other], [head(third), head(fourth)]), ("softmax", "softmax"))


def test_deep_networks_are_no_deeper_than_python_goes() -> None:
    start = tensor = keras.Input((3,))
    layer = L.Dense(3, activation="relu", kernel_initializer=keras.initializers.Constant(-0.5), bias_initializer="ones")
    for _ in range(500):
        tensor = layer(tensor)
    model = keras.Model(start, L.Dense(2)(tensor))
    assert len(read_keras(model).segments) == 500
    logits_model(model)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_pools_of_rank_3_are_compared_in_float64(padding: str) -> None:
    accept(
        chain(
            L.Conv3D(3, 2, activation="relu"),
            L.MaxPooling3D((2, 3, 2), (1, 2, 1), padding),
            L.AveragePooling3D((3, 2, 2), (2, 1, 2), padding),
            L.GlobalMaxPooling3D(),
            L.Dense(2),
            shape=(6, 8, 7, 1),
        )
    )


def test_images_may_be_whole_numbers_that_the_network_scales() -> None:
    start = keras.Input((4, 4, 3), dtype="uint8")
    tensor = L.Flatten()(L.Conv2D(3, 2, activation="relu")(L.Rescaling(1 / 255.0)(start)))
    model = randomise(keras.Model(start, L.Dense(2)(tensor)))
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    (found,) = outputs(read_keras(model, 0, 255), [images])
    np.testing.assert_allclose(found, np.asarray(logits_model(model)(images.astype(float))), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found, model.predict(images, verbose=0), rtol=1e-4, atol=1e-4)


def test_branches_that_no_output_needs_are_not_read() -> None:
    start = keras.Input((5,))
    inner = keras.Model(start, [L.Dense(3, activation="relu")(start), L.LSTM(2)(L.Reshape((5, 1))(start))])
    outer = keras.Input((5,))
    accept(keras.Model(outer, L.Dense(2)(inner(outer)[0])))


def test_no_tensor_has_the_name_of_another_layer() -> None:
    start = keras.Input((5,))
    twice = L.Dense(5, activation="relu", name="dense")
    leaky = L.Dense(5, activation=L.LeakyReLU(), name="dense_2")(twice(twice(start)))
    network = accept(keras.Model(start, L.Dense(2, name="dense_2_2")(leaky)))
    assert [each.name for each in network.segments] == ["dense", "dense_3", "dense_2"]
    assert network.readouts[0].name == "dense_2_2"


def test_a_lora_part_is_what_its_layer_computes_with() -> None:
    conv, dense = L.Conv2D(4, 3, activation="relu"), L.Dense(6, activation="relu", kernel_regularizer=lambda w: 0.0)
    model = randomise(chain(conv, L.Flatten(), dense, L.Dense(3)))
    for each in (conv, dense):
        each.enable_lora(2)
        each.lora_kernel_a.assign(np.full(each.lora_kernel_a.shape, 0.1))
        each.lora_kernel_b.assign(np.full(each.lora_kernel_b.shape, 0.2))
    images = images_of(model)
    (found,) = outputs(read_keras(model), images)
    np.testing.assert_allclose(found, np.asarray(logits_model(model)(images[0])), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found, np.asarray(model(images[0])), rtol=1e-4, atol=1e-4)


KERAS2: dict[str, Callable[[], Any]] = {
    "reshape first": lambda: [
        tf_keras.layers.Reshape((4, 3, 2), input_shape=(24,)),
        tf_keras.layers.Conv2D(3, 2, activation="relu"),
        tf_keras.layers.Flatten(),
        tf_keras.layers.Dense(2, activation="softmax"),
    ],
    "flatten first": lambda: [
        tf_keras.layers.Flatten(input_shape=(4, 3, 2)),
        tf_keras.layers.Dense(5),
        tf_keras.layers.LeakyReLU(0.3),
        tf_keras.layers.Dense(2, activation="softmax"),
    ],
    "norm first": lambda: [
        tf_keras.layers.BatchNormalization(input_shape=(4, 3, 2)),
        tf_keras.layers.Conv2D(3, 2),
        tf_keras.layers.ReLU(6.0),
        tf_keras.layers.GlobalMaxPooling2D(),
        tf_keras.layers.Dense(2, activation="softmax"),
    ],
}


@pytest.mark.parametrize("name", KERAS2)
def test_files_of_keras_2_are_read_as_keras_3_loads_them(name: str, tmp_path: Path) -> None:
    model = tf_keras.Sequential(KERAS2[name]())
    model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5")
    network = accept(loaded, ("softmax",))
    model.set_weights(loaded.get_weights())
    images = images_of(loaded)
    (logits,) = outputs(network, images)
    own = np.asarray(model(images[0].astype(np.float32)))
    np.testing.assert_allclose(np.asarray(keras.activations.softmax(tf.constant(logits))), own, rtol=1e-4, atol=1e-5)


def test_a_file_that_keras_3_loads_with_an_axis_too_many_is_told_how_to_mend() -> None:
    # What Keras 3 makes of files without an InputLayer, as Keras wrote them before 2.3.
    loaded = randomise(chain(L.Reshape((4, 3, 2)), L.Conv2D(3, 2, activation="relu"), shape=(None, 24)))
    with pytest.raises(
        UnsupportedLayerError,
        match=r"^layer 'images' \(InputLayer\): its shape \(None, 24\) is not fixed; build the model with all "
        r"sides given, "
        r"as in keras.Input\(\(224, 224, 3\)\); if it is from a file of Keras 2, which Keras 3 may load with an "
        r"axis too "
        r"many: keras.Sequential\(\[keras.Input\(\(24,\)\), \*model.layers\]\)$",
    ):
        read_keras(loaded)
    accept(keras.Sequential([keras.Input((24,)), *loaded.layers]))


class Custom(keras.Model):
    """A model that does more than its layers."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        return 2 * super().call(inputs)


class Subclass(keras.Model):
    """A model whose layers are seen only when it runs."""

    def __init__(self) -> None:
        super().__init__(name="mine")
        self.dense = L.Dense(3)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


class Doubled(L.Dense):
    """A layer whose kernel is not what it computes with."""

    def call(self, inputs: Any) -> Any:
        return 2 * super().call(inputs)


def joined(layer: Any, count: int = 2, shape: tuple[int, ...] = (6,)) -> keras.Model:
    start = keras.Input(shape)
    parts = [L.Dense(4, activation="relu")(start) for _ in range(count)]
    return keras.Model(start, L.Dense(2)(layer(parts)))


def custom(inside: bool = False) -> keras.Model:
    start = keras.Input((6,))
    model = Custom(start, L.Dense(3)(start), name="custom")
    if not inside:
        return model
    outer = keras.Input((6,))
    return keras.Model(outer, L.Dense(2)(model(outer)))


def called(layer: Any, **options: Any) -> keras.Model:
    start = keras.Input((6, 4))
    return keras.Model(start, L.Dense(2)(layer(start, **options)))


def masked() -> keras.Model:
    start, mask = keras.Input((6, 4)), keras.Input((6,), dtype="bool")
    return keras.Model([start, mask], L.Dense(2)(L.GlobalAveragePooling1D(name="g")(start, mask=mask)))


def function(apply: Callable[[Any], Any]) -> keras.Model:
    start = keras.Input((6,))
    return keras.Model(start, L.Dense(2)(apply(L.Dense(4)(start))))


def quantized(mode: str) -> keras.Model:
    model = chain(L.Flatten(), hidden("relu"), L.Dense(3))
    model.quantize(mode)
    return model


def text_model() -> keras.Model:
    start = keras.Input((6,), dtype="int32")
    return keras.Model(start, L.Dense(2)(L.Flatten()(L.Embedding(9, 3, name="words")(start))))


def whole_numbers() -> keras.Model:
    start = keras.Input((6,), dtype="uint8")
    return keras.Model(start, L.Dense(2)(L.Add(name="sum")([start, start])))


def attention() -> keras.Model:
    start = keras.Input((6, 4))
    return keras.Model(start, L.Dense(2)(L.MultiHeadAttention(2, 2, name="heads")(start, start)))


def gated() -> keras.Model:
    start = keras.Input((6,))
    gate = L.Dense(4, activation="sigmoid", name="gate")(start)
    return keras.Model(start, L.Dense(2)(L.Multiply(name="times")([gate, L.Dense(4)(start)])))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "gelu": (
        lambda: chain(hidden("gelu"), L.Flatten(), L.Dense(2)),
        "layer 'hidden' (Dense): activation 'gelu' is not piecewise linear; train the network with ReLUs",
    ),
    "silu": (
        lambda: chain(L.Flatten(), L.Dense(4), L.Activation("silu", name="swish"), L.Dense(2)),
        "layer 'swish' (Activation): activation 'silu' is not piecewise linear; train the network with ReLUs",
    ),
    "elu": (
        lambda: chain(hidden("elu"), L.Dense(2)),
        "layer 'hidden' (Dense): activation 'elu' is not piecewise linear; train",
    ),
    "selu": (
        lambda: chain(hidden("selu"), L.Dense(2)),
        "layer 'hidden' (Dense): activation 'selu' is not piecewise linear; ",
    ),
    "softplus": (
        lambda: chain(hidden("softplus"), L.Dense(2)),
        "'hidden' (Dense): activation 'softplus' is not piecewise",
    ),
    "tf.nn.silu": (
        lambda: chain(hidden(tf.nn.silu), L.Dense(2)),
        "'hidden' (Dense): activation 'swish' is not piecewise lin",
    ),
    "ELU": (
        lambda: chain(L.Dense(3), L.ELU(name="curve"), L.Dense(2)),
        "layer 'curve' (ELU): it is not piecewise linear; train the network with ReLU, LeakyReLU or PReLU",
    ),
    "gelu at the end": (
        lambda: chain(L.Flatten(), L.Dense(2, activation="gelu", name="out")),
        "layer 'out' (Dense): activation 'gelu' cannot be mapped; leave it out at the output, and apply it to "
        "what that gives",
    ),
    "tanh inside": (
        lambda: chain(hidden("tanh"), L.Dense(2, name="late")),
        "layer 'hidden' (Dense): activation 'tanh' is not piecewise linear and may only stand at the very end, "
        "but layer "
        "'late' (Dense) follows it; train the network with hard_tanh there",
    ),
    "sigmoid inside": (
        lambda: chain(hidden(tf.nn.sigmoid), L.Flatten(name="flat"), L.Dense(2)),
        "layer 'hidden' (Dense): activation 'sigmoid' is not piecewise linear and may only stand at the very "
        "end, but layer "
        "'flat' (Flatten) follows it; train the network with hard_sigmoid there",
    ),
    "softmax inside": (
        lambda: chain(L.Dense(3), L.Softmax(name="soft"), L.Dropout(0.1), L.Dense(2, name="late")),
        "layer 'soft' (Softmax): activation 'softmax' is not piecewise linear and may only stand at the very "
        "end, but layer "
        "'late' (Dense) follows it; leave it out",
    ),
    "softmax of a model inside": (
        lambda: chain(chain(L.Dense(3, activation="softmax", name="inner")), L.Dense(2, name="late")),
        "layer 'inner' (Dense): activation 'softmax' is not piecewise linear and may only stand at the very "
        "end, but layer "
        "'late' (Dense) follows it; leave it out",
    ),
    "softmax over rows": (
        lambda: chain(L.Softmax(axis=1, name="rows")),
        "layer 'rows' (Softmax): axis=1 is not the last; let the classes be the last axis, with Permute",
    ),
    "a jump": (
        lambda: chain(L.ReLU(threshold=0.5, name="jump"), L.Dense(2)),
        "layer 'jump' (ReLU): threshold=0.5 makes it jump; train the network with threshold=0",
    ),
    "a jump as activation": (
        lambda: chain(hidden(L.ReLU(threshold=0.5)), L.Dense(2)),
        "layer 'hidden' (Dense): threshold=0.5 makes it jump; train the network with threshold=0",
    ),
    "hard_shrink": (
        lambda: chain(hidden("hard_shrink"), L.Dense(2)),
        "'hidden' (Dense): activation 'hard_shrink' jumps; train",
    ),
    "a function of the user": (
        lambda: chain(hidden(lambda x: x), L.Dense(2)),
        "layer 'hidden' (Dense): activation '<lambda>' is not one of Keras; use one by its name, as in "
        "activation='relu', "
        "or a layer",
    ),
    "a partial function": (
        lambda: chain(hidden(functools.partial(tf.nn.leaky_relu, alpha=0.1)), L.Dense(2)),
        "layer 'hidden' (Dense): activation 'partial' is not one of Keras; use one by its name, as in "
        "activation='relu', or a layer",
    ),
    "a layer that is no activation": (
        lambda: chain(hidden(L.BatchNormalization()), L.Dense(2)),
        "layer 'hidden' (Dense): a BatchNormalization as activation cannot be mapped; give ReLU, LeakyReLU, PReLU or "
        "Softmax, or a layer of its own",
    ),
    "Multiply": (
        lambda: joined(L.Multiply(name="times")),
        "layer 'times' (Multiply): a product of two tensors is not piecewise linear; add or concatenate them instead",
    ),
    "a gate": (gated, "layer 'times' (Multiply): a product of two tensors is not piecewise linear; add or concatenate"),
    "Dot": (
        lambda: joined(L.Dot(axes=1, name="dot")),
        "layer 'dot' (Dot): a product of two tensors is not piecewise linear",
    ),
    "Lambda": (
        lambda: chain(L.Lambda(lambda x: x, output_shape=lambda shape: shape, name="mine"), L.Dense(2)),
        "layer 'mine' (Lambda): what it computes cannot be read; replace it by layers of Keras",
    ),
    "LayerNormalization": (
        lambda: chain(L.LayerNormalization(name="norm"), L.Dense(2)),
        "layer 'norm' (LayerNormalization): it divides by what it computes of each image; train the network with "
        "BatchNormalization",
    ),
    "attention": (
        attention,
        "layer 'heads' (MultiHeadAttention): attention multiplies tensors, which is not piecewise lin",
    ),
    "recurrence": (
        lambda: chain(L.LSTM(3, name="cell"), L.Dense(2), shape=(6, 4)),
        "layer 'cell' (LSTM): a recurrent layer cannot be mapped; use Conv1D over the sequence",
    ),
    "Embedding": (
        text_model,
        "layer 'words' (Embedding): it takes whole numbers or texts and looks them up; give the network what "
        "it makes of",
    ),
    "Discretization": (
        lambda: chain(L.Discretization([0.0, 1.0], name="bins"), L.Dense(2), shape=(5,)),
        "layer 'bins' (Discretization): it takes whole numbers or texts and looks them up; ",
    ),
    "TimeDistributed": (
        lambda: chain(L.TimeDistributed(L.Dense(3), name="each"), L.Dense(2), shape=(6, 4)),
        "layer 'each' (TimeDistributed): a layer in a wrapper cannot be mapped; use the layer itself: Dense "
        "and Conv1D take",
    ),
    "a class derived from a layer": (
        lambda: chain(Doubled(4, name="twice"), L.Dense(2)),
        "layer 'twice' (Doubled): this kind of layer is not supported; docs/layers.md lists those that are",
    ),
    "resizing": (
        lambda: chain(L.Resizing(4, 4, name="small"), L.Conv2D(2, 2)),
        "layer 'small' (Resizing): it makes images (4, 4, 2) of images (8, 8, 2); resize the images before, "
        "and build the "
        "network without it",
    ),
    "cropping at random": (
        lambda: chain(L.RandomCrop(4, 4, name="cut"), L.Conv2D(2, 2)),
        "layer 'cut' (RandomCrop): it makes images (4, 4, 2) of images (8, 8, 2); resize the images before",
    ),
    "x + y": (
        lambda: function(lambda x: x + 1.0),
        "operation 'add",
    ),
    "keras.ops": (
        lambda: function(keras.ops.relu),
        "(Relu): it is no layer but a function of tensors, which cannot be mapped; use the layer that does the same: "
        "keras.layers.Add for x + y, ReLU for keras.ops.relu, …",
    ),
    "training=True": (
        lambda: called(L.BatchNormalization(name="norm"), training=True),
        "layer 'norm' (BatchNormalization): it is called with training=True, so it does at inference what it does in "
        "training; build the network without",
    ),
    "dropout at inference": (
        lambda: called(L.Dropout(0.5, name="drop"), training=True),
        "layer 'drop' (Dropout): it is called with training=True, so",
    ),
    "a model with training=True": (
        lambda: called(chain(L.Dense(3), shape=(6, 4)), training=True),
        "(Sequential): it is called with training=True, so",
    ),
    "a mask": (
        masked,
        "layer 'g' (GlobalAveragePooling1D): it is called with 2 tensors; call it with one, and without a mask",
    ),
    "channels first": (
        lambda: chain(L.Conv2D(3, 2, data_format="channels_first", name="conv"), L.Flatten(), L.Dense(2)),
        "layer 'conv' (Conv2D): data_format='channels_first'; build the network with channels_last",
    ),
    "channels first, flattened": (
        lambda: chain(L.Flatten(data_format="channels_first", name="flat"), L.Dense(2)),
        "layer 'flat' (Flatten): data_format='channels_first'; build the network with channels_last",
    ),
    "an open shape": (
        lambda: chain(L.Conv2D(3, 2), L.GlobalAveragePooling2D(), L.Dense(2), shape=(None, None, 3)),
        "layer 'images' (InputLayer): its shape (None, None, 3) is not fixed; build the model with all sides "
        "given, as in "
        "keras.Input((224, 224, 3))",
    ),
    "bilinear up-sampling": (
        lambda: chain(L.UpSampling2D(interpolation="bilinear", name="up"), L.Conv2D(2, 2)),
        "layer 'up' (UpSampling2D): interpolation='bilinear'; use interpolation='nearest'",
    ),
    "mixed precision": (
        lambda: chain(L.Flatten(), hidden("relu", dtype="mixed_float16"), L.Dense(2)),
        "layer 'hidden' (Dense): it computes in float16, which rounds what the network is to give; build the "
        "network with "
        "dtype='float32' and give it these weights (model.set_weights)",
    ),
    "whole numbers": (
        whole_numbers,
        "layer 'sum' (Add): it is given numbers of type uint8; build the network with keras.Input(shape)",
    ),
    "bfloat16": (
        lambda: chain(L.Dropout(0.1, dtype="bfloat16", name="drop"), L.Dense(2)),
        "(Dropout): it computes in bfloat16",
    ),
    "int8": (
        lambda: quantized("int8"),
        "layer 'hidden' (Dense): it is quantized (int8); convert the network before it is quantized",
    ),
    "int4": (lambda: quantized("int4"), "layer 'hidden' (Dense): it is quantized (int4); convert the network before"),
    "float8": (
        lambda: quantized("float8"),
        "layer 'hidden' (Dense): it is quantized (float8); convert the network before",
    ),
    "a call of its own": (
        custom,
        "model 'custom' (Custom): it has a call of its own, in which no layers can be seen; build it as "
        "keras.Sequential or "
        "keras.Model(inputs, outputs)",
    ),
    "a call of its own, inside": (
        lambda: custom(inside=True),
        "model 'custom' (Custom): it has a call of its own, in which",
    ),
    "a subclass": (
        Subclass,
        "model 'mine' (Subclass): it has a call of its own, in which no layers can be seen; build it as",
    ),
    "not built": (
        lambda: keras.Sequential([L.Dense(3)], name="open"),
        "model 'open' (Sequential): it has no input yet; build it with a first line keras.Input(shape)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_mapped_is_refused_in_one_line(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(UnsupportedLayerError) as caught:
        read_keras(build())
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_layers_that_are_not_read_have_an_answer_of_their_own() -> None:
    """But for those that stand in no model by themselves, and what Keras will have one day."""
    kinds = {each.__name__ for each in vars(layers).values() if isinstance(each, type) and issubclass(each, L.Layer)}
    silent = {name for name in kinds if "is not supported" in str(refuse_kind(type(name, (), {"name": "x"})()))}
    read = {kind.__name__ for kind in HANDLERS}
    nothing = {name for name in kinds if name.startswith("Random") or "Dropout" in name}
    nothing |= {"Identity", "GaussianNoise", "ActivityRegularization", "Resizing", "CenterCrop"}
    nothing |= {"RandAugment", "AugMix", "MixUp", "CutMix"}
    parts = {"Layer", "Wrapper", "InputLayer", "MaxNumBoundingBoxes"} | {name for name in kinds if "Cell" in name}
    assert silent == read | nothing | parts
    assert all(does_nothing(object.__new__(getattr(layers, name)), (), ()) for name in nothing)


NO_MODELS: dict[str, tuple[Callable[[], Any], str]] = {
    "none": (lambda: None, "not NoneType; load one with keras.models.load_model(path)"),
    "a path": (lambda: "net.keras", "not a path: give keras.models.load_model('net.keras')"),
    "a Path": (lambda: Path("a") / "net.h5", "not a path: give keras.models.load_model('a/net.h5')"),
    "images": (lambda: np.zeros((3, 4)), "not ndarray; the model comes first, as in convert(model, images)"),
    "a layer": (lambda: L.Dense(3), "not Dense; build keras.Sequential([keras.Input(shape), …]) of layers"),
    "a class": (lambda: keras.Sequential, "not type; the model comes first, as in convert(model, images)"),
    "a model of Keras 2": (
        lambda: tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(4,))]),
        "not Sequential; save this model of Keras 2 as .h5, and load that with keras.models.load_model",
    ),
}


@pytest.mark.parametrize("name", NO_MODELS)
def test_what_is_no_model_is_refused_in_one_line(name: str) -> None:
    build, message = NO_MODELS[name]
    with pytest.raises(TypeError) as caught:
        read_keras(build())
    assert str(caught.value) == f"expected a Keras model, {message}"


def test_a_spiking_network_is_not_the_network_that_it_was_made_from() -> None:
    from relu2snn import convert

    model = randomise(chain(L.Flatten(), hidden("relu"), L.Dense(2)))
    spiking = convert(model, np.random.default_rng(0).random((4, 8, 8, 2)))
    with pytest.raises(
        UnsupportedLayerError,
        match=r"^model '.*' \(.*\): it is a spiking network already; give the ReLU network that it was made from$",
    ):
        read_keras(spiking)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_is_named(value: float) -> None:
    model = randomise(
        chain(
            L.Conv2D(3, 2, name="conv"),
            L.BatchNormalization(name="norm"),
            L.PReLU(name="slope"),
            L.SeparableConv2D(3, 2, name="separable"),
            L.DepthwiseConv2D(2, activation=L.PReLU(), name="depthwise"),
            L.Conv2DTranspose(2, 2, name="transposed"),
            L.Flatten(),
            L.Dense(2, name="out"),
        )
    )
    run_once(model)
    for layer in model.layers:
        for weight in layer.weights:
            good = np.asarray(weight)
            broken = good.copy()
            broken.flat[-1] = value
            weight.assign(broken)
            place = tuple(side - 1 for side in good.shape)
            with pytest.raises(UnsupportedLayerError) as caught:
                read_keras(model)
            assert str(caught.value) == (
                f"layer {layer.name!r} ({type(layer).__name__}): weight {weight.name!r} is {value} at {place}; "
                "every weight must be a finite number"
            )
            weight.assign(good)


def test_a_variance_below_zero_is_named() -> None:
    model = chain(L.BatchNormalization(name="norm"), L.Conv2D(2, 2))
    model.layers[0].moving_variance.assign(-np.ones(2))
    with pytest.raises(
        UnsupportedLayerError, match=r"'norm' .*: moving_variance \+ epsilon is -0.999; it must be above 0$"
    ):
        read_keras(model)


RANGES: list[tuple[Any, Any, str]] = [
    (1.0, 0.0, r"^input range \[1.0, 0.0\]: low must be less than high, and both finite$"),
    (0.5, 0.5, r"^input range \[0.5, 0.5\]: low must"),
    (np.nan, 1.0, r"^input range \[nan, 1.0\]: low must"),
    (0.0, np.inf, r"^input range \[0.0, inf\]: low must"),
    (-1e308, 1e308, r"^input range \[-1e\+308, 1e\+308\]: low must"),
    ([0.0, 1.0], [1.0, 1.0], r"^input range \[\[0.0, 1.0\], \[1.0, 1.0\]\]: low must"),
    (
        [0.0, 0.0, 0.0],
        1.0,
        r"^low of shape \(3,\) for input 'images': must be a number, or one for each of its 2 channels$",
    ),
    ("0", 1.0, r"^low='0' of input 'images': must be a number, or one for each channel$"),
    (None, 1.0, r"^low=None of input 'images': must be a number"),
    (0.0, {"pixels": 1.0}, r"^high is given for the inputs 'pixels'; the network has 'images'$"),
]


@pytest.mark.parametrize(("low", "high", "message"), RANGES)
def test_a_range_that_is_none_is_refused(low: Any, high: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_keras(chain(L.Flatten(), L.Dense(2)), low, high)


def test_a_range_by_channel_is_the_range_of_the_images() -> None:
    low, high = np.array([-1.0, 0.0]), np.array([1.0, 3.0])
    model = randomise(chain(L.Conv2D(3, 2, padding="same", activation="relu"), L.Flatten(), L.Dense(2)))
    images = low + (high - low) * images_of(model)[0]
    expected = np.asarray(logits_model(model)(images))
    for bottom, top in ((low, high), (low.tolist(), tuple(high)), (low[None, None, None], high.reshape(1, 1, 2))):
        network = read_keras(model, bottom, top)
        np.testing.assert_array_equal(network.sources[0].low, low)
        np.testing.assert_allclose(outputs(network, [images])[0], expected, rtol=1e-9, atol=1e-9)


def test_logits_follow_nothing_that_an_end_gave() -> None:
    with pytest.raises(
        UnsupportedLayerError, match=r"'hidden' \(Dense\): activation 'sigmoid' .*'late' \(Dense\) follows"
    ):
        logits_model(chain(hidden("sigmoid"), L.Dense(2, name="late")))
