"""What result files say of the configuration that made them."""

from collections.abc import Mapping
from typing import Any, cast

from relu2snn.config import Experiment

MADE = ("mapping", "stretch", "zeta", "noise", "alpha_noise", "reference_noise", "seed", "window", "precision")
"""The values of phase 2 that a result names, by its networks' own account."""


def described(config: Experiment, sweep: bool = False) -> dict[str, Any]:
    """The experiment, its data set, the overrides that make the configuration, and its folders by stage.

    A sweep has a folder of its own beside them.
    """
    run = config.run
    stages = ("dataset", "train", "weights", "phase1", "phase2", *(("points", "sweep") if sweep else ()))
    return {
        "experiment": config.name,
        "dataset": config.dataset.name,
        "overrides": list(run.sweep_overrides if sweep else run.overrides),
        "variant": run.sweep if sweep else run.phase2,
        "run": {stage: getattr(run, stage) for stage in stages},
    }


def sizes(config: Experiment, data: Mapping[str, Any]) -> tuple[int, list[int]]:
    """The number of classes, and the shape of an image: the configuration's, or, where it has none, the network's.

    data: source.json of the images, which has the latter for a network of the user's own.
    """
    dataset = config.dataset
    classes = dataset.classes if dataset.classes is not None else data["classes"]
    return classes, list(cast(Any, dataset.image_shape if dataset.image_shape is not None else data["image_shape"]))
