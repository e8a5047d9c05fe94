"""Model files of the stages."""

import gc

import keras

# Importing the library registers its layers, so that saved networks load again.
import relu2snn.mapping
import relu2snn.spiking  # noqa: F401
from relu2snn.mapping import Network, fold, read
from relu2snn.saved import keras_files
from relu2snn.saved.keras_files import save_model

__all__ = ["load_model", "load_network", "save_model"]


def load_model(path: str) -> keras.Model:
    """Load a `.keras` file made by an earlier stage.

    Raises UserError when it is missing or damaged.
    """
    return keras_files.load_model(path, "delete it and run the stage that makes it again")


def load_network(path: str) -> Network:
    """The folded network of phase1/scaled.keras; raises UserError as `load_model` does."""
    network = fold(read(load_model(path)))
    # A Keras model is full of reference cycles: without this it holds its weights on beside the network's.
    gc.collect()
    return network
