"""A spiking network as a plain loop over its layers: a batch of images in, logits and evidence out."""

import threading
from collections.abc import Collection
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.spiking.bounds import Blocks
from relu2snn.spiking.certificate import Constants
from relu2snn.spiking.decide import Evidence
from relu2snn.spiking.engine import evidence_of, fire, simulate
from relu2snn.spiking.layers import PotentialReadout, SpikeEncoder, clip_start
from relu2snn.spiking.network import chain, check_weights, spiking_layers
from relu2snn.spiking.noise import batch_seed, disturb, noise_state
from relu2snn.spiking.rounding import Rounding

Floats = NDArray[np.float64]


class Outcome(NamedTuple):
    """What a batch of images (b, h, w, c) gave.

    logits (b, units). evidence and spikes, by spiking layer: what became of its pairs, and its spikes before t_max,
    with the noise. leads: those of the layers that were asked for, in the shapes of their outputs.
    """

    logits: Floats
    evidence: dict[str, Evidence]
    spikes: dict[str, int]
    leads: dict[str, Floats]


class Simulation:
    """A spiking network, run batch by batch as it was when `start` was called.

    All that changes from batch to batch is in here: which batch it is, for the noise, and what was learnt about blocks.
    The weights are held as they were, so that what others do to the network, `perturb` or another run, changes nothing
    before the next `start`.

    part: whose noise to draw. certify: False simulates every neuron event by event. keep: names of layers whose leads
    to return. Raises ValueError when the model is not a spiking network, or has a weight that is not finite.
    """

    def __init__(self, model: keras.Model, *, part: int = 0, certify: bool = True, keep: Collection[str] = ()) -> None:
        self._chain = chain(model)
        self._hidden = spiking_layers(model)
        self.layers = [layer.name for layer in self._hidden]
        self.neurons = {layer.name: int(np.prod(layer.output.shape[1:])) for layer in self._hidden}
        self._noisy = [layer for layer in self._chain if getattr(layer, "noise", 0)]
        self.noise = any(layer.noise for layer in self._noisy)
        self._held = {layer.name: Held(layer, certify) for layer in self._hidden}
        self._readout = next(layer for layer in self._chain if isinstance(layer, PotentialReadout))
        self._read = [tf.Variable(tf.convert_to_tensor(each)) for each in self._readout.weights]
        self._certify, self._keep = certify, frozenset(keep)
        self.outputs = tuple(model.output_shape[1:])
        self._dtype = model.inputs[0].dtype
        self._step = tf.function(self._graph, reduce_retracing=True, autograph=False)
        self.lock = threading.RLock()
        self.start(part)

    def start(self, part: int = 0) -> None:
        """Begin anew with the network as it is now, with the noise of `part`; the graph is kept."""
        with self.lock:
            for held in self._held.values():
                held.update()
            check_weights(self._readout)
            for variable, weight in zip(self._read, self._readout.weights, strict=True):
                variable.assign(tf.convert_to_tensor(weight))
            self._states = [noise_state(layer.seed, part) for layer in self._noisy]
            self._batch = 0
            # A dense layer has no positions, of which blocks could be made.
            self._blocks = {layer.name: Blocks() for layer in self._hidden if len(layer.output.shape) > 2}

    @property
    def alpha_noise(self) -> bool:
        """Whether α is other than 1 anywhere."""
        return any(held.disturbed for held in self._held.values())

    @property
    def rounding(self) -> dict[str, Rounding]:
        """What rounding can do to the values of each spiking layer."""
        return {name: held.rounding for name, held in self._held.items()}

    def __call__(self, images: Floats) -> Outcome:
        with self.lock:
            seeds = np.array([batch_seed(state, self._batch) for state in self._states]).reshape(-1, 2)
            coarse = np.array([name in self._blocks and self._blocks[name].active for name in self.layers], bool)
            found = self._step(tf.constant(images, self._dtype), tf.constant(seeds, tf.int32), tf.constant(coarse))
            self._batch += 1
            counts, sizes = found["counts"].numpy(), found["sizes"].numpy()
            evidence = {name: evidence_of(counts[place], sizes[place]) for place, name in enumerate(self.layers)}
            for name, blocks in self._blocks.items():
                pairs = self.neurons[name] * len(images)
                blocks.learn((evidence[name].binned + evidence[name].simulated) / max(pairs, 1))
        return Outcome(
            np.asarray(found["logits"].numpy()),
            evidence,
            {name: int(each) for name, each in zip(self.layers, found["spikes"].numpy(), strict=True)},
            {name: each.numpy() for name, each in found["leads"].items()},
        )

    def _graph(self, images: tf.Tensor, seeds: tf.Tensor, coarse: tf.Tensor) -> dict[str, Any]:
        counts, sizes, spikes, leads = [], [], [], {}
        drawn = {layer.name: seeds[k] for k, layer in enumerate(self._noisy)}
        values = images
        for layer in self._chain:
            if isinstance(layer, SpikeEncoder):
                values = layer.encode(values)
                if layer.name in drawn:
                    values = clip_start(disturb(values, layer.noise, drawn[layer.name]))
            elif layer.name in self._held:
                fired = self._fire(layer, values, coarse)
                counts.append(fired.counts)
                sizes.append(fired.sizes)
                values, before_end = fired.leads, fired.counts[0]
                if layer.name in drawn:
                    # Noise moves spikes across t_max after the layer has counted them.
                    values = disturb(values, layer.noise, drawn[layer.name])
                    before_end = tf.math.count_nonzero(values > 0)
                spikes.append(before_end)
            elif layer is self._readout:
                values = layer.read(values, *(tf.convert_to_tensor(each) for each in self._read))
            else:
                values = layer(values, training=False)
            if layer.name in self._keep:
                leads[layer.name] = values
        return {
            "logits": values,
            "counts": tf.reshape(counts, (len(counts), 4)) if counts else tf.zeros((0, 4), tf.int64),
            "sizes": tf.stack(sizes) if sizes else tf.zeros((0, 2)),
            "spikes": tf.stack(spikes) if spikes else tf.zeros(0, tf.int64),
            "leads": leads,
        }

    def _fire(self, layer: Any, values: Any, coarse: tf.Tensor) -> Any:
        held = self._held[layer.name]
        if not self._certify:
            return simulate(layer, values, held.parameters())
        blocks = coarse[self.layers.index(layer.name)] if values.shape.rank > 2 else False
        return fire(layer, values, held.parameters(), held.constants(), blocks)


