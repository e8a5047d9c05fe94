"""Shuffles the images of PASS once: the order that both phases take their parts from."""

from relu2snn.config import Experiment, Paths
from relu2snn.config.schema import known
from relu2snn.datasets.manifest import write_manifest
from relu2snn.datasets.pass_images import shuffled
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Write order.tsv of the data set."""
    source = config.dataset.source
    assert source.seed is not None
    manifest = shuffled(known(source.directory), source.seed)
    target = f"{Paths.of(config).dataset}/order.tsv"
    write_manifest(target, manifest, job(config, "pass_order"))
    print(f"{config.dataset.name}: {len(manifest.paths)} images in 20 folders, {target}")
