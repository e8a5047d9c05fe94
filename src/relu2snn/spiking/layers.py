"""Keras layers of single-spike neurons (arXiv:2212.12522).

Between layers flow *leads*: how long before the end of its window a neuron spiked, `t_max − t`. A lead of 0 is
a spike at t_max; the lead of a neuron that did not spike early is the value of the ReLU it stands for.
Each layer knows its window in absolute time, so the spike time is `t_max − lead`.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from relu2snn.spiking import checks
from relu2snn.spiking.checks import increasing, natural, outputs, pair
from relu2snn.spiking.neurons import NO_MARGINS, Margins, NoisyLayer, SpikingLayer


def clip_start(leads: Any) -> Any:
    """Leads of the input window whose times are clipped at 0 from below."""
    return ops.minimum(leads, 1.0)


@keras.saving.register_keras_serializable(package="relu2snn")
class SpikeEncoder(NoisyLayer):
    """Images as spike times: a pixel x in [low, high], brought to x' in [0, 1], spikes at t = 1 − x'.

    Its window is [0, 1]. With noise, times are clipped at 0 from below. Input images, output leads 1 − t, of
    the same shape.
    """

    def __init__(self, low: float, high: float, **options: Any) -> None:
        super().__init__(**options)
        self.low, self.high = increasing(low=low, high=high)
        self.t_min, self.t_max = 0.0, 1.0

    def encode(self, images: Any) -> Any:
        """The leads of images, before any noise."""
        return (images - self.low) / (self.high - self.low)

    def call(self, images: Any) -> Any:
        leads = self.encode(images)
        return clip_start(self.disturb(leads)) if self.generator else leads

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "low": self.low, "high": self.high}


@keras.saving.register_keras_serializable(package="relu2snn")
class SpikingDense(SpikingLayer):
    """Fully connected spiking neurons: leads (batch, inputs) to leads (batch, units).

    kernel (inputs, units), threshold and drive (units,).
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = natural("units", units)

    def build(self, input_shape: Any) -> None:
        outputs(input_shape, rank=2)
        self.add_parameters((input_shape[-1], self.units), (self.units,))

    def apply(self, values: Any, kernel: Any) -> Any:
        return tf.matmul(values, kernel)

    def apply_padded(self, values: Any, kernel: Any, step: int) -> Any:
        return tf.matmul(values, kernel)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="relu2snn")
class SpikingConv2D(SpikingLayer):
    """Spiking neurons with shared weights: leads (batch, h, w, channels) to leads (batch, h_out, w_out, filters).

    kernel (kh, kw, channels, filters), drive (filters,), threshold (filters,) or, with threshold_map, a map
    (h_out, w_out, filters). Padding is an input spike at t_min.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        padding: str = "valid",
        dilation: tuple[int, int] = (1, 1),
        threshold_map: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.filters = natural("filters", filters)
        self.kernel_size = pair("kernel_size", kernel_size)
        self.strides = pair("strides", strides)
        self.padding = checks.padding(padding)
        self.dilation = pair("dilation", dilation)
        self.threshold_map = bool(threshold_map)

    def build(self, input_shape: Any) -> None:
        shape = outputs(self.compute_output_shape(outputs(input_shape, rank=4)), rank=4)[1:]
        self.add_parameters(
            (*self.kernel_size, input_shape[-1], self.filters), shape if self.threshold_map else shape[-1:]
        )

    def apply(self, values: Any, kernel: Any) -> Any:
        return tf.nn.conv2d(values, kernel, self.strides, self.padding.upper(), dilations=self.dilation)

    def apply_padded(self, values: Any, kernel: Any, step: int) -> Any:
        strides = [step * stride for stride in self.strides]
        return tf.nn.conv2d(values, kernel, strides, "VALID", dilations=self.dilation)

    def extents(self) -> tuple[int, int]:
        rows, columns = ((size - 1) * rate + 1 for size, rate in zip(self.kernel_size, self.dilation, strict=True))
        return rows, columns

    def _outputs(self, sides: Any) -> list[int]:
        if self.padding == "same":
            return [-(-side // stride) for side, stride in zip(sides, self.strides, strict=True)]
        pairs = zip(sides, self.extents(), self.strides, strict=True)
        return [(side - extent) // stride + 1 for side, extent, stride in pairs]

    def margins(self, sides: Any) -> Margins:
        """TensorFlow's padding: for "same" the smallest that gives every output, the odd one at the end."""
        if self.padding == "valid":
            return NO_MARGINS
        rows, columns = (
            divmod(max((outputs - 1) * stride + extent - side, 0), 2)
            for side, extent, stride, outputs in zip(
                sides, self.extents(), self.strides, self._outputs(sides), strict=True
            )
        )
        return (rows[0], sum(rows)), (columns[0], sum(columns))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self._outputs(input_shape[1:3]), self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "dilation": self.dilation,
            "threshold_map": self.threshold_map,
        }


@keras.saving.register_keras_serializable(package="relu2snn")
class PotentialReadout(keras.layers.Layer):
    """Output neurons, which do not spike: their potential at the end t_min of their inputs' window is the logit.

    V_i(t_min) = α_i (t_min − t_start) + Σ_{t_j ≤ t_min} W_ij (t_min − t_j), with drive α_i = b_i / (t_min − t_start).
    Leads (batch, inputs) to logits (batch, units); `kernel` W (inputs, units), `drive` α (units,). Times are
    absolute; t_min is the latency of the classification.
    """

    def __init__(self, units: int, t_start: float, t_min: float, **options: Any) -> None:
        super().__init__(**options)
        self.units = natural("units", units)
        self.t_start, self.t_min = increasing(t_start=t_start, t_min=t_min)

    def build(self, input_shape: Any) -> None:
        outputs(input_shape, rank=2)
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], self.units), initializer="zeros")
        self.drive = self.add_weight(name="drive", shape=(self.units,), initializer="zeros")

    def call(self, leads: Any) -> Any:
        return self.read(leads, self.kernel, self.drive)

    def read(self, leads: Any, kernel: Any, drive: Any) -> Any:
        """The potentials at t_min for weights W and drive α."""
        # Noise can delay a spike past the read-out: it has not arrived and counts nothing.
        arrived = ops.maximum(leads, 0.0)
        return drive * (self.t_min - self.t_start) + ops.matmul(arrived, kernel)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "t_start": self.t_start, "t_min": self.t_min}
