"""Composing, checking and slicing the Hydra configuration."""

from relu2snn.config.compose import compose_experiment, compose_suite, compose_tracking, split_names, split_overrides
from relu2snn.config.paths import FIGURES, Paths, model_files
from relu2snn.config.schema import Experiment, Suite
from relu2snn.config.slices import STAGES, from_slice, stage_slice
from relu2snn.config.sweeps import point_value, sweep_point, sweep_values, trial_seed

__all__ = [
    "FIGURES",
    "STAGES",
    "Experiment",
    "Paths",
    "Suite",
    "compose_experiment",
    "compose_suite",
    "compose_tracking",
    "from_slice",
    "model_files",
    "point_value",
    "split_names",
    "split_overrides",
    "stage_slice",
    "sweep_point",
    "sweep_values",
    "trial_seed",
]
