"""The two Keras layers that a preprocessed ReLU network needs beside Keras' own."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="relu2snn")
class UnitRangeRescaling(keras.layers.Layer):
    """Images with values in [low, high] brought to [0, 1]: x' = (x - low) / (high - low)."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        super().__init__(**options)
        self.low, self.high = float(low), float(high)

    def call(self, images: Any) -> Any:
        return (images - self.low) / (self.high - self.low)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "low": self.low, "high": self.high}


@keras.saving.register_keras_serializable(package="relu2snn")
class BiasMap(keras.layers.Layer):
    """Adds a bias that depends on the position: weight `bias` with the shape of the input, without the batch.

    Near the border of a zero-padded convolution the folded shift of its inputs differs, because the padding
    was not shifted.
    """

    def build(self, input_shape: Any) -> None:
        self.bias = self.add_weight(name="bias", shape=tuple(input_shape[1:]), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        return inputs + self.bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape
