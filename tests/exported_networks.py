"""The networks of the experiments with random weights, mapped in both ways, for what is exported of them."""

from functools import cache
from typing import Any

import keras
import numpy as np
from networks import dense_network, randomise

from relu2snn import SpikingModel, convert
from relu2snn.config.schema import Model
from relu2snn.mapping import bounded_sums, measure, read_keras, relu_model, to_spiking, unit_maxima
from relu2snn.networks.build import build
from relu2snn.spiking import spiking_model

KINDS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "fc": ({"family": "fc", "dense": [600]}, (28, 28, 1)),
    "lenet5": ({"family": "lenet5", "batch_norm": "before_relu"}, (28, 28, 1)),
    "resnet": ({"family": "resnet", "blocks": [[4], [6]], "batch_norm": "before_relu"}, (8, 8, 1)),
    "mobilenet": ({"family": "mobilenet", "blocks": [[6, 8], [10]], "batch_norm": "before_relu"}, (9, 9, 1)),
}


@cache
def relu_network(kind: str) -> keras.Model:
    sizes, shape = KINDS[kind]
    model = Model(**{"name": kind, "width": 1.0, "blocks": [], "dense": [], "batch_norm": "none", **sizes})
    keras.utils.set_random_seed(3)
    return randomise(build(model, shape, 10), 3)


def images_of(kind: str, count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *KINDS[kind][1]))


@cache
def spiking_network(kind: str, mapping: str, zeta: float = 0.5) -> SpikingModel:
    # With a negative ζ neurons spike early, so that the first crossing counts.
    return convert(relu_network(kind), images_of(kind, 12), mapping=mapping, zeta=zeta)


def small_network(**noise: float) -> tuple[SpikingModel, Any]:
    """Two dense layers with noise, and 40 images; of the published mapping unless it is the references' noise."""
    model = dense_network(0)
    images = np.random.default_rng(0).random((40, 12))
    network = read_keras(model)
    if noise.get("reference_noise"):
        scaled, maxima = unit_maxima(network, measure(relu_model(network), [images]).channel_maxima)
        return spiking_model(to_spiking(scaled, maxima, mapping="reference", **noise)), images
    network = bounded_sums(network)
    maxima = measure(relu_model(network), [images]).maxima
    return spiking_model(to_spiking(network, maxima, mapping="published", **noise)), images
