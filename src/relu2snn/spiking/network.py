"""What a spiking network is: a chain of layers from the images to the logits, and what can be asked of it at once."""

from itertools import pairwise
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.spiking.layers import PotentialReadout, SpikeEncoder, SpikingConv2D, SpikingDense


def chain(model: keras.Model) -> list[Any]:
    """The layers of a spiking network in order, without the input.

    Raises ValueError when the model is none: it has no encoder and read-out, or is not a chain of layers.
    """
    name = getattr(model, "name", type(model).__name__)
    layers = list(getattr(model, "layers", []))
    for kind in (SpikeEncoder, PotentialReadout):
        if sum(isinstance(layer, kind) for layer in layers) != 1:
            raise ValueError(f"model {name!r} is not a spiking network: it needs one {kind.__name__} layer")
    for before, layer in pairwise(layers):
        if len(layer._inbound_nodes) != 1 or layer.input is not before.output:
            raise ValueError(f"model {name!r}: layer {layer.name!r} does not follow {before.name!r} in a chain")
    return layers[1:]


def spiking_layers(model: keras.Model) -> list[Any]:
    """The layers of spiking neurons of a spiking network, from the input to the output, without the encoder."""
    return [layer for layer in model.layers if isinstance(layer, SpikingDense | SpikingConv2D)]


def spiking_layer(model: keras.Model, name: str) -> Any:
    """The spiking layer called `name`.

    Raises ValueError when there is none.
    """
    layers = {layer.name: layer for layer in spiking_layers(model)}
    if name not in layers:
        raise ValueError(f"layer {name!r}: no spiking layer of that name; choose from {', '.join(layers)}")
    return layers[name]


def readout(model: keras.Model) -> PotentialReadout:
    """The layer of output neurons."""
    return next(layer for layer in chain(model) if isinstance(layer, PotentialReadout))


def encoder(model: keras.Model) -> SpikeEncoder:
    """The layer that makes spike times of images."""
    return next(layer for layer in chain(model) if isinstance(layer, SpikeEncoder))


def latency(model: keras.Model) -> float:
    """When the output is read, in units of the input window: t_min of the output layer."""
    return readout(model).t_min


def check_weights(layer: Any) -> None:
    """Raise ValueError for a weight that is not finite, naming the layer, the variable and the number."""
    for variable in layer.weights:
        value = tf.convert_to_tensor(variable)
        if value.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(value))):
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(np.asarray(value)))[0])
            raise ValueError(
                f"layer {layer.name!r}: weight {variable.name!r} is {np.asarray(value)[place]} at {place}; "
                "every weight must be a finite number"
            )


def check_images(images: NDArray[Any], first: int = 0, kind: str = "image") -> None:
    """Raise ValueError for a pixel that is not finite, naming the image; `first` is the number of images[0]."""
    if np.isfinite(images).all():
        return
    image, *pixel = (int(i) for i in np.argwhere(~np.isfinite(images))[0])
    place = tuple(pixel)
    raise ValueError(
        f"{kind} {first + image} is {images[(image, *place)]} at {place}; every pixel must be a finite number"
    )
