"""Phase 2: run the spiking network over one part of the test images, or over all of them.

Reads spiking.keras, the prepared data set and phase1/predictions.npz; writes parts/<part>.npz (predicted classes)
and parts/<part>.json (counts). Without --part, as by hand, all parts are run and gathered.
"""

import time

import numpy as np
from numpy.typing import NDArray

from relu2snn.config import Experiment, Paths
from relu2snn.datasets import Dataset, open_data, part_range
from relu2snn.errors import UserError
from relu2snn.networks.written import load_spiking
from relu2snn.progress import progress
from relu2snn.spiking import SpikingRun, latency, segment_sums
from relu2snn.stages import bounds, convert, gather, reference
from relu2snn.stages._device import device, say_device
from relu2snn.stages._job import job


def run(config: Experiment, part: int | None = None) -> None:
    """Run one part, or (None) convert the network, run every part and gather them.

    Raises UserError for a part that is not in 0 … dataset.parts − 1.
    """
    if part is None:
        if config.phase2.mapping == "reference":
            reference.run(config)
        elif config.phase2.window == "certified":
            bounds.run(config)
        convert.run(config)
        for each in range(config.dataset.parts):
            simulate(config, each)
        gather.run(config)
        return
    if not 0 <= part < config.dataset.parts:
        raise UserError(f"--part {part}: must be from 0 to {config.dataset.parts - 1} (dataset.parts - 1)")
    simulate(config, part)


def simulate(config: Experiment, part: int) -> None:
    """Run the spiking network over part `part` of the test images."""
    started = time.perf_counter()
    paths = Paths.of(config)
    work = job(config, "phase2")
    title = f"phase 2 {config.name}, {config.run.phase2}, part {part}"
    say_device(title)
    dataset = open_data(work, paths.dataset)
    model = load_spiking(work, f"{paths.phase2}/spiking.keras")
    start, stop = part_range(dataset.count("test"), part, config.dataset.parts, config.dataset.part_images)
    original = work.read_npz(f"{paths.phase1}/predictions.npz", "phase1")["labels"][start:stop]

    try:
        spiking = SpikingRun(model, part)
    except ValueError as error:
        raise UserError(f"{paths.phase2}/spiking.keras: {error}") from None
    labels = classify(spiking, dataset, config, start, stop, title)
    truth = dataset.labels("test")

    work.write_npz(f"{paths.part(part)}.npz", {"labels": labels}, part=part)
    work.write_json(
        f"{paths.part(part)}.json",
        {
            "images": spiking.images,
            "correct": None if truth is None else int(np.sum(labels == truth[start:stop])),
            "agreeing": int(np.sum(labels == original)),
            "latency": latency(model),
            "layers": spiking.layers,
            "windows": spiking.windows,
            "neurons": spiking.neurons.tolist(),
            "spikes": spiking.spikes.tolist(),
            "certified": spiking.certified.tolist(),
            "constructed": spiking.constructed.tolist(),
            "simulated": spiking.simulated.tolist(),
            "early_spikes": spiking.early.tolist(),
            "early_images": spiking.early_images,
            "largest_deviation": spiking.deviation.tolist(),
            "rounding": spiking.rounding.tolist(),
            "not_exact": spiking.reasons,
            "costs": segment_sums(spiking),
            "device": device(),
            "seconds": time.perf_counter() - started,
        },
        part=part,
    )


def classify(
    spiking: SpikingRun, dataset: Dataset, config: Experiment, start: int, stop: int, title: str
) -> NDArray[np.int64]:
    """The classes that the network predicts for the test images [start, stop), by batches of phase2.batch.

    Raises UserError for an image that is not finite.
    """
    size = config.phase2.batch
    batches = dataset.batches("test", size, config.dataset.preprocess, start, stop)
    try:
        found = [
            spiking.logits(images).argmax(axis=-1) for images, _ in progress(batches, -(-(stop - start) // size), title)
        ]
    except ValueError as error:
        raise UserError(f"{config.dataset.name}, test images from {start} on: {error}") from None
    return np.concatenate(found)
