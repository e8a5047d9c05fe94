"""The layers of a model, those of the models in it, too."""

from collections.abc import Iterator
from typing import Any

import keras


def flat_layers(model: keras.Model) -> Iterator[Any]:
    """Every layer of a model that is no model itself, in order."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from flat_layers(layer)
        else:
            yield layer
