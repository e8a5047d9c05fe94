"""Keras layers of single-spike neurons (arXiv:2212.12522).

Between layers flow *leads*: how long before the end of its window a neuron spiked, `t_max − t`. A lead of 0 is
a spike at t_max; the lead of a neuron that did not spike early is the value of the ReLU it stands for.
Each layer knows its window in absolute time, so the spike time is `t_max − lead`.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from relu2snn.spiking.certificate import closed_form, uncertified
from relu2snn.spiking.decide import Evidence, decide, is_early
from relu2snn.spiking.events import Floats, simulate_conv2d


def _in_float64(*arrays: Any) -> list[Any]:
    """The events are walked in float64, whatever the precision of the layer; float64 arrays are not copied."""
    return [np.asarray(array, np.float64) for array in arrays]


class _Noisy(keras.layers.Layer):
    """A layer whose spike times carry Gaussian noise of standard deviation `noise`, drawn from `seed`."""

    def __init__(self, noise: float = 0.0, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.noise, self.seed = float(noise), int(seed)
        self.generator = keras.random.SeedGenerator(self.seed) if self.noise else None
        # The event simulation runs outside the graph, which XLA cannot compile.
        self.supports_jit = False

    def reseed(self, part: int) -> None:
        """Start the noise of another part of the images, which has draws of its own."""
        if self.generator:
            state = np.random.SeedSequence([self.seed, part]).generate_state(2)
            self.generator.state.assign(state)

    def disturb(self, leads: Any) -> Any:
        """Add the noise to the spike times: a later spike has a smaller lead."""
        if not self.generator:
            return leads
        return leads - keras.random.normal(ops.shape(leads), stddev=self.noise, dtype=leads.dtype, seed=self.generator)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "noise": self.noise, "seed": self.seed}


@keras.saving.register_keras_serializable(package="relu2snn")
class SpikeEncoder(_Noisy):
    """Images as spike times: a pixel x in [low, high], brought to x' in [0, 1], spikes at t = 1 − x'.

    Its window is [0, 1]. With noise, times are clipped at 0 from below. Input images, output leads 1 − t, of
    the same shape.
    """

    def __init__(self, low: float, high: float, **options: Any) -> None:
        super().__init__(**options)
        self.low, self.high = float(low), float(high)
        self.t_min, self.t_max = 0.0, 1.0

    def call(self, images: Any) -> Any:
        leads = (images - self.low) / (self.high - self.low)
        return ops.minimum(self.disturb(leads), 1.0) if self.generator else leads

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "low": self.low, "high": self.high}


class _SpikingLayer(_Noisy):
    """Neurons with potential dV/dt = α H(t − t_start) + Σ_j J_ij H(t − t_j) that spike where V reaches ϑ_i.

    t_start is the start of the inputs' window, t_min its end and the start of the neurons' own window, t_max
    the end of that; times are absolute. Weights: `kernel` J, `threshold` ϑ and `drive` α.

    Attributes: certify, whether pairs with a certificate take the closed form (else all are simulated event by event,
    which gives the same and is slow); set it before the network's first call. evidence, what became of the others.
    """

    strides = dilation = (1, 1)

    def __init__(self, t_start: float, t_min: float, t_max: float, **options: Any) -> None:
        super().__init__(**options)
        self.t_start, self.t_min, self.t_max = float(t_start), float(t_min), float(t_max)
        if not self.t_start < self.t_min < self.t_max:
            raise ValueError(f"t_start={t_start}, t_min={t_min}, t_max={t_max}: need t_start < t_min < t_max")
        self.certify = True
        self.evidence = Evidence()

    def add_parameters(self, kernel_shape: tuple[int, ...], threshold_shape: tuple[int, ...]) -> None:
        self.kernel = self.add_weight(name="kernel", shape=kernel_shape, initializer="zeros")
        self.threshold = self.add_weight(name="threshold", shape=threshold_shape, initializer="ones")
        self.drive = self.add_weight(name="drive", shape=kernel_shape[-1:], initializer="ones")

    def call(self, leads: Any) -> Any:
        before, window = self.t_min - self.t_start, self.t_max - self.t_min
        parameters = self.kernel, self.threshold, self.drive
        if self.certify:
            closed = closed_form(leads, *parameters, before, window, self.apply)
            open_pairs = uncertified(leads, *parameters, before, self.apply, self.lateness)
            spikes = tf.cond(
                tf.reduce_any(open_pairs),
                lambda: tf.numpy_function(self._decide, [closed, open_pairs, leads, *parameters], leads.dtype),
                lambda: closed,
            )
        else:
            spikes = tf.numpy_function(self._simulate, [leads, *parameters], leads.dtype)
        spikes.set_shape(self.compute_output_shape(leads.shape))
        return self.disturb(spikes)

    def apply(self, values: Any, kernel: Any) -> Any:
        """The linear map of the layer: Σ_j kernel_ij values_j, with the padding's values 0."""
        raise NotImplementedError

    def lateness(self, leads: Any) -> Any:
        """How long after t_min the last input of each position comes, at most and at least 0: (batch, …, 1)."""
        raise NotImplementedError

    def _as_grid(self, leads: Floats, kernel: Floats) -> tuple[Floats, Floats]:
        """Leads, padded, and kernel of the same layer as a convolution."""
        raise NotImplementedError

    def _simulate(self, leads: Floats, kernel: Floats, threshold: Floats, drive: Floats) -> Floats:
        """Every neuron, event by event."""
        before, window = self.t_min - self.t_start, self.t_max - self.t_min
        grid, weights, level, rise = _in_float64(*self._as_grid(leads, kernel), threshold, drive)
        spikes = simulate_conv2d(grid, weights, level, rise, before, window, self.strides, self.dilation)
        self.evidence.simulated += spikes.size
        self.evidence.early += int(np.count_nonzero(is_early(spikes, before, window)))
        return (spikes if kernel.ndim > 2 else spikes[:, 0, 0]).astype(leads.dtype)

    def _decide(self, closed: Floats, open_pairs: Any, leads: Floats, *parameters: Floats) -> Floats:
        kernel, threshold, drive = parameters
        if kernel.ndim == 2:
            closed, open_pairs = closed[:, None, None], open_pairs[:, None, None]
        before, window = self.t_min - self.t_start, self.t_max - self.t_min
        exact, grid, weights, level, rise = _in_float64(closed, *self._as_grid(leads, kernel), threshold, drive)
        times = (before, window, self.strides, self.dilation)
        spikes = decide(exact, open_pairs, grid, weights, level, rise, *times, self.evidence)
        return (spikes if kernel.ndim > 2 else spikes[:, 0, 0]).astype(leads.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "t_start": self.t_start, "t_min": self.t_min, "t_max": self.t_max}


