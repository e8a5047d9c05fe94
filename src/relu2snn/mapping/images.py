"""Images by batches, checked: what a network cannot take is named by its number."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from relu2snn.spiking.network import check_images

Array = NDArray[np.float64]


def batches(
    images: Array, batch: int, shape: tuple[int | None, ...], low: float = -np.inf, high: float = np.inf
) -> Iterator[Array]:
    """Batches (b, *shape) in float64 of `images` (n, *shape) with values in [low, high].

    Raises ValueError when there are no images, and for images of another shape, not finite, or outside [low, high].
    """
    if batch < 1:
        raise ValueError(f"batch={batch}: must be at least 1")
    if not len(images):
        raise ValueError("no images given")
    for number, start in enumerate(range(0, len(images), batch)):
        chunk = np.asarray(images[start : start + batch], np.float64)
        if chunk.shape[1:] != tuple(shape):
            raise ValueError(f"images of shape {chunk.shape[1:]}: the network takes {tuple(shape)}")
        check_images(chunk, start, f"batch {number}, image")
        outside = ((chunk < low) | (chunk > high)).reshape(len(chunk), -1).any(axis=1)
        if outside.any():
            first = int(np.argmax(outside))
            raise ValueError(
                f"batch {number}, image {start + first} has values from {chunk[first].min()} to {chunk[first].max()}, "
                f"outside [{low}, {high}]; give their range as low and high"
            )
        yield chunk
