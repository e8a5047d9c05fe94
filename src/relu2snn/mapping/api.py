"""The two calls most users need: convert a trained network, and verify that both networks are the same."""

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np

from relu2snn.mapping.convert import to_spiking
from relu2snn.mapping.fold import scale
from relu2snn.mapping.measure import measure, measure_bounds
from relu2snn.mapping.network import Array
from relu2snn.mapping.read import read
from relu2snn.mapping.write import logits_model
from relu2snn.spiking.run import SpikingRun


@dataclass(frozen=True)
class Verification:
    """How a spiking network compares with its ReLU network on `images` images.

    agreement: share of images for which both predict the same class. largest_difference: the largest absolute
    difference of a logit. early_spikes: spikes before their window, by layer name. certified: share of (neuron, image)
    pairs for which the closed form is proved; the others were simulated event by event. exact: there was no early
    spike, so every neuron has computed its ReLU.
    """

    images: int
    agreement: float
    largest_difference: float
    early_spikes: dict[str, int]
    certified: float
    exact: bool


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

    Raises UnsupportedLayerError (a ValueError) for a layer that cannot be mapped, ValueError for images
    outside [low, high] or an unknown window.
    """
    if window not in ("margin", "certified"):
        raise ValueError(f'window={window!r}: must be "margin" or "certified"')
    network = scale(read(model, low, high), lower, upper)
    images = _batches(calibration, batch, low, high)
    maxima = measure(network, images).layer_maxima if window == "margin" else measure_bounds(network, images)
    return to_spiking(network, maxima.tolist(), zeta, precision=precision)


def verify(model: keras.Model, spiking: keras.Model, images: Array, batch: int = 64) -> Verification:
    """Compare a spiking network with the ReLU network it came from on images (n, h, w, c).

    Raises ValueError when there are no images.
    """
    original = logits_model(model)
    run = SpikingRun(spiking)
    same, largest = 0, 0.0
    for chunk in _batches(images, batch, -np.inf, np.inf):
        expected = np.asarray(original(chunk, training=False))
        found = run.logits(chunk)
        same += int((expected.argmax(-1) == found.argmax(-1)).sum())
        largest = max(largest, float(np.abs(expected - found).max()))
    early = dict(zip(run.layers, run.early.tolist(), strict=True))
    certified = float(run.certified.sum() / (run.neurons.sum() * run.images))
    return Verification(run.images, same / run.images, largest, early, certified, not any(early.values()))


def _batches(images: Array, batch: int, low: float, high: float) -> Iterator[Array]:
    if not len(images):
        raise ValueError("no images given")
    for start in range(0, len(images), batch):
        chunk = np.asarray(images[start : start + batch], np.float64)
        if chunk.min() < low or chunk.max() > high:
            raise ValueError(
                f"images {start} to {start + len(chunk) - 1} have values from {chunk.min()} to {chunk.max()}, "
                f"outside [{low}, {high}]; give their range as low and high"
            )
        yield chunk