class Held:
    """The weights of a layer and the constants derived from them, in variables, as they were at the last `update`.

    A variable shares its memory with the weight it was made from until that is changed. Given to the graph in every
    call instead, they would add a twentieth to the time of LeNet5.
    """

    def __init__(self, layer: Any, certify: bool) -> None:
        self._layer, self._certify = layer, certify
        self._weights: list[Any] = []
        self._constants: list[Any] = []
        self.disturbed = False

    def update(self) -> None:
        """Take the layer as it is now.

        Raises ValueError when a weight is not finite.
        """
        now = self._layer.parameters()
        if self._weights and all(bool(tf.reduce_all(old == new)) for old, new in zip(self._weights, now, strict=True)):
            return
        check_weights(self._layer)
        constants = list(self._layer.derive()) if self._certify else []
        if not self._weights:
            self._weights = [tf.Variable(each) for each in now]
            self._constants = [None if each is None else tf.Variable(each) for each in constants]
        for variable, value in zip([*self._weights, *self._constants], [*now, *constants], strict=True):
            if variable is not None:
                variable.assign(value)
        self.disturbed = bool(tf.reduce_any(now[2] != 1))
        self.rounding = Rounding.of_layer(self._layer, *self._sums(now, constants))

    def _sums(self, weights: list[Any], constants: list[Any]) -> tuple[Any, Any]:
        """Σ|J| and ΣJ; those of the constants, if there are any, since a large kernel takes a gigabyte."""
        if constants:
            derived = Constants(*constants)
            return derived.size, derived.rise - tf.cast(weights[2], tf.float64)
        kernel = tf.cast(weights[0], tf.float64)
        axes = range(kernel.shape.rank - 1)
        return tf.reduce_sum(tf.abs(kernel), axes), tf.reduce_sum(kernel, axes)

    def parameters(self) -> list[Any]:
        return [tf.convert_to_tensor(each) for each in self._weights]

    def constants(self) -> Constants:
        return Constants(*(None if each is None else tf.convert_to_tensor(each) for each in self._constants))
