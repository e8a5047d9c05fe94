"""Loading a data set from where it was located, and checking it against the config."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relu2snn.config.schema import Source
from relu2snn.datasets.arrays import ArraySet
from relu2snn.datasets.cifar import LAYOUTS, read_cifar
from relu2snn.datasets.idx import read_idx
from relu2snn.datasets.locate import NPZ_KEYS, Located, expected, locate
from relu2snn.datasets.synthetic import make_files
from relu2snn.errors import UserError


def load_arrays(source: Source, name: str, image_shape: Sequence[int], classes: int) -> ArraySet:
    """Load the data set `name` from the first of its sources that has it; small files are made first.

    Args:
        source: where to look, in the order directory, system_directory, keras_name; and how many images to expect.
        name: name of the data set, for messages.
        image_shape: (h, w, c) that every image must have.
        classes: labels must lie in 0..classes-1.

    Raises UserError when no source has it, a file is damaged, the download fails, or the images or labels are
    not those that the config describes.
    """
    if source.made_from:
        make_files(source.directory, source.format, source.made_from, source.train_images, source.test_images)
    located = locate(source)
    where: tuple[str, ...]
    if not located.files:
        raw, where = _download(source, name), (located.origin,) * 4
    elif source.format in LAYOUTS:
        place = located.files[0] if len(located.files) == 1 else located.files[0].parent
        raw, where = read_cifar(located.files, source.format), (f"{place}, training",) * 2 + (f"{place}, test",) * 2
    elif len(located.files) == 1:
        raw, where = _read_npz(located.files[0]), tuple(f"{located.files[0]}, {key}" for key in NPZ_KEYS)
    else:
        raw, where = _read_idx_files(located), tuple(map(str, located.files))
    return ArraySet(
        _check_images(raw[0], where[0], "train", source.train_images, image_shape),
        _check_labels(raw[1], where[1], source.train_images, classes),
        _check_images(raw[2], where[2], "test", source.test_images, image_shape),
        _check_labels(raw[3], where[3], source.test_images, classes),
        origin=located.origin,
        files=[str(path) for path in located.files],
    )


def _read_idx_files(located: Located) -> list[Any]:
    return [read_idx(path, ndim) for path, ndim in zip(located.files, (3, 1, 3, 1), strict=True)]


def _read_npz(path: Path) -> list[Any]:
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: not a whole .npz file; fetch it again")
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in NPZ_KEYS if key not in archive]
            if missing:
                raise UserError(f"{path}: no array {' nor '.join(missing)}; expected {', '.join(NPZ_KEYS)}")
            return [np.asarray(archive[key]) for key in NPZ_KEYS]
    # RuntimeError is what zipfile raises for an archive that is encrypted or packed in a way it can't unpack.
    except (OSError, ValueError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable .npz of numbers ({_one_line(error)}); fetch it again") from None


def _download(source: Source, name: str) -> list[Any]:
    import keras  # takes seconds, so only where it is needed

    loader = getattr(keras.datasets, str(source.keras_name), None)
    if loader is None:
        raise UserError(f"dataset.source.keras_name={source.keras_name}: keras.datasets has no such data set")
    try:
        (train_images, train_labels), (test_images, test_labels) = loader.load_data()
    # Keras raises a bare Exception for a failed fetch, and a damaged cache fails in as many ways as its formats.
    except Exception as error:
        raise UserError(
            f"{name}: the download by keras.datasets.{source.keras_name} failed ({_one_line(error)}); "
            f"put the files into {source.directory} by hand: {expected(source)}"
        ) from None
    # Those of CIFAR come as a column.
    train_labels, test_labels = (labels[:, 0] if labels.ndim == 2 else labels for labels in (train_labels, test_labels))
    return [train_images, train_labels, test_images, test_labels]


def _check_images(images: Any, where: str, split: str, count: int, image_shape: Sequence[int]) -> Any:
    """`images` as (n, h, w, c), or a UserError that says what is not as expected."""
    if images.dtype != np.uint8:
        raise UserError(f"{where}: pixels are {images.dtype}; expected uint8, 0 to 255")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.shape[1:] != tuple(image_shape):
        raise UserError(
            f"{where}: images of {_size(images.shape[1:])}, but dataset.image_shape is {_size(image_shape)} "
            "(height x width x channels); use the right files, or override dataset.image_shape"
        )
    key = f"dataset.source.{split}_images"
    if len(images) != count:
        raise UserError(
            f"{where}: {len(images)} images, but {key} is {count}; "
            f"use the whole data set, or override {key}={len(images)}"
        )
    return images


def _check_labels(labels: Any, where: str, count: int, classes: int) -> Any:
    """`labels` as int64 (n,), or a UserError that says what is not as expected."""
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"{where}: labels are {labels.dtype} of shape {labels.shape}; expected integers of shape (n,)")
    if len(labels) != count:
        raise UserError(f"{where}: {len(labels)} labels for {count} images; use files that belong together")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise UserError(
            f"{where}: label {labels[wrong[0]]} at index {wrong[0]} is not in 0..{classes - 1}; "
            f"use the right file, or override dataset.classes (now {classes})"
        )
    return labels.astype(np.int64)


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
