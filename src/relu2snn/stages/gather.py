"""Gather the parts of a phase 2 run, weighed by their images: result.json and predictions.npz of the variant."""

from typing import Any

import numpy as np

from relu2snn.config import Experiment, Paths
from relu2snn.presentation.described import MADE, described
from relu2snn.presentation.results import shown
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Gather every part of one experiment's variant."""
    paths = Paths.of(config)
    work = job(config, "gather")
    names = [paths.part(each) for each in range(config.dataset.parts)]
    parts, labels = [], []
    for number, name in enumerate(names):
        labels.append(work.read_npz(f"{name}.npz", "phase2", of={"part": number})["labels"])
        parts.append(work.read_json(f"{name}.json", "phase2", of={"part": number}))
    work.combine("parts", [key for key in work.inputs if key.startswith("phase2/")])
    # What made the network that ran, by its own account.
    made = {key.removeprefix("phase2."): value for key, value in work.values.items() if key.startswith("phase2.")}

    images = sum(part["images"] for part in parts)
    correct = [part["correct"] for part in parts]
    agreement, latency = sum(part["agreeing"] for part in parts) / images, parts[0]["latency"]
    neurons = np.array(parts[0]["neurons"]) * images
    spikes, certified, constructed, simulated, early = (
        np.sum([part[key] for part in parts], axis=0)
        for key in ("spikes", "certified", "constructed", "simulated", "early_spikes")
    )
    deviation = np.max([part["largest_deviation"] for part in parts], axis=0)
    rounding = np.max([part["rounding"] for part in parts], axis=0)
    reasons = _reasons(parts, early.tolist())
    work.write_npz(f"{paths.phase2}/predictions.npz", {"labels": np.concatenate(labels)})
    work.write_json(
        f"{paths.phase2}/result.json",
        {
            **described(config),
            "images": images,
            # Data sets without labels have no accuracy.
            "accuracy": None if None in correct else sum(correct) / images,
            "agreement": agreement,
            "latency": latency,
            **{key: made[key] for key in MADE},
            "layers": parts[0]["layers"],
            # Of the network as its mapping scales it.
            "layer_maxima": work.read_json(paths.measured, "phase1", "reference")["layer_maxima"],
            "windows": parts[0]["windows"],
            "spiking_fraction": {"total": float(spikes.sum() / neurons.sum()), "layers": (spikes / neurons).tolist()},
            # Each neuron computed its ReLU, as far as the precision goes; else why that is not proved.
            "exact": not reasons,
            "not_exact": reasons,
            "certified": {"total": float(certified.sum() / neurons.sum()), "layers": (certified / neurons).tolist()},
            # Of these, by the comparison of z with B alone; the rest by the certificate or bins.
            "constructed": {
                "total": float(constructed.sum() / neurons.sum()),
                "layers": (constructed / neurons).tolist(),
            },
            "simulated": {"total": int(simulated.sum()), "layers": simulated.tolist()},
            "early_spikes": {"total": int(early.sum()), "layers": early.tolist()},
            # Images with any of them.
            "early_images": sum(part["early_images"] for part in parts),
            "largest_deviation": {"total": float(deviation.max()), "layers": deviation.tolist()},
            "rounding": {"total": float(rounding.max()), "layers": rounding.tolist()},
            # For an image, on average; what they take by a model of hardware is worked out where it is shown.
            "costs": costs_in_result([part["costs"] for part in parts], images),
            "device": ", ".join(sorted({part["device"] for part in parts})),
            "seconds": sum(part["seconds"] for part in parts),
        },
    )
    exact = f"not exact, {'; '.join(reasons)}" if reasons else "exact"
    print(f"{config.name}: agreement {shown(agreement)}, {exact}, latency {shown(latency)}")


def costs_in_result(parts: list[dict[str, Any]], images: int) -> dict[str, Any]:
    """The costs of `relu2snn.spiking.SegmentCosts` by segment and in total, for one image on average."""
    columns: dict[str, Any] = dict(parts[0]["constant"])
    spiking = columns.pop("spiking")
    for key in parts[0]["sums"]:
        columns[key] = (np.sum([part["sums"][key] for part in parts], axis=0) / images).tolist()
    columns["forced"] = np.subtract(columns["synapses"], columns["operations"]).tolist()
    return {
        "segments": parts[0]["segments"],
        # Those of read-outs do not spike.
        "spiking_neurons": sum(count for count, spikes in zip(columns["neurons"], spiking, strict=True) if spikes),
        **{key: {"total": sum(values), "layers": values} for key, values in columns.items()},
    }


def _reasons(parts: list[dict[str, Any]], early: list[int]) -> list[str]:
    """Why a run is not exact, by what its parts say: of each kind of reason the first, of early spikes the sum."""
    found: dict[str, str] = {}
    for part in parts:
        found = {**part["not_exact"], **found}
    if any(early):
        where = ", ".join(f"{count} in {name}" for name, count in zip(parts[0]["layers"], early, strict=True) if count)
        found["early"] = f"{sum(early)} spikes came before their window: {where}"
    return list(found.values())
