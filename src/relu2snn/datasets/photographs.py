"""Data sets of photographs, listed part by part: prepared as float32 arrays (Places365), or decoded when used (PASS).

`prepare_photographs` writes source.json, which says that the parts are complete. Part numbers are those of the test
images; the part after the last holds the training images, which calibrate.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.datasets.dataset import Dataset, Split
from relu2snn.datasets.images import decode_rgb, resize_bgr
from relu2snn.datasets.manifest import read_manifest
from relu2snn.errors import UserError
from relu2snn.files import atomic_path, read_json, write_json

Pixels = NDArray[np.float32]


def part_file(folder: str | Path, part: int, suffix: str) -> Path:
    """A file of one part of a prepared data set."""
    return Path(folder, "parts", f"{part}{suffix}")


def prepare_photographs(
    folder: str | Path,
    name: str,
    kind: str,
    origin: str,
    parts: int,
    labels: Sequence[int] | None,
    decode: dict[str, Any] | None,
) -> dict[str, Any]:
    """Write source.json, and test_labels.npy if there are labels, over parts 0 … `parts` that stand in `folder`.

    decode: what PhotographDataset needs to decode the files of manifests (root, size, mean_bgr); None for parts that
    are float32 arrays. Returns what source.json says.

    Raises UserError when a part is missing.
    """
    folder = Path(folder)
    (folder / "source.json").unlink(missing_ok=True)
    found = [read_json(part_file(folder, part, ".json")) for part in range(parts + 1)]
    digest = hashlib.sha256("".join(part["sha256"] for part in found).encode())
    if labels is not None:
        digest.update(np.array(labels, np.int64).tobytes())
        with atomic_path(folder / "test_labels.npy") as temporary:
            np.save(temporary, np.array(labels, np.int64), allow_pickle=False)
    source = {
        "name": name,
        "kind": kind,
        "origin": origin,
        "files": [],
        "layout": "arrays of parts" if decode is None else "photographs",
        "labelled": labels is not None,
        "decode": decode,
        "parts": found,
        "train_images": found[-1]["images"],
        "test_images": sum(part["images"] for part in found[:-1]),
        "digest": digest.hexdigest(),
    }
    write_json(folder / "source.json", source)
    return source


class PhotographDataset(Dataset):
    """A data set that `prepare_photographs` has written; no more than the images asked for are in memory.

    Pixels are float32, (n, h, w, 3), blue, green and red, minus their means.

    Raises UserError when a file is missing or damaged, here or when it is read.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        source = read_json(self._folder / "source.json")
        self.kind: str = source["kind"]
        self.digest: str = source["digest"]
        self._labelled: bool = source["labelled"]
        self._decode: dict[str, Any] | None = source["decode"]
        numbers = range(len(source["parts"]))
        self._parts: dict[str, Sequence[int]] = {"test": numbers[:-1], "train": numbers[-1:]}
        self._images = [part["images"] for part in source["parts"]]
        self._manifests: dict[int, list[str]] = {}

    def count(self, split: Split) -> int:
        return sum(self._images[part] for part in self._parts[split])

    def labels(self, split: Split) -> NDArray[np.int64] | None:
        if split == "train" or not self._labelled:
            return None
        labels: NDArray[np.int64] = np.load(self._folder / "test_labels.npy", allow_pickle=False)
        return labels

    def pixels(self, split: Split, start: int, stop: int) -> Pixels:
        pieces = []
        first = 0
        for part in self._parts[split]:
            last = first + self._images[part]
            low, high = max(start, first), min(stop, last)
            if low < high:
                pieces.append(self._read(part, low - first, high - first))
            first = last
        return np.concatenate(pieces)

    def _read(self, part: int, start: int, stop: int) -> Pixels:
        if self._decode is None:
            return self._read_array(part, start, stop)
        if part not in self._manifests:
            self._manifests[part] = read_manifest(part_file(self._folder, part, ".tsv")).paths
        root, size = Path(self._decode["root"]), self._decode["size"]
        mean = np.array(self._decode["mean_bgr"], np.float32)
        return np.stack([_photograph(root / name, size) - mean for name in self._manifests[part][start:stop]])

    def _read_array(self, part: int, start: int, stop: int) -> Pixels:
        path = part_file(self._folder, part, ".npy")
        try:
            # Mapped anew each time: pages of a part that were read would otherwise count as this process's memory.
            images = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{path}: not a whole .npy file ({reason}); delete it and run again") from None
        if len(images) != self._images[part]:
            raise UserError(f"{path}: {len(images)} images instead of {self._images[part]}; delete it and run again")
        return np.array(images[start:stop])


def _photograph(path: Path, size: Sequence[int]) -> Pixels:
    image, reason = decode_rgb(path)
    if image is None:
        raise UserError(f"{path}: {reason} now, but not when it was listed; fetch it again, or list the images anew")
    return resize_bgr(image, size)
