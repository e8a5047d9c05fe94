"""Model files of the stages."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from relu2snn.errors import UserError, reading
from relu2snn.made import Job, Stamp, require

# Importing the library registers its layers, so that saved networks load again.
from relu2snn.mapping import relu_network
from relu2snn.saved import keras_files
from relu2snn.spiking import SpikingModel, SpikingNetwork, network_of, perturbed

# Windows add up from layer to layer, in float64.
_ROUNDING = 1e-12
_AGAIN = "run the stage convert again (snakemake: --forcerun convert)"


def load_model(job: Job, path: str, stage: str) -> keras.Model:
    """Load a `.keras` file that `stage` has written.

    Raises UserError when it is missing, damaged, or contradicts what the job knows.
    """
    return _load(job, path, stage)[0]


def load_scaled(job: Job, path: str) -> keras.Model:
    """The ReLU network that phase 1, or the stage reference, has scaled; raises UserError as `load_model` does."""
    stage = "reference" if path.endswith("/reference.keras") else "phase1"
    model = load_model(job, path, stage)
    with reading(path, "preprocessed ReLU network", f"run the stage {stage} again (snakemake: --forcerun {stage})"):
        relu_network(model)
    return model


def load_spiking(job: Job, path: str) -> SpikingModel:
    """The spiking network of phase 2, which is what its stamp says; raises UserError as `load_model` does."""
    model, stamp = _load(job, path, "convert")
    with reading(path, "spiking network", _AGAIN):
        _check(network_of(model), stamp.values, stamp.of, path)
    assert isinstance(model, SpikingModel)
    return model


def _load(job: Job, path: str, stage: str) -> tuple[keras.Model, Stamp]:
    stamp = job.read_model(path, stage)
    return keras_files.load_model(path, "delete it and run the stage that makes it again"), stamp


def _check(network: SpikingNetwork, values: Mapping[str, Any], of: Mapping[str, Any], path: str) -> None:
    """Raise UserError unless a spiking network has the precision, windows and perturbations of its stamp."""
    require(path, "the noise", network.noise, values["phase2.noise"], "convert")
    require(path, "the noise of references", network.reference_noise, values["phase2.reference_noise"], "convert")
    require(path, "the precision", network.precision, values["phase2.precision"], "convert")
    maxima = of["layer_maxima"]
    if set(maxima) != set(network.populations):
        raise UserError(f"{path}: spiking layers {list(network.populations)} instead of {list(maxima)}; {_AGAIN}")
    for node in network.firing:
        largest = max(maxima[each.name] for each in node.populations)
        length = (1 + values["phase2.zeta"]) * (largest or 1.0)
        if not np.isclose(node.window, length, rtol=_ROUNDING, atol=_ROUNDING * node.t_max):
            require(path, f"the window of {node.name}", node.window, length, "convert")
    # What is there is drawn anew.
    drawn = perturbed(network, values["phase2.seed"], alpha_noise=values["phase2.alpha_noise"])
    for node, other in zip(network.firing, drawn.firing, strict=True):
        require(path, f"the seed of the reference of {node.name}", node.reference_seed, other.reference_seed, "convert")
    for encoder, again in zip(network.encoders, drawn.encoders, strict=True):
        require(path, f"the seed of {encoder.name}", encoder.seed, again.seed, "convert")
    for name, (_, found) in network.populations.items():
        _, expected = drawn.populations[name]
        require(path, f"the seed of {name}", found.seed, expected.seed, "convert")
        if not np.array_equal(found.drive, expected.drive.astype(found.drive.dtype)):
            seed = f"phase2.seed={values['phase2.seed']} and phase2.alpha_noise={values['phase2.alpha_noise']}"
            raise UserError(f"{path}: α of {name} was not drawn with {seed}; {_AGAIN}")
