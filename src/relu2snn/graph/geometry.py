"""Windows that slide over grids of any rank: sizes, margins, receptive fields, said once for convolutions and pools.

A tensor without its batch is (*sides, channels); a dense one, (units,), is a grid of rank 0 with one position.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Margin = tuple[int, int]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """A window of `sizes` taps, `dilation` apart, that moves by `strides` over a grid with `margins` around it.

    Every tuple has one entry per axis; a margin is (before, after), and a negative one crops. spread: how far apart the
    cells of the input are laid first, with nothing between them (a transposed convolution's stride).
    """

    sizes: Shape
    strides: Shape
    dilation: Shape
    margins: tuple[Margin, ...]
    spread: Shape

    @classmethod
    def of(
        cls,
        sizes: Sequence[int],
        *,
        strides: Sequence[int] | None = None,
        dilation: Sequence[int] | None = None,
        margins: Sequence[Margin] | None = None,
        spread: Sequence[int] | None = None,
    ) -> "Window":
        """A window of `sizes`; what is left out is 1, or no margin."""
        ones = (1,) * len(sizes)
        return cls(
            tuple(sizes),
            tuple(strides or ones),
            tuple(dilation or ones),
            tuple(margins or ((0, 0),) * len(sizes)),
            tuple(spread or ones),
        )

    @property
    def rank(self) -> int:
        return len(self.sizes)

    @property
    def extents(self) -> Shape:
        """From the first tap to the last, both counted."""
        return tuple((size - 1) * rate + 1 for size, rate in zip(self.sizes, self.dilation, strict=True))

    def outputs(self, sides: Sequence[int]) -> Shape:
        """How many places the window has along each axis of a grid with `sides`."""
        spread = ((side - 1) * step + 1 for side, step in zip(sides, self.spread, strict=True))
        return tuple(
            max((side + sum(margin) - extent) // stride + 1, 0)
            for side, margin, extent, stride in zip(spread, self.margins, self.extents, self.strides, strict=True)
        )


def same_margins(sides: Sequence[int], window: Window) -> tuple[Margin, ...]:
    """The smallest margins that give ⌈side / stride⌉ outputs, the odd one after: "same" of Keras and TensorFlow."""
    found = []
    for side, extent, stride in zip(sides, window.extents, window.strides, strict=True):
        total = max((-(-side // stride) - 1) * stride + extent - side, 0)
        found.append((total // 2, total - total // 2))
    return tuple(found)


def positions(shape: Shape) -> int:
    """The number of positions of a tensor's grid."""
    return math.prod(shape[:-1])


def receptive_fields(sides: Sequence[int], window: Window) -> Indices:
    """For each place of the window the positions under its taps, (places, taps), row by row; −1 is no cell."""
    fields = np.zeros((1, 1), np.int64)
    for side, size, stride, rate, (before, _), spread, places in zip(
        sides,
        window.sizes,
        window.strides,
        window.dilation,
        window.margins,
        window.spread,
        window.outputs(sides),
        strict=True,
    ):
        cell = np.arange(places)[:, None] * stride - before + np.arange(size) * rate
        inside = (cell >= 0) & (cell < (side - 1) * spread + 1) & (cell % spread == 0)
        axis = np.where(inside, cell // spread, -1)
        joined = fields[:, None, :, None] * side + axis[None, :, None, :]
        missing = (fields[:, None, :, None] < 0) | (axis[None, :, None, :] < 0)
        fields = np.where(missing, -1, joined).reshape(len(fields) * places, -1)
    return fields
