"""Prepared data sets: four memory-mapped .npy files and source.json, read in preprocessed batches."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.datasets.dataset import KINDS, Dataset, Split
from relu2snn.errors import UserError, reading
from relu2snn.files import atomic_path
from relu2snn.formats.npy import array_digest, file_digest, map_array
from relu2snn.made import Job, load_json

_IMAGES = ("train_images", "test_images")
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_AGAIN = "run the data stage again"


@dataclass(frozen=True)
class ArraySet:
    """A whole data set: images (n, h, w, c), labels int64 (n,) or None, and where they came from.

    Images are uint8, but for those of a user's own, which may be of any type of numbers and have any axes after n.
    published: "as published" where their digests are those that are published, else why they were not compared.
    """

    train_images: NDArray[Any]
    train_labels: NDArray[np.int64] | None
    test_images: NDArray[Any]
    test_labels: NDArray[np.int64] | None
    origin: str
    files: list[str]
    published: str = "made here"


def prepare(
    folder: str | Path, name: str, kind: str, arrays: ArraySet, *, classes: int | None = None, job: Job
) -> None:
    """Write `arrays` into `folder` as .npy files, and source.json, which says that they are complete.

    source.json has the stamp of `job`, and the digest of every array; where no configuration knows the classes, it has
    them too, and the shape of an image.
    """
    folder = Path(folder)
    # Were the old one left, a run that is killed half-way would leave it beside new arrays.
    (folder / "source.json").unlink(missing_ok=True)
    digests = {}
    for key in _ARRAYS:
        if getattr(arrays, key) is None:
            (folder / f"{key}.npy").unlink(missing_ok=True)
            continue
        array = np.ascontiguousarray(getattr(arrays, key))
        digests[key] = array_digest(array)
        with atomic_path(folder / f"{key}.npy") as temporary:
            np.save(temporary, array, allow_pickle=False)
    job.write_json(
        folder / "source.json",
        {
            "name": name,
            "kind": kind,
            "origin": arrays.origin,
            "files": arrays.files,
            "published": arrays.published,
            "train_images": len(arrays.train_images),
            "test_images": len(arrays.test_images),
            **({"classes": classes, "image_shape": arrays.test_images.shape[1:]} if classes else {}),
            "arrays": digests,
            "digest": _digest_of(digests),
        },
    )


class ArrayDataset(Dataset):
    """A data set that `prepare` has written; its arrays stay on disk and are read as they are used.

    Raises UserError when a file is missing or damaged, or holds something else than was prepared.
    """

    def __init__(self, folder: str | Path) -> None:
        path = Path(folder) / "source.json"
        source, self.stamp = load_json(path)
        with reading(path, "description of a prepared data set", _AGAIN):
            self.kind: str = source["kind"]
            if self.kind not in KINDS:
                raise ValueError("no kind of data")
            self.digest: str = source["digest"]
            digests = source["arrays"]
            if not set(_IMAGES) <= set(digests) <= set(_ARRAYS) or _digest_of(digests) != self.digest:
                raise ValueError("its digests do not belong together")
        self._arrays = {key: open_array(Path(folder) / f"{key}.npy", digests[key]) for key in digests}
        for split in ("train", "test"):
            images, labels = self._arrays[f"{split}_images"], self._arrays.get(f"{split}_labels")
            if images.ndim < 2 or (labels is not None and labels.shape != images.shape[:1]):
                found = "" if labels is None else f", labels {labels.shape}"
                raise UserError(f"{folder}: {split} images {images.shape}{found}; {_AGAIN}")

    def count(self, split: Split) -> int:
        """Number of images."""
        return len(self._arrays[f"{split}_images"])

    def images(self, split: Split) -> NDArray[Any]:
        """Raw pixels, memory-mapped, (n, h, w, c)."""
        return self._arrays[f"{split}_images"]

    def pixels(self, split: Split, start: int, stop: int) -> NDArray[Any]:
        """The raw pixels of the images `start` to `stop`."""
        return self.images(split)[start:stop]

    def labels(self, split: Split) -> NDArray[np.int64] | None:
        """Class of every image, memory-mapped, (n,); None when the data set has no labels."""
        return self._arrays.get(f"{split}_labels")


def open_array(path: Path, digest: str) -> NDArray[Any]:
    """A prepared array, memory-mapped; raises UserError when it is missing, damaged or not the one of this digest."""
    with reading(path, ".npy file", _AGAIN):
        array = map_array(path)
        if file_digest(path) != digest:
            raise ValueError("its contents are not those that were prepared")
        return array


def _digest_of(digests: Mapping[str, str]) -> str:
    """One digest of a whole data set, which depends on its arrays only."""
    return hashlib.sha256("".join(f"{digests[key]}" for key in _ARRAYS if key in digests).encode()).hexdigest()
