"""Prepared data sets: four memory-mapped .npy files and source.json, read in preprocessed batches."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.datasets.dataset import Dataset, Split
from relu2snn.errors import UserError
from relu2snn.files import atomic_path, read_json, write_json

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


class ArrayDataset(Dataset):
    """A data set that `prepare` has written; its arrays stay on disk and are read as they are used.

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

    def pixels(self, split: Split, start: int, stop: int) -> NDArray[np.uint8]:
        """The raw pixels of the images `start` to `stop`."""
        return self.images(split)[start:stop]

    def labels(self, split: Split) -> NDArray[np.int64]:
        """Class of every image, memory-mapped, (n,)."""
        labels: NDArray[np.int64] = self._arrays[f"{split}_labels"]
        return labels


def _open(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the data stage again") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: not a whole .npy file ({error}); delete it and run the data stage again") from None
