"""Model files of the stages."""

import gc
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

# Importing the library registers its layers, so that saved networks load again.
import relu2snn.mapping
import relu2snn.spiking  # noqa: F401
from relu2snn.errors import UserError, reading
from relu2snn.made import Job, Stamp, require
from relu2snn.mapping import Network, fold, read
from relu2snn.saved import keras_files
from relu2snn.spiking import SpikeEncoder, perturb, spiking_layers

# Windows add up from layer to layer, in float64.
_ROUNDING = 1e-12
_AGAIN = "run the stage convert again (snakemake: --forcerun convert)"


def load_model(job: Job, path: str, stage: str) -> keras.Model:
    """Load a `.keras` file that `stage` has written.

    Raises UserError when it is missing, damaged, or contradicts what the job knows.
    """
    return _load(job, path, stage)[0]


def load_network(job: Job, path: str) -> Network:
    """The folded network of phase1/scaled.keras; raises UserError as `load_model` does."""
    network = fold(read(load_model(job, path, "phase1")))
    # A Keras model is full of reference cycles: without this it holds its weights on beside the network's.
    gc.collect()
    return network


def load_spiking(job: Job, path: str) -> keras.Model:
    """The spiking network of phase 2, which is what its stamp says; raises UserError as `load_model` does."""
    model, stamp = _load(job, path, "convert")
    with reading(path, "spiking network", _AGAIN):
        _check(model, stamp.values, stamp.of, path)
    return model


def _load(job: Job, path: str, stage: str) -> tuple[keras.Model, Stamp]:
    stamp = job.read_model(path, stage)
    return keras_files.load_model(path, "delete it and run the stage that makes it again"), stamp


def _check(model: keras.Model, values: Mapping[str, Any], of: Mapping[str, Any], path: str) -> None:
    """Raise UserError unless a spiking network has the precision, windows and perturbations of its stamp."""
    layers = [layer for layer in model.layers if isinstance(layer, SpikeEncoder)] + spiking_layers(model)
    expected = [(1 + values["phase2.zeta"]) * (maximum or 1.0) for maximum in of["layer_maxima"]]
    if len(layers) - 1 != len(expected):
        raise UserError(f"{path}: {len(layers) - 1} spiking layers instead of {len(expected)}; {_AGAIN}")
    for layer, length in zip(layers[1:], expected, strict=True):
        if not np.isclose(layer.window, length, rtol=_ROUNDING, atol=_ROUNDING * layer.t_max):
            require(path, f"the window of {layer.name}", layer.window, length, "convert")
    for layer in layers:
        require(path, f"the noise of {layer.name}", layer.noise, values["phase2.noise"], "convert")
        require(path, f"the precision of {layer.name}", layer.compute_dtype, values["phase2.precision"], "convert")
    seeds, drives = [layer.seed for layer in layers], [np.array(layer.drive) for layer in layers[1:]]
    # What is there is drawn anew.
    perturb(model, values["phase2.seed"], values["phase2.alpha_noise"])
    for layer, seed in zip(layers, seeds, strict=True):
        require(path, f"the seed of {layer.name}", seed, layer.seed, "convert")
    for layer, drive in zip(layers[1:], drives, strict=True):
        if not np.array_equal(drive, np.array(layer.drive)):
            drawn = f"phase2.seed={values['phase2.seed']} and phase2.alpha_noise={values['phase2.alpha_noise']}"
            raise UserError(f"{path}: α of {layer.name} was not drawn with {drawn}; {_AGAIN}")
