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

from relu2snn.datasets.arrays import array_digest, open_array
from relu2snn.datasets.dataset import Dataset, Split
from relu2snn.datasets.images import decode_rgb, resize_bgr
from relu2snn.datasets.manifest import read_manifest
from relu2snn.errors import UserError, reading
from relu2snn.files import atomic_path, file_digest, require_file
from relu2snn.made import Job, load_json

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
    *,
    job: Job,
) -> dict[str, Any]:
    """Write source.json, and test_labels.npy if there are labels, over parts 0 … `parts` that stand in `folder`.

    decode: what PhotographDataset needs to decode the files of manifests (root, size, mean_bgr); None for parts that
    are float32 arrays. Returns what source.json says; it has the stamp of `job`.

    Raises UserError when a part is missing, or contradicts what the job knows.
    """
    folder = Path(folder)
    (folder / "source.json").unlink(missing_ok=True)
    stages = ("places365_part", "pass_part")
    found = [job.read_json(part_file(folder, part, ".json"), *stages, of={"part": part}) for part in range(parts + 1)]
    job.combine("parts", [key for key in job.inputs if key.startswith(stages) and key.endswith(".json")])
    digest = hashlib.sha256("".join(part["sha256"] for part in found).encode())
    labels_digest = None
    if labels is not None:
        digest.update(np.array(labels, np.int64).tobytes())
        array = np.array(labels, np.int64)
        labels_digest = array_digest(array)
        with atomic_path(folder / "test_labels.npy") as temporary:
            np.save(temporary, array, allow_pickle=False)
    source = {
        "name": name,
        "kind": kind,
        "origin": origin,
        "files": [],
        "layout": "arrays of parts" if decode is None else "photographs",
        "labels": labels_digest,
        "decode": decode,
        "parts": found,
        "train_images": found[-1]["images"],
        "test_images": sum(part["images"] for part in found[:-1]),
        "digest": digest.hexdigest(),
    }
    job.write_json(folder / "source.json", source)
    return source


class PhotographDataset(Dataset):
    """A data set that `prepare_photographs` has written; no more than the images asked for are in memory.

    Pixels are float32, (n, h, w, 3), blue, green and red, minus their means.

    Raises UserError when a file is missing or damaged, here or when it is read.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        path = self._folder / "source.json"
        source, self.stamp = load_json(path)
        with reading(path, "source of a prepared data set", "delete it and run again"):
            self.kind: str = source["kind"]
            self.digest: str = source["digest"]
            self._labels: str | None = source["labels"]
            self._decode: dict[str, Any] | None = source["decode"]
            numbers = range(len(source["parts"]))
            self._parts: dict[str, Sequence[int]] = {"test": numbers[:-1], "train": numbers[-1:]}
            self._images = [part["images"] for part in source["parts"]]
            self._listed = [part.get("manifest") for part in source["parts"]]
            self._digests = [part["sha256"] for part in source["parts"]]
        self._checked: set[int] = set()
        self._manifests: dict[int, list[str]] = {}

    def count(self, split: Split) -> int:
        return sum(self._images[part] for part in self._parts[split])

    def labels(self, split: Split) -> NDArray[np.int64] | None:
        if split == "train" or self._labels is None:
            return None
        return open_array(self._folder / "test_labels.npy", self._labels)

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
            self._manifests[part] = self._manifest(part)
        root, size = Path(self._decode["root"]), self._decode["size"]
        mean = np.array(self._decode["mean_bgr"], np.float32)
        return np.stack([_photograph(root / name, size) - mean for name in self._manifests[part][start:stop]])

    def _manifest(self, part: int) -> list[str]:
        path = part_file(self._folder, part, ".tsv")
        require_file(path)
        with reading(path, "manifest of photographs", "delete it and run again"):
            if file_digest(path) != self._listed[part]:
                raise ValueError("its content is not what was listed")
            return read_manifest(path, Job("", {}), "pass_part", part=part).paths

    def _read_array(self, part: int, start: int, stop: int) -> Pixels:
        path = part_file(self._folder, part, ".npy")
        require_file(path)
        with reading(path, "prepared array", "delete it and run again"):
            if part not in self._checked and file_digest(path) != self._digests[part]:
                raise ValueError("its content is not what was prepared")
            self._checked.add(part)
            # Mapped anew each time: pages of a part that were read would otherwise count as this process's memory.
            images = np.load(path, mmap_mode="r", allow_pickle=False)
        if len(images) != self._images[part]:
            raise UserError(f"{path}: {len(images)} images instead of {self._images[part]}; delete it and run again")
        return np.array(images[start:stop])


def _photograph(path: Path, size: Sequence[int]) -> Pixels:
    image, reason = decode_rgb(path)
    if image is None:
        raise UserError(f"{path}: {reason} now, but not when it was listed; fetch it again, or list the images anew")
    return resize_bgr(image, size)
