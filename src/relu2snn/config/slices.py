"""The slice of the configuration that each stage may read, so that a changed value re-runs only what depends on it."""

from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from relu2snn.config.schema import OWN_FORMAT, Experiment, Source, Weights
from relu2snn.config.typed import typed
from relu2snn.config.validate import check_ranges
from relu2snn.config.values import plain, value_of
from relu2snn.errors import UserError

_IDENTITY = ("suite.name", "outputs")
_EXPERIMENT = (*_IDENTITY, "name", "dataset.name")
_WHOLE = (*_IDENTITY, "name", "dataset", "model", "weights", "train", "phase1", "phase2")
_VARIANT = (
    "phase2.mapping",
    "phase2.stretch",
    "phase2.noise",
    "phase2.alpha_noise",
    "phase2.reference_noise",
    "phase2.window",
    "phase2.precision",
)
_SPIKING = (*_VARIANT, "phase2.zeta", "phase2.seed")
_TRIALS = ("sweep.name", "sweep.trials", "sweep.images")

_DATASET = (*_IDENTITY, "dataset.name", "run.dataset")
_PARTS = ("dataset.parts", "dataset.part_images")
# All but what is said of files that the user has to fetch.
_SOURCE = tuple(f"dataset.source.{entry.name}" for entry in fields(Source) if entry.name != "by_hand")
_WEIGHTS = tuple(f"weights.{entry.name}" for entry in fields(Weights) if entry.name != "by_hand")
# Folders that a stage reads or writes, and what it says of its own.
_MADE = ("run.dataset", "run.train", "run.weights", "run.phase1", "run.phase2", "run.overrides")
_DRAWN = (*_MADE, "run.figures")
_SWEPT = ("run.dataset", "run.train", "run.weights", "run.phase1", "run.points", "run.sweep", "run.sweep_overrides")

STAGES: dict[str, tuple[str, ...]] = {
    "data": (*_DATASET, "dataset.classes", "dataset.image_shape", *_SOURCE),
    # What its images must be like is what the network takes.
    "custom_data": (
        *_DATASET,
        *_PARTS,
        "dataset.file",
        "dataset.classes",
        "dataset.image_shape",
        "dataset.preprocess",
        "dataset.source.format",
        "dataset.source.kind",
        "dataset.source.train_images",
        "dataset.source.test_images",
        "model.family",
        "weights.file",
    ),
    "places365_sample": (
        *_DATASET,
        "dataset.source.directory",
        "dataset.source.train_images",
        "dataset.source.images_per_class",
        "dataset.source.seed",
    ),
    "places365_labels": (*_DATASET, "dataset.classes", "dataset.source.directory", "dataset.source.test_images"),
    "places365_image": _DATASET,
    "places365_part": (
        *_DATASET,
        *_PARTS,
        "dataset.image_shape",
        "dataset.source.directory",
        "dataset.source.mean_bgr",
    ),
    "places365_weights": (
        *_EXPERIMENT,
        "dataset.image_shape",
        "weights.stem",
        "weights.caffemodel",
        "weights.prototxt",
        "run.weights",
    ),
    "pass_order": (*_DATASET, "dataset.source.directory", "dataset.source.seed"),
    "pass_part": (
        *_DATASET,
        *_PARTS,
        "dataset.source.directory",
        "dataset.source.train_images",
        "dataset.source.test_images",
        "dataset.source.part_stride",
    ),
    "photographs": (
        *_DATASET,
        *_PARTS,
        "dataset.image_shape",
        "dataset.source.format",
        "dataset.source.kind",
        "dataset.source.directory",
        "dataset.source.mean_bgr",
    ),
    "train": (
        *_EXPERIMENT,
        "dataset.classes",
        "dataset.image_shape",
        "dataset.preprocess",
        "model",
        "train",
        "run.dataset",
        "run.train",
    ),
    "weights": (
        *_EXPERIMENT,
        "dataset.classes",
        "dataset.image_shape",
        "model",
        *_WEIGHTS,
        "run.train",
        "run.weights",
    ),
    "phase1": (*_EXPERIMENT, "dataset.preprocess", "phase1", "run.dataset", "run.weights", "run.phase1"),
    "bounds": (*_EXPERIMENT, "dataset.preprocess", "phase1.batch", "run.dataset", "run.phase1"),
    "reference": (*_EXPERIMENT, "phase1.floor", "run.phase1"),
    "convert": (*_EXPERIMENT, *_SPIKING, *_MADE),
    # By hand, the stage measures bounds too, or scales anew; whatever else depends on these values of phase 1 is made
    # again before it anyway.
    "phase2": (*_EXPERIMENT, "dataset.preprocess", *_PARTS, "phase1.batch", "phase1.floor", "phase2", *_MADE),
    "gather": (*_EXPERIMENT, "dataset.parts", *_SPIKING, *_MADE),
    "figures": (*_EXPERIMENT, *_VARIANT, "dataset.preprocess", "dataset.source.mean_bgr", "figures", *_DRAWN),
    # The store's address and the container's engine are left out: where results are viewed, or computed, does not
    # change them. Which models are logged makes nothing again but the logging.
    "track": (
        *_WHOLE,
        "tracking.models",
        "tracking.model_megabytes",
        "tracking.register",
        # What operations take is applied where costs are shown; runs only count them.
        "energy",
        "run.shown_overrides",
        *_DRAWN,
    ),
    # What is published, and what figures show, changes no result.
    "provenance": (*_WHOLE, "published", "figures", "energy", *_MADE),
    "results": (*_IDENTITY, "energy"),
    "report_results": (*_IDENTITY, "energy"),
    "report_runtimes": _IDENTITY,
    # A point has its value in phase2, and does not know of the others.
    "sweep_point": (
        *_EXPERIMENT,
        "dataset.preprocess",
        *_PARTS,
        "phase2",
        *_TRIALS,
        "run.dataset",
        "run.phase1",
        "run.points",
    ),
    "sweep_gather": (*_EXPERIMENT, "phase2", *_TRIALS, "sweep.values", "run.phase2", *_SWEPT),
    "track_sweep": (*_EXPERIMENT, "phase2", "sweep", "run.phase2", *_SWEPT),
    "sweep_results": _IDENTITY,
    "tradeoffs": (*_IDENTITY, "name"),
    "report_sweeps": _IDENTITY,
}


