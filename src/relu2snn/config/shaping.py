"""The values of a configuration that shape results: what files say of what made them, and what is expected of them."""

import re
from typing import Any

from relu2snn.config.changes import flatten
from relu2snn.config.schema import Experiment
from relu2snn.config.slices import STAGES, data_stages, stage_slice
from relu2snn.config.values import plain, value_of

PLACES = re.compile(
    r"weights\.(?!source$|kind$)|dataset\.file$|dataset\.source\.(directory|system_directory|keras_name|made_from|by_hand)(\.|$)"
)
"""Where files stand makes no other run; what they are does, and is told by their digests."""

# Nor do batches (but training's), what is shown, and where.
_NO_MATTER = re.compile(r"(outputs|suite|run|expected|tracking|published|figures|energy)(\.|$)|(phase1|phase2)\.batch$")


def shaping(experiment: Experiment, stage: str) -> dict[str, Any]:
    """The values of a stage's slice, by dotted key, that shape what the stage writes."""
    found: dict[str, Any] = {}
    for key in filter(_matters, STAGES[stage]):
        found |= dict(flatten({key: plain(value_of(experiment, key))}))
    return {key: value for key, value in found.items() if _matters(key)}


def _matters(key: str) -> bool:
    return not PLACES.match(key) and not _NO_MATTER.match(key)


def job_slice(experiment: Experiment, stage: str) -> dict[str, Any]:
    """The stage's slice, and under "expected" the values that must have shaped the files that it reads.

    They say nothing that a stage before does not depend on, so a change of theirs makes no more jobs run again.
    """
    expected: dict[str, Any] = {}
    for each in _before(experiment, stage):
        expected |= shaping(experiment, each)
    return {**stage_slice(experiment, stage), **({"expected": expected} if expected else {})}


def _before(experiment: Experiment, stage: str) -> tuple[str, ...]:
    """The stages whose files a stage reads, or that have made what those were made of."""
    dataset = data_stages(experiment)
    if stage in dataset:
        return dataset[: dataset.index(stage)]
    trained = experiment.weights.source == "train" and experiment.weights.file is None
    weights = ("train", *dataset) if trained else ()
    phase1 = ("weights", *dataset, *weights)
    convert = ("phase1", *phase1)
    before = {
        "train": dataset,
        "weights": weights,
        "phase1": phase1,
        **dict.fromkeys(("bounds", "reference", "convert", "sweep_point", "sweep_gather", "track_sweep"), convert),
        "phase2": ("convert", *convert),
        "gather": ("phase2", "convert", *convert),
        "figures": ("phase2", "convert", *convert),
    }
    return before.get(stage, ())
