"""What layers of single-spike neurons share as Keras layers: weights, windows, noise (arXiv:2212.12522)."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from relu2snn.spiking.certificate import Constants, derive
from relu2snn.spiking.checks import finite, increasing
from relu2snn.spiking.engine import fire
from relu2snn.spiking.noise import noise_state

Margins = tuple[tuple[int, int], tuple[int, int]]

NO_MARGINS: Margins = ((0, 0), (0, 0))


class NoisyLayer(keras.layers.Layer):
    """A layer whose spike times carry Gaussian noise of standard deviation `noise`, drawn from `seed`.

    As an ordinary Keras layer (`model(images)`, `model.predict`) it draws anew in every call, as Keras' own layers of
    noise do. Whoever runs the network as spikes draws for itself (`noise.disturb`) and leaves that generator alone.
    """

    def __init__(self, noise: float = 0.0, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.noise, self.seed = finite("noise", noise), int(seed)
        if self.noise < 0 or self.seed < 0:
            raise ValueError(f"noise={noise}, seed={seed}: must not be negative")
        self.generator = keras.random.SeedGenerator(self.seed) if self.noise else None
        # The event simulation runs outside the graph, which XLA cannot compile.
        self.supports_jit = False

    def reseed(self, seed: int) -> None:
        """Draw the noise from another seed from now on; runs that have begun go on with theirs."""
        self.seed = int(seed)
        if self.generator:
            self.generator.state.assign(noise_state(self.seed, 0))

    def disturb(self, leads: Any) -> Any:
        """Add the noise of a plain Keras call: a later spike has a smaller lead."""
        if not self.generator:
            return leads
        return leads - keras.random.normal(ops.shape(leads), stddev=self.noise, dtype=leads.dtype, seed=self.generator)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "noise": self.noise, "seed": self.seed}


class SpikingLayer(NoisyLayer):
    """Neurons with potential dV/dt = α H(t − t_start) + Σ_j J_ij H(t − t_j) that spike where V reaches ϑ_i.

    t_start is the start of the inputs' window, t_min its end and the start of the neurons' own window, t_max
    the end of that; times are absolute. Weights: `kernel` J, `threshold` ϑ and `drive` α. It holds these and nothing
    about any run; what became of its pairs is returned by `engine.fire`.
    """

    strides = dilation = (1, 1)

    def __init__(self, t_start: float, t_min: float, t_max: float, **options: Any) -> None:
        super().__init__(**options)
        self.t_start, self.t_min, self.t_max = increasing(t_start=t_start, t_min=t_min, t_max=t_max)

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
        """J, ϑ and α as tensors, as they are now."""
        return [tf.convert_to_tensor(weight) for weight in (self.kernel, self.threshold, self.drive)]

    def call(self, leads: Any) -> Any:
        return self.disturb(fire(self, leads, self.parameters(), self.derive()).leads)

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

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "t_start": self.t_start, "t_min": self.t_min, "t_max": self.t_max}
