"""Prepared data sets: four memory-mapped .npy files and source.json, read in preprocessed batches."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relu2snn.config.schema import Preprocess
from relu2snn.errors import UserError
from relu2snn.files import atomic_path, read_json, write_json

Split = Literal["train", "test"]

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class ArraySet:
    """A whole data set: images uint8 (n, h, w, c), labels int64 (n,), and where they came from."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    origin: str
    files: list[str]


def prepare(folder: str | Path, name: str, kind: str, arrays: ArraySet) -> None:
    """Write `arrays` into `folder` as .npy files, and source.json, which says that they are complete."""
    folder = Path(folder)
    # Were the old one left, a run that is killed half-way would leave it beside new arrays.
    (folder / "source.json").unlink(missing_ok=True)
    digest = hashlib.sha256()
    for key in _ARRAYS:
        array = np.ascontiguousarray(getattr(arrays, key))
        digest.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
        with atomic_path(folder / f"{key}.npy") as temporary:
            np.save(temporary, array, allow_pickle=False)
    write_json(
        folder / "source.json",
        {
            "name": name,
            "kind": kind,
            "origin": arrays.origin,
            "files": arrays.files,
            "train_images": len(arrays.train_images),
            "test_images": len(arrays.test_images),
            "digest": digest.hexdigest(),
        },
    )


class ArrayDataset:
    """A data set that `prepare` has written; its arrays stay on disk and are read as they are used.

    Attributes:
        kind: "real", "sample" or "synthetic".
        digest: SHA-256 of the four arrays, in hexadecimal.

    Raises UserError when a file is missing or damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        source = read_json(Path(folder) / "source.json")
        self.kind: str = source["kind"]
        self.digest: str = source["digest"]
        self._arrays = {key: _open(Path(folder) / f"{key}.npy") for key in _ARRAYS}

    def count(self, split: Split) -> int:
        """Number of images."""
        return len(self._arrays[f"{split}_images"])

    def images(self, split: Split) -> NDArray[np.uint8]:
        """Raw pixels, memory-mapped, (n, h, w, c)."""
        images: NDArray[np.uint8] = self._arrays[f"{split}_images"]
        return images

    def labels(self, split: Split) -> NDArray[np.int64]:
        """Class of every image, memory-mapped, (n,)."""
        labels: NDArray[np.int64] = self._arrays[f"{split}_labels"]
        return labels

    def batches(
        self, split: Split, batch: int, preprocess: Preprocess, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
        """Yield the images `start` to `stop` in order, at most `batch` at a time: images (b, h, w, c), labels (b,).

        Pixels become (pixel - mean) / std, in float64.

        Raises UserError when one lies outside [preprocess.low, preprocess.high], the range [p, q] of the paper,
        by more than 1e-9.
        """
        images, labels = self.images(split), self.labels(split)
        end = len(images) if stop is None else min(stop, len(images))
        for first in range(start, end, batch):
            last = min(first + batch, end)
            values = (images[first:last].astype(np.float64) - preprocess.mean) / preprocess.std
            _check_range(values, preprocess, split, first)
            yield values, np.array(labels[first:last])


def part_range(count: int, part: int, parts: int) -> tuple[int, int]:
    """The images [start, stop) of `part`, counted from 0, when `count` images are dealt into `parts` parts.

    Parts are contiguous, cover every image once, and differ in size by at most one.

    Raises UserError when there is no such part.
    """
    if not 0 <= part < parts:
        raise UserError(f"part {part}: no such part; dataset.parts is {parts}, so they are 0 to {parts - 1}")
    return count * part // parts, count * (part + 1) // parts


def _check_range(values: NDArray[np.float64], preprocess: Preprocess, split: str, first: int) -> None:
    low, high = preprocess.low, preprocess.high
    lowest, highest = values.min(), values.max()
    if lowest >= low - _TOLERANCE and highest <= high + _TOLERANCE:
        return
    value = lowest if lowest < low - _TOLERANCE else highest
    image = first + int(np.argwhere(values == value)[0][0])
    raise UserError(
        f"{split} image {image}: a preprocessed pixel is {value:.10g}, outside the range from "
        f"dataset.preprocess.low={low:g} to dataset.preprocess.high={high:g}; "
        "widen it, or correct dataset.preprocess.mean and std"
    )


def _open(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the data stage again") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: not a whole .npy file ({error}); delete it and run the data stage again") from None
