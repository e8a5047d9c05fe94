"""The slice of the configuration that each stage may read, so that a changed value re-runs only what depends on it."""

from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from relu2snn.config.schema import Experiment

_IDENTITY = ("outputs", "suite.name")
_EXPERIMENT = (*_IDENTITY, "name", "dataset.name")

STAGES: dict[str, tuple[str, ...]] = {
    "data": (*_IDENTITY, "dataset.name", "dataset.classes", "dataset.image_shape", "dataset.source"),
    "train": (*_EXPERIMENT, "dataset.classes", "dataset.image_shape", "dataset.preprocess", "model", "train"),
    "weights": (*_EXPERIMENT, "dataset.classes", "dataset.image_shape", "model", "weights"),
    "phase1": (*_EXPERIMENT, "dataset.preprocess", "phase1"),
    "convert": (*_EXPERIMENT, "phase2.zeta", "phase2.noise", "phase2.alpha_noise", "phase2.seed"),
    "phase2": (*_EXPERIMENT, "dataset.preprocess", "dataset.parts", "phase2"),
    "gather": (*_EXPERIMENT, "dataset.parts", "phase2.zeta", "phase2.noise", "phase2.alpha_noise", "phase2.seed"),
    "figures": (*_EXPERIMENT, "phase2.noise", "phase2.alpha_noise"),
    # The store's address is left out: where results are viewed does not change them.
    "track": (*_IDENTITY, "name", "dataset", "model", "weights", "train", "phase1", "phase2"),
    "results": _IDENTITY,
}


def stage_slice(experiment: Experiment, stage: str) -> dict[str, Any]:
    """The part of `experiment` that `stage` depends on, as plain nested dictionaries.

    Raises KeyError for an unknown stage.
    """
    whole = cast(DictConfig, experiment)
    chosen = OmegaConf.create()
    for key in STAGES[stage]:
        OmegaConf.update(chosen, key, OmegaConf.select(whole, key, throw_on_missing=True), force_add=True)
    return cast(dict[str, Any], OmegaConf.to_container(chosen, resolve=True))


def from_slice(values: dict[str, Any]) -> Experiment:
    """A typed config that holds only the values of a slice; reading any other raises MissingMandatoryValue."""
    schema = OmegaConf.structured(Experiment)
    return cast(Experiment, OmegaConf.merge(schema, values))
