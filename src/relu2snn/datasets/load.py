"""Loading a data set from where it was located, and checking it against the config and what is published."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from relu2snn.config.schema import Source, known
from relu2snn.datasets.arrays import ArraySet
from relu2snn.datasets.cifar import LAYOUTS, locate_cifar, read_cifar
from relu2snn.datasets.expected import Expected
from relu2snn.datasets.locate import IDX_NAMES, NPZ_KEYS, Located, expected, locate
from relu2snn.datasets.published import AS_PUBLISHED, compare_idx, digests_of, require_file, why_not
from relu2snn.datasets.synthetic import make_files
from relu2snn.errors import UserError, machine_error, one_line
from relu2snn.formats.idx import read_idx
from relu2snn.formats.npz import read_npz


def load_arrays(source: Source, name: str, image_shape: Sequence[int], classes: int) -> ArraySet:
    """Load the data set `name` from the first of its sources that has it; small files are made first.

    What files declare is checked against the config before memory is taken for it. Real data are compared with the
    digests under which they are published (`source.published`), unless `source.check` is none.

    Args:
        source: where to look, in the order directory, system_directory, keras_name; and how many images to expect.
        name: name of the data set, for messages.
        image_shape: (h, w, c) that every image must have.
        classes: labels must lie in 0..classes-1.

    Raises UserError when no source has it, a file is damaged or not as published, the download fails, or the images
    or labels are not those that the config describes.
    """
    train_images, test_images = known(source.train_images), known(source.test_images)
    if source.made_from:
        make_files(known(source.directory), source.format, source.made_from, train_images, test_images)
    located = locate(source)
    digests = digests_of(source)
    where = _where(source, located)
    train = Expected("train", train_images, image_shape, classes)
    test = Expected("test", test_images, image_shape, classes)
    wanted = (train.check_images, train.check_labels, test.check_images, test.check_labels)
    checks = [partial(check, place) for check, place in zip(wanted, where, strict=True)]
    raw = _read(source, name, located, digests, checks)
    arrays = (
        train.images(where[0], raw[0]),
        train.labels(where[1], raw[1]),
        test.images(where[2], raw[2]),
        test.labels(where[3], raw[3]),
    )
    published = why_not(source) or _compare(source.format, located.files, arrays, where, digests)
    return ArraySet(*arrays, origin=located.origin, files=[str(path) for path in located.files], published=published)


def _compare(
    format: str, files: Sequence[Path], arrays: Sequence[Any], where: Sequence[str], digests: Mapping[str, str]
) -> str:
    """Whether the arrays are as published; raises UserError where they are not."""
    if format == "idx":
        return compare_idx(arrays, IDX_NAMES, where, files, digests)
    if files:
        # Compared before they were unpickled.
        return AS_PUBLISHED
    downloaded = locate_cifar(_keras_folder(), format)
    return AS_PUBLISHED if downloaded and all(require_file(path, digests) for path in downloaded) else "left to Keras"


def _where(source: Source, located: Located) -> list[str]:
    """What messages call the training images, their labels, the test images, their labels."""
    files = located.files
    if not files:
        return [located.origin] * 4
    if source.format in LAYOUTS:
        place = files[0] if len(files) == 1 else files[0].parent
        return [f"{place}, training"] * 2 + [f"{place}, test"] * 2
    return [f"{files[0]}, {key}" for key in NPZ_KEYS] if len(files) == 1 else [str(path) for path in files]


def _read(
    source: Source, name: str, located: Located, digests: Mapping[str, str], checks: Sequence[Callable[..., None]]
) -> list[Any]:
    files = located.files
    if not files:
        return _download(source, name)
    if source.format in LAYOUTS:
        if len(files) == 1:
            require_file(files[0], digests)
        counts = known(source.train_images), known(source.test_images)
        return read_cifar(files, source.format, counts=counts, digests=digests)
    if len(files) == 1:
        return read_npz(files[0], dict(zip(NPZ_KEYS, checks, strict=True)))
    return [read_idx(path, ndim, check=check) for path, ndim, check in zip(files, (3, 1, 3, 1), checks, strict=True)]


def _download(source: Source, name: str) -> list[Any]:
    import keras  # takes seconds, so only where it is needed

    loader = getattr(keras.datasets, str(source.keras_name), None)
    if loader is None:
        raise UserError(f"dataset.source.keras_name={source.keras_name}: keras.datasets has no such data set")
    try:
        (train_images, train_labels), (test_images, test_labels) = loader.load_data()
    # Keras raises a bare Exception for a failed fetch, and a damaged cache fails in as many ways as its formats.
    except Exception as error:
        if machine_error(error) is not None:
            raise
        raise UserError(
            f"{name}: the download by keras.datasets.{source.keras_name} failed ({type(error).__name__}: "
            f"{one_line(error)}); put the files into {source.directory} by hand: {expected(source)}"
        ) from None
    # Those of CIFAR come as a column.
    train_labels, test_labels = (labels[:, 0] if labels.ndim == 2 else labels for labels in (train_labels, test_labels))
    return [train_images, train_labels, test_images, test_labels]


def _keras_folder() -> Path:
    """Where Keras keeps what it has downloaded."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"), "datasets")
