"""Convolutions of rank 0 to 3 as linear maps; dense layers, pooling and transposed convolutions are cases of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from relu2snn.graph.geometry import Indices, Margin, Shape, Window, receptive_fields
from relu2snn.graph.linear import Array, LinearMap, Ops, floats, merged
from relu2snn.graph.maps import Diagonal, Shift, chain


class Convolution(LinearMap):
    """(L x)[p, f] = Σ_k Σ_c kernel[k, c, f] x[field(p, k), c]: one kernel at every place of a window.

    kernel (*sizes, channels / groups, filters); filter f sees the channels of group f // (filters / groups). Of rank 0
    it is a dense layer: kernel (inputs, units) between (inputs,) and (units,).
    """

    def __init__(self, inputs: Shape, kernel: Array, window: Window, *, groups: int = 1) -> None:
        if len(inputs) != window.rank + 1 or kernel.shape[:-2] != window.sizes:
            raise ValueError(f"a kernel {kernel.shape} and a window {window.sizes} do not fit a tensor {inputs}")
        if kernel.shape[-2] * groups != inputs[-1] or kernel.shape[-1] % groups:
            raise ValueError(f"a kernel {kernel.shape} in {groups} groups does not fit {inputs[-1]} channels")
        self.inputs, self.window, self.groups = inputs, window, groups
        self.kernel = floats(kernel)
        self.outputs = (*window.outputs(inputs[:-1]), kernel.shape[-1])
        # Kept, since backends know constants by their identity.
        self._matrix = self.kernel.reshape(kernel.shape[-2:]) if window.sizes == (1,) * window.rank else None

    def apply(self, x: Any, ops: Ops) -> Any:
        if self._matrix is not None and self._is_dense():
            return ops.matmul(x, self._matrix)
        return ops.conv(x, self.kernel, self.window, self.groups)

    def respond(self, x: Any, kernel: Any, ops: Ops) -> Any:
        """What the map makes of x with another kernel of this one's shape, a tensor of the backend."""
        if self._is_dense():
            return ops.matmul(x, ops.reshape(kernel, self.outputs[-1:]))
        return ops.conv(x, kernel, self.window, self.groups)

    def _is_dense(self) -> bool:
        return self.window == _pointwise(self.window.rank) and self.groups == 1

    def part(self, sign: int) -> LinearMap | None:
        kernel = np.maximum(sign * self.kernel, 0)
        return Convolution(self.inputs, kernel, self.window, groups=self.groups) if kernel.any() else None

    def pull(self, elements: Indices, weights: Array) -> tuple[Indices, Array]:
        filters, channels = self.outputs[-1], self.inputs[-1]
        per_group, wide = self.kernel.shape[-2], filters // self.groups
        taps = self.kernel.reshape(-1, per_group, filters)
        fields = receptive_fields(self.inputs[:-1], self.window)
        found, pulled = [], []
        places, units = elements // filters, elements % filters
        for place in np.unique(places):
            here = places == place
            field = fields[place]
            seen = np.flatnonzero(field >= 0)
            for group in np.unique(units[here] // wide):
                chosen = np.flatnonzero(here & (units // wide == group))
                # (taps, channels, chosen) times (chosen, units)
                part = taps[seen][:, :, units[chosen]] @ weights[chosen]
                sources = field[seen][:, None] * channels + group * per_group + np.arange(per_group)
                found.append(sources.ravel())
                pulled.append(part.reshape(-1, weights.shape[1]))
        if not found:
            return np.empty(0, np.int64), np.empty((0, weights.shape[1]))
        return merged(np.concatenate(found), np.concatenate(pulled))

    def after(self, first: LinearMap) -> LinearMap | None:
        if not isinstance(first, Shift) or (
            self.window.spread != (1,) * self.window.rank and any(map(any, first.margins[:-1]))
        ):
            return None
        before, after = first.margins[-1]
        kernel, groups = self.kernel, self.groups
        if before or after:
            # Channels that are zero need no weights; groups would have to be whole.
            if groups > 1 or before < 0 or after < 0:
                return None
            kernel = kernel[..., before : kernel.shape[-2] - after, :]
        # A crop is a negative margin only where the kernel would not see what was cut off.
        margins = tuple((a + c, b + d) for (a, b), (c, d) in zip(first.margins[:-1], self.window.margins, strict=True))
        if any(
            a < 0 < c
            for outer, own in zip(first.margins[:-1], self.window.margins, strict=True)
            for a, c in zip(outer, own, strict=True)
        ):
            return None
        return Convolution(first.inputs, kernel, replace(self.window, margins=margins), groups=groups)

    def plus(self, other: LinearMap) -> LinearMap | None:
        if not isinstance(other, Convolution) or (self.window, self.groups) != (other.window, other.groups):
            return None
        return Convolution(self.inputs, self.kernel + other.kernel, self.window, groups=self.groups)

    def is_nonnegative(self) -> bool:
        return bool((self.kernel >= 0).all())

    def terms(self) -> int:
        return int(np.prod(self.kernel.shape[:-1]))

    def scaled(self, inputs: Array, outputs: Array) -> LinearMap:
        before, after = np.asarray(inputs, np.float64), np.asarray(outputs, np.float64)
        if before.ndim < 2 and after.ndim < 2:
            wide = np.broadcast_to(before, self.inputs[-1:]).reshape(self.groups, -1)
            # Filters come group by group, and each sees its group's channels.
            factors = np.repeat(wide, self.outputs[-1] // self.groups, axis=0).T
            return Convolution(self.inputs, self.kernel * factors * after, self.window, groups=self.groups)
        if before.ndim < 2:
            return chain(self.scaled(before, np.ones(1)), Diagonal(self.outputs, after))
        result = chain(Diagonal(self.inputs, before), self)
        return chain(result, Diagonal(self.outputs, after))

    def sums(self, ops: Ops) -> Array:
        """S_i over the whole kernel, the same at the border, where the margin counts as inputs with x = 0."""
        return np.asarray(self.kernel.reshape(-1, self.outputs[-1]).sum(axis=0, dtype=np.float64))

    def magnitudes(self, sign: int, ops: Ops) -> Array:
        matrix, found = self.kernel.reshape(-1, self.outputs[-1]), np.zeros(self.outputs[-1])
        # Large kernels take a gigabyte, and this would take two more.
        for start in range(0, len(matrix), 4096):
            found += np.maximum(sign * matrix[start : start + 4096], 0).sum(axis=0, dtype=np.float64)
        return found


def dense(inputs: Shape, kernel: Array) -> Convolution:
    """x (…, inputs) times kernel (inputs, units): over the last axis, whatever stands before it."""
    rank = len(inputs) - 1
    return Convolution(inputs, kernel.reshape(*(1,) * rank, *kernel.shape), _pointwise(rank))


def average_pool(inputs: Shape, window: Window, *, count_margins: bool = False) -> LinearMap:
    """The mean under each place of a window, channel by channel.

    count_margins: whether cells of the margins count as zeros, or (as in Keras) only the cells inside.
    """
    channels = inputs[-1]
    kernel = np.full((*window.sizes, 1, channels), 1.0 / np.prod(window.sizes))
    pool = Convolution(inputs, kernel, window, groups=channels)
    fields = receptive_fields(inputs[:-1], window)
    counts = (fields >= 0).sum(axis=1)
    if count_margins or (counts == fields.shape[1]).all():
        return pool
    # A place that sees margins only gives 0.
    share = (fields.shape[1] / np.maximum(counts, 1)).reshape(*pool.outputs[:-1], 1)
    return chain(pool, Diagonal(pool.outputs, np.broadcast_to(share, pool.outputs)))


def transposed(inputs: Shape, kernel: Array, strides: Sequence[int], margins: Sequence[Margin]) -> Convolution:
    """A transposed convolution: its kernel turned round, over the input laid `strides` apart.

    kernel (*sizes, channels, filters) as it stands at an input, before it is turned; margins are those of the
    convolution that is left: size − 1 minus what is cut off the result.
    """
    axes = tuple(range(len(strides)))
    window = Window.of(kernel.shape[:-2], margins=margins, spread=strides)
    return Convolution(inputs, np.flip(kernel, axes), window)


def _pointwise(rank: int) -> Window:
    return Window.of((1,) * rank)
