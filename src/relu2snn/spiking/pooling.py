"""Pooling of spike times: the earliest spike (max pooling of the values) or the latest (min pooling), per channel."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from relu2snn.spiking import checks
from relu2snn.spiking.checks import outputs, pair


@keras.saving.register_keras_serializable(package="relu2snn")
class ExtremumPooling2D(keras.layers.Layer):
    """Max pooling whose channels marked in `minimum` take the minimum instead.

    Of values it is the pooling of the ReLU network; of leads (window end minus spike time) it passes on the
    earliest spike, or the latest where `minimum` is true. Padding never wins.

    Arguments: pool_size and strides (rows, columns), padding "valid" or "same", minimum (channels,) of booleans.
    Input (batch, h, w, channels), output (batch, h_out, w_out, channels).
    """

    def __init__(
        self,
        pool_size: Sequence[int],
        strides: Sequence[int],
        padding: str,
        minimum: Sequence[bool],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.pool_size = pair("pool_size", pool_size)
        self.strides = pair("strides", strides)
        self.padding = checks.padding(padding)
        self.minimum = [bool(flag) for flag in minimum]

    def build(self, input_shape: Any) -> None:
        outputs(self.compute_output_shape(outputs(input_shape, rank=4)), rank=4)
        if len(self.minimum) != input_shape[3]:
            raise ValueError(f"minimum for {len(self.minimum)} channels, but the input has {input_shape[3]}")

    def call(self, inputs: Any) -> Any:
        # min(x) = -max(-x): one max pooling serves both, and its padding (-infinity) never wins either way.
        sign = ops.convert_to_tensor(np.where(self.minimum, -1.0, 1.0), dtype=inputs.dtype)
        pooled = ops.max_pool(inputs * sign, self.pool_size, self.strides, self.padding, "channels_last")
        return pooled * sign

    def compute_output_shape(self, input_shape: Any) -> Any:
        sizes = []
        for side, size, stride in zip(input_shape[1:3], self.pool_size, self.strides, strict=True):
            sizes.append(-(-side // stride) if self.padding == "same" else (side - size) // stride + 1)
        return (input_shape[0], *sizes, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "minimum": self.minimum,
        }
