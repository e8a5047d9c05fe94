"""Result files of experiments that never ran, and the logging of them."""

import os
from pathlib import Path

import numpy as np
from stamped import write_json, write_npz

from relu2snn.config import Paths, compose_experiment, compose_suite, from_slice, stage_slice
from relu2snn.files import digest_of, read_json
from relu2snn.stages.track import run

LAYERS = ["conv2d", "conv2d_1"]
COSTS = {
    "segments": [*LAYERS, "logits"],
    "spiking_neurons": 30,
    "neurons": {"total": 40, "layers": [20, 10, 10]},
    "spikes": {"total": 12.0, "layers": [8.0, 4.0, 0.0]},
    "synapses": {"total": 1000, "layers": [500, 400, 100]},
    "operations": {"total": 375.0, "layers": [250.0, 100.0, 25.0]},
    "forced": {"total": 625.0, "layers": [250.0, 300.0, 75.0]},
    "reference": {"total": 5, "layers": [5, 0, 0]},
    "start": {"total": 40, "layers": [20, 10, 10]},
    "dense_macs": {"total": 1000, "layers": [500, 400, 100]},
    "effective_macs": {"total": 375.0, "layers": [250.0, 100.0, 25.0]},
    "integration": {"total": 200.0, "layers": [100.0, 60.0, 40.0]},
}


def config_slice(tmp_path, suite, *overrides, experiment="fmnist_lenet"):
    # Networks that were never made can't be logged.
    models = [] if any(each.startswith("tracking.models=") for each in overrides) else ["tracking.models=[]"]
    ours = [f"outputs={tmp_path}", *models]
    whole = compose_experiment(experiment, compose_suite("quickstart"), [*ours, *overrides])
    values = stage_slice(whole, "track")
    values["suite"]["name"] = suite
    return values


def paths_of(values):
    return Paths.of(from_slice(values))


def fake_results(values, trained=True, labelled=True, **changes):
    """Result files of an experiment that never ran."""
    paths = paths_of(values)
    accuracy = changes.get("accuracy", 0.875) if labelled else None
    write_json(
        f"{paths.dataset}/source.json",
        {
            "kind": "sample",
            "digest": changes.get("digest", "0123456789abcdef" * 4),
            "origin": "folder data/sample/fmnist",
            "train_images": 5000,
            "test_images": 1000,
        },
    )
    weights = {"kind": "trained" if trained else "pretrained", "file": None, "sha256": changes.get("sha256", "weights")}
    write_json(f"{paths.weights}/source.json", weights)
    if trained:
        epochs = [
            {
                "epoch": epoch,
                "loss": 1.0 / epoch,
                "accuracy": 1 - 0.5 / epoch,
                "test_accuracy": accuracy,
                "learning_rate": 5e-4,
                "seconds": 2.0,
            }
            for epoch in (1, 2, 3)
        ]
        write_json(f"{paths.train}/history.json", {"epochs": epochs})
    write_json(
        f"{paths.phase1}/result.json",
        {
            "accuracy_original": accuracy,
            "accuracy_scaled": accuracy,
            "agreement_scaled": 1.0,
            "calibration_images": 5000,
            "layers": LAYERS,
            "layer_maxima": [2.5, 7.25],
            "nonzero_fraction": {
                "calibration": {"total": 0.5, "layers": [0.25, 0.75]},
                "test": {"total": 0.4, "layers": [0.2, 0.6]},
            },
            "device": "CPU",
            "seconds": 8.0,
        },
    )
    write_npz(f"{paths.phase1}/predictions.npz", {"labels": np.arange(10)})
    write_json(
        f"{paths.phase2}/result.json",
        {
            "experiment": values["name"],
            "variant": values["run"]["phase2"],
            "overrides": values["run"]["overrides"],
            "run": values["run"],
            "dataset": values["dataset"]["name"],
            "images": 1000,
            "layers": LAYERS,
            "windows": [[1.0, 4.75], [4.75, 12.5]],
            "accuracy": accuracy,
            "agreement": changes.get("agreement", 1.0),
            "latency": 12.5,
            "layer_maxima": [2.5, 7.25],
            "mapping": "published",
            "stretch": None,
            "zeta": 0.5,
            "noise": 0.0,
            "alpha_noise": 0.0,
            "reference_noise": 0.0,
            "seed": 0,
            "spiking_fraction": {"total": 0.4, "layers": [0.2, 0.6]},
            "exact": False,
            "certified": {"total": 0.875, "layers": [0.75, 1.0]},
            "constructed": {"total": 0.0, "layers": [0.0, 0.0]},
            "simulated": {"total": 2, "layers": [2, 0]},
            "not_exact": [f"1 spikes came before their window: 1 in {LAYERS[0]}"],
            "early_spikes": {"total": 1, "layers": [1, 0]},
            "largest_deviation": {"total": 0.5, "layers": [0.5, 0.0]},
            "costs": COSTS,
            "device": "CPU",
            "seconds": 30.0,
        },
    )
    Path(paths.figures).mkdir(parents=True, exist_ok=True)
    picture = Path(paths.figures, "layer_maxima.png")
    picture.write_bytes(b"not really a picture")
    write_npz(f"{paths.figures}/data.npz", {}, files={picture.name: digest_of(picture)})
    return paths


def track(values):
    run(from_slice(values))
    return {key: value for key, value in read_json(paths_of(values).tracked).items() if key != "made"}


def make_newer(values):
    """Give every result file a later time, as if it had been made again."""
    for path in Path(values["outputs"]).rglob("result.json"):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 100))
