"""What is measured: one network's ReLU inference, the simulation of every event, the certified engine of the published
mapping, and that of the mapping with a reference, in float64 and in float32.

`python benchmarks/engines.py FOLDER BATCH times|memory …` prints JSON; a process of its own per memory figure.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import relu2snn.mapping  # noqa: F401  (registers the layers that the files hold)
from relu2snn.spiking import SpikingRun

EVENT_SECONDS = 60.0
FILES = {"certified": "published", "events": "published", "reference": "reference", "reference32": "reference32"}
TURNS = ("relu", "certified", "reference", "reference32")


def engine(folder: Path, name: str) -> tuple[Callable[[Any], Any], Any]:
    """A function of a batch of images, "relu" or one of `FILES`; and its run, None for "relu"."""
    if name == "relu":
        model = keras.saving.load_model(folder / "scaled.keras")
        infer = tf.function(lambda images: model(images, training=False))
        return lambda images: infer(tf.constant(images)).numpy(), None
    run = SpikingRun(keras.saving.load_model(folder / f"{FILES[name]}.keras"), certify=name != "events")
    return run.logits, run


def times(folder: Path, batch: int, repeats: int) -> dict[str, Any]:
    """Seconds per image, medians of `repeats` batches that take turns, and the certified share.

    Every event is simulated for as many images as about a minute allows, one to begin with.
    """
    images = np.load(folder / "images.npy")
    batch = min(batch, len(images))
    engines = {name: engine(folder, name) for name in TURNS}
    run = engines["certified"][1]
    found: dict[str, list[float]] = {name: [] for name in TURNS}
    for repeat in range(repeats + 1):
        start = repeat * batch % (len(images) - batch + 1)
        for name, (function, _) in engines.items():
            seconds = _seconds(function, images[start : start + batch]) / batch
            # The first turn builds graphs and compiles.
            if repeat:
                found[name].append(seconds)
    events, _ = engine(folder, "events")
    events(images[:1])
    first = _seconds(events, images[:1])
    count = int(np.clip(EVENT_SECONDS / 4 / first, 1, batch))
    found["events"] = [_seconds(events, images[:count]) / count for _ in range(3 if first * count < 20 else 1)]
    pairs = run.neurons.sum() * run.images
    return {
        **{name: float(np.median(values)) for name, values in found.items()},
        "certified_share": float(run.certified.sum() / pairs),
        "simulated_per_image": float(run.simulated.sum() / run.images),
        "early": int(run.early.sum()),
        "early_reference": int(engines["reference"][1].early.sum()),
    }


def memory(folder: Path, batch: int, name: str) -> float:
    """Peak memory of a process that runs one engine over three batches, in MB (Linux)."""
    function, _ = engine(folder, name)
    images = np.load(folder / "images.npy")
    for _ in range(3):
        function(images[:batch])
    # Not getrusage: a child's figure there starts from its parent's.
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) / 1024


def _seconds(function: Callable[[Any], Any], images: Any) -> float:
    started = time.perf_counter()
    function(images)
    return time.perf_counter() - started


if __name__ == "__main__":
    path, size, what, value = sys.argv[1:]
    measured = times(Path(path), int(size), int(value)) if what == "times" else memory(Path(path), int(size), value)
    print(json.dumps(measured))
