"""What every prepared data set offers, whatever its files: counts, labels, batches and parts."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relu2snn.config.schema import Preprocess
from relu2snn.errors import UserError
from relu2snn.made import Stamp

Split = Literal["train", "test"]

KINDS = ("real", "sample", "synthetic")

_TOLERANCE = 1e-9
# Roundings of a division or two.
_STEPS = 4


class Dataset(ABC):
    """A prepared data set; images stay on disk and are read as they are used.

    Attributes:
        kind: one of KINDS.
        digest: SHA-256 of its contents, in hexadecimal.
        stamp: what made it.
    """

    kind: str
    digest: str
    stamp: Stamp

    @abstractmethod
    def count(self, split: Split) -> int:
        """Number of images."""

    @abstractmethod
    def labels(self, split: Split) -> NDArray[np.int64] | None:
        """Class of every image, (n,); None when the data set has no labels."""

    @abstractmethod
    def pixels(self, split: Split, start: int, stop: int) -> NDArray[Any]:
        """The images `start` to `stop`, (n, h, w, c), as they are before `Preprocess`."""

    def batches(
        self, split: Split, batch: int, preprocess: Preprocess, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64] | None]]:
        """Yield the images `start` to `stop` in order, at most `batch` at a time: images (b, h, w, c), labels (b,).

        Pixels become (pixel - mean) / std, in float64. Labels are None when the data set has none.

        Raises UserError as `preprocessed` does.
        """
        end = self.count(split) if stop is None else min(stop, self.count(split))
        labels = self.labels(split)
        for first in range(start, end, batch):
            last = min(first + batch, end)
            pixels = self.pixels(split, first, last)
            yield (
                preprocessed(pixels, preprocess, split, first),
                None if labels is None else np.array(labels[first:last]),
            )


def part_range(count: int, part: int, parts: int, size: int | None = None) -> tuple[int, int]:
    """The images [start, stop) of `part`, counted from 0, when `count` images are dealt into `parts` parts.

    Parts are contiguous and cover every image once. Without a `size` they differ in size by at most one; with it,
    every part but the last has `size` images.

    Raises UserError when there is no such part, or when parts of that size are not `parts`.
    """
    if not 0 <= part < parts:
        raise UserError(f"part {part}: no such part; dataset.parts is {parts}, so they are 0 to {parts - 1}")
    if size is None:
        return count * part // parts, count * (part + 1) // parts
    if -(-count // size) != parts:
        raise UserError(f"dataset.parts={parts}: {count} images in parts of dataset.part_images={size} are not so many")
    return part * size, min((part + 1) * size, count)


def preprocessed(pixels: NDArray[Any], preprocess: Preprocess, split: str, first: int) -> NDArray[np.float64]:
    """(pixel - mean) / std in float64, of images from number `first` on, which messages name.

    Raises UserError when a value lies outside [preprocess.low, preprocess.high], the range [p, q] of the paper, by more
    than 1e-9 or what its own type rounds by; less is put to the bound.
    """
    values = (pixels.astype(np.float64) - preprocess.mean) / preprocess.std
    low, high = preprocess.low, preprocess.high
    lowest, highest = values.min(), values.max()
    if lowest >= low and highest <= high:
        return values
    tolerance = _TOLERANCE
    if pixels.dtype.kind == "f":
        # Normalised by the user, in fewer digits.
        tolerance = max(tolerance, _STEPS * float(np.finfo(pixels.dtype).eps) * max(abs(low), abs(high)))
    if lowest >= low - tolerance and highest <= high + tolerance:
        return np.clip(values, low, high)
    value = lowest if lowest < low - tolerance else highest
    image = first + int(np.argwhere(values == value)[0][0])
    raise UserError(
        f"{split} image {image}: a preprocessed pixel is {value:.10g}, outside the range from "
        f"dataset.preprocess.low={low:g} to dataset.preprocess.high={high:g}; "
        "widen it, or correct dataset.preprocess.mean and std"
    )
