"""A spiking network's decoded values beside those of the scaled ReLU network."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from relu2snn.graph.nodes import Network
from relu2snn.mapping.measure import in_order
from relu2snn.mapping.originals import Given, input_names, read
from relu2snn.mapping.relu_model import relu_model, values_model
from relu2snn.mapping.scaling import scaled
from relu2snn.spiking.compare import Comparison, Decoding
from relu2snn.spiking.network import network_of
from relu2snn.spiking.nodes import SpikingNetwork
from relu2snn.spiking.record import SpikeRecorder


def read_like(model: Given, spiking: SpikingNetwork) -> Network:
    """The ReLU network, of images in the ranges that the encoders of a spiking network have.

    Raises ValueError where they have another number of inputs, or the model cannot be mapped.
    """
    names = input_names(model)
    if len(names) != len(spiking.encoders):
        raise ValueError(f"the ReLU network has the inputs {names}, the spiking network {len(spiking.encoders)}")
    pairs = list(zip(names, spiking.encoders, strict=True))
    return read(model, {name: each.low for name, each in pairs}, {name: each.high for name, each in pairs})


def scaled_like(model: Given, spiking: Any) -> keras.Model:
    """The ReLU network `model` with the scales that a spiking network says its neurons have: a `relu_model`.

    Raises ValueError where the spiking network is not one of this model: where inputs or layers are others.

    Example:
        >>> scaled = scaled_like(model, spiking)
        >>> bool(np.allclose(scaled(images), spiking(images)))
        True
    """
    network = network_of(spiking)
    read = read_like(model, network)
    own = list(network.populations)
    if list(read.populations) != own:
        raise ValueError(f"the ReLU network has the layers {list(read.populations)}, the spiking network {own}")
    factors = {name: np.asarray(each.scale, np.float64) for name, (_, each) in network.populations.items()}
    return relu_model(scaled(read, factors))


def compare_values(
    model: keras.Model, spiking: Any, batches: Iterable[Any], *, images: int, points: int = 1000, seed: int = 0
) -> Decoding:
    """Compare the ReLU values of a scaled network's `relu_model` with those its spiking network decodes to.

    batches: images (b, *shape), `images` in all; points and seed: as in Comparison.

    Example:
        >>> found = compare_values(scaled_like(model, spiking), spiking, [images], images=20)
        >>> found.pairs, bool(found.largest.max() < 1e-9)
        (3080, True)
    """
    recorder, values = SpikeRecorder(spiking), values_model(model)
    names = [tensor.name for tensor in model.inputs]
    comparison = Comparison(network_of(spiking).populations, images, points, seed)
    for batch in batches:
        given = in_order(batch, names)
        found = values(given[0] if len(given) == 1 else given, training=False)
        comparison.add({name: np.asarray(value) for name, value in found.items()}, recorder.leads(batch))
    return comparison.result()
