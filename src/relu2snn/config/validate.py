"""Range checks: the rules that stand beside the fields of the schema, applied to a composed config."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast, get_args

from omegaconf import DictConfig, ListConfig, OmegaConf

from relu2snn.config.schema import FOLDER_FORMATS, OWN_FORMAT, Experiment, Phase2
from relu2snn.config.sizes import check_sizes
from relu2snn.config.texts import plain_path, text_problem
from relu2snn.errors import UserError, shown

_BOUNDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "gt": ("greater than", lambda value, bound: value > bound),
    "ge": ("at least", lambda value, bound: value >= bound),
    "lt": ("less than", lambda value, bound: value < bound),
    "le": ("at most", lambda value, bound: value <= bound),
}
# Preprocessed pixels are told apart by their place in [low, high].
_NARROWEST = 1e-6


def plain_values(config: Any) -> dict[str, Any]:
    """The values of a typed config, references replaced, in the one form of those that mean the same.

    Paths have no doubled or last slashes, and 0 has no sign.
    """
    values = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    return cast(dict[str, Any], _plain(values, OmegaConf.get_type(config), {}))


def _plain(value: Any, kind: Any, rules: Any) -> Any:
    if isinstance(value, dict) and is_dataclass(kind):
        known = {entry.name: entry for entry in fields(kind)}
        return {key: _plain(each, known[key].type, known[key].metadata) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, (*get_args(kind), None)[0], rules.get("each", {})) for each in value]
    if isinstance(value, float) and value == 0:
        return 0.0
    return plain_path(value) if isinstance(value, str) and rules.get("text") == "path" else value


def check_ranges(config: Any, prefix: str = "", where: str = "", complete: bool = True) -> None:
    """Raise UserError for the first missing value, value out of range or illegal choice, naming its key.

    prefix: the group of `config`, as in "tracking."; where: a message's beginning, for values of a file.
    complete: False for a slice, whose missing values are none of its stage's.
    """
    for entry in fields(cast(type[Any], OmegaConf.get_type(config))):
        key = prefix + entry.name
        if key in ("suite", "run", "expected"):
            # Checked by itself, and made of the values once they are checked.
            continue
        if OmegaConf.is_missing(config, entry.name):
            if complete:
                raise UserError(f"{where}{key}: no value; set it in conf/ or with an override {key}=…")
        elif OmegaConf.get_type(config, entry.name) is dict:
            continue
        elif problem := _problem(key, config[entry.name], entry.metadata, complete):
            raise UserError(where + problem)
    if not prefix and complete and OmegaConf.get_type(config) is Experiment:
        _check_together(config)


def _problem(key: str, value: Any, rules: Mapping[str, Any], complete: bool = True) -> str | None:
    if isinstance(value, DictConfig) and is_dataclass(OmegaConf.get_type(value)):
        check_ranges(value, f"{key}.", complete=complete)
        return None
    # OmegaConf takes lists and dictionaries for items of any type.
    if value is not None and isinstance(value, ListConfig) != ("each" in rules):
        return f"{key}={shown(value)}: must be {'a list' if 'each' in rules else 'one value'}"
    if isinstance(value, ListConfig):
        return _list_problem(key, value, rules)
    return None if value is None else _value_problem(key, value, rules)


def _list_problem(key: str, values: ListConfig, rules: Mapping[str, Any]) -> str | None:
    shortest, longest = rules.get("shortest", 0), rules.get("longest", math.inf)
    if not shortest <= len(values) <= longest:
        many = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
        return f"{key}={shown(values)}: has {len(values)} entries; give {many}"
    each = rules.get("each", {})
    for number, item in enumerate(values):
        structured = isinstance(item, DictConfig) and is_dataclass(OmegaConf.get_type(item))
        if problem := _problem(f"{key}[{number}]" if structured else key, item, each):
            return problem
    return None


def _value_problem(key: str, value: Any, rules: Mapping[str, Any]) -> str | None:
    given = f"{key}={shown(value)}"
    if (choices := rules.get("choices")) and value not in choices:
        return f"{given}: must be one of {', '.join(choices)}"
    if isinstance(value, str):
        problem = text_problem(rules["text"], value) if "text" in rules else None
        return f"{given}: {problem}" if problem else None
    if not isinstance(value, int | float):
        return f"{given}: must be one value"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{given}: must be a finite number"
    broken = [
        f"{words} {rules[name]}"
        for name, (words, holds) in _BOUNDS.items()
        if name in rules and not holds(value, rules[name])
    ]
    return f"{given}: must be {' and '.join(broken)}" if broken else None


def _check_together(config: Any) -> None:
    _check_sweep(config.sweep)
    _check_mapping(config.phase2)
    source = config.dataset.source
    if source.made_from and source.kind != "synthetic":
        raise UserError(f"dataset.source.kind={source.kind}: files that are made are synthetic; set it to synthetic")
    for name, digest in source.published.digests.items():
        if not re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{64}", digest):
            raise UserError(
                f"dataset.source.published.digests: {name!r} is {digest!r}; give an MD5 or a SHA-256 in hex"
            )
    preprocess = config.dataset.preprocess
    if not preprocess.high - preprocess.low >= _NARROWEST:
        raise UserError(
            f"dataset.preprocess.low={preprocess.low}: must be less than dataset.preprocess.high={preprocess.high}"
            f", by {_NARROWEST:g} or more"
        )
    if config.tracking.register and "spiking" not in config.tracking.models:
        raise UserError(
            f"tracking.register=true: tracking.models={list(config.tracking.models)} leaves out the spiking network, "
            "which is what is registered; add spiking"
        )
    _check_own(config.dataset)
    _check_parts(config.name, config.dataset)
    if config.dataset.source.format in FOLDER_FORMATS:
        _check_folders(config)
    weights = config.weights
    if weights.source == "caffe" and not (weights.caffemodel and weights.prototxt):
        raise UserError("weights.source=caffe: name the files with weights.caffemodel=… and weights.prototxt=…")
    check_sizes(config.model, config.dataset.image_shape, config.dataset.classes)


def _check_mapping(phase2: Any) -> None:
    if phase2.reference_noise and phase2.mapping != "reference":
        raise UserError(
            f"phase2.reference_noise={phase2.reference_noise}: the mapping {phase2.mapping} has no reference; choose "
            "phase2.mapping=reference, or 0"
        )
    if phase2.stretch is not None and phase2.mapping != "reference":
        raise UserError(
            f"phase2.stretch={phase2.stretch}: the mapping {phase2.mapping} has no K to choose; choose "
            "phase2.mapping=reference, or null"
        )
    if phase2.window == "guaranteed" and phase2.stretch is not None and phase2.stretch < 1.001:
        raise UserError(
            f"phase2.window=guaranteed: phase2.stretch={phase2.stretch} guarantees nothing; choose at least 1.001, or "
            "null"
        )
    if phase2.window == "guaranteed" and (phase2.mapping != "reference" or phase2.zeta < 0):
        raise UserError(
            f"phase2.window=guaranteed: phase2.mapping={phase2.mapping} and phase2.zeta={phase2.zeta} guarantee "
            "nothing; choose phase2.mapping=reference and at least 0, or another window"
        )


def _check_own(dataset: Any) -> None:
    """What only the user's own images have, and what only they may leave open."""
    source = dataset.source
    if source.format == OWN_FORMAT:
        return
    if dataset.file is not None:
        raise UserError(
            f"dataset.file={dataset.file}: dataset.source.format={source.format} reads no file of yours; add "
            "dataset=custom, or take experiments=custom"
        )
    for key, value in (
        ("classes", dataset.classes),
        ("image_shape", dataset.image_shape),
        *((f"source.{name}", source[name]) for name in ("directory", "train_images", "test_images")),
    ):
        if value is None:
            raise UserError(f"dataset.{key}: no value, but dataset.source.format={source.format} needs one")


def _check_parts(experiment: str, dataset: Any) -> None:
    size, images = dataset.part_images, dataset.source.test_images
    if images is None:
        if size is not None:
            raise UserError(
                f"dataset.part_images={size}: dataset.source.test_images is not set; set it, or dataset.parts alone"
            )
        return
    if dataset.parts > images:
        raise UserError(
            f"dataset.parts={dataset.parts}: more than dataset.source.test_images={images}; each needs an image"
        )
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
    if config.weights.source == "train" and config.model.family != "custom":
        raise UserError(
            f"weights.source=train: dataset.source.format={source.format} has no labelled training images; "
            "choose caffe or imagenet, or drop trained weights in"
        )


def _check_sweep(sweep: Any) -> None:
    values = list(sweep["values"])
    if not values or len(set(values)) < len(values):
        raise UserError(f"sweep.values={shown(values)}: give at least one value, and each of them once")
    rules = next(entry.metadata for entry in fields(Phase2) if entry.name == sweep.name)
    for value in values:
        if problem := _value_problem("sweep.values", value, rules):
            raise UserError(problem)
