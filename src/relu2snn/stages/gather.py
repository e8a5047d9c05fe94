"""Gather the parts of a phase 2 run, weighed by their images: result.json and predictions.npz of the variant."""

import numpy as np

from relu2snn.config import Experiment, Paths, variant_name
from relu2snn.files import atomic_path, read_json, write_json
from relu2snn.stages._app import stage_app


def run(config: Experiment, part: int | None = None) -> None:
    """Gather every part of one experiment's variant; `part` is not used."""
    paths = Paths(config.outputs, config.suite.name, config.name)
    variant, settings = variant_name(config.phase2), config.phase2
    names = [paths.part(variant, each) for each in range(config.dataset.parts)]
    parts = [read_json(f"{name}.json") for name in names]
    labels = []
    for name in names:
        with np.load(f"{name}.npz") as file:
            labels.append(file["labels"])

    images = sum(part["images"] for part in parts)
    neurons = np.array(parts[0]["neurons"]) * images
    spikes = np.sum([part["spikes"] for part in parts], axis=0)
    with atomic_path(f"{paths.phase2(variant)}/predictions.npz") as temporary:
        np.savez(temporary, labels=np.concatenate(labels))
    write_json(
        f"{paths.phase2(variant)}/result.json",
        {
            "experiment": config.name,
            "dataset": config.dataset.name,
            "variant": variant,
            "images": images,
            "accuracy": sum(part["correct"] for part in parts) / images,
            "agreement": sum(part["agreeing"] for part in parts) / images,
            "latency": parts[0]["latency"],
            "zeta": settings.zeta,
            "noise": settings.noise,
            "alpha_noise": settings.alpha_noise,
            "seed": settings.seed,
            "layers": parts[0]["layers"],
            "windows": parts[0]["windows"],
            "spiking_fraction": {"total": float(spikes.sum() / neurons.sum()), "layers": (spikes / neurons).tolist()},
            "early_spikes": np.sum([part["early_spikes"] for part in parts], axis=0).tolist(),
            "precision": "float64",
            "seconds": sum(part["seconds"] for part in parts),
        },
    )


def main() -> None:
    """Command-line entry point."""
    stage_app("gather", run)


if __name__ == "__main__":
    main()
