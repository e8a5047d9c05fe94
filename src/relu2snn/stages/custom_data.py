"""The user's own images, checked against the network that takes them, as arrays that later stages map into memory."""

from pathlib import Path

from relu2snn.config import Experiment, Paths
from relu2snn.config.schema import known
from relu2snn.datasets import part_range, prepare
from relu2snn.datasets.own import Wanted, load_own
from relu2snn.errors import UserError
from relu2snn.files import watched
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Write the arrays of dataset.file into outputs/<suite>/datasets/<name>/."""
    dataset = config.dataset
    if dataset.file is None or not Path(dataset.file).is_file():
        named = "is not set" if dataset.file is None else f"{dataset.file}: no such file"
        raise UserError(f"dataset.file {named}; name your own images, as in dataset.file=my.npz")
    network = [config.weights.file] if config.model.family == "custom" and config.weights.file else []
    require_unchanged = watched([dataset.file, *network])
    wanted = _wanted(config)
    arrays = load_own(Path(dataset.file), wanted, dataset.preprocess)
    for key, expected in (("train", dataset.source.train_images), ("test", dataset.source.test_images)):
        count = len(getattr(arrays, f"{key}_images"))
        if expected is not None and count != expected:
            raise UserError(
                f"{dataset.file}: {count} {key} images, but dataset.source.{key}_images is {expected}; leave it out"
            )
    _check_parts(config, len(arrays.test_images))
    require_unchanged()
    folder = Paths.of(config).dataset
    prepare(folder, dataset.name, dataset.source.kind, arrays, classes=wanted.classes, job=job(config, "custom_data"))
    labelled = "with" if arrays.test_labels is not None else "without"
    own = arrays.train_images is not arrays.test_images
    calibrated = f"{len(arrays.train_images)} training images" if own else "them, too"
    print(
        f"{dataset.name}: {len(arrays.test_images)} test images {labelled} labels, calibrated on {calibrated}, "
        f"from the {arrays.origin}"
    )


def _wanted(config: Experiment) -> Wanted:
    """What the network takes: the user's own by its file, any other by the configuration."""
    dataset = config.dataset
    if config.model.family != "custom":
        return Wanted(list(known(dataset.image_shape)), known(dataset.classes), f"model.family={config.model.family}")
    import relu2snn.stages._tensorflow  # noqa: F401

    # isort: split
    from relu2snn.networks import own

    path = Path(str(config.weights.file))
    if config.weights.file is None:
        raise UserError("weights.file is not set; name your own network, as in weights.file=my.keras")
    model = own.load_own(path)
    own.require_sizes(model, path, dataset.image_shape, dataset.classes)
    return Wanted(*own.sizes(model, path), f"the network in {path}")


def _check_parts(config: Experiment, images: int) -> None:
    dataset = config.dataset
    if dataset.parts > images:
        raise UserError(f"dataset.parts={dataset.parts}: {dataset.file} has {images} test images; each needs an image")
    part_range(images, 0, dataset.parts, dataset.part_images)
