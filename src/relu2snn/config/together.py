"""Values of several keys that must fit each other: in words, for docs/config.md, and as checks before any job.

Each rule is a function of a whole config that says what is wrong, naming the key and the way out, or None.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

from relu2snn.config.ranges import value_problem
from relu2snn.config.schema import FOLDER_FORMATS, OWN_FORMAT, Phase2
from relu2snn.config.sizes import check_sizes
from relu2snn.errors import UserError, shown

# Preprocessed pixels are told apart by their place in [low, high].
_NARROWEST = 1e-6
# From here on the mapping with a reference is exact by construction, not by certificate.
_STRETCHED = 1.001

Problem = Callable[[Any], str | None]


@dataclass(frozen=True)
class Together:
    """What must hold of `key` beside the others that `says` names, and what is wrong where it does not."""

    key: str
    says: str
    problem: Problem


RULES: list[Together] = []
"""All of them, in the order in which they are checked."""


def check_together(config: Any) -> None:
    """Raise UserError for the first rule that a whole config breaks, whose single values are legal."""
    for rule in RULES:
        if problem := rule.problem(config):
            raise UserError(problem)


def _rule(key: str, says: str) -> Callable[[Problem], Problem]:
    def add(problem: Problem) -> Problem:
        RULES.append(Together(key, says, problem))
        return problem

    return add


@_rule("sweep.values", "each of them once, and each legal for the key of `phase2` that `sweep.name` names")
def _sweep(config: Any) -> str | None:
    values = list(config.sweep["values"])
    if not values or len(set(values)) < len(values):
        return f"sweep.values={shown(values)}: give at least one value, and each of them once"
    rules = next(entry.metadata for entry in fields(Phase2) if entry.name == config.sweep.name)
    return next(filter(None, (value_problem("sweep.values", value, rules) for value in values)), None)


@_rule("phase2.reference_noise", "0 unless `phase2.mapping=reference`")
def _reference_noise(config: Any) -> str | None:
    phase2 = config.phase2
    if not phase2.reference_noise or phase2.mapping == "reference":
        return None
    return (
        f"phase2.reference_noise={phase2.reference_noise}: the mapping {phase2.mapping} has no reference; choose "
        "phase2.mapping=reference, or 0"
    )


@_rule("phase2.stretch", "null unless `phase2.mapping=reference`")
def _stretch(config: Any) -> str | None:
    phase2 = config.phase2
    if phase2.stretch is None or phase2.mapping == "reference":
        return None
    return (
        f"phase2.stretch={phase2.stretch}: the mapping {phase2.mapping} has no K to choose; choose "
        "phase2.mapping=reference, or null"
    )


@_rule(
    "phase2.window",
    f"`guaranteed` only with `phase2.mapping=reference`, `phase2.zeta` of 0 or more, and `phase2.stretch` null or at "
    f"least {_STRETCHED}",
)
def _guaranteed(config: Any) -> str | None:
    phase2 = config.phase2
    if phase2.window != "guaranteed":
        return None
    if phase2.stretch is not None and phase2.stretch < _STRETCHED:
        return (
            f"phase2.window=guaranteed: phase2.stretch={phase2.stretch} guarantees nothing; choose at least "
            f"{_STRETCHED}, or null"
        )
    if phase2.mapping == "reference" and phase2.zeta >= 0:
        return None
    return (
        f"phase2.window=guaranteed: phase2.mapping={phase2.mapping} and phase2.zeta={phase2.zeta} guarantee "
        "nothing; choose phase2.mapping=reference and at least 0, or another window"
    )


@_rule("train.momentum", "0 with `train.optimizer=adam`, and `train.nesterov` false")
def _momentum(config: Any) -> str | None:
    train = config.train
    if train.optimizer == "sgd" or not (train.momentum or train.nesterov):
        return None
    return (
        f"train.momentum={train.momentum}, train.nesterov={str(train.nesterov).lower()}: {train.optimizer} has "
        "neither; set them to 0 and false, or take train.optimizer=sgd"
    )


@_rule("dataset.source.kind", "`synthetic` where `dataset.source.made_from` is given")
def _made(config: Any) -> str | None:
    source = config.dataset.source
    if not source.made_from or source.kind == "synthetic":
        return None
    return f"dataset.source.kind={source.kind}: files that are made are synthetic; set it to synthetic"


@_rule("dataset.source.published.digests", "each an MD5 or a SHA-256 in hex, of 32 or 64 digits")
def _digests(config: Any) -> str | None:
    for name, digest in config.dataset.source.published.digests.items():
        if not re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{64}", digest):
            return f"dataset.source.published.digests: {name!r} is {digest!r}; give an MD5 or a SHA-256 in hex"
    return None


@_rule("dataset.preprocess.low", f"less than `dataset.preprocess.high`, by {_NARROWEST:g} or more")
def _preprocess(config: Any) -> str | None:
    preprocess = config.dataset.preprocess
    if preprocess.high - preprocess.low >= _NARROWEST:
        return None
    return (
        f"dataset.preprocess.low={preprocess.low}: must be less than dataset.preprocess.high={preprocess.high}"
        f", by {_NARROWEST:g} or more"
    )


@_rule("tracking.register", "true only where `tracking.models` has spiking")
def _register(config: Any) -> str | None:
    if not config.tracking.register or "spiking" in config.tracking.models:
        return None
    return (
        f"tracking.register=true: tracking.models={list(config.tracking.models)} leaves out the spiking network, "
        "which is what is registered; add spiking"
    )


@_rule("dataset.file", f"null unless `dataset.source.format={OWN_FORMAT}`")
def _own_file(config: Any) -> str | None:
    dataset = config.dataset
    if dataset.source.format == OWN_FORMAT or dataset.file is None:
        return None
    return (
        f"dataset.file={dataset.file}: dataset.source.format={dataset.source.format} reads no file of yours; add "
        "dataset=custom, or take experiments=custom"
    )


@_rule(
    "dataset.classes",
    "not null, nor `dataset.image_shape`, `dataset.source.directory`, `dataset.source.train_images` and "
    f"`dataset.source.test_images`, unless `dataset.source.format={OWN_FORMAT}`",
)
def _described(config: Any) -> str | None:
    dataset, source = config.dataset, config.dataset.source
    if source.format == OWN_FORMAT:
        return None
    found = {
        "classes": dataset.classes,
        "image_shape": dataset.image_shape,
        **{f"source.{name}": source[name] for name in ("directory", "train_images", "test_images")},
    }
    return _missing(found.items(), source.format)


@_rule("dataset.parts", "at most `dataset.source.test_images`")
def _parts(config: Any) -> str | None:
    parts, images = config.dataset.parts, config.dataset.source.test_images
    if images is None or parts <= images:
        return None
    return f"dataset.parts={parts}: more than dataset.source.test_images={images}; each needs an image"


@_rule(
    "dataset.part_images",
    "null, or so many that `dataset.source.test_images`, which must be set, make `dataset.parts` parts",
)
def _part_images(config: Any) -> str | None:
    dataset = config.dataset
    size, images = dataset.part_images, dataset.source.test_images
    if size is None:
        return None
    if images is None:
        return f"dataset.part_images={size}: dataset.source.test_images is not set; set it, or dataset.parts alone"
    if dataset.parts == -(-images // size):
        return None
    return (
        f"dataset.parts={dataset.parts}: dataset.source.test_images={images} in parts of "
        f"dataset.part_images={size} are {-(-images // size)} in {config.name}; set it so, or name the experiments "
        "that the override is for"
    )


@_rule(
    "dataset.source.seed",
    "not null, nor `dataset.part_images`, of folders of photographs (`dataset.source.format` "
    f"{' and '.join(FOLDER_FORMATS)})",
)
def _photographs(config: Any) -> str | None:
    dataset, source = config.dataset, config.dataset.source
    if source.format not in FOLDER_FORMATS:
        return None
    return _missing({"part_images": dataset.part_images, "source.seed": source.seed}.items(), source.format)


@_rule("dataset.source.images_per_class", "not null with `dataset.source.format=places365`")
def _images_per_class(config: Any) -> str | None:
    source = config.dataset.source
    found = {"source.images_per_class": source.images_per_class} if source.format == "places365" else {}
    return _missing(found.items(), source.format)


@_rule(
    "dataset.source.part_stride",
    "not null with `dataset.source.format=pass`, and at least `dataset.part_images`, so that parts share no image",
)
def _part_stride(config: Any) -> str | None:
    dataset, source = config.dataset, config.dataset.source
    if source.format != "pass":
        return None
    if source.part_stride is None:
        return _missing([("source.part_stride", None)], source.format)
    if source.part_stride >= dataset.part_images:
        return None
    return (
        f"dataset.source.part_stride={source.part_stride}: parts of dataset.part_images={dataset.part_images} "
        "would share images; make it at least as large"
    )


@_rule("dataset.source.mean_bgr", "blue, green and red, of folders of photographs")
def _mean(config: Any) -> str | None:
    source = config.dataset.source
    if source.format not in FOLDER_FORMATS or len(source.mean_bgr) == 3:
        return None
    return f"dataset.source.mean_bgr={list(source.mean_bgr)}: give blue, green and red"


@_rule("dataset.image_shape", "height, width and 3 colours, of folders of photographs")
def _colours(config: Any) -> str | None:
    dataset = config.dataset
    if dataset.source.format not in FOLDER_FORMATS or (len(dataset.image_shape) == 3 and dataset.image_shape[-1] == 3):
        return None
    return f"dataset.image_shape={list(dataset.image_shape)}: photographs are height, width and 3 colours"


@_rule(
    "weights.source", "not `train` of folders of photographs, which have no labels to train on, unless `model=custom`"
)
def _trained(config: Any) -> str | None:
    form = config.dataset.source.format
    if form not in FOLDER_FORMATS or config.weights.source != "train" or config.model.family == "custom":
        return None
    return (
        f"weights.source=train: dataset.source.format={form} has no labelled training images; "
        "choose caffe or imagenet, or drop trained weights in"
    )


@_rule("weights.caffemodel", "given, and `weights.prototxt`, with `weights.source=caffe`")
def _caffe(config: Any) -> str | None:
    weights = config.weights
    if weights.source != "caffe" or (weights.caffemodel and weights.prototxt):
        return None
    return "weights.source=caffe: name the files with weights.caffemodel=… and weights.prototxt=…"


@_rule(
    "model.blocks",
    "none of fc and lenet5, and `model.dense` of fc and vgg alone; together with `model.width`, `dataset.image_shape` "
    "and `dataset.classes` a network that can be built, and that fits a machine",
)
def _sizes(config: Any) -> str | None:
    try:
        check_sizes(config.model, config.dataset.image_shape, config.dataset.classes)
    except UserError as error:
        return str(error)
    return None


def _missing(values: Iterable[tuple[str, Any]], form: str) -> str | None:
    """What is missing of a data set of this format."""
    for key, value in values:
        if value is None:
            return f"dataset.{key}: no value, but dataset.source.format={form} needs one"
    return None
