"""What a user may give as images, cut into pieces of at most a batch, by the inputs of the network."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from relu2snn.graph.geometry import Shape
from relu2snn.graph.nodes import Source

Piece = dict[str, Any]
"""Arrays (b, *shape) of any library, by the sources' names."""


def pieces(images: Any, sources: Sequence[Source], batch: int) -> Iterator[Piece]:
    """Pieces of at most `batch` images; what is wrong with an array as a whole is said at once.

    Raises ValueError for images of another shape or of other inputs, TypeError for what is no images.
    """
    _require_images(images)
    if isinstance(images, Mapping):
        return _sliced(_by_name(images, sources), batch)
    if _is_array(images):
        return _sliced(_by_name({sources[0].name: images} if len(sources) == 1 else images, sources), batch)
    if isinstance(images, list | tuple) and not _holds_batches(images, sources):
        if len(sources) == 1:
            return _listed(images, sources[0], batch)
        if len(images) == len(sources) and all(map(_is_array, images)):
            named = {source.name: each for source, each in zip(sources, images, strict=True)}
            return _sliced(_by_name(named, sources), batch)
    return _streamed(_items(images), sources, batch)


def _streamed(items: Iterable[Any], sources: Sequence[Source], batch: int) -> Iterator[Piece]:
    for item in items:
        given = item
        if isinstance(item, list | tuple) and len(item) in (2, 3) and _is_labelled(item, sources):
            given = item[0]
        if isinstance(given, list | tuple) and len(sources) > 1 and len(given) == len(sources):
            given = {source.name: each for source, each in zip(sources, given, strict=True)}
        if not isinstance(given, Mapping):
            given = {sources[0].name: given} if len(sources) == 1 else given
        yield from _sliced(_by_name(given, sources, hint="batch them first, as in dataset.batch(64)"), batch)


def _is_labelled(item: Sequence[Any], sources: Sequence[Source]) -> bool:
    """Whether an item is (images, labels), with weights perhaps, rather than the images of two or three inputs."""
    return len(sources) == 1 or len(item) != len(sources) or isinstance(item[0], Mapping | list | tuple)


def _by_name(images: Any, sources: Sequence[Source], hint: str = "give images[None]") -> Piece:
    names = [source.name for source in sources]
    if not isinstance(images, Mapping):
        raise ValueError(
            f"one array for a network with the inputs {_shown(names)}: give a dictionary of images by these names"
        )
    if set(images) != set(names):
        raise ValueError(f"images for the inputs {_shown(images)}: the network takes {_shown(names)}")
    found = {}
    for source in sources:
        where = f" for input {source.name!r}" if len(names) > 1 else ""
        found[source.name] = _array(images[source.name], source.shape, where=where, hint=hint)
    counts = {name: len(each) for name, each in found.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"inputs with different numbers of images: {counts}")
    return found


def _sliced(arrays: Piece, batch: int) -> Iterator[Piece]:
    count = len(next(iter(arrays.values())))
    return ({name: each[start : start + batch] for name, each in arrays.items()} for start in range(0, count, batch))


def _listed(images: Sequence[Any], source: Source, batch: int) -> Iterator[Piece]:
    """Pieces of a list of single images."""
    for start in range(0, len(images), batch):
        chunk = []
        for number, each in enumerate(images[start : start + batch]):
            _require_images(each)
            each = np.asarray(each)
            chunk.append(each)
            if each.shape != source.shape:
                raise ValueError(
                    f"image {start + number} of the list is of shape {each.shape}: the network takes {source.shape}"
                    f"{_way_out(each.shape, source.shape)}"
                )
        yield {source.name: np.stack(chunk)}


def _holds_batches(images: Sequence[Any], sources: Sequence[Source]) -> bool:
    """Whether a list holds batches, each with labels perhaps, or dictionaries, rather than images."""
    if not images:
        raise ValueError("no images given")
    first = images[0]
    if isinstance(first, Mapping):
        return True
    if len(sources) > 1:
        return not _is_array(first)
    rank = len(sources[0].shape)
    if isinstance(images, tuple) and len(images) > 1 and _rank(images[1]) < rank + 1 == _rank(first):
        raise ValueError("a tuple, as of (images, labels): give the images alone")
    return _rank(first) == rank + 1 or (isinstance(first, list | tuple) and _rank(first and first[0]) == rank + 1)


def _rank(given: Any) -> int:
    """How many axes it has; 0 for what is no array."""
    if _is_array(given):
        return len(given.shape)
    try:
        return np.asarray(given).ndim
    except ValueError:
        return 0


def _array(images: Any, wanted: Shape, *, where: str, hint: str) -> Any:
    """`images` as an array (n, *shape) of whatever library."""
    _require_images(images)
    # Tables of pandas and others take slices and indices in their own ways.
    images = images.to_numpy() if hasattr(images, "to_numpy") else images
    images = images if _is_array(images) else np.asarray(images)
    shape = tuple(images.shape)
    if shape == wanted:
        raise ValueError(f"one image of shape {shape}{where} without the axis of the batch: {hint}")
    if shape[1:] != wanted or not shape:
        raise ValueError(f"images of shape {shape[1:]}{where}: the network takes {wanted}{_way_out(shape[1:], wanted)}")
    return images


def _way_out(shape: Shape, wanted: Shape) -> str:
    if (*shape, 1) == wanted:
        return "; give images[..., numpy.newaxis]"
    if len(shape) > 1 and (*shape[1:], shape[0]) == wanted:
        return ", channels last; give numpy.moveaxis(images, 1, -1)"
    if shape and np.prod(shape) == np.prod(wanted):
        return f"; give images.reshape({(-1, *wanted)})"
    return ""


def _is_array(images: Any) -> bool:
    return hasattr(images, "shape") and hasattr(images, "__getitem__")


def _items(images: Any) -> Iterator[Any]:
    cardinality = getattr(images, "cardinality", None)
    # That of a tf.data.Dataset that repeats itself for ever.
    if callable(cardinality) and int(cardinality()) == -1:
        raise ValueError("a data set without an end: give a part of it, as dataset.take(10)")
    if hasattr(images, "__iter__"):
        return iter(images)
    if hasattr(images, "__getitem__") and hasattr(images, "__len__"):
        return (images[number] for number in range(len(images)))
    raise TypeError(f"{type(images).__name__} as images: give an array of them")


def _require_images(images: Any) -> None:
    if images is None:
        raise ValueError("no images given")
    if isinstance(images, str | bytes | os.PathLike):
        raise TypeError(f"a path as images ({os.fspath(images)!r}): load it first, as with numpy.load")


def _shown(names: Iterable[Any]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
