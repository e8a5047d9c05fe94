"""PASS: 20 folders of photographs without labels (Asano et al., NeurIPS 2021), shuffled once, then dealt into parts."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relu2snn.datasets.images import NOT_RGB, UNREADABLE, decode_rgb
from relu2snn.datasets.manifest import Manifest, require_plain
from relu2snn.errors import UserError, machine_error

FOLDERS = tuple(str(number) for number in range(20))


@dataclass(frozen=True)
class Taken:
    """The images of a part with their digests, and how many were skipped on the way."""

    manifest: Manifest
    unreadable: int
    not_rgb: int


def shuffled(folder: str | Path, seed: int) -> Manifest:
    """All files of the folders 0 to 19 in a random order that the seed fixes; paths relative to `folder`.

    Raises UserError when a folder is missing or empty.
    """
    paths: list[str] = []
    for name in FOLDERS:
        try:
            files = sorted(
                entry.name for entry in os.scandir(Path(folder, name)) if entry.is_file() and entry.name[0] != "."
            )
        except OSError as error:
            raise UserError(f"{Path(folder, name)}: can't be read ({error.strerror}); unpack all 20 folders") from None
        if not files:
            raise UserError(f"{Path(folder, name)}: an empty folder; unpack all 20 folders")
        paths += [f"{name}/{file}" for file in files]
    require_plain(paths, folder)
    # numpy guarantees RandomState's stream for every version.
    return Manifest([paths[index] for index in np.random.RandomState(seed).permutation(len(paths))])


def take(folder: str | Path, candidates: Iterable[str], count: int, where: str) -> Taken:
    """The first `count` of `candidates` that are readable RGB images.

    Raises UserError when there are fewer; `where` says in its text which candidates they were.
    """
    paths: list[str] = []
    skipped: Counter[str] = Counter()
    digests: list[str] = []
    for path in candidates:
        if len(paths) == count:
            break
        try:
            data = Path(folder, path).read_bytes()
        except OSError as error:
            if machine_error(error) is not None:
                raise
            skipped[UNREADABLE] += 1
            continue
        image, reason = decode_rgb(data)
        if image is None:
            skipped[str(reason)] += 1
        else:
            paths.append(path)
            digests.append(hashlib.sha256(data).hexdigest())
    unreadable, not_rgb = skipped[UNREADABLE], skipped[NOT_RGB]
    if len(paths) < count:
        raise UserError(
            f"{folder}: {len(paths)} readable RGB images instead of {count} in {where} ({unreadable} unreadable, "
            f"{not_rgb} not RGB); fetch what is missing, or lower dataset.part_images or dataset.source.train_images"
        )
    return Taken(Manifest(paths, digests=digests), unreadable, not_rgb)
