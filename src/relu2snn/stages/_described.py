"""What result files say of the configuration that made them."""

from typing import Any

from relu2snn.config import Experiment


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
