"""Training: the prepared data set in, a trained network and the history of its epochs out."""

import hashlib
import json

from relu2snn.config import Experiment, Paths, stage_slice
from relu2snn.config.schema import known
from relu2snn.datasets import DATA_STAGES, ArrayDataset
from relu2snn.networks.training import train
from relu2snn.stages._device import say_device
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Write outputs/<suite>/<experiment>/train/trained.keras and history.json."""
    paths = Paths.of(config)
    work, folder = job(config, "train"), paths.dataset
    dataset = ArrayDataset(folder)
    work.accept(f"{folder}/source.json", dataset.stamp, DATA_STAGES)
    say_device(f"training {config.name}")
    settings = json.dumps([stage_slice(config, "train"), dataset.digest], sort_keys=True)
    epochs = train(
        config.model,
        config.train,
        dataset,
        config.dataset.preprocess,
        known(config.dataset.image_shape),
        known(config.dataset.classes),
        paths.train,
        key=hashlib.sha256(settings.encode()).hexdigest()[:16],
        job=work,
    )
    print(f"{config.name}: test accuracy {epochs[-1]['test_accuracy']:.4f} after {len(epochs)} epochs")
