"""The networks of the experiments, built from their config: the layers of `relu2snn.config.families` in Keras."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras

from relu2snn.config.families import lay_out
from relu2snn.config.schema import Dropout, Model, known
from relu2snn.config.sizes import check_sizes, scaled_units


def build(
    model: Model,
    image_shape: Sequence[int] | None,
    classes: int | None,
    dropout: Dropout | None = None,
    activity_l1: float = 0.0,
    kernel_l2: float = 0.0,
    norm_momentum: float = 0.99,
) -> keras.Model:
    """A functional Keras model from images (batch, *image_shape) to class probabilities (batch, classes).

    Layers carry Keras' own names, numbered in order: conv2d, conv2d_1, …, dense, batch_normalization, …
    Every hidden ReLU is a layer of its own; batch normalisation stands before each ReLU (in a ResNet after each
    convolution) or after it, or nowhere, as `model.batch_norm` says, and nowhere at the output. `dropout`,
    `activity_l1` (an L1 penalty on the output of every hidden ReLU, mean over the batch), `kernel_l2` (an L2 penalty on
    every hidden kernel) and `norm_momentum` (of the moving statistics) act in training only. Initial weights come from
    Keras' global seed
    (`keras.utils.set_random_seed`).

    Raises UserError as `check_sizes` does.
    """
    check_sizes(model, image_shape, classes)
    image = keras.Input(tuple(known(image_shape)), name="image")
    network = _Network(model, dropout or Dropout(0.0, 0.0, 0.0), activity_l1, kernel_l2, norm_momentum)
    return keras.Model(image, lay_out(network, model, image, known(classes)), name=model.name)


class _Network:
    """Adds layers, named and regularised alike, to a tensor of the network being built."""

    def __init__(
        self, model: Model, dropout: Dropout, activity_l1: float, kernel_l2: float, norm_momentum: float
    ) -> None:
        self._model = model
        self._dropout = dropout
        self._momentum = norm_momentum
        self._activity_regularizer = keras.regularizers.L1(activity_l1) if activity_l1 else None
        self._kernel_regularizer = keras.regularizers.L2(kernel_l2) if kernel_l2 else None
        self._used: Counter[str] = Counter()

    def convolution(
        self,
        x: Any,
        filters: int,
        kernel: int,
        *,
        padding: str = "same",
        strides: int = 1,
        relu: bool = True,
        most: float | None = None,
    ) -> Any:
        layer = keras.layers.Conv2D(
            self._units(filters),
            kernel,
            strides,
            padding=padding,
            kernel_regularizer=self._kernel_regularizer,
            name=self._name("conv2d"),
        )
        return self._weighted(layer(x), relu, most)

    def depthwise(self, x: Any, kernel: int, *, strides: int, most: float | None) -> Any:
        layer = keras.layers.DepthwiseConv2D(
            kernel,
            strides,
            padding="same",
            depthwise_regularizer=self._kernel_regularizer,
            name=self._name("depthwise_conv2d"),
        )
        return self._weighted(layer(x), True, most)

    def dense(self, x: Any, units: int) -> Any:
        layer = keras.layers.Dense(
            self._units(units), kernel_regularizer=self._kernel_regularizer, name=self._name("dense")
        )
        return self._weighted(layer(x), True, None)

    def relu(self, x: Any, most: float | None = None) -> Any:
        x = keras.layers.ReLU(most, name=self._name("re_lu"), activity_regularizer=self._activity_regularizer)(x)
        return self._batch_norm(x) if self._model.batch_norm == "after_relu" else x

    def max_pool(self, x: Any, size: int = 2, *, padding: str = "valid") -> Any:
        return keras.layers.MaxPooling2D(size, 2, padding=padding, name=self._name("max_pooling2d"))(x)

    def average_pool(self, x: Any, size: int) -> Any:
        return keras.layers.AveragePooling2D(size, 1, padding="same", name=self._name("average_pooling2d"))(x)

    def global_average_pool(self, x: Any) -> Any:
        return keras.layers.GlobalAveragePooling2D(name=self._name("global_average_pooling2d"))(x)

    def flatten(self, x: Any) -> Any:
        return keras.layers.Flatten(name=self._name("flatten"))(x)

    def add(self, parts: Sequence[Any]) -> Any:
        return keras.layers.Add(name=self._name("add"))(list(parts))

    def concatenate(self, parts: Sequence[Any]) -> Any:
        return keras.layers.Concatenate(name=self._name("concatenate"))(list(parts))

    def drop(self, x: Any, where: str) -> Any:
        rate = getattr(self._dropout, where)
        return keras.layers.Dropout(rate, name=self._name("dropout"))(x) if rate else x

    def dense_output(self, x: Any, classes: int) -> Any:
        return keras.layers.Dense(classes, activation="softmax", name=self._name("dense"))(x)

    def pooled_output(self, x: Any, classes: int) -> Any:
        x = self.global_average_pool(keras.layers.Conv2D(classes, 1, name=self._name("conv2d"))(x))
        return keras.layers.Softmax(name=self._name("softmax"))(x)

    def channels(self, x: Any) -> int:
        return int(x.shape[-1])

    def _units(self, size: int) -> int:
        return scaled_units(size, self._model.width)

    def _name(self, kind: str) -> str:
        """The kind, numbered from its second use on, as Keras numbers the layers of the first model built."""
        number = self._used[kind]
        self._used[kind] += 1
        return f"{kind}_{number}" if number else kind

    def _weighted(self, x: Any, relu: bool, most: float | None) -> Any:
        """What follows a layer with weights: batch normalisation and ReLU, as far as there are."""
        if self._model.batch_norm == "before_relu":
            x = self._batch_norm(x)
        return self.relu(x, most) if relu else x

    def _batch_norm(self, x: Any) -> Any:
        return keras.layers.BatchNormalization(momentum=self._momentum, name=self._name("batch_normalization"))(x)
