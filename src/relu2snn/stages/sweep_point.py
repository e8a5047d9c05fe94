"""One value of a robustness sweep: phase 2 with phase2.<sweep.name> at this value, a trial for each of several seeds.

Reads what phase 1 has left and the prepared data set; writes sweep/<name>/points/<value>.json (counts and shares of
every trial) and .npz (predicted classes, (trials, images)). The network is made once and disturbed anew for every
trial, in the same graph. Trial k is phase 2 with phase2.seed set to the seed that the file gives for it. A job that was
ended goes on with the trials that it has finished (points/trials-<value>/, removed when the point is written).
By hand: python -m relu2snn.stages sweep_point experiment=cifar10_vgg sweep=noise phase2.noise=0.01
"""

import sys
import time
from typing import Any

import numpy as np

from relu2snn.config import Experiment, Paths, point_value, sweep_point, trial_seed
from relu2snn.datasets import Dataset, open_data, part_range
from relu2snn.made.npz_file import Arrays
from relu2snn.spiking import SpikingRun, latency
from relu2snn.stages._job import job
from relu2snn.stages._trials import KeptTrials
from relu2snn.stages.convert import spiking_network
from relu2snn.stages.phase2 import classify

_COUNTS = ("spikes", "certified", "early", "early_images")


def run(config: Experiment) -> None:
    """Run every trial of one point."""
    started = time.perf_counter()
    value = point_value(config)
    config = sweep_point(config, value)
    paths = Paths.of(config)
    work = job(config, "sweep_point")
    dataset = open_data(work, paths.dataset)
    reference = work.read_npz(f"{paths.phase1}/predictions.npz", "phase1")["labels"]
    model, _ = spiking_network(config, work)
    spiking = SpikingRun(model)
    truth = dataset.labels("test")
    kept, before = KeptTrials(paths.trials(value), work), 0.0
    labels, trials = [], []
    for trial in range(1, config.sweep.trials + 1):
        seed = trial_seed(config.phase2.seed, trial)
        title = f"sweep {config.name}, {config.sweep.name}={value}, trial {trial} of {config.sweep.trials}"
        outcome = kept.read(trial, seed)
        if outcome is None:
            begun = time.perf_counter()
            model.perturb(seed, alpha_noise=config.phase2.alpha_noise)
            outcome = _run_trial(spiking, dataset, config, title)
            # After the last one the point itself is written.
            if trial < config.sweep.trials:
                kept.write(trial, seed, {**outcome, "seconds": np.array(time.perf_counter() - begun)})
        else:
            print(f"{title}: finished before", file=sys.stderr)
            before += float(outcome["seconds"])
        found = outcome["labels"]
        count = len(found)
        labels.append(found)
        trials.append(
            {
                "seed": seed,
                "accuracy": None if truth is None else float(np.mean(found == truth[:count])),
                "agreement": float(np.mean(found == reference[:count])),
                **_shares(spiking, count, outcome),
                "exact": bool(outcome["exact"]),
            }
        )
    name = paths.point(value)
    work.write_npz(f"{name}.npz", {"labels": np.array(labels)})
    work.write_json(
        f"{name}.json",
        {
            "value": value,
            "images": len(labels[0]),
            "latency": latency(model),
            "window": float(np.mean([end - start for start, end in model.windows.values()])),
            "trials": trials,
            "seconds": time.perf_counter() - started + before,
        },
    )
    kept.remove()


def _run_trial(spiking: SpikingRun, dataset: Dataset, config: Experiment, title: str) -> Arrays:
    """Predicted classes ("labels"), "exact", and sums of counts over parts, whose noise starts anew as in phase 2."""
    total = dataset.count("test")
    images = min(config.sweep.images or total, total)
    labels, counts, exact = [], dict.fromkeys(_COUNTS, 0), True
    for part in range(config.dataset.parts):
        start, stop = part_range(total, part, config.dataset.parts, config.dataset.part_images)
        if start >= images:
            break
        spiking.start(part)
        labels.append(classify(spiking, dataset, config, start, min(stop, images), title))
        counts = {name: count + int(np.sum(getattr(spiking, name))) for name, count in counts.items()}
        exact = exact and spiking.exact
    return {
        "labels": np.concatenate(labels),
        **{name: np.array(counts[name]) for name in counts},
        "exact": np.array(exact),
    }


def _shares(spiking: SpikingRun, images: int, outcome: Arrays) -> dict[str, Any]:
    pairs = int(spiking.neurons.sum()) * images
    counts = {name: int(outcome[name]) for name in _COUNTS}
    return {
        "spiking_fraction": counts["spikes"] / pairs,
        "certified": counts["certified"] / pairs,
        "early_spikes": counts["early"],
        "early_images": counts["early_images"],
    }
