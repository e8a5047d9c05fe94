"""Layer maxima, activity and predictions of a ReLU network in one streaming pass over images."""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from relu2snn.mapping.network import Array, Conv2D, Network, ReLU, Weighted
from relu2snn.mapping.write import to_keras
from relu2snn.spiking.network import check_images


class Measurement:
    """What one pass over images found; memory is bounded by the batch, not by the number of images.

    model: `to_keras(network)` if that is there already, so that large weights are not held twice.

    Attributes: images, the number seen; layers, the names of the hidden layers; layer_maxima (layers,), the
    largest ReLU output X^(n) of each; nonzero (layers,) and neurons (layers,), the outputs above zero and all
    of them, per image and summed.
    """

    def __init__(self, network: Network, model: keras.Model | None = None) -> None:
        relus = [node for node in network if isinstance(node, ReLU)]
        self.layers = [layer.name for layer in network.hidden()]
        self.images = 0
        self.layer_maxima: Array = np.zeros(len(relus))
        self.nonzero = np.zeros(len(relus), np.int64)
        self.neurons = np.array([int(np.prod(node.shape)) for node in relus], np.int64)
        model = model or to_keras(network)
        # By name, since of a list of one Keras gives the one.
        taps = {node.name: model.get_layer(node.name).output for node in relus}
        probe = keras.Model(model.inputs[0], {"logits": model.outputs[0], "values": taps})

        @tf.function(reduce_retracing=True)
        def step(images: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
            found = probe(images, training=False)
            values = [found["values"][name] for name in taps]
            return found["logits"], [tf.reduce_max(v) for v in values], [tf.math.count_nonzero(v) for v in values]

        self._step = step

    def add(self, images: Array) -> Array:
        """Take a batch of images (b, h, w, c) in; returns the logits (b, classes).

        Raises ValueError for a pixel that is not finite, naming the image by its number in this pass.
        """
        check_images(np.asarray(images), self.images)
        logits, maxima, nonzero = self._step(tf.constant(images, tf.float64))
        self.images += len(images)
        self.layer_maxima = np.maximum(self.layer_maxima, [float(value) for value in maxima])
        self.nonzero += np.array([int(value) for value in nonzero], np.int64)
        return np.asarray(logits.numpy())

    @property
    def nonzero_fraction(self) -> Array:
        """Share of ReLU outputs above zero, per layer."""
        return self.nonzero / (self.neurons * max(self.images, 1))

    @property
    def total_nonzero_fraction(self) -> float:
        """Share of ReLU outputs above zero over all hidden layers."""
        return float(self.nonzero.sum() / (self.neurons.sum() * max(self.images, 1)))


def measure(network: Network, batches: Iterable[Array]) -> Measurement:
    """One pass of a folded network over batches of images (b, h, w, c)."""
    measurement = Measurement(network)
    for images in batches:
        measurement.add(images)
    return measurement


def measure_bounds(network: Network, batches: Iterable[Array]) -> Array:
    """The largest b_i + Σ_j W⁺_ij x_j of each hidden layer of a folded network, (layers,), in one pass over batches.

    Windows B^(n) = (1 + ζ) times this certify every neuron on the images of the pass, for ζ > 0 (method:
    "Certificate").

    Raises ValueError for a pixel that is not finite, naming the image by its number in this pass.
    """
    model, hidden = to_keras(network), network.hidden()
    if not hidden:
        return np.zeros(0)
    layers = [model.get_layer(node.name) for node in hidden]
    # By name, since of a list of one Keras gives the one.
    probe = keras.Model(model.inputs[0], {layer.name: layer.input for layer in layers})

    @tf.function(reduce_retracing=True)
    def step(images: tf.Tensor) -> list[tf.Tensor]:
        # Positive weights are taken from the network's own in each step: held, they would be as large as it is.
        inputs = probe(images, training=False)
        return [
            tf.reduce_max(_respond(node, inputs[node.name], tf.nn.relu(layer.kernel)) + node.bias)
            for node, layer in zip(hidden, layers, strict=True)
        ]

    largest: Array = np.zeros(len(hidden))
    seen = 0
    for images in batches:
        check_images(np.asarray(images), seen)
        seen += len(images)
        largest = np.maximum(largest, [float(value) for value in step(tf.constant(images, tf.float64))])
    return largest


def _respond(node: Weighted, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """What `node` makes of its inputs, without the bias, with another kernel."""
    if isinstance(node, Conv2D):
        return tf.nn.convolution(inputs, kernel, node.strides, node.padding.upper(), dilations=node.dilation)
    return inputs @ kernel
