"""How kernels and tensors are laid out in NIR: channels first, square kernels, the same margin on both sides.

A Conv2d of NIR has a margin p before and after each axis, and its type check (of 1.0) takes the height of a kernel for
its width. So zeros are put around a kernel until one square of taps gives the right places along both axes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import Shape

Array = NDArray[np.float64]


def layout(shape: Shape) -> Shape:
    """Our shape of a tensor as NIR has it: (units,), or channels first, of one axis with a second of one cell."""
    if len(shape) == 1:
        return shape
    return (shape[-1], *shape[:-1], *(1,) * (3 - len(shape)))


def first_channel(values: NDArray[Any]) -> NDArray[Any]:
    """An array of our shape as NIR has it."""
    return np.ascontiguousarray(np.moveaxis(values, -1, 0)).reshape(layout(values.shape))


class Axis(NamedTuple):
    """A kernel of `size` taps, `rate` apart, that has `places` places along an axis of `side` cells, `stride` apart,
    the first of them `before` cells before the first cell."""

    side: int
    places: int
    size: int
    stride: int
    rate: int
    before: int

    @property
    def extent(self) -> int:
        return (self.size - 1) * self.rate + 1

    def has_places(self, padding: int, extent: int) -> bool:
        """Whether a kernel of an extent has the right number of places in a margin on both sides."""
        return 0 <= self.side + 2 * padding - extent - self.stride * (self.places - 1) < self.stride

    @property
    def is_plain(self) -> bool:
        """Whether NIR has this kernel as it is."""
        return self.before >= 0 and self.has_places(self.before, self.extent)

    def padding_for(self, taps: int) -> int | None:
        """The margin in which a kernel of `taps`, zeros before and after this one's, is this one; None if none is."""
        least = max(self.before, 0)
        most = min(taps - self.extent + self.before, taps + self.stride * self.places)
        return next((each for each in range(least, most + 1) if self.has_places(each, taps)), None)


def axes_of(map_: Convolution) -> list[Axis]:
    """The axes of a convolution, two of them."""
    window, sides, places = map_.window, layout(map_.inputs)[1:], layout(map_.outputs)[1:]
    found = []
    for k in range(2):
        if k < window.rank:
            given = window.sizes[k], window.strides[k], window.dilation[k], window.margins[k][0]
        else:
            given = 1, 1, 1, 0
        size, stride, rate, before = given
        # One place stays one place, however far the next would be.
        found.append(Axis(sides[k], places[k], size, max(stride, 2) if places[k] == 1 else stride, rate, before))
    return found


class Square(NamedTuple):
    """What a Conv2d takes: kernel (filters, channels, taps, taps), and of each axis stride, margin, dilation."""

    kernel: Array
    strides: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


def squared(kernel: Array, axes: Sequence[Axis]) -> Square | None:
    """A kernel (filters, channels, *sizes) as NIR takes it; None where no square has the places of both axes."""
    strides = tuple(each.stride for each in axes)
    if all(each.is_plain for each in axes) and len({each.size for each in axes}) == 1:
        return Square(kernel, strides, tuple(each.before for each in axes), tuple(each.rate for each in axes))
    taps, padding = taps_of(axes)
    if padding is None:
        return None
    found = np.zeros((*kernel.shape[:2], taps, taps))
    place: list[Any] = [slice(None), slice(None)]
    for each, margin in zip(axes, padding, strict=True):
        front = margin - each.before
        place.append(slice(front, front + each.extent, each.rate))
    found[tuple(place)] = kernel
    return Square(found, strides, padding, (1, 1))


def taps_of(axes: Sequence[Axis]) -> tuple[int, tuple[int, ...] | None]:
    """How many taps along either axis the smallest square has, and the margins that it needs; None where none has."""
    least = max(each.extent for each in axes)
    if all(each.is_plain for each in axes) and len({each.size for each in axes}) == 1:
        return axes[0].size, tuple(each.before for each in axes)
    for taps in range(least, least + 2 * max(each.side + each.stride * each.places for each in axes)):
        margins = [each.padding_for(taps) for each in axes]
        if None not in margins:
            return taps, tuple(int(each) for each in margins if each is not None)
    return least, None


def channels_first(map_: Convolution) -> Array:
    """The whole kernel of a convolution, with zeros between groups, (filters, channels, height, width)."""
    per_group, filters = map_.kernel.shape[-2:]
    taps = np.asarray(map_.kernel, np.float64).reshape(-1, per_group, filters)
    whole, wide = np.zeros((len(taps), map_.inputs[-1], filters)), filters // map_.groups
    for group in range(map_.groups):
        units = slice(group * wide, (group + 1) * wide)
        whole[:, group * per_group : (group + 1) * per_group, units] = taps[:, :, units]
    sides = (*map_.window.sizes, *(1,) * (2 - map_.window.rank))
    return np.transpose(whole.reshape(*sides, map_.inputs[-1], filters), (3, 2, 0, 1))


def pool_of(map_: Convolution) -> Array | None:
    """The weight of each channel (channels,), where a convolution adds up each channel by itself; else None."""
    if map_.groups != map_.inputs[-1] or map_.outputs[-1] != map_.inputs[-1] or int(np.prod(map_.window.sizes)) == 1:
        return None
    taps = map_.kernel.reshape(-1, map_.outputs[-1])
    return np.asarray(taps[0], np.float64) if (taps == taps[0]).all() else None
