"""The call most users begin with: convert a trained network; `verify` is the other."""

import keras

from relu2snn.mapping.convert import to_spiking
from relu2snn.mapping.fold import scale
from relu2snn.mapping.images import batches
from relu2snn.mapping.measure import measure, measure_bounds
from relu2snn.mapping.network import Array
from relu2snn.mapping.read import read


def convert(
    model: keras.Model,
    calibration: Array,
    low: float = 0.0,
    high: float = 1.0,
    zeta: float = 0.5,
    lower: float = -10.0,
    upper: float = 0.99,
    batch: int = 64,
    window: str = "margin",
    precision: str = "float64",
) -> keras.Model:
    """The single-spike network of a trained ReLU network: both phases of arXiv:2212.12522.

    model: a Keras model of dense, convolutional, batch normalisation, max pooling and flatten layers with
    ReLU activations. calibration: images (n, h, w, c) as the model takes them, with values in [low, high];
    they set the layer maxima. zeta: margin of the windows. lower, upper: bounds of the input weight sums. window:
    "margin" (published) takes (1 + zeta) times the layer maxima, "certified" (1 + zeta) times the largest bound
    `b_i + Σ_j W⁺_ij x_j`, which proves every neuron on the calibration images at the price of latency.
    Returns a Keras model in `precision` that takes the same images and gives logits.

    Raises UnsupportedLayerError (a ValueError) for a layer that cannot be mapped or a weight that is not finite,
    ValueError for images that are not finite or outside [low, high], or an unknown window.
    """
    if window not in ("margin", "certified"):
        raise ValueError(f'window={window!r}: must be "margin" or "certified"')
    network = scale(read(model, low, high), lower, upper)
    images = batches(calibration, batch, tuple(model.input_shape[1:]), low, high)
    maxima = measure(network, images).layer_maxima if window == "margin" else measure_bounds(network, images)
    return to_spiking(network, maxima.tolist(), zeta, precision=precision)
