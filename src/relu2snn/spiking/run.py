"""Running a spiking network over batches of images, and reading its spike times."""

import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn.spiking.decide import Evidence
from relu2snn.spiking.network import check_images, encoder, spiking_layers
from relu2snn.spiking.rounding import LIMITS
from relu2snn.spiking.simulation import Simulation

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

OUTSIDE = 1e-9
"""A pixel is outside the encoder's range when it is so by more than this share of the range: less is rounding."""


def spike_times(model: keras.Model, images: Floats, certify: bool = True, part: int = 0) -> dict[str, Floats]:
    """Absolute spike times of the encoder and of every spiking layer, by layer name, for images (batch, h, w, c).

    Shapes are those of the layers' outputs; the input window is [0, 1]. certify and part: as in SpikingRun, so that a
    network with noise gives the same times in every call.

    Raises ValueError when the model is not a spiking network, or a weight or a pixel is not finite.
    """
    layers = [encoder(model), *spiking_layers(model)]
    simulation = Simulation(model, part=part, certify=certify, keep=[layer.name for layer in layers])
    check_images(np.asarray(images))
    leads = simulation(images).leads
    return {layer.name: layer.t_max - leads[layer.name] for layer in layers}


class SpikingRun:
    """A spiking network run over batches, summing the evidence that each returns; memory is bounded by the batch.

    The run owns its evidence and its noise, and has the network as it was when the run began or was started again: runs
    of one network may take turns or go on in several threads, and give what each alone gives.

    Attributes: images, the number seen; layers, the names of the spiking layers; precision, "float64" or "float32";
    spikes and neurons (layers,): spikes before t_max, and all neurons of one image. certified, simulated, early and
    deviation (layers,): the pairs of a neuron and an image for which the closed form is proved to be the simulation,
    those that were simulated event by event, of these the spikes before t_min, and the largest difference of a
    simulated neuron's decoded value from the closed form, which is its ReLU unless α is disturbed. rounding (layers,):
    what rounding may add to a value of the layer, as a share of the layer's largest value (see `rounding`). outside:
    images with pixels outside the encoder's range. reasons: why the run is not exact, by kind; exact: there are none.

    part: whose noise to draw. certify=False simulates every neuron event by event: the same spike times, much slower.
    Raises ValueError when the model is not a spiking network, or has a weight that is not finite.
    """

    def __init__(self, model: keras.Model, part: int = 0, certify: bool = True) -> None:
        self._simulation = Simulation(model, part=part, certify=certify)
        layers = spiking_layers(model)
        self.layers = self._simulation.layers
        self.windows = [(layer.t_min, layer.t_max) for layer in layers]
        self.neurons = np.array([self._simulation.neurons[name] for name in self.layers], np.int64)
        self.precision = str(model.inputs[0].dtype)
        self._encoder = encoder(model)
        self._clear()

    def start(self, part: int = 0) -> None:
        """Count from nothing again, of the network as it is now, with the noise of `part`, as a new run would."""
        with self._simulation.lock:
            self._simulation.start(part)
            self._clear()

    def _clear(self) -> None:
        self.images = self.outside = self._overflown = 0
        self._evidence = {name: Evidence() for name in self.layers}
        self._spikes = dict.fromkeys(self.layers, 0)
        self._largest_pixel = 0.0

    def logits(self, images: Floats) -> Floats:
        """Take a batch of images (b, h, w, c) in; returns the logits (b, classes).

        Raises ValueError for a pixel that is not finite, naming the image by its number in this run.
        """
        images = np.asarray(images)
        with self._simulation.lock:
            if not len(images):
                return np.zeros((0, *self._simulation.outputs))
            rows = images.reshape(len(images), -1)
            lowest, highest = rows.min(axis=1), rows.max(axis=1)
            if not (np.isfinite(lowest).all() and np.isfinite(highest).all()):
                check_images(images, self.images)
            outcome = self._simulation(images)
            self.images += len(images)
            self._count_pixels(lowest, highest)
            if not np.isfinite(outcome.logits).all():
                self._overflown += int(np.count_nonzero(~np.isfinite(outcome.logits).all(axis=-1)))
            for name in self.layers:
                self._evidence[name] += outcome.evidence[name]
                self._spikes[name] += outcome.spikes[name]
        return outcome.logits

    def _count_pixels(self, lowest: Floats, highest: Floats) -> None:
        """Take in the smallest and the largest pixel of each image, (b,)."""
        low, span = self._encoder.low, self._encoder.high - self._encoder.low
        first, last = (lowest - low) / span, (highest - low) / span
        self.outside += int(np.count_nonzero((first < -OUTSIDE) | (last > 1 + OUTSIDE)))
        self._largest_pixel = max(self._largest_pixel, float(np.abs(first).max()), float(np.abs(last).max()))

    def _counts(self, name: str) -> Counts:
        return np.array([getattr(self._evidence[layer], name) for layer in self.layers], np.int64)

    @property
    def spikes(self) -> Counts:
        """Spikes before t_max, per layer."""
        return np.array([self._spikes[name] for name in self.layers], np.int64)

    @property
    def simulated(self) -> Counts:
        """Pairs that were simulated event by event, per layer."""
        return self._counts("simulated")

    @property
    def certified(self) -> Counts:
        """Pairs whose closed form is proved to be the simulation, per layer."""
        return self.neurons * self.images - self.simulated

    @property
    def early(self) -> Counts:
        """Spikes before t_min, per layer, noise on the spike times apart."""
        return self._counts("early")

    @property
    def deviation(self) -> Floats:
        """Largest difference of a simulated neuron's decoded value from the closed form of its inputs, per layer."""
        return np.array([self._evidence[name].deviation for name in self.layers])

    @property
    def rounding(self) -> Floats:
        """Bound on the rounding of a layer's values, as a share of its largest value in this run, per layer."""
        peaks = [self._evidence[name].peak for name in self.layers]
        largest = [self._largest_pixel, *peaks[:-1]]
        bounds = [self._simulation.rounding[name] for name in self.layers]
        return np.array([each.relative(*sizes) for each, *sizes in zip(bounds, largest, peaks, strict=False)])

    @property
    def reasons(self) -> dict[str, str]:
        """Why the run does not prove that each neuron has computed its ReLU, a sentence for each kind of reason."""
        found = {}
        if not self.images:
            found["images"] = "no images were run"
        if self._simulation.noise or self._simulation.alpha_noise:
            found["noise"] = "it was run with noise"
        if early := int(self.early.sum()):
            found["early"] = early_reason(self.layers, self.early.tolist(), early)
        if self._overflown:
            found["overflow"] = f"the logits of {self._overflown} images are not finite"
        if self.outside:
            found["outside"] = (
                f"{self.outside} images have pixels outside [{self._encoder.low}, {self._encoder.high}], "
                "which spike outside the input window"
            )
        limit, rounding = LIMITS[self.precision], self.rounding
        if self.images and (rounding > limit).any():
            worst = int(np.argmax(rounding))
            found["rounding"] = (
                f"rounding in {self.precision} may change values of layer {self.layers[worst]!r} by "
                f"{rounding[worst]:.1g} of its largest one, more than {limit:g}"
            )
        return found

    @property
    def exact(self) -> bool:
        """Whether every neuron has computed its ReLU for every image, as precisely as `LIMITS` says."""
        return not self.reasons


def early_reason(layers: list[str], early: list[int], total: int) -> str:
    """What spikes before their window are called in results: how many, and in which layers."""
    where = ", ".join(f"{count} in {name}" for name, count in zip(layers, early, strict=True) if count)
    return f"{total} spikes came before their window: {where}"
