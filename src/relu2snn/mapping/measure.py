"""Layer maxima, activity and predictions of a ReLU network in one streaming pass over images."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Chain
from relu2snn.graph.nodes import Segment
from relu2snn.mapping.relu_layers import NodeLayer
from relu2snn.mapping.relu_model import relu_network, values_model
from relu2snn.spiking.backend import TensorFlowOps
from relu2snn.spiking.mapped import layers_of
from relu2snn.spiking.network import check_images

Array = NDArray[np.float64]


class Measurement:
    """What one pass over images found; memory is bounded by the batch, not by the number of images.

    model: what `relu_model` makes of a network.

    Attributes: images, the number seen; layers, the names of the hidden layers (of the network's populations);
    channel_maxima, by layer the largest ReLU output of each channel, (channels,); nonzero (layers,) and neurons
    (layers,), the outputs above zero and all of them, per image and summed.
    """

    def __init__(self, model: keras.Model) -> None:
        populations = relu_network(model).populations
        # Of a network without hidden layers Keras would refuse the model of their values.
        known = values_model(model).output if populations else {}
        probe = keras.Model(model.inputs, {"outputs": model.outputs, "values": known})
        self.layers = list(populations)
        self.images = 0
        self.channel_maxima: dict[str, Array] = {
            name: np.zeros(node.shape[-1]) for name, (node, _) in populations.items()
        }
        self.nonzero = np.zeros(len(self.layers), np.int64)
        self.neurons = np.array([int(np.prod(node.shape)) for node, _ in populations.values()], np.int64)
        self._names = [tensor.name for tensor in model.inputs]

        @tf.function(input_signature=[_images(model)])
        def step(images: list[tf.Tensor]) -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
            found = probe(images, training=False)
            values = [found["values"][name] for name in self.layers]
            maxima = [tf.reduce_max(v, list(range(v.shape.rank - 1))) for v in values]
            return found["outputs"], maxima, [tf.math.count_nonzero(v) for v in values]

        # Traced here, since TensorFlow warns of functions traced again where each network has its own.
        self._step = step.get_concrete_function()

    def add(self, images: Any) -> Any:
        """Take a batch of images (b, *shape) in, or of several inputs by name; returns the logits (b, classes).

        Of several outputs they are a list. Raises ValueError for a pixel that is not finite, naming the image by its
        number in this pass.
        """
        check_images(images, self.images)
        outputs, maxima, nonzero = self._step(in_order(images, self._names))
        self.images += len(outputs[0])
        for name, found in zip(self.layers, maxima, strict=True):
            self.channel_maxima[name] = np.maximum(self.channel_maxima[name], found.numpy())
        self.nonzero += np.array([int(value) for value in nonzero], np.int64)
        given = [np.asarray(each.numpy()) for each in outputs]
        return given[0] if len(given) == 1 else given

    @property
    def maxima(self) -> dict[str, float]:
        """The largest ReLU output X of each hidden layer, by name."""
        return {name: float(each.max()) for name, each in self.channel_maxima.items()}

    @property
    def nonzero_fraction(self) -> Array:
        """Share of ReLU outputs above zero, per layer."""
        return self.nonzero / (self.neurons * max(self.images, 1))

    @property
    def total_nonzero_fraction(self) -> float:
        """Share of ReLU outputs above zero over all hidden layers."""
        return float(self.nonzero.sum() / max(self.neurons.sum() * max(self.images, 1), 1))


def measure(model: keras.Model, batches: Iterable[Any]) -> Measurement:
    """One pass of a model that `relu_model` has made over batches of images (b, *shape).

    Example:
        >>> found = measure(relu_model(read_keras(model)), np.split(calibration, 2))
        >>> found.images, found.layers
        (40, ['conv', 'dense'])
    """
    measurement = Measurement(model)
    for images in batches:
        measurement.add(images)
    return measurement


def measure_bounds(model: keras.Model, batches: Iterable[Any]) -> dict[str, float]:
    """The largest b_i + Σ_j W⁺_ij x_j of each hidden layer, by name, in one pass over batches.

    Windows B = (1 + ζ) times this certify every neuron on the images of the pass, for ζ > 0 (see docs/method.md).
    model: what `relu_model` makes of a network. Raises ValueError for a pixel that is not finite, naming the image by
    its number in this pass.

    Example:
        >>> known = relu_model(read_keras(model))
        >>> bounds, maxima = measure_bounds(known, [calibration]), measure(known, [calibration]).maxima
        >>> all(bounds[name] >= maxima[name] for name in maxima)
        True
    """
    network = relu_network(model)
    layers = layers_of(model, NodeLayer)
    held = [weight for layer in layers for weight in layer.weights]
    ops = TensorFlowOps("float64", held)
    tensors: dict[str, Any] = {}
    for layer in layers:
        outputs = layer.output if isinstance(layer.output, list | tuple) else [layer.output]
        tensors |= dict(zip(layer.tensors_out(), outputs, strict=True))
    needed = {name for node in network.segments for name in node.maps}
    if not needed:
        return {}
    probe = keras.Model(model.inputs, {name: tensors[name] for name in needed})
    names = [tensor.name for tensor in model.inputs]

    @tf.function(input_signature=[_images(model)])
    def step(images: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        found = probe(images, training=False)
        return {
            each.name: tf.reduce_max(_bound(node, each.sign, found, ops) + each.sign * node.bias + each.offset)
            for node in network.segments
            for each in node.populations
        }

    traced = step.get_concrete_function()
    largest = dict.fromkeys(network.populations, 0.0)
    seen = 0
    for images in batches:
        check_images(images, seen)
        seen += len(next(iter(images.values())) if isinstance(images, Mapping) else images)
        found = traced(in_order(images, names))
        largest = {name: max(value, float(found[name])) for name, value in largest.items()}
    return largest


def _images(model: keras.Model) -> list[tf.TensorSpec]:
    return [tf.TensorSpec(tensor.shape, tf.float64) for tensor in model.inputs]


def in_order(images: Any, names: list[str]) -> list[tf.Tensor]:
    """Images, or those of several inputs by name, as tensors in the order of a model's inputs."""
    given = [images[name] for name in names] if isinstance(images, Mapping) else [images]
    return [tf.constant(each, tf.float64) for each in given]


def _bound(node: Segment, sign: int, tensors: Mapping[str, Any], ops: TensorFlowOps) -> Any:
    """At least Σ_s (sign L_s)⁺ x_s."""
    found: Any = tf.zeros((), tf.float64)
    for name, map_ in node.maps.items():
        found = found + _positive(map_, sign, tensors[name], ops)
    return found


def _positive(map_: LinearMap, sign: int, x: Any, ops: TensorFlowOps) -> Any:
    if isinstance(map_, Chain) and map_.begins_with_reshape:
        return _positive(map_.second, sign, map_.first.apply(x, ops), ops)
    if isinstance(map_, Convolution):
        # Positive weights are taken from the network's own in each step: held, they would be as large as it is.
        return map_.respond(x, tf.nn.relu(sign * ops.constant(map_.kernel)), ops)
    part = map_.part(sign)
    return tf.zeros((), tf.float64) if part is None else part.apply(x, ops)
