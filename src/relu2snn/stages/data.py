"""Data: find or download a data set, check it, and write it as arrays that later stages map into memory."""

from relu2snn.config import Experiment, Paths
from relu2snn.config.schema import known
from relu2snn.datasets import load_arrays, prepare, source_files
from relu2snn.files import watched
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Write the prepared data set of `config` into outputs/<suite>/datasets/<name>/."""
    dataset = config.dataset
    require_unchanged = watched(source_files(dataset.source))
    arrays = load_arrays(dataset.source, dataset.name, known(dataset.image_shape), known(dataset.classes))
    require_unchanged()
    folder = Paths.of(config).dataset
    prepare(folder, dataset.name, dataset.source.kind, arrays, job=job(config, "data"))
    print(
        f"{dataset.name}: {len(arrays.train_images)} training and {len(arrays.test_images)} test images "
        f"from the {arrays.origin}"
    )
