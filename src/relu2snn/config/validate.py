"""Range checks: the rules that stand beside the fields of the schema, applied to a composed config."""

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf

from relu2snn.config.schema import FOLDER_FORMATS, Phase2
from relu2snn.errors import UserError

_BOUNDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "gt": ("greater than", lambda value, bound: value > bound),
    "ge": ("at least", lambda value, bound: value >= bound),
    "lt": ("less than", lambda value, bound: value < bound),
    "le": ("at most", lambda value, bound: value <= bound),
}


def check_ranges(config: Any, prefix: str = "") -> None:
    """Raise UserError for the first missing value, value out of range or illegal choice, naming its key."""
    for entry in fields(cast(type[Any], OmegaConf.get_type(config))):
        key = prefix + entry.name
        if key == "run":
            # Made of the values once they are checked.
            continue
        if OmegaConf.is_missing(config, entry.name):
            raise UserError(f"{key}: no value; set it in conf/ or with an override {key}=…")
        value = config[entry.name]
        if isinstance(value, DictConfig) and OmegaConf.get_type(value) is not dict:
            check_ranges(value, f"{key}.")
        elif isinstance(value, ListConfig) and "each" in entry.metadata:
            for item in value:
                _check(key, item, entry.metadata["each"])
        else:
            _check(key, value, entry.metadata)
    if not prefix:
        _check_together(config)


def _check(key: str, value: Any, rules: Any) -> None:
    if value is None:
        return
    choices = rules.get("choices")
    if choices and value not in choices:
        raise UserError(f"{key}={value}: must be one of {', '.join(choices)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key}={value}: must be a finite number")
    broken = [
        f"{words} {rules[name]}"
        for name, (words, holds) in _BOUNDS.items()
        if value is not None and name in rules and not holds(value, rules[name])
    ]
    if broken:
        raise UserError(f"{key}={value}: must be {' and '.join(broken)}")


def _check_together(config: Any) -> None:
    _check_sweep(config.sweep)
    source = config.dataset.source
    if source.made_from and source.kind != "synthetic":
        raise UserError(f"dataset.source.kind={source.kind}: files that are made are synthetic; set it to synthetic")
    preprocess = config.dataset.preprocess
    if not preprocess.low < preprocess.high:
        raise UserError(
            f"dataset.preprocess.low={preprocess.low}: must be less than dataset.preprocess.high={preprocess.high}"
        )
    if config.tracking.register and "spiking" not in config.tracking.models:
        raise UserError(
            f"tracking.register=true: tracking.models={list(config.tracking.models)} leaves out the spiking network, "
            "which is what is registered; add spiking"
        )
    _check_parts(config.name, config.dataset)
    if config.dataset.source.format in FOLDER_FORMATS:
        _check_folders(config)
    weights = config.weights
    if weights.source == "caffe" and not (weights.caffemodel and weights.prototxt):
        raise UserError("weights.source=caffe: name the files with weights.caffemodel=… and weights.prototxt=…")


def _check_parts(experiment: str, dataset: Any) -> None:
    size, images = dataset.part_images, dataset.source.test_images
    if size is not None and dataset.parts != -(-images // size):
        raise UserError(
            f"dataset.parts={dataset.parts}: dataset.source.test_images={images} in parts of "
            f"dataset.part_images={size} are {-(-images // size)} in {experiment}; set it so, or name the experiments "
            "that the override is for"
        )


def _check_folders(config: Any) -> None:
    """The values that only folders of photographs have."""
    dataset, source = config.dataset, config.dataset.source
    needed = {
        "part_images": dataset.part_images,
        "source.seed": source.seed,
        **({"source.images_per_class": source.images_per_class} if source.format == "places365" else {}),
        **({"source.part_stride": source.part_stride} if source.format == "pass" else {}),
    }
    for key, value in needed.items():
        if value is None:
            raise UserError(f"dataset.{key}: no value, but dataset.source.format={source.format} needs one")
    if len(source.mean_bgr) != 3:
        raise UserError(f"dataset.source.mean_bgr={list(source.mean_bgr)}: give blue, green and red")
    if len(dataset.image_shape) != 3 or dataset.image_shape[-1] != 3:
        raise UserError(f"dataset.image_shape={list(dataset.image_shape)}: photographs are height, width and 3 colours")
    if source.format == "pass" and source.part_stride < dataset.part_images:
        raise UserError(
            f"dataset.source.part_stride={source.part_stride}: parts of dataset.part_images={dataset.part_images} "
            "would share images; make it at least as large"
        )
    if config.weights.source == "train":
        raise UserError(
            f"weights.source=train: dataset.source.format={source.format} has no labelled training images; "
            "choose caffe or imagenet, or drop trained weights in"
        )


def _check_sweep(sweep: Any) -> None:
    values = list(sweep["values"])
    if not values or len(set(values)) < len(values):
        raise UserError(f"sweep.values={values}: give at least one value, and each of them once")
    rules = next(entry.metadata for entry in fields(Phase2) if entry.name == sweep.name)
    for value in values:
        _check("sweep.values", value, rules)
