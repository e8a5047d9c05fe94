"""Whether a run is the experiment that a published value belongs to, by its own configuration and files.

conf/published.yaml says what was published: data sets with all their images and preprocessing, networks, recipes, both
phases. The group `published` of an experiment names its pieces. An experiment's own name decides nothing.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from relu2snn.config.changes import flatten
from relu2snn.config.compose import conf
from relu2snn.config.schema import FOLDER_FORMATS

Values = Mapping[str, Any]

VALUES = ("accuracy", "accuracy_loss", "agreement")
"""What may be published of a run."""

# Batches change no result, nor does a seed of noise where there is none, nor the floor and the stretch, which the
# published mapping has not; the rest only guides users and jobs.
_NO_MATTER = {"dataset.source.by_hand", "phase1.batch", "phase1.floor", "phase2.batch", "phase2.seed", "phase2.stretch"}
# Photographs are drawn part by part; parts of arrays are the same images, however they are cut.
_PARTS = {"dataset.parts", "dataset.part_images"}
_SUFFIXES = (".weights.h5", ".h5", ".keras", ".npz")
_SHOWN = 3


@dataclass(frozen=True)
class Reported:
    """What others report for a run, by the names in VALUES, and whose it is.

    All of it is None where nothing is published, and where the run is another one: then `reason` says why, in a few
    words that name the keys, and is empty otherwise.
    """

    values: Mapping[str, float | None]
    source: str | None
    reason: str


def reported(config: Values, data: Values, weights: Values, phase1: Values, phase2: Values) -> Reported:
    """The published values that may stand beside one run.

    config: what the run's provenance/config.yaml says. data, weights: its source.json of images and of weights.
    phase1, phase2: its result.json of either phase.
    """
    known = config["published"]
    nothing = dict.fromkeys(VALUES)
    if all(known.get(name) is None for name in VALUES):
        return Reported(nothing, None, "")
    # Files that another configuration explains need no reasons of their own.
    differences = other_values(config, weights.get("kind")) or [*_other_files(config, data, weights, phase1, phase2)]
    if not differences:
        return Reported({name: known.get(name) for name in VALUES}, known.get("source"), "")
    more = len(differences) - _SHOWN
    return Reported(nothing, None, ", ".join(differences[:_SHOWN]) + (f" and {more} more" if more > 0 else ""))


def other_values(config: Values, weights: str | None = "trained") -> list[str]:
    """What sets a configuration apart from the published run that it names: "train.epochs=3 instead of 100".

    weights: the kind of the weights that were used; only those trained here depend on the recipe.
    """
    pieces = {"dataset": ("datasets", "dataset"), "model": ("models", "model")}
    if weights == "trained" and config["published"].get("recipe"):
        pieces["train"] = ("recipes", "recipe")
    missing, expected = [], {}
    for group, (kind, key) in pieces.items():
        name = config["published"].get(key)
        if name in _published()[kind]:
            expected[group] = _published()[kind][name]
        else:
            missing.append(f"published.{key}={_text(name)} is none of conf/published.yaml")
    expected |= _published()["phases"]
    return missing + list(_differences({group: config[group] for group in expected}, expected))


def _differences(found: Values, expected: Values) -> Iterator[str]:
    ours, theirs = dict(flatten(found)), dict(flatten(expected))
    photographs = theirs.get("dataset.source.format") in FOLDER_FORMATS
    ignored = _NO_MATTER if photographs else _NO_MATTER | _PARTS
    for key in [*theirs, *(key for key in ours if key not in theirs)]:
        if key in ignored or (key in ours and key in theirs and ours[key] == theirs[key]):
            continue
        yield f"{key}={_text(ours.get(key))} instead of {_text(theirs.get(key))}"


def _other_files(config: Values, data: Values, weights: Values, phase1: Values, phase2: Values) -> Iterator[str]:
    """What the files of a run say that differs from the published run, whatever the configuration says."""
    source = _published()["datasets"].get(config["published"].get("dataset"), {}).get("source", {})
    train, test = source.get("train_images"), source.get("test_images")
    for what, found, expected in (
        ("kind of the images", data.get("kind"), source.get("kind")),
        ("training images", data.get("train_images"), train),
        ("test images", data.get("test_images"), test),
        ("images of phase 1", phase1.get("images"), test),
        ("calibration images of phase 1", phase1.get("calibration_images"), train),
        ("images of phase 2", phase2.get("images"), test),
        *((f"{key} of phase 2", phase2.get(key), value) for key, value in _published()["phases"]["phase2"].items()),
    ):
        if found != expected:
            yield f"{what}: {_text(found)} instead of {_text(expected)}"
    yield from _other_weights(config, weights)


def _other_weights(config: Values, weights: Values) -> Iterator[str]:
    names = list(config["published"].get("weights") or [])
    kind, file = weights.get("kind"), weights.get("file")
    if kind == "trained":
        if not config["published"].get("recipe"):
            yield f"weights: trained here instead of {' or '.join(names)}"
    elif kind != "pretrained":
        yield f"kind of the weights: {_text(kind)} instead of pretrained"
    elif file is None:
        if config["weights"]["source"] not in names:
            yield f"weights.source={config['weights']['source']} instead of {' or '.join(names)}"
    elif not any(_is_named(Path(file), name) for name in names):
        yield f"weights.file={file} instead of {' or '.join(names)}"


def _is_named(file: Path, name: str) -> bool:
    """Whether a file has this name, whole or but for its suffix, in folders of the names before it."""
    stems = {file.name, *(file.name.removesuffix(suffix) for suffix in _SUFFIXES)}
    *folders, last = Path(name).parts
    return last in stems and list(file.parts[-1 - len(folders) : -1]) == folders


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@cache
def _published() -> dict[str, Any]:
    published: dict[str, Any] = yaml.safe_load((conf() / "published.yaml").read_text())
    return published