_PREPARING = {
    OWN_FORMAT: ("custom_data",),
    "places365": ("places365_sample", "places365_labels", "places365_part", "photographs"),
    "pass": ("pass_order", "pass_part", "photographs"),
}


def data_stages(config: Experiment) -> tuple[str, ...]:
    """The stages that prepare the images of `config`, in their order; the last of them leaves source.json."""
    return _PREPARING.get(config.dataset.source.format, ("data",))


def stage_slice(experiment: Experiment, stage: str) -> dict[str, Any]:
    """The part of `experiment` that `stage` depends on, as plain nested dictionaries.

    Raises KeyError for an unknown stage.
    """
    chosen: dict[str, Any] = {}
    for key in STAGES[stage]:
        *groups, name = key.split(".")
        place = chosen
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = plain(value_of(experiment, key))
    return chosen


def from_slice(values: dict[str, Any]) -> Experiment:
    """A typed config that holds only the values of a slice; reading any other raises MissingMandatoryValue."""
    return typed(values)


def checked_slice(values: Any, stage: str) -> Experiment:
    """The config of a slice from outside: it must be what `stage_slice` gives for this stage, its values legal.

    Raises UserError for a missing value and one out of range; OmegaConf's exceptions for other keys and types.
    """
    if not isinstance(values, dict):
        raise UserError("--slice: not keys and values; give the JSON that the workflow passes")
    config = from_slice(values)
    for key in STAGES[stage]:
        if OmegaConf.is_missing(_parent(config, key), key.rpartition(".")[2]) or _is_bare(config, key):
            raise UserError(f"--slice: no value of {key}, which the stage {stage} reads; give a whole slice")
    check_ranges(config, complete=False)
    return config


def _parent(config: Any, key: str) -> Any:
    group = key.rpartition(".")[0]
    return OmegaConf.select(config, group) if group else config


def _is_bare(config: Any, key: str) -> bool:
    """Whether a group of the slice lacks some of its values."""
    group = OmegaConf.select(config, key)
    return isinstance(group, DictConfig) and bool(OmegaConf.missing_keys(group))
