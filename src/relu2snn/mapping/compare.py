"""A spiking network's decoded values beside those of the scaled ReLU network, run by Keras' own layers."""

from collections.abc import Iterable

import keras
import numpy as np

from relu2snn.mapping.network import Array, Network
from relu2snn.mapping.write import values_model
from relu2snn.spiking.compare import Comparison, Decoding
from relu2snn.spiking.record import SpikeRecorder


def compare_values(
    network: Network, spiking: keras.Model, batches: Iterable[Array], images: int, points: int = 1000, seed: int = 0
) -> Decoding:
    """Compare the ReLU values of a folded and scaled Network with those its spiking network decodes to.

    batches: images (b, h, w, c), `images` in all; points and seed: as in Comparison.
    """
    recorder, values = SpikeRecorder(spiking), values_model(network)
    comparison = Comparison([layer.name for layer in network.hidden()], images, points, seed)
    for batch in batches:
        found = values(batch, training=False)
        comparison.add({name: np.asarray(value) for name, value in found.items()}, recorder.leads(batch))
    return comparison.result()
