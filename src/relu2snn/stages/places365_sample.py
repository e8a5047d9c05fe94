"""Draws the calibration images of Places365 from its training images, and lists them."""

from relu2snn.config import Experiment, Paths
from relu2snn.config.schema import known
from relu2snn.datasets.manifest import write_manifest
from relu2snn.datasets.places365 import sample_training
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Write train.tsv of the data set."""
    source = config.dataset.source
    assert source.images_per_class is not None
    assert source.seed is not None
    manifest = sample_training(
        known(source.directory), known(source.train_images), source.images_per_class, source.seed
    )
    target = f"{Paths.of(config).dataset}/train.tsv"
    write_manifest(target, manifest, job(config, "places365_sample"))
    print(f"{config.dataset.name}: {len(manifest.paths)} training images drawn, {target}")
