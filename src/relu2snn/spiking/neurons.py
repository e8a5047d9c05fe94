"""What layers of single-spike neurons share: noise on spike times, the certified simulation (arXiv:2212.12522)."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from relu2snn.spiking.bounds import Blocks, gaps, over_blocks
from relu2snn.spiking.certificate import UNDERFLOW, Constants, closed_form, derive, slack_type
from relu2snn.spiking.checks import finite, increasing
from relu2snn.spiking.decide import Evidence, Neurons, decide, is_early
from relu2snn.spiking.events import Floats, simulate_conv2d

Margins = tuple[tuple[int, int], tuple[int, int]]

NO_MARGINS: Margins = ((0, 0), (0, 0))
# numpy has no bfloat16.
_BITS, _TF_BITS = (np.uint16, tf.uint16) if slack_type == tf.bfloat16 else (np.uint32, tf.uint32)


class NoisyLayer(keras.layers.Layer):
    """A layer whose spike times carry Gaussian noise of standard deviation `noise`, drawn from `seed`."""

    def __init__(self, noise: float = 0.0, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.noise, self.seed = finite("noise", noise), int(seed)
        if self.noise < 0 or self.seed < 0:
            raise ValueError(f"noise={noise}, seed={seed}: must not be negative")
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


class SpikingLayer(NoisyLayer):
    """Neurons with potential dV/dt = α H(t − t_start) + Σ_j J_ij H(t − t_j) that spike where V reaches ϑ_i.

    t_start is the start of the inputs' window, t_min its end and the start of the neurons' own window, t_max
    the end of that; times are absolute. Weights: `kernel` J, `threshold` ϑ and `drive` α.

    Attributes: certify, whether pairs with a certificate take the closed form (else all are simulated event by event,
    which gives the same and is slow); set it before the network's first call. evidence, what became of the pairs.
    constants, those of `derive` if they need not be derived in every call, as the weights do not change.
    """

    strides = dilation = (1, 1)

    def __init__(self, t_start: float, t_min: float, t_max: float, **options: Any) -> None:
        super().__init__(**options)
        self.t_start, self.t_min, self.t_max = increasing(t_start=t_start, t_min=t_min, t_max=t_max)
        self.certify = True
        self.evidence = Evidence()
        self.constants: Constants | None = None
        self.blocks = Blocks()

    def add_parameters(self, kernel_shape: tuple[int, ...], threshold_shape: tuple[int, ...]) -> None:
        self.kernel = self.add_weight(name="kernel", shape=kernel_shape, initializer="zeros")
        self.threshold = self.add_weight(name="threshold", shape=threshold_shape, initializer="ones")
        self.drive = self.add_weight(name="drive", shape=kernel_shape[-1:], initializer="ones")

    @property
    def before(self) -> float:
        """How long the neurons integrate before their own window."""
        return self.t_min - self.t_start

    @property
    def window(self) -> float:
        return self.t_max - self.t_min

    def derive(self) -> Constants:
        """The constants of the certificate for the weights as they are."""
        kernel, threshold, drive = self.parameters()
        return derive(kernel, threshold, drive, self.before, self.window)

    def parameters(self) -> list[Any]:
        return [tf.convert_to_tensor(weight) for weight in (self.kernel, self.threshold, self.drive)]

    def call(self, leads: Any) -> Any:
        parameters = self.parameters()
        if self.certify:
            spikes = self._certified(leads, parameters, self.constants or self.derive())
        else:
            spikes = tf.numpy_function(self._simulate, [leads, *parameters], leads.dtype)
        spikes.set_shape(self.compute_output_shape(leads.shape))
        return self.disturb(spikes)

    def _certified(self, leads: Any, parameters: list[Any], constants: Constants) -> Any:
        found = tf.numpy_function(self._gaps, [leads], [_TF_BITS, tf.float64, tf.float64, tf.bool])
        bits, latest, largest, coarse = found
        channels = leads.shape[-1]
        bits.set_shape((None, None, None, channels) if leads.shape.rank > 2 else (None, channels))
        # One after the other: each takes every core, and those that wait for a share of one spin.
        with tf.control_dependencies([bits]):
            closed = closed_form(leads, parameters[0], constants, self.apply)
        gap = tf.bitcast(bits, slack_type)
        slack = tf.cond(
            coarse,
            lambda: self.apply_padded(gap, constants.negative, 2),
            lambda: self.apply_padded(gap, constants.negative, 1),
        )
        slack = tf.bitcast(slack, _TF_BITS)
        given = [closed, slack, latest, largest, leads, *parameters]
        others = [constants.floor, constants.pull, constants.rounding, constants.size, constants.rise, constants.rows]
        indices, values = tf.numpy_function(self._decide, [*given, *others], [tf.int64, leads.dtype])
        indices.set_shape((None,))

        def replaced() -> Any:
            flat = tf.tensor_scatter_nd_update(tf.reshape(closed, (-1,)), indices[:, None], values)
            return tf.reshape(flat, tf.shape(closed))

        return tf.cond(tf.size(indices) > 0, replaced, lambda: closed)

    def apply(self, values: Any, kernel: Any) -> Any:
        """The linear map of the layer: Σ_j kernel_ij values_j, with the padding's values 0."""
        raise NotImplementedError

    def apply_padded(self, values: Any, kernel: Any, step: int) -> Any:
        """The same of values that are padded already, at every `step`-th position of either axis."""
        raise NotImplementedError

    def margins(self, sides: Any) -> Margins:
        """The padding of inputs of `sides`: rows before and after, columns before and after."""
        return NO_MARGINS

    def extents(self) -> tuple[int, int]:
        """The sides of the receptive field."""
        return 1, 1

    def _simulate(self, leads: Floats, kernel: Floats, threshold: Floats, drive: Floats) -> Floats:
        """Every neuron, event by event, in float64 whatever the precision of the layer."""
        grid, weights = as_grid(leads, kernel)
        padded = np.pad(grid, ((0, 0), *self.margins(grid.shape[1:3]), (0, 0)))
        wide = [np.asarray(each, np.float64) for each in (padded, weights, threshold, drive)]
        spikes = simulate_conv2d(
            wide[0], wide[1], wide[2], wide[3], self.before, self.window, self.strides, self.dilation
        )
        self.evidence.spikes += int(np.count_nonzero(spikes > 0))
        self.evidence.simulated += spikes.size
        self.evidence.early += int(np.count_nonzero(is_early(spikes, self.before, self.window)))
        return (spikes if kernel.ndim > 2 else spikes[:, 0, 0]).astype(leads.dtype)

    def _gaps(self, leads: Floats) -> tuple[Any, Floats, Floats, bool]:
        grid = leads if leads.ndim > 2 else leads[:, None, None]
        bits, latest, largest = gaps(grid, self.margins(grid.shape[1:3]), self.extents(), _BITS)
        if self.blocks.active:
            bits = over_blocks(bits, self.strides)
        return (bits if leads.ndim > 2 else bits[:, 0, 0]), latest, largest, self.blocks.active

    def _decide(
        self, closed: Floats, slack: Any, latest: Floats, largest: Floats, leads: Floats, kernel: Floats,
        threshold: Floats, drive: Floats, floor: Floats, pull: Floats, rounding: Floats, size: Floats, rise: Floats,
        rows: Any,
    ) -> tuple[Any, Floats]:  # fmt: skip
        if leads.ndim == 2:
            closed, slack = closed[:, None, None], slack[:, None, None]
        grid, weights = as_grid(leads, kernel)
        wide = [np.asarray(each, np.float64) for each in (weights, threshold, drive)]
        neurons = Neurons(
            wide[0], rows, size, wide[1], wide[2], rise, self.before, self.window, self.strides, self.dilation
        )
        limit = self.window - latest[:, None] - rounding * largest[:, None] - UNDERFLOW
        lift = latest[:, None] * (pull - 1)
        margins = self.margins(grid.shape[1:3])
        before = self.evidence.binned + self.evidence.simulated
        indices, values = decide(closed, slack, floor, limit, lift, latest, grid, margins, neurons, self.evidence)
        if closed.shape[1] * closed.shape[2] > 1:
            self.blocks.learn((self.evidence.binned + self.evidence.simulated - before) / closed.size)
        return indices, values.astype(leads.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "t_start": self.t_start, "t_min": self.t_min, "t_max": self.t_max}


def as_grid(leads: Floats, kernel: Floats) -> tuple[Floats, Floats]:
    """Leads and kernel of a layer as those of a convolution."""
    return (leads, kernel) if kernel.ndim > 2 else (leads[:, None, None], kernel[None, None])
