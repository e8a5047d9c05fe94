"""Data sets of photographs, listed part by part: prepared as float32 arrays (Places365), or decoded when used (PASS).

`prepare_photographs` writes source.json, which says that the parts are complete. Part numbers are those of the test
images; the part after the last holds the training images, which calibrate.
"""

import hashlib
import operator
import os
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.datasets.dataset import KINDS, Dataset, Split
from relu2snn.datasets.images import decode_rgb, resize_bgr
from relu2snn.datasets.manifest import Manifest, read_manifest
from relu2snn.errors import UserError, reading
from relu2snn.files import atomic_path, digest_of
from relu2snn.formats.npy import map_array
from relu2snn.made import Job, load_json

Pixels = NDArray[np.float32]

# The stages that make parts.
_STAGES = ("places365_part", "pass_part")
_AGAIN = "run the stage photographs again"
_DELETE = "delete it and run again"
_LONGEST_PATH, _LARGEST = 1000, 10_000
_LIST = "fetch it again, or list the images anew"


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
    found = [_read_part(part_file(folder, part, ".json"), part, job) for part in range(parts + 1)]
    job.combine("parts", [name for name in job.inputs if name.startswith(_STAGES) and name.endswith(".json")])
    if labels is not None:
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
        "digest": _digest_of_all(found, labels),
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
        with reading(path, "description of prepared photographs", _AGAIN):
            self.kind: str = source["kind"]
            self.digest: str = source["digest"]
            self._decode = None if source["decode"] is None else _Decode(**source["decode"])
            self._sha256 = [str(part["sha256"]) for part in source["parts"]]
            self._images = [operator.index(part["images"]) for part in source["parts"]]
            self._labels = self._read_labels() if source["labelled"] else None
            if self.kind not in KINDS or _digest_of_all(source["parts"], self._labels) != self.digest:
                raise ValueError("its parts and labels are not those that were prepared")
        numbers = range(len(self._images))
        self._parts: dict[str, Sequence[int]] = {"test": numbers[:-1], "train": numbers[-1:]}
        self._checked: dict[int, Manifest | None] = {}

    def count(self, split: Split) -> int:
        return sum(self._images[part] for part in self._parts[split])

    def labels(self, split: Split) -> NDArray[np.int64] | None:
        return None if split == "train" else self._labels

    def _read_labels(self) -> NDArray[np.int64]:
        path = self._folder / "test_labels.npy"
        with reading(path, ".npy file", _AGAIN):
            return np.array(map_array(path), np.int64)

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
        if part not in self._checked:
            path = self._check(part, ".tsv")
            self._checked[part] = read_manifest(path)
        manifest = self._checked[part]
        assert manifest is not None
        root, size = Path(self._decode.root), self._decode.size
        # Pathlib raises for names that are too long for a folder.
        if not os.path.isdir(root):
            raise UserError(
                f"{self._folder / 'source.json'}: its photographs should be in {root}, no such folder; {_LIST}"
            )
        mean = np.array(self._decode.mean_bgr, np.float32)
        digests = manifest.digests or []
        listed = list(zip(manifest.paths, digests, strict=True))[start:stop]
        return np.stack([_photograph(root / name, size, digest) - mean for name, digest in listed])

    def _read_array(self, part: int, start: int, stop: int) -> Pixels:
        path = part_file(self._folder, part, ".npy")
        with reading(path, ".npy file", _DELETE):
            # Mapped anew each time: pages of a part that were read would otherwise count as this process's memory.
            images = map_array(path)
            if len(images) != self._images[part]:
                raise ValueError(f"{len(images)} images instead of {self._images[part]}")
        if part not in self._checked:
            self._check(part, ".npy")
            self._checked[part] = None
        return np.array(images[start:stop])

    def _check(self, part: int, suffix: str) -> Path:
        """The file of a part; raises UserError when it is missing or not the one that was prepared."""
        path = part_file(self._folder, part, suffix)
        with reading(path, "part of a data set", _DELETE):
            if digest_of(path) != self._sha256[part]:
                raise ValueError("its contents are not those that were prepared")
        return path


@dataclass(frozen=True)
class _Decode:
    """Where photographs stand, and what becomes of them."""

    root: str
    size: Sequence[int]
    mean_bgr: Sequence[float]

    def __post_init__(self) -> None:
        sizes = [operator.index(length) for length in self.size]
        means = [float(mean) for mean in self.mean_bgr]
        if not self.root.isprintable() or len(self.root) > _LONGEST_PATH:
            raise ValueError("the folder of its photographs is no path")
        if [len(sizes), len(means)] != [2, 3] or min(sizes) < 1 or max(sizes) > _LARGEST:
            raise ValueError(f"its photographs are to become {reprlib.repr(self.size)}")


def _read_part(path: Path, number: int, job: Job) -> dict[str, Any]:
    part = job.read_json(path, *_STAGES, of={"part": number})
    with reading(path, "description of a part", _DELETE):
        if not isinstance(part["sha256"], str) or part["images"] < 1:
            raise ValueError("neither its images nor their digest are in it")
        return part


def _photograph(path: Path, size: Sequence[int], digest: str) -> Pixels:
    with reading(path, "file", _LIST):
        content = path.read_bytes()
    image, reason = decode_rgb(content)
    if image is None:
        raise UserError(f"{path}: {reason} now, but not when it was listed; {_LIST}")
    if hashlib.sha256(content).hexdigest() != digest:
        raise UserError(f"{path}: not the photograph that was listed; {_LIST}")
    return resize_bgr(image, size)


def _digest_of_all(parts: Sequence[Any], labels: Sequence[int] | NDArray[np.int64] | None) -> str:
    digest = hashlib.sha256("".join(part["sha256"] for part in parts).encode())
    if labels is not None:
        digest.update(np.array(labels, np.int64).tobytes())
    return digest.hexdigest()