@keras.saving.register_keras_serializable(package="relu2snn")
class SpikingDense(_SpikingLayer):
    """Fully connected spiking neurons: leads (batch, inputs) to leads (batch, units).

    kernel (inputs, units), threshold and drive (units,).
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = int(units)

    def build(self, input_shape: Any) -> None:
        self.add_parameters((input_shape[-1], self.units), (self.units,))

    def apply(self, values: Any, kernel: Any) -> Any:
        return tf.matmul(values, kernel)

    def lateness(self, leads: Any) -> Any:
        return tf.nn.relu(-tf.reduce_min(leads, axis=-1, keepdims=True))

    def _as_grid(self, leads: Floats, kernel: Floats) -> tuple[Floats, Floats]:
        return leads[:, None, None, :], kernel[None, None]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="relu2snn")
class SpikingConv2D(_SpikingLayer):
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
        self.filters = int(filters)
        self.kernel_size = (int(kernel_size[0]), int(kernel_size[1]))
        self.strides = (int(strides[0]), int(strides[1]))
        self.padding = padding
        self.dilation = (int(dilation[0]), int(dilation[1]))
        self.threshold_map = threshold_map

    def build(self, input_shape: Any) -> None:
        shape = self.compute_output_shape(input_shape)[1:]
        self.add_parameters(
            (*self.kernel_size, input_shape[-1], self.filters), shape if self.threshold_map else shape[-1:]
        )

    def apply(self, values: Any, kernel: Any) -> Any:
        return tf.nn.conv2d(values, kernel, self.strides, self.padding.upper(), dilations=self.dilation)

    def lateness(self, leads: Any) -> Any:
        latest = tf.nn.relu(-tf.reduce_min(leads, axis=-1, keepdims=True))
        # A dilated field's bounding box has the same positions and more.
        return tf.nn.max_pool2d(latest, self._extents(), self.strides, self.padding.upper())

    def _as_grid(self, leads: Floats, kernel: Floats) -> tuple[Floats, Floats]:
        return np.pad(leads, ((0, 0), *self._margins(leads.shape[1:3]), (0, 0))), kernel

    def _extents(self) -> list[int]:
        """The sides of the receptive field."""
        return [(size - 1) * rate + 1 for size, rate in zip(self.kernel_size, self.dilation, strict=True)]

    def _outputs(self, sides: Any) -> list[int]:
        if self.padding == "same":
            return [-(-side // stride) for side, stride in zip(sides, self.strides, strict=True)]
        pairs = zip(sides, self._extents(), self.strides, strict=True)
        return [(side - extent) // stride + 1 for side, extent, stride in pairs]

    def _margins(self, sides: Any) -> list[tuple[int, int]]:
        """TensorFlow's padding: for "same" the smallest that gives every output, the odd one at the end."""
        if self.padding == "valid":
            return [(0, 0), (0, 0)]
        margins = []
        for side, extent, stride, outputs in zip(
            sides, self._extents(), self.strides, self._outputs(sides), strict=True
        ):
            needed = max((outputs - 1) * stride + extent - side, 0)
            margins.append((needed // 2, needed - needed // 2))
        return margins

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
        self.units = int(units)
        self.t_start, self.t_min = float(t_start), float(t_min)

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], self.units), initializer="zeros")
        self.drive = self.add_weight(name="drive", shape=(self.units,), initializer="zeros")

    def call(self, leads: Any) -> Any:
        # Noise can delay a spike past the read-out: it has not arrived and counts nothing.
        arrived = ops.maximum(leads, 0.0)
        return self.drive * (self.t_min - self.t_start) + ops.matmul(arrived, self.kernel)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "t_start": self.t_start, "t_min": self.t_min}
