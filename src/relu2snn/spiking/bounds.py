"""The certificate's passes over a layer's inputs and outputs: g(x) before the slack's sum, the comparison after it.

Each streams through memory once, which is what it costs. Numbers of `slack_type` are handled as their bits, since
numpy has no bfloat16: the upper 16 bits of a float32. The bits of floating-point numbers that are not negative order as
integers do, whose maxima a processor takes eight or sixteen at a time, NaN or not.
"""

from dataclasses import dataclass

import numpy as np
from numba import prange
from numpy.typing import NDArray

from relu2snn.spiking.certificate import UNDERFLOW
from relu2snn.spiking.compiled import compiled
from relu2snn.spiking.events import Floats

Bits = NDArray[np.uint16] | NDArray[np.uint32]

_WORTH = 0.003
"""The share of open pairs that costs about as much as blocks save."""
UP = np.float32(1 + 2.0**-21)
"""M is greater by this, eight roundings of float32: of g(x) = x (1 − x / M), what is in brackets is a small difference,
which four roundings may make too small. Those of g itself are the slack's to make good."""


@dataclass
class Blocks:
    """Whether a layer's slack is summed for blocks of 2 x 2 positions, at a quarter of the cost.

    Neighbours are alike in large images and not in small ones, so it is tried once, after a batch that left next to
    nothing open, and given up where it leaves too much. What is proved changes, the spike times do not. Each run learns
    for itself, from its own batches.
    """

    active: bool = False
    settled: bool = False

    def learn(self, share: float) -> None:
        """`share` of the pairs of a batch were left open."""
        if self.active and share > _WORTH:
            self.active, self.settled = False, True
        elif not self.settled and share < _WORTH:
            self.active = self.settled = True


def gaps(
    leads: Floats, margins: tuple[tuple[int, int], tuple[int, int]], extents: tuple[int, int], dtype: type
) -> tuple[Bits, Floats, Floats]:
    """g(x) = x (1 − x / M) of every input, rounded up, for inputs counted from the last one's arrival.

    leads (batch, h, w, channels); margins of padding, whose leads are 0; extents, the sides of a receptive field; dtype
    np.uint16 for bfloat16, np.uint32 for float32. M is the largest input of all fields that an input is part of.
    Returns the bits of g, padded, (batch, h', w', channels), and per image the lateness L of its last input, at least
    0, and its largest input (which is NaN or infinite where an input is).
    """
    batch, height, width, channels = leads.shape
    (top, bottom), (left, right) = margins
    leads = np.ascontiguousarray(leads)
    integers = leads.view(f"i{leads.itemsize}")
    peaks, negative = np.empty(leads.shape[:3], integers.dtype), np.empty(leads.shape[:2], np.bool_)
    _peaks(integers, peaks, negative)
    latest = np.zeros(batch)
    highest = np.zeros((batch, height + top + bottom, width + left + right), np.float32)
    highest[:, top : top + height, left : left + width] = peaks.view(leads.dtype)
    if negative.any():
        latest = np.maximum(-leads.min(axis=(1, 2, 3)).astype(np.float64), 0.0)
        highest += latest[:, None, None].astype(np.float32)
    highest *= UP
    largest = highest.max(axis=(1, 2)).astype(np.float64)
    if extents != (1, 1):
        _spread(highest.view(np.int32), extents[0] - 1, extents[1] - 1)
    bits = np.empty((*highest.shape, channels), dtype)
    _gaps(leads, top, left, highest, latest, bits, bit_shift(bits))
    return bits, latest, largest


def bit_shift(bits: Bits) -> np.uint32:
    """How far these bits stand below their place in a float32."""
    return np.uint32(32 - 8 * bits.itemsize)


def over_blocks(bits: Bits, strides: tuple[int, int]) -> Bits:
    """The largest of each number and its neighbours one stride on, so that every second output bounds two by two."""
    largest = np.empty_like(bits)
    _over_blocks(bits, *strides, largest)
    return largest


@compiled(parallel=True)
def _over_blocks(bits, rows, columns, largest):  # type: ignore[no-untyped-def]
    batch, height, width, channels = bits.shape
    for flat in prange(batch * height):
        n, i = flat // height, flat % height
        below = i + rows if i + rows < height else i
        for j in range(width):
            right = j + columns if j + columns < width else j
            target = largest[n, i, j]
            a, b, c, d = bits[n, i, j], bits[n, i, right], bits[n, below, j], bits[n, below, right]
            for k in range(channels):
                target[k] = max(max(a[k], b[k]), max(c[k], d[k]))


@compiled(parallel=True)
def _peaks(integers, peaks, negative):  # type: ignore[no-untyped-def]
    """The largest number of each position, at least 0, by its bits; and which rows have a negative one."""
    batch, height, width, channels = integers.shape
    for flat in prange(batch * height):
        n, i = flat // height, flat % height
        low = integers[n, i, 0, 0]
        for j in range(width):
            values = integers[n, i, j]
            high = values[0]
            for c in range(channels):
                high = max(high, values[c])
                low = min(low, values[c])
            peaks[n, i, j] = max(high, 0)
        negative[n, i] = low < 0


