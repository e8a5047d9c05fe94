"""The call most users begin with: convert a trained network; `verify` is the other."""

from typing import Any

import keras

from relu2snn.mapping.images import source_batches
from relu2snn.mapping.measure import measure, measure_bounds
from relu2snn.mapping.published import to_spiking
from relu2snn.mapping.read_keras import read_keras
from relu2snn.mapping.relu_model import relu_model
from relu2snn.mapping.scaling import bounded_sums
from relu2snn.spiking.model import SpikingModel, spiking_model


def convert(
    model: keras.Model,
    calibration: Any,
    *,
    low: Any = 0.0,
    high: Any = 1.0,
    zeta: float = 0.5,
    lower: float = -10.0,
    upper: float = 0.99,
    batch: int = 64,
    window: str = "margin",
    precision: str = "float64",
) -> SpikingModel:
    """The single-spike network of a trained ReLU network: both phases of arXiv:2212.12522, for any graph.

    model: a Keras model (functional or Sequential, nested or not) of affine layers, max and average pooling and
    piecewise-linear activations; docs/layers.md lists them. calibration: images (n, *shape) as the model takes them,
    with values in [low, high], or what gives batches of them (a generator, a tf.data.Dataset), by name of several
    inputs; they set the layer maxima. low, high: numbers, or one a
    channel, or by name of several inputs. zeta: margin of the windows. lower, upper: bounds of the input weight sums.
    batch: how many images are measured at once. window: "margin" (published) takes (1 + zeta) times the layer maxima,
    "certified" (1 + zeta) times the largest bound `b_i + Σ_j W⁺_ij x_j`, which proves every neuron on the calibration
    images at the price of latency. precision: "float64" or "float32".
    Returns a Keras model that takes the same images and gives the same outputs, before a softmax.

    Raises UnsupportedLayerError (a ValueError) for a layer that cannot be mapped or a weight that is not finite,
    ValueError for images that are not finite or outside [low, high], or an argument that is none of those above.

    Example:
        spiking = relu2snn.convert(model, x_train, low=0, high=1)
        print(relu2snn.verify(model, spiking, x_test))
        spiking.save("spiking.keras")
    """
    if window not in ("margin", "certified"):
        raise ValueError(f'window={window!r}: must be "margin" or "certified"')
    if precision not in ("float64", "float32"):
        raise ValueError(f'precision={precision!r}: must be "float64" or "float32"')
    network = bounded_sums(read_keras(model, low, high), lower, upper)
    scaled = relu_model(network)
    images = source_batches(calibration, network.sources, batch=batch)
    maxima = measure(scaled, images).maxima if window == "margin" else measure_bounds(scaled, images)
    return spiking_model(to_spiking(network, maxima, zeta=zeta, precision=precision))
