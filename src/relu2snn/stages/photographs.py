"""Declares a data set of photographs complete: its parts to source.json, and the labels of its test images."""

from pathlib import Path

from relu2snn.config import Experiment, Paths
from relu2snn.config.schema import known
from relu2snn.datasets import prepare_photographs
from relu2snn.datasets.manifest import read_manifest
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Write source.json, and test_labels.npy where there are labels."""
    dataset, source = config.dataset, config.dataset.source
    folder = Path(Paths.of(config).dataset)
    work, labels = job(config, "photographs"), None
    if source.format == "places365":
        labels = read_manifest(folder / "test.tsv", work, "places365_labels").labels
    # Parts of Places365 are preprocessed; those of PASS are too many to store.
    decode = None
    if source.format == "pass":
        decode = {
            "root": source.directory,
            "size": list(known(dataset.image_shape)[:2]),
            "mean_bgr": list(source.mean_bgr),
        }
    origin = f"folder {source.directory}"
    found = prepare_photographs(folder, dataset.name, source.kind, origin, dataset.parts, labels, decode, job=work)
    print(f"{dataset.name}: {found['train_images']} calibration and {found['test_images']} test images, in {folder}")
