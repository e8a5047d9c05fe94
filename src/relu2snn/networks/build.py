"""The networks of the experiments, built from their config: FC, LeNet5 and VGG (arXiv:2212.12522)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras

from relu2snn.config.schema import Dropout, Model
from relu2snn.config.sizes import LENET5_DENSE, LENET5_FILTERS, check_sizes, scaled_units


def build(
    model: Model,
    image_shape: Sequence[int],
    classes: int,
    dropout: Dropout | None = None,
    activity_l1: float = 0.0,
    kernel_l2: float = 0.0,
) -> keras.Model:
    """A functional Keras model from images (batch, *image_shape) to class probabilities (batch, classes).

    Layers carry Keras' own names, numbered in order: conv2d, conv2d_1, …, dense, batch_normalization, …
    Every hidden ReLU is a layer of its own; batch normalisation stands before or after it, or nowhere, as
    `model.batch_norm` says, and nowhere at the output. `dropout`, `activity_l1` (an L1 penalty on the output of
    every hidden ReLU, mean over the batch) and `kernel_l2` (an L2 penalty on every hidden kernel) act in
    training only. Initial weights come from Keras' global seed (`keras.utils.set_random_seed`).

    Raises UserError as `check_sizes` does.
    """
    check_sizes(model, image_shape, classes)
    image = keras.Input(tuple(image_shape), name="image")
    network = _Network(model, dropout or Dropout(0.0, 0.0, 0.0), activity_l1, kernel_l2)
    features = {"fc": _fc, "lenet5": _lenet5, "vgg": _vgg}[model.family](network, image)
    output = keras.layers.Dense(classes, activation="softmax", name=network.name("dense"))(features)
    return keras.Model(image, output, name=model.name)


def _fc(network: "_Network", x: Any) -> Any:
    x = network.flatten(x)
    for units in network.model.dense:
        x = network.dense(x, units)
        x = network.drop(x, network.dropout.dense)
    return x


def _lenet5(network: "_Network", x: Any) -> Any:
    first, second, third = LENET5_FILTERS
    x = network.convolution(x, first, 5, "same")
    x = network.drop(x, network.dropout.first)
    x = network.pool(x)
    x = network.convolution(x, second, 5, "valid")
    x = network.pool(x)
    x = network.convolution(x, third, 5, "valid")
    x = network.flatten(x)
    x = network.drop(x, network.dropout.dense)
    x = network.dense(x, LENET5_DENSE)
    return network.drop(x, network.dropout.dense)


def _vgg(network: "_Network", x: Any) -> Any:
    for block, filters in enumerate(network.model.blocks):
        for position, count in enumerate(filters, start=1):
            x = network.convolution(x, count, 3, "same")
            if (block, position) == (0, 1):
                x = network.drop(x, network.dropout.first)
            elif position < len(filters):
                x = network.drop(x, network.dropout.between)
        x = network.pool(x)
    x = network.flatten(x)
    x = network.drop(x, network.dropout.dense)
    for units in network.model.dense:
        x = network.dense(x, units)
        x = network.drop(x, network.dropout.dense)
    return x


class _Network:
    """Adds layers, named and regularised alike, to a tensor of the network being built."""

    def __init__(self, model: Model, dropout: Dropout, activity_l1: float, kernel_l2: float) -> None:
        self.model = model
        self.dropout = dropout
        self._activity_regularizer = keras.regularizers.L1(activity_l1) if activity_l1 else None
        self._kernel_regularizer = keras.regularizers.L2(kernel_l2) if kernel_l2 else None
        self._used: Counter[str] = Counter()

    def name(self, kind: str) -> str:
        """The kind, numbered from its second use on, as Keras numbers the layers of the first model built."""
        number = self._used[kind]
        self._used[kind] += 1
        return f"{kind}_{number}" if number else kind

    def convolution(self, x: Any, filters: int, kernel: int, padding: str) -> Any:
        layer = keras.layers.Conv2D(
            scaled_units(filters, self.model.width),
            kernel,
            padding=padding,
            kernel_regularizer=self._kernel_regularizer,
            name=self.name("conv2d"),
        )
        return self._relu(layer(x))

    def dense(self, x: Any, units: int) -> Any:
        layer = keras.layers.Dense(
            scaled_units(units, self.model.width), kernel_regularizer=self._kernel_regularizer, name=self.name("dense")
        )
        return self._relu(layer(x))

    def pool(self, x: Any) -> Any:
        return keras.layers.MaxPooling2D(2, name=self.name("max_pooling2d"))(x)

    def flatten(self, x: Any) -> Any:
        return keras.layers.Flatten(name=self.name("flatten"))(x)

    def drop(self, x: Any, rate: float) -> Any:
        return keras.layers.Dropout(rate, name=self.name("dropout"))(x) if rate else x

    def _relu(self, x: Any) -> Any:
        if self.model.batch_norm == "before_relu":
            x = self._batch_norm(x)
        x = keras.layers.ReLU(name=self.name("re_lu"), activity_regularizer=self._activity_regularizer)(x)
        return self._batch_norm(x) if self.model.batch_norm == "after_relu" else x

    def _batch_norm(self, x: Any) -> Any:
        return keras.layers.BatchNormalization(name=self.name("batch_normalization"))(x)
