"""A spiking network's decoded values beside those of the scaled ReLU network."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from relu2snn.mapping.measure import in_order
from relu2snn.mapping.relu_model import values_model
from relu2snn.spiking.compare import Comparison, Decoding
from relu2snn.spiking.network import network_of
from relu2snn.spiking.record import SpikeRecorder


def compare_values(
    model: keras.Model, spiking: Any, batches: Iterable[Any], *, images: int, points: int = 1000, seed: int = 0
) -> Decoding:
    """Compare the ReLU values of a scaled network's `relu_model` with those its spiking network decodes to.

    batches: images (b, *shape), `images` in all; points and seed: as in Comparison.
    """
    recorder, values = SpikeRecorder(spiking), values_model(model)
    names = [tensor.name for tensor in model.inputs]
    comparison = Comparison(network_of(spiking).populations, images, points, seed)
    for batch in batches:
        given = in_order(batch, names)
        found = values(given[0] if len(given) == 1 else given, training=False)
        comparison.add({name: np.asarray(value) for name, value in found.items()}, recorder.leads(batch))
    return comparison.result()
