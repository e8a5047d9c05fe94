"""Composing, checking and slicing the Hydra configuration."""

from relu2snn.extras import extra

with extra("workflow"):
    from relu2snn.config.compose import compose_experiment, compose_suite, compose_tracking, composing
    from relu2snn.config.options import split_names, split_overrides
    from relu2snn.config.outputs import require_place
    from relu2snn.config.paths import FIGURES, Paths, model_files
    from relu2snn.config.published import Reported, other_values, reported
    from relu2snn.config.schema import Experiment, Suite
    from relu2snn.config.slices import STAGES, checked_slice, from_slice, stage_slice
    from relu2snn.config.sweeps import point_value, sweep_point, sweep_values, trial_seed
    from relu2snn.config.targets import read, written

__all__ = [
    "FIGURES",
    "STAGES",
    "Experiment",
    "Paths",
    "Reported",
    "Suite",
    "checked_slice",
    "compose_experiment",
    "compose_suite",
    "compose_tracking",
    "composing",
    "from_slice",
    "model_files",
    "other_values",
    "point_value",
    "read",
    "reported",
    "require_place",
    "split_names",
    "split_overrides",
    "stage_slice",
    "sweep_point",
    "sweep_values",
    "trial_seed",
    "written",
]
