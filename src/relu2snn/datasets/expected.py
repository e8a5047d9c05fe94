"""What the config expects of the arrays of a data set, asked before and after they are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import UserError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Expected:
    """One split: `count` images of `image_shape` (h, w, c) with labels in 0 … classes - 1; split is train or test."""

    split: str
    count: int
    image_shape: Sequence[int]
    classes: int

    def check_images(self, where: str, shape: Shape, dtype: np.dtype[Any]) -> None:
        """Raise UserError unless these are the shape, (n, h, w) or (n, h, w, c), and the type of the images."""
        if dtype != np.uint8:
            raise UserError(f"{where}: pixels are {dtype}; expected uint8, 0 to 255")
        found = (*shape[1:], 1) if len(shape) == 3 else shape[1:]
        if found != tuple(self.image_shape):
            raise UserError(
                f"{where}: images of {size_text(found)}, but dataset.image_shape is {size_text(self.image_shape)} "
                "(height x width x channels); use the right files, or override dataset.image_shape"
            )
        key = f"dataset.source.{self.split}_images"
        if shape[0] != self.count:
            raise UserError(
                f"{where}: {shape[0]} images, but {key} is {self.count}; "
                f"use the whole data set, or override {key}={shape[0]}"
            )

    def check_labels(self, where: str, shape: Shape, dtype: np.dtype[Any]) -> None:
        """Raise UserError unless these are the shape, (n,), and a type of the labels."""
        if len(shape) != 1 or not np.issubdtype(dtype, np.integer):
            raise UserError(f"{where}: labels are {dtype} of shape {shape}; expected integers of shape (n,)")
        if shape[0] != self.count:
            raise UserError(f"{where}: {shape[0]} labels for {self.count} images; use files that belong together")

    def images(self, where: str, images: NDArray[Any]) -> NDArray[np.uint8]:
        """`images` as (n, h, w, c), after `check_images`."""
        self.check_images(where, images.shape, images.dtype)
        return images[..., np.newaxis] if images.ndim == 3 else images

    def labels(self, where: str, labels: NDArray[Any]) -> NDArray[np.int64]:
        """`labels` as int64, after `check_labels`; raises UserError for one that is no class, too."""
        self.check_labels(where, labels.shape, labels.dtype)
        wrong = np.flatnonzero((labels < 0) | (labels >= self.classes))
        if wrong.size:
            raise UserError(
                f"{where}: label {labels[wrong[0]]} at index {wrong[0]} is not in 0..{self.classes - 1}; "
                f"use the right file, or override dataset.classes (now {self.classes})"
            )
        return labels.astype(np.int64)


def size_text(shape: Sequence[int]) -> str:
    """A shape as people write it: 28 x 28 x 1."""
    return " x ".join(map(str, shape))
