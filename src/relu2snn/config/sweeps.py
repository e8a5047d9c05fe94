"""The points of a robustness sweep: one configuration of phase 2 each, and the seeds of their trials."""

import copy
from dataclasses import is_dataclass, replace

import numpy as np

from relu2snn.config.schema import Experiment
from relu2snn.config.values import value_of


def sweep_point(experiment: Experiment, value: float) -> Experiment:
    """The config of one point: phase2.<sweep.name> is `value`; where that leaves nothing random there is one trial."""
    if is_dataclass(experiment):
        # The lists are shared, since a sweep may have thousands of points.
        point = replace(experiment, phase2=replace(experiment.phase2), sweep=replace(experiment.sweep))
    else:
        point = copy.deepcopy(experiment)
    setattr(point.phase2, point.sweep.name, value)
    if not (point.phase2.noise or point.phase2.alpha_noise or point.phase2.reference_noise):
        point.sweep.trials = 1
    return point


def sweep_values(experiment: Experiment) -> list[float]:
    """The values of a sweep, of which there may be thousands."""
    return [float(value) for value in value_of(experiment, "sweep.values")]


def point_value(experiment: Experiment) -> float:
    """The value of the swept parameter in the config of a point."""
    return float(getattr(experiment.phase2, experiment.sweep.name))


def trial_seed(seed: int, trial: int) -> int:
    """The seed of a trial, counted from 1: phase 2 with phase2.seed set to it is that trial."""
    return int(np.random.SeedSequence([seed, trial]).generate_state(1)[0])
