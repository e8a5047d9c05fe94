"""Linear maps as the list of their entries: from which element to which, and how much; of any map, without its matrix.

Elements are counted row by row, as everywhere.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import Indices, Shape, receptive_fields
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Chain, Diagonal, Selection, Sum

Array = NDArray[np.float64]


class TooManyError(ValueError):
    """A list would be longer than it may be."""


class Entries(NamedTuple):
    """L[post, pre] = weight; each (n,), none at one place twice, by post and then by pre."""

    post: Indices
    pre: Indices
    weight: Array


def entries(map_: LinearMap, most: int) -> Entries:
    """The entries of a map that are not 0.

    Raises TooManyError where there are more than `most`, or would be on the way, before memory is taken for them.
    """
    found = _ordered(_listed(map_, most), map_)
    kept = found.weight != 0
    return found if kept.all() else Entries(*(each[kept] for each in found))


def window_entries(fields: Indices, channels: int, *, most: int) -> tuple[Indices, Indices]:
    """Which elements of a tensor are in which pool, channel by channel: post (n,) and pre (n,), by post.

    fields (places, taps): positions under each place, −1 for none. Raises TooManyError for more than `most`.
    """
    place, tap = np.nonzero(fields >= 0)
    _check(len(place) * channels, most)
    cell, channel = fields[place, tap], np.arange(channels)
    post, pre = (place[:, None] * channels + channel).ravel(), (cell[:, None] * channels + channel).ravel()
    order = np.argsort(post, kind="stable")
    return post[order], pre[order]


def _listed(map_: LinearMap, most: int) -> Entries:
    match map_:
        case Convolution():
            return _of_convolution(map_, most)
        case Selection():
            size = _size(map_.outputs)
            _check(size, most)
            index = np.arange(size) if map_.index is None else map_.index
            post = np.flatnonzero(index >= 0)
            return Entries(post, index[post], np.ones(len(post)))
        case Diagonal():
            size = _size(map_.outputs)
            _check(size, most)
            every = np.arange(size)
            return Entries(every, every, np.broadcast_to(map_.factors, map_.outputs).ravel().astype(np.float64))
        case Chain():
            return _followed(entries(map_.first, most), entries(map_.second, most), _size(map_.first.outputs), most)
        case Sum():
            parts = [entries(each, most) for each in map_.parts]
            _check(sum(len(each.post) for each in parts), most)
            return Entries(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    raise TypeError(f"no entries of a {type(map_).__name__}")


def _of_convolution(map_: Convolution, most: int) -> Entries:
    per_group, filters = map_.kernel.shape[-2:]
    fields = receptive_fields(map_.inputs[:-1], map_.window)
    place, tap = np.nonzero(fields >= 0)
    _check(len(place) * per_group * filters, most)
    weight = map_.kernel.reshape(-1, per_group, filters)[tap].astype(np.float64)
    unit = np.arange(filters)
    first = unit // (filters // map_.groups) * per_group
    cell = fields[place, tap][:, None, None] * map_.inputs[-1]
    pre = cell + first + np.arange(per_group)[:, None]
    post = np.broadcast_to(place[:, None, None] * filters + unit, pre.shape)
    return Entries(post.ravel(), pre.ravel(), weight.ravel())


def _followed(first: Entries, second: Entries, size: int, most: int) -> Entries:
    """The entries of the product: each of the second with all of the first that end where it begins."""
    starts = np.searchsorted(first.post, np.arange(size + 1))
    counts = np.diff(starts)[second.pre]
    _check(int(counts.sum()), most)
    # For each entry of the second, the numbers of those of the first, one after the other.
    ends = np.cumsum(counts)
    which = np.arange(int(counts.sum())) - np.repeat(ends - counts, counts) + np.repeat(starts[second.pre], counts)
    return Entries(
        np.repeat(second.post, counts), first.pre[which], np.repeat(second.weight, counts) * first.weight[which]
    )


def _ordered(found: Entries, map_: LinearMap) -> Entries:
    """By post and then by pre, with the weights at one place added up."""
    key = found.post * _size(map_.inputs) + found.pre
    if (np.diff(key) > 0).all():
        return found
    unique, first, where = np.unique(key, return_index=True, return_inverse=True)
    weight = np.zeros(len(unique))
    np.add.at(weight, where.ravel(), found.weight)
    return Entries(found.post[first], found.pre[first], weight)


def _size(shape: Shape) -> int:
    return int(np.prod(shape))


def _check(count: int, most: int) -> None:
    if count > most:
        raise TooManyError(f"{count} entries, more than {most}")
