"""Random networks with every feature the mapping has to cope with."""

from typing import Any

import keras
import numpy as np

from relu2snn.graph.nodes import Network
from relu2snn.mapping import bounded_sums, measure, read_keras, relu_model, to_spiking
from relu2snn.spiking import SpikingModel, spiking_model
from relu2snn.spiking.layers import SpikingNeurons


def scaled_network(
    model: keras.Model, low: float, high: float, *, lower: float = -10.0, upper: float = 0.99
) -> Network:
    """What phase 1 makes of a model."""
    return bounded_sums(read_keras(model, low, high), lower, upper)


def maxima_of(network: Network, images: Any) -> dict[str, float]:
    """The layer maxima X over images (n, *shape), by layer name."""
    return measure(relu_model(network), [images]).maxima


def spiking_of(network: Network, maxima: dict[str, float], **options: Any) -> SpikingModel:
    """The Keras model of the spiking network with these layer maxima, of the published mapping unless options, which
    are those of `to_spiking`, say otherwise."""
    return spiking_model(to_spiking(network, maxima, **{"mapping": "published", **options}))


def neuron_layers(spiking: keras.Model) -> list[SpikingNeurons]:
    """The layers of spiking neurons, first layer first."""
    return [layer for layer in spiking.layers if isinstance(layer, SpikingNeurons)]


def randomise(model: keras.Model, seed: int) -> keras.Model:
    """Random parameters: batch norm scales of both signs, shifts and biases away from zero."""
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.set_weights(
                [draw.normal(size=n), draw.normal(0, 0.3, n), draw.normal(0, 0.3, n), draw.uniform(0.3, 2, n)]
            )
        elif layer.get_weights():
            kernel, bias = layer.get_weights()
            spread = 1.4 / np.sqrt(np.prod(kernel.shape[:-1]))
            layer.set_weights([draw.normal(0, spread, kernel.shape), draw.normal(0, 0.2, bias.shape)])
    return model


def dense_network(seed: int, batch_norm: str = "none", sizes: tuple[int, ...] = (9, 7), inputs: int = 12) -> Any:
    """Dense layers; batch_norm none, before or after each ReLU; softmax output of 4 classes."""
    x = start = keras.Input((inputs,))
    for units in sizes:
        x = _relu(keras.layers.Dense(units)(x), batch_norm)
    return randomise(keras.Model(start, keras.layers.Dense(4, activation="softmax")(x)), seed)


def conv_network(
    seed: int,
    batch_norm: str = "none",
    padding: str = "same",
    kernel: tuple[int, int] = (3, 3),
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    shape: tuple[int, int, int] = (7, 8, 2),
    pool_padding: str = "same",
) -> Any:
    """Two convolutions with a max pool between, one dense layer, softmax output of 4 classes."""
    x = start = keras.Input(shape)
    options = {"padding": padding, "strides": strides, "dilation_rate": dilation}
    x = _relu(keras.layers.Conv2D(4, kernel, **options)(x), batch_norm)
    x = keras.layers.MaxPooling2D(2, padding=pool_padding)(x)
    x = _relu(keras.layers.Conv2D(3, 2, padding=padding)(x), batch_norm)
    x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(x))
    x = _relu(keras.layers.Dense(6)(x), batch_norm)
    return randomise(keras.Model(start, keras.layers.Dense(4, activation="softmax")(x)), seed)


def _relu(x: Any, batch_norm: str) -> Any:
    if batch_norm == "before":
        x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    return keras.layers.BatchNormalization()(x) if batch_norm == "after" else x
