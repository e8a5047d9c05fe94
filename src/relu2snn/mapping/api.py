"""The call most users begin with: convert a trained network; `verify` is the other."""

import itertools
from typing import Any

from relu2snn.mapping.images import source_batches
from relu2snn.mapping.intervals import guaranteed
from relu2snn.mapping.measure import measure, measure_bounds
from relu2snn.mapping.originals import Given, given, read, require_parity
from relu2snn.mapping.reference import unit_maxima
from relu2snn.mapping.relu_model import relu_model
from relu2snn.mapping.scaling import bounded_sums
from relu2snn.mapping.translate import MAPPINGS, to_spiking
from relu2snn.spiking.model import SpikingModel, spiking_model

_COMPARED = 4
"""Calibration images of which an ONNX network is compared with the file's own: one would not tell a batch."""


def convert(
    model: Given,
    calibration: Any,
    *,
    low: Any = 0.0,
    high: Any = 1.0,
    mapping: str = "reference",
    zeta: float = 0.5,
    floor: float = 0.1,
    stretch: float | None = None,
    bounds: tuple[float, float] = (-10.0, 0.99),
    batch: int = 64,
    window: str = "margin",
    precision: str = "float64",
) -> SpikingModel:
    """The single-spike network of a trained ReLU network, for any graph.

    model: a Keras model (functional or Sequential, nested or not) of affine layers, max and average pooling and
    piecewise-linear activations; docs/layers.md lists them. Or one that `load_onnx` has read: a few of the images are
    compared with ONNX's own implementation first; they are as the file takes them, channels first mostly, and of a
    range for each channel the range of all is taken. calibration: images (n, *shape) as the model takes them,
    with values in [low, high], or what gives batches of them (a generator, a tf.data.Dataset), by name of several
    inputs; they set the layer maxima. low, high: numbers, or one a
    channel, or by name of several inputs. zeta: margin of the windows. batch: how many images are measured at once.
    precision: "float64" or "float32".

    mapping: "reference" gives every neuron an input that always spikes at the end of its inputs' window. It computes
    its ReLU for every image for which that is at most 1 + zeta times its channel's largest over the calibration images;
    all windows last 1 + zeta. floor: the smallest of these largest values, as a share of the layer's largest.
    stretch: K / N, by which potentials are flatter, 1.02 unless given. A smaller one (0.25) stands much more noise of
    the reference and of α, and takes the certificate to prove a run.
    "published" is that of arXiv:2212.12522: bounds: of its input weight sums; window: "margin" takes
    (1 + zeta) times the layer maxima, "certified" (1 + zeta) times the largest bound `b_i + Σ_j W⁺_ij x_j`, which
    proves every neuron on the calibration images at the price of latency. With the reference nothing is left to
    certify, and both are the same; "guaranteed", for zeta ≥ 0, takes (1 + zeta) times the largest value that any image
    in [low, high] can give, which grows about tenfold from layer to layer.
    Returns a Keras model that takes the same images and gives the same outputs, before a softmax.

    Raises UnsupportedLayerError (a ValueError) for a layer that cannot be mapped or a weight that is not finite,
    ValueError for images that are not finite or outside [low, high], or an argument that is none of those above.

    Example:
        >>> spiking = relu2snn.convert(model, calibration, low=0, high=1)
        >>> spiking.latency
        4.0
        >>> relu2snn.verify(model, spiking, images).exact
        True
        >>> spiking.save("spiking.keras")
    """
    if window not in ("margin", "certified", "guaranteed"):
        raise ValueError(f'window={window!r}: must be "margin", "certified" or "guaranteed"')
    if mapping not in MAPPINGS:
        raise ValueError(f'mapping={mapping!r}: must be "reference" or "published"')
    if precision not in ("float64", "float32"):
        raise ValueError(f'precision={precision!r}: must be "float64" or "float32"')
    model = given(model)
    network = read(model, low, high)
    if mapping == "published":
        network = bounded_sums(network, *bounds)
    known = relu_model(network)
    images = source_batches(calibration, network.sources, batch=batch)
    first = next(images)
    require_parity(model, network, known, {name: each[:_COMPARED] for name, each in first.items()})
    images = itertools.chain([first], images)
    if mapping == "reference":
        network, maxima = unit_maxima(network, measure(known, images).channel_maxima, floor=floor)
    elif window == "certified":
        maxima = measure_bounds(known, images)
    else:
        maxima = measure(known, images).maxima
    if window == "guaranteed":
        spiking = guaranteed(network, mapping=mapping, zeta=zeta, stretch=stretch, precision=precision)
    else:
        spiking = to_spiking(network, maxima, mapping=mapping, zeta=zeta, stretch=stretch, precision=precision)
    return spiking_model(spiking)
