"""Running a spiking network over batches of images, and reading its spike times."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.spiking.certificate import Constants
from relu2snn.spiking.decide import Evidence
from relu2snn.spiking.layers import PotentialReadout, SpikeEncoder, SpikingConv2D, SpikingDense

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def spiking_layers(model: keras.Model) -> list[Any]:
    """The layers of spiking neurons of a spiking network, from the input to the output, without the encoder."""
    return [layer for layer in model.layers if isinstance(layer, SpikingDense | SpikingConv2D)]


def spiking_layer(model: keras.Model, name: str) -> Any:
    """The spiking layer called `name`.

    Raises ValueError when there is none.
    """
    layers = {layer.name: layer for layer in spiking_layers(model)}
    if name not in layers:
        raise ValueError(f"layer {name!r}: no spiking layer of that name; choose from {', '.join(layers)}")
    return layers[name]


def latency(model: keras.Model) -> float:
    """When the output is read, in units of the input window: t_min of the output layer."""
    return next(layer.t_min for layer in model.layers if isinstance(layer, PotentialReadout))


def spike_times(model: keras.Model, images: Floats, certify: bool = True) -> dict[str, Floats]:
    """Absolute spike times of the encoder and of every spiking layer, by layer name, for images (batch, h, w, c).

    Shapes are those of the layers' outputs; the input window is [0, 1]. certify: as in SpikingRun.
    """
    prepare(model, certify)
    layers = [layer for layer in model.layers if isinstance(layer, SpikeEncoder)] + spiking_layers(model)
    probe = keras.Model(model.inputs[0], [layer.output for layer in layers])
    leads = probe(tf.constant(images, model.inputs[0].dtype), training=False)
    return {layer.name: layer.t_max - lead.numpy() for layer, lead in zip(layers, leads, strict=True)}


class SpikingRun:
    """A spiking network run over batches, counting spikes as it goes; memory is bounded by the batch.

    Attributes: images, the number seen; layers, the names of the spiking layers; spikes and neurons (layers,): spikes
    before t_max, and all neurons of one image. certified, simulated, early and deviation (layers,): the pairs of a
    neuron and an image for which the closed form is proved to be the simulation, those that were simulated event by
    event, of these the spikes before t_min, and the largest difference of a simulated neuron's decoded value from
    the closed form, which is its ReLU unless α is disturbed.

    certify=False simulates every neuron event by event: the same spike times, much slower.
    """

    def __init__(self, model: keras.Model, part: int = 0, certify: bool = True) -> None:
        layers = spiking_layers(model)
        self._model, self._certify = model, certify
        self.layers = [layer.name for layer in layers]
        self.windows = [(layer.t_min, layer.t_max) for layer in layers]
        self.neurons = np.array([int(np.prod(layer.output.shape[1:])) for layer in layers], np.int64)
        self._noisy = np.flatnonzero([layer.noise for layer in layers])
        self._constants = [Held(layer) for layer in layers] if certify else []
        self.start(part)
        noisy = [layers[k].output for k in self._noisy]
        probe = keras.Model(model.inputs[0], {"logits": model.outputs[0], "noisy": noisy})

        @tf.function(reduce_retracing=True)
        def step(images: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
            # Only while the graph is made: a call of the model without a run takes its weights as they are then.
            with held_constants(layers, self._constants):
                outputs = probe(images, training=False)
            return outputs["logits"], [tf.math.count_nonzero(lead > 0) for lead in outputs["noisy"]]

        self._step = step
        self._dtype = model.inputs[0].dtype

    def start(self, part: int = 0) -> None:
        """Count from nothing again, with the noise of `part`, as a new run would; its graph is kept."""
        prepare(self._model, self._certify)
        for layer in self._model.layers:
            if hasattr(layer, "reseed"):
                layer.reseed(part)
        self.images = 0
        self._noisy_spikes = np.zeros(len(self.layers), np.int64)
        self._evidence = [layer.evidence for layer in spiking_layers(self._model)]
        for held in self._constants:
            held.update()

    def logits(self, images: Floats) -> Floats:
        """Take a batch of images (b, h, w, c) in; returns the logits (b, classes)."""
        logits, spikes = self._step(tf.constant(images, self._dtype))
        self.images += len(images)
        self._noisy_spikes[self._noisy] += np.array([int(count) for count in spikes], np.int64)
        return np.asarray(logits.numpy())

    @property
    def spikes(self) -> Counts:
        """Spikes before t_max, per layer."""
        counted = np.array([layer.spikes for layer in self._evidence], np.int64)
        # Noise moves spikes across t_max after the layer has counted them.
        counted[self._noisy] = self._noisy_spikes[self._noisy]
        return counted

    @property
    def simulated(self) -> Counts:
        """Pairs that were simulated event by event, per layer."""
        return np.array([layer.simulated for layer in self._evidence], np.int64)

    @property
    def certified(self) -> Counts:
        """Pairs whose closed form is proved to be the simulation, per layer."""
        return self.neurons * self.images - self.simulated

    @property
    def early(self) -> Counts:
        """Spikes before t_min, per layer, noise on the spike times apart."""
        return np.array([layer.early for layer in self._evidence], np.int64)

    @property
    def deviation(self) -> Floats:
        """Largest difference of a simulated neuron's decoded value from the closed form of its inputs, per layer."""
        return np.array([layer.deviation for layer in self._evidence])


class Held:
    """The constants of a layer in variables, derived again where α has changed: the run's graph stays.

    Given to the graph in every call instead, they would add a twentieth to the time of LeNet5.
    """

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._drive = np.asarray(layer.drive)
        self._variables = Constants(*(None if each is None else tf.Variable(each) for each in layer.derive()))

    def update(self) -> None:
        drive = np.asarray(self._layer.drive)
        if np.array_equal(drive, self._drive):
            return
        self._drive = drive
        for variable, value in zip(self._variables, self._layer.derive(), strict=True):
            if variable is not None:
                variable.assign(value)

    def tensors(self) -> Constants:
        return Constants(*(None if each is None else tf.convert_to_tensor(each) for each in self._variables))


@contextlib.contextmanager
def held_constants(layers: list[Any], constants: list[Held]) -> Iterator[None]:
    """Within, the layers take these constants instead of deriving them."""
    for layer, held in zip(layers, constants, strict=False):
        layer.constants = held.tensors()
    try:
        yield
    finally:
        for layer in layers:
            layer.constants = None


def prepare(model: keras.Model, certify: bool) -> None:
    """Say how a network's pairs are decided, and begin to count what becomes of them."""
    for layer in spiking_layers(model):
        layer.certify, layer.evidence = certify, Evidence()
