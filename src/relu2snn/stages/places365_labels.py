"""Lists the validation images of Places365 with their labels."""

from relu2snn.config import Experiment, Paths
from relu2snn.config.schema import known
from relu2snn.datasets.manifest import write_manifest
from relu2snn.datasets.places365 import read_labels
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Write test.tsv of the data set."""
    source = config.dataset.source
    manifest = read_labels(known(source.directory), known(source.test_images), known(config.dataset.classes))
    target = f"{Paths.of(config).dataset}/test.tsv"
    write_manifest(target, manifest, job(config, "places365_labels"))
    print(f"{config.dataset.name}: {len(manifest.paths)} validation images, {target}")
