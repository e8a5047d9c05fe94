"""A user's own images: the arrays of one npz, checked against what the network takes before any stage uses them.

    x_test, or images    (n, …) what both networks are run on; needed
    y_test, or labels    (n,) class of each, 0 … classes - 1; without them there is no accuracy
    x_train, y_train     images to calibrate on, in place of the test images, and their classes

Images are of the network's input shape, but for an axis of one channel, which may be left out. An array of another name
is refused: misspelt labels would otherwise be none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.config.schema import Preprocess
from relu2snn.datasets.arrays import ArraySet
from relu2snn.datasets.dataset import preprocessed
from relu2snn.datasets.expected import size_text
from relu2snn.errors import UserError, printable, shown
from relu2snn.formats.npz import npz_names, read_npz

_NAMES = {
    "test_images": ("x_test", "images"),
    "test_labels": ("y_test", "labels"),
    "train_images": ("x_train",),
    "train_labels": ("y_train",),
}
_CHUNK = 1024

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Wanted:
    """What the arrays must be like: the network's input without the batch, its classes, and who says so (`by`)."""

    image_shape: Sequence[int]
    classes: int
    by: str


def load_own(path: Path, wanted: Wanted, preprocess: Preprocess) -> ArraySet:
    """The arrays of an npz: images (n, *image_shape) of their own type, labels int64 (n,) or None.

    Without training images the test images, and their labels, stand for them.

    Raises UserError, one line that names the array, for a file that is damaged or lacks the images, images of another
    shape, that are not finite or not in preprocess' range, and labels that are not the images' or no classes.
    """
    chosen = _chosen(path)
    checks = {
        name: lambda shape, dtype, key=key, name=name: _check(f"{path}, {name}", key, shape, dtype, wanted)
        for key, name in chosen.items()
    }
    found: dict[str, Any] = dict(zip(chosen, read_npz(path, checks), strict=True))
    for split in ("test", "train"):
        if (images := found.get(f"{split}_images")) is None:
            continue
        name = chosen[f"{split}_images"]
        images = found[f"{split}_images"] = images.reshape(len(images), *wanted.image_shape)
        _check_values(f"{path}, {name}", images, preprocess, split)
        if (labels := found.get(f"{split}_labels")) is not None:
            where = f"{path}, {chosen[f'{split}_labels']}"
            found[f"{split}_labels"] = _labels(where, labels, name, len(images), wanted)
    if "train_images" not in found:
        found |= {"train_images": found["test_images"], "train_labels": found.get("test_labels")}
    return ArraySet(
        train_images=found["train_images"],
        train_labels=found.get("train_labels"),
        test_images=found["test_images"],
        test_labels=found.get("test_labels"),
        origin=f"file {path}",
        files=[str(path)],
        published="images of the user's own",
    )


def _chosen(path: Path) -> dict[str, str]:
    """The names of the arrays to read, by what they are."""
    names = [shown(printable(name)) for name in npz_names(path)]
    chosen = {}
    for key, possible in _NAMES.items():
        there = [name for name in possible if name in names]
        if len(there) > 1:
            raise UserError(f"{path}: has both {' and '.join(there)}; keep the one to be used")
        if there:
            chosen[key] = there[0]
    if "test_images" not in chosen:
        raise UserError(
            f"{path}: no array x_test (nor images), only {', '.join(names) or 'nothing'}; save it as in "
            "numpy.savez('my.npz', x_test=images, y_test=labels)"
        )
    known = [name for possible in _NAMES.values() for name in possible]
    if strange := [name for name in names if name not in known]:
        raise UserError(f"{path}: has {', '.join(strange)}, none of {', '.join(known)}; rename it or leave it out")
    if "train_labels" in chosen and "train_images" not in chosen:
        raise UserError(f"{path}: y_train without x_train; add the images, or leave their labels out")
    return chosen


def _check(where: str, key: str, shape: Shape, dtype: np.dtype[Any], wanted: Wanted) -> None:
    """Raise UserError unless an array that is declared so can be what it is to be."""
    if key.endswith("_labels"):
        if dtype.kind not in "iu" or shape[1:] not in ((), (1,)):
            hint = "; give class numbers, as in labels.argmax(axis=1)" if len(shape) == 2 else ""
            raise UserError(f"{where}: labels are {dtype} of shape {shape}; expected integers of shape (n,){hint}")
        return
    expected = tuple(wanted.image_shape)
    if shape[1:] != expected and (*shape[1:], 1) != expected:
        found = size_text(shape[1:]) if len(shape) > 1 else "single numbers"
        raise UserError(
            f"{where}: of shape {shape}, so an image is {found}, but {wanted.by} takes {size_text(expected)}; give "
            "images of this shape, the number of images first"
        )
    if not shape[0]:
        raise UserError(f"{where}: has no images; give at least one")


def _check_values(where: str, images: NDArray[Any], preprocess: Preprocess, split: str) -> None:
    for first in range(0, len(images), _CHUNK):
        chunk = images[first : first + _CHUNK]
        finite = np.isfinite(chunk).reshape(len(chunk), -1).all(axis=1)
        if not finite.all():
            raise UserError(f"{where}: image {first + int(np.argmin(finite))} holds a NaN or an infinity; leave it out")
        try:
            preprocessed(chunk, preprocess, split, first)
        except UserError as error:
            bytes_too = images.dtype == np.uint8 and preprocess.std == 1
            hint = " (bytes become 0 to 1 by dataset.preprocess.std=255)" if bytes_too else ""
            raise UserError(f"{where}: {error}{hint}") from None


def _labels(where: str, labels: NDArray[Any], images: str, count: int, wanted: Wanted) -> NDArray[np.int64]:
    if len(labels) != count:
        raise UserError(f"{where}: {len(labels)} labels for the {count} images of {images}; give one for each")
    flat = labels.reshape(-1)
    wrong = np.flatnonzero((flat < 0) | (flat >= wanted.classes))
    if wrong.size:
        raise UserError(
            f"{where}: label {flat[wrong[0]]} at index {wrong[0]} is not in 0..{wanted.classes - 1}, the classes of "
            f"{wanted.by}; count them from 0"
        )
    return flat.astype(np.int64)
