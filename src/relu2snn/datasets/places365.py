"""Places365: the training sample, and the validation images with their labels (Zhou et al., TPAMI 2017)."""

import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from relu2snn.datasets.manifest import Manifest, require_plain
from relu2snn.errors import UserError, reading
from relu2snn.files import read_text

TRAIN, VALIDATION, LABELS = "train", "val_256", "places365_val.txt"

_SUFFIXES = (".jpg", ".jpeg")
# How much of a wrong line a message shows.
_SHOWN = 100


def sample_training(folder: str | Path, count: int, per_class: int, seed: int) -> Manifest:
    """Up to `per_class` images of every class, drawn without replacement; paths relative to `folder`.

    A class is a folder with images, train/LETTER/LABEL or train/LETTER/LABEL/SUBLABEL. What is drawn of it depends on
    its name, its files and the seed alone.

    Raises UserError when a class has no images, or when fewer or more than `count` are drawn.
    """
    root = Path(folder)
    paths: list[str] = []
    classes = 0
    for name, images in _classes(root):
        # numpy guarantees RandomState's stream for every version.
        random = np.random.RandomState(zlib.crc32(f"{seed} {name}".encode()))
        chosen = sorted(random.permutation(len(images))[:per_class])
        paths += [f"{name}/{images[index]}" for index in chosen]
        classes += 1
    if len(paths) != count:
        raise UserError(
            f"{root / TRAIN}: {len(paths)} images drawn from {classes} classes, but dataset.source.train_images is "
            f"{count}; unpack all of the training images, or override dataset.source.train_images={len(paths)}"
        )
    require_plain(paths, root)
    return Manifest(paths)


def _classes(root: Path) -> Iterator[tuple[str, list[str]]]:
    for letter in _folders(root / TRAIN):
        for label in _folders(letter):
            below = _folders(label)
            for each in [label, *below]:
                images = sorted(file.name for file in os.scandir(each) if file.name.lower().endswith(_SUFFIXES))
                if images:
                    yield each.relative_to(root).as_posix(), images
                elif each != label or not below:
                    raise UserError(f"{each}: a class without images (.jpg); unpack it again, or remove the folder")


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir())
    except OSError as error:
        raise UserError(f"{folder}: can't be read ({error.strerror}); unpack the training images there") from None


def read_labels(folder: str | Path, count: int, classes: int) -> Manifest:
    """The `count` validation images in the order of their numbers, with the labels of places365_val.txt.

    Raises UserError, naming the line, for a line that is not `name label`, a number left out, a label that is not in
    0..classes-1, and an image that is not there; and for fewer or more lines than `count`.
    """
    root = Path(folder)
    file = root / LABELS
    with reading(file, "list of labels", "fetch it again"):
        lines = read_text(file).splitlines()
    there = _names(root / VALIDATION)
    names, labels = [], []
    for number, line in enumerate(lines, start=1):
        expected = f"Places365_val_{number:08d}.jpg"
        words = line.split()
        if len(words) != 2 or not re.fullmatch("[0-9]{1,9}", words[1]):
            raise UserError(f"{file}, line {number}: {line[:_SHOWN]!r} is not 'name label'; fetch the file again")
        if words[0] != expected:
            shown = words[0][:_SHOWN] if words[0].isprintable() else ascii(words[0][:_SHOWN])
            raise UserError(f"{file}, line {number}: {shown} where {expected} should be; fetch the file again")
        if int(words[1]) >= classes:
            raise UserError(f"{file}, line {number}: label {words[1]} is not in 0..{classes - 1}")
        if expected not in there:
            raise UserError(f"{root / VALIDATION / expected}: no such image, but {file} has a label for it; fetch it")
        names.append(f"{VALIDATION}/{expected}")
        labels.append(int(words[1]))
    if len(names) != count:
        raise UserError(
            f"{file}: {len(names)} labels, but dataset.source.test_images is {count}; fetch the whole file, or "
            f"override dataset.source.test_images={len(names)} and dataset.parts"
        )
    return Manifest(names, labels)


def _names(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(folder)}
    except OSError as error:
        raise UserError(f"{folder}: can't be read ({error.strerror}); unpack the validation images there") from None