@compiled(parallel=True)
def _spread(values, rows, columns):  # type: ignore[no-untyped-def]
    """Each value becomes the largest of those at most (rows, columns) away, in place."""
    batch, height, width = values.shape
    for n in prange(batch):
        along = values[n].copy()
        for i in range(height):
            for shift in range(1, min(columns, width - 1) + 1):
                for j in range(width - shift):
                    along[i, j] = max(along[i, j], values[n, i, j + shift])
                    along[i, j + shift] = max(along[i, j + shift], values[n, i, j])
        for i in range(height):
            best = values[n, i]
            # Not as a whole: numba's message that they might differ in length takes a second to compile.
            for j in range(width):
                best[j] = along[i, j]
            for k in range(max(i - rows, 0), min(i + rows + 1, height)):
                other = along[k]
                for j in range(width):
                    best[j] = max(best[j], other[j])


@compiled(parallel=True)
def _gaps(leads, top, left, highest, latest, bits, shift):  # type: ignore[no-untyped-def]
    batch, height, width, channels = leads.shape
    rows, columns = bits.shape[1:3]
    for flat in prange(batch * rows):
        n, i = flat // rows, flat % rows
        late = latest[n]
        for j in range(columns):
            high = highest[n, i, j]
            slope = np.float32(1.0 / high if high > 0 else 0.0)
            target = bits[n, i, j]
            if top <= i < top + height and left <= j < left + width:
                source = leads[n, i - top, j - left]
                for c in range(channels):
                    target[c] = _gap(np.float32(source[c] + late), slope, shift)
            else:
                target[:] = _gap(np.float32(late), slope, shift)


@compiled(inline="always")
def _gap(x, slope, shift):  # type: ignore[no-untyped-def]
    """The bits of g(x), rounded up."""
    g = np.float32(x * max(np.float32(1) - x * slope, np.float32(0)))
    return (np.float32(g).view(np.uint32) + ((np.uint32(1) << shift) - np.uint32(1))) >> shift


@compiled()
def limits(latest, largest, rounding, missing, ahead, before, window, limit, lift):  # type: ignore[no-untyped-def]
    """`limit` and `lift` (batch, units) of `unproved`, from the constants of the units (units,), `latest` and `largest`
    (batch,) of `gaps`, and durations."""
    for n in range(latest.size):
        late = latest[n]
        excess = max(largest[n] - before - late, 0.0)
        for f in range(rounding.size):
            limit[n, f] = window - late - rounding[f] * largest[n] - UNDERFLOW - late * missing[f]
            lift[n, f] = ahead[f] * excess - late


def unproved(
    closed: Floats, slack: Bits, scale: Floats, floor: Floats, limit: Floats, lift: Floats
) -> tuple[NDArray[np.bool_], int, float]:
    """Which positions have a pair that is not proved, how many pairs spike before t_max, and the largest lead of all.

    closed (batch, h, w, units), slack alike or for blocks of 2 x 2 positions, scale (units,); floor alike with 1 for
    what does not matter; limit and lift (batch, units): the bound is max(closed, floor + lift) + scale · slack < limit.
    Returns booleans (batch, h, w), the count of closed > 0 and the largest closed, all by the closed form.
    """
    open_positions = np.empty(closed.shape[:3], np.bool_)
    spikes = np.zeros(closed.shape[:2], np.int64)
    integers = closed.view(f"i{closed.itemsize}")
    peaks = np.zeros(closed.shape[:2], integers.dtype)
    _compare(closed, integers, slack, scale, floor, limit, lift, bit_shift(slack), open_positions, spikes, peaks)
    return open_positions, int(spikes.sum()), float(peaks.view(closed.dtype).max(initial=0.0))


@compiled()
def at_position(values, n, i, j):  # type: ignore[no-untyped-def]
    """Values per unit of one image and position, from those of all, or one for all images or positions."""
    return values[min(n, values.shape[0] - 1), min(i, values.shape[1] - 1), min(j, values.shape[2] - 1)]


@compiled()
def block_side(closed, slack):  # type: ignore[no-untyped-def]
    """2 where the slack is that of blocks, else 1."""
    return 1 if slack.shape[1] == closed.shape[1] and slack.shape[2] == closed.shape[2] else 2


@compiled(parallel=True)
def _compare(closed, integers, slack, scale, floor, limit, lift, shift, open_positions, spikes, peaks):  # type: ignore[no-untyped-def]  # fmt: skip
    batch, height, width, units = closed.shape
    block = block_side(closed, slack)
    for flat in prange(batch * height):
        n, i = flat // height, flat % height
        count = 0
        high = peaks[n, i]
        for j in range(width):
            level = at_position(floor, n, i, j)
            values, added = closed[n, i, j], slack[n, i // block, j // block]
            bits = integers[n, i, j]
            failed = 0
            for f in range(units):
                most = max(values[f], level[f] + lift[n, f])
                failed += not most + _number(added[f], shift) * scale[f] < limit[n, f]
                count += values[f] > 0
                high = max(high, bits[f])
            open_positions[n, i, j] = failed > 0
        spikes[n, i] = count
        peaks[n, i] = high


@compiled(inline="always")
def _number(bits, shift):  # type: ignore[no-untyped-def]
    """The number that these bits are, once shifted to their place in a float32."""
    return np.uint32(np.uint32(bits) << shift).view(np.float32)


@compiled()
def is_open(closed, slack, scale, level, limit, lift, shift, mask):  # type: ignore[no-untyped-def]
    """The comparison of `unproved` for the units of one position: booleans `mask` (units,)."""
    for f in range(mask.size):
        mask[f] = not max(closed[f], level[f] + lift[f]) + _number(slack[f], shift) * scale[f] < limit[f]
