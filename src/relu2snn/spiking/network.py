"""What a spiking network is asked for, and checked for before it is run."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn.spiking.backend import view
from relu2snn.spiking.model import SpikingModel
from relu2snn.spiking.nodes import SpikingNetwork, neurons_in


def network_of(model: Any) -> SpikingNetwork:
    """The spiking network that a Keras model is, with its weights as they are now.

    Raises ValueError when the model is none, or contradicts itself.
    """
    if not isinstance(model, SpikingModel):
        name = getattr(model, "name", type(model).__name__)
        raise ValueError(f"model {name!r} is not a spiking network: relu2snn.convert makes one of a ReLU network")
    return model.network


def latency(model: Any) -> float:
    """When the last output is read, in units of the input window: the longest path.

    Example:
        >>> latency(spiking)
        4.0
    """
    return network_of(model).latency


def neurons_of(model: Any) -> dict[str, int]:
    """How many neurons each spiking layer has, by name, first layer first.

    Example:
        >>> neurons_of(spiking)
        {'conv': 144, 'dense': 10}
    """
    return {name: neurons_in(node.shape) for name, (node, _) in network_of(model).populations.items()}


def check_weights(model: keras.Model) -> None:
    """Raise ValueError for a weight that is not finite, naming the layer, the variable and the number."""
    for layer in model.layers:
        for variable in layer.weights:
            value = view(variable)
            if not np.isfinite(value).all():
                place = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
                raise ValueError(
                    f"layer {layer.name!r}: weight {variable.name!r} is {value[place]} at {place}; "
                    "every weight must be a finite number"
                )


def check_images(images: Any, first: int = 0, kind: str = "image") -> None:
    """Raise ValueError for a pixel that is not finite, naming the image; `first` is the number of images[0].

    images: an array (batch, *shape), or several inputs' by name.
    """
    for values in images.values() if isinstance(images, Mapping) else [images]:
        _check(np.asarray(values), first, kind)


def _check(images: NDArray[Any], first: int, kind: str) -> None:
    if np.isfinite(images).all():
        return
    image, *pixel = (int(i) for i in np.argwhere(~np.isfinite(images))[0])
    place = tuple(pixel)
    raise ValueError(
        f"{kind} {first + image} is {images[(image, *place)]} at {place}; every pixel must be a finite number"
    )
