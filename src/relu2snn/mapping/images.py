"""Images by batches, checked: what a network cannot take is named by its number.

Images are an array (n, *shape), or what gives them piece by piece: a list of images or of batches, a generator or a
tf.data.Dataset of batches, with labels or without. For several inputs they are a dictionary of arrays by the inputs'
names, a list of arrays in the inputs' order, or pieces of these kinds. Beside what is given, no more than a batch, or
a piece, is held at once.
"""

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from relu2snn.graph.nodes import Array, Source
from relu2snn.mapping.pieces import pieces
from relu2snn.spiking.network import check_images

ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""The share of the larger of |low| and |high| by which a pixel may lie outside [low, high] and is clipped.

A pixel p in [0, 1] becomes (p − mean) / std, with 1 / std = high − low ≤ 2 max(|low|, |high|). In float32 that is off
by at most ε / 2 of: p / std, mean / std, and three times the result (difference, std, quotient), 3 ε of the larger of
both; half an ε more where low and high were computed in float32 themselves.
"""


def batches(
    images: Any, batch: int, shape: tuple[int | None, ...], low: Any = -np.inf, high: Any = np.inf
) -> Iterator[Array]:
    """Batches (b, *shape) in float64 of `images` with values in [low, high]; rounding outside is clipped.

    low and high: numbers or (channels,). Raises ValueError, which names the image, when there are none, and for images
    of another shape, not finite, or outside [low, high]; TypeError for what holds no numbers, as a path.
    """
    fixed = tuple(int(side or 0) for side in shape)
    source = Source("images", fixed, np.asarray(low, np.float64), np.asarray(high, np.float64))
    return (each["images"] for each in source_batches(images, [source], batch=batch))


def source_batches(
    images: Any, sources: Sequence[Source], *, batch: int = 64, anywhere: bool = False
) -> Iterator[dict[str, Array]]:
    """Batches (b, *shape) in float64 of the images of each source, by its name.

    anywhere: values may lie outside the sources' ranges, those within rounding of them are clipped all the same.
    A generator is used up by it. Raises what `batches` raises.
    """
    return _checked(pieces(images, sources, whole("batch", batch)), sources, anywhere)


def whole(name: str, value: Any) -> int:
    """`value` as a whole number of at least 1; raises ValueError for others."""
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise ValueError(f"{name}={value!r}: must be a whole number, at least 1")
    number = operator.index(value)
    if number < 1:
        raise ValueError(f"{name}={number}: must be at least 1")
    return number


def clipped(images: Array, low: Array | float, high: Array | float) -> Array:
    """Images with the pixels that lie outside [low, high] by no more than rounding brought there, others as they are.

    low and high: () or (channels,).
    """
    below, above = images < low, images > high
    if not (below.any() or above.any()):
        return images
    margin = ROUNDING * np.maximum(np.abs(low), np.abs(high))
    images = np.where(below & (images >= low - margin), low, images)
    return np.where(above & (images <= high + margin), high, images)


def _checked(
    found: Iterator[Mapping[str, Any]], sources: Sequence[Source], anywhere: bool
) -> Iterator[dict[str, Array]]:
    start = 0
    for number, piece in enumerate(found):
        batch = {}
        for source in sources:
            place = f"batch {number}, image" if len(sources) == 1 else f"batch {number}, input {source.name!r}, image"
            chunk = _numbers(piece[source.name])
            check_images(chunk, start, place)
            chunk = clipped(chunk, source.low, source.high)
            if not anywhere:
                _check_range(chunk, source, start, place)
            batch[source.name] = chunk
        yield batch
        start += len(next(iter(batch.values())))
    if not start:
        raise ValueError("no images given")


def _numbers(chunk: Any) -> Array:
    found = np.asarray(chunk)
    if not np.can_cast(found.dtype, np.float64, "same_kind"):
        raise TypeError(f"images of type {found.dtype}: every pixel must be a number")
    return found.astype(np.float64, copy=False)


def _check_range(images: Array, source: Source, start: int, place: str) -> None:
    outside = ((images < source.low) | (images > source.high)).reshape(len(images), -1).any(axis=1)
    if outside.any():
        first = int(np.argmax(outside))
        raise ValueError(
            f"{place} {start + first} has values from {images[first].min()} to {images[first].max()}, "
            f"outside [{source.low.tolist()}, {source.high.tolist()}]; give their range as low and high"
        )
