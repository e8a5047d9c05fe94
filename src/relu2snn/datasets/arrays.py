"""Prepared data sets: four memory-mapped .npy files and source.json, read in preprocessed batches."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.datasets.dataset import Dataset, Split
from relu2snn.errors import reading
from relu2snn.files import atomic_path, require_file
from relu2snn.made import Job, load_json

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class ArraySet:
    """A whole data set: images uint8 (n, h, w, c), labels int64 (n,), and where they came from."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    origin: str
    files: list[str]


def prepare(folder: str | Path, name: str, kind: str, arrays: ArraySet, *, job: Job) -> None:
    """Write `arrays` into `folder` as .npy files, and source.json, which says that they are complete.

    source.json has the stamp of `job`, and the digest of every array.
    """
    folder = Path(folder)
    # Were the old one left, a run that is killed half-way would leave it beside new arrays.
    (folder / "source.json").unlink(missing_ok=True)
    digests = {}
    for key in _ARRAYS:
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
            "train_images": len(arrays.train_images),
            "test_images": len(arrays.test_images),
            "arrays": digests,
            "digest": hashlib.sha256("".join(digests.values()).encode()).hexdigest(),
        },
    )


def array_digest(array: NDArray[Any]) -> str:
    """SHA-256 of an array's type, shape and contents, in hexadecimal."""
    found = hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode())
    found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


class ArrayDataset(Dataset):
    """A data set that `prepare` has written; its arrays stay on disk and are read as they are used.

    Raises UserError when a file is missing or damaged, or an array is not the one that was prepared.
    """

    def __init__(self, folder: str | Path) -> None:
        path = Path(folder) / "source.json"
        source, self.stamp = load_json(path)
        with reading(path, "source of a prepared data set", "delete it and run again"):
            self.kind: str = source["kind"]
            self.digest: str = source["digest"]
            digests = [source["arrays"][key] for key in _ARRAYS]
        self._arrays = {
            key: open_array(Path(folder) / f"{key}.npy", digest) for key, digest in zip(_ARRAYS, digests, strict=True)
        }

    def count(self, split: Split) -> int:
        """Number of images."""
        return len(self._arrays[f"{split}_images"])

    def images(self, split: Split) -> NDArray[np.uint8]:
        """Raw pixels, memory-mapped, (n, h, w, c)."""
        images: NDArray[np.uint8] = self._arrays[f"{split}_images"]
        return images

    def pixels(self, split: Split, start: int, stop: int) -> NDArray[np.uint8]:
        """The raw pixels of the images `start` to `stop`."""
        return self.images(split)[start:stop]

    def labels(self, split: Split) -> NDArray[np.int64]:
        """Class of every image, memory-mapped, (n,)."""
        labels: NDArray[np.int64] = self._arrays[f"{split}_labels"]
        return labels


def open_array(path: Path, digest: str) -> NDArray[Any]:
    """A prepared array, memory-mapped.

    Raises UserError when it is missing, damaged or not the one of this `array_digest`.
    """
    require_file(path)
    with reading(path, "prepared array", "delete its folder and run again"):
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if array_digest(array) != digest:
            raise ValueError("its content is not what was prepared")
        return array
