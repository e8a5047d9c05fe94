"""What a device has to offer for the passes of the simulation: TensorFlow's operations on linear maps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.graph.geometry import Indices, Margin, Shape, Window, same_margins
from relu2snn.graph.linear import LinearMap

Array = NDArray[np.float64]


class TensorFlowOps:
    """The operations of `relu2snn.graph.linear.Ops` on tensors (batch, *shape) of one type.

    Constants become tensors once, so that compiled steps share them instead of holding copies. tensors: tensors or
    variables that arrays of the maps are views of, which are then not copied at all.
    """

    def __init__(self, dtype: Any, tensors: Iterable[Any] = ()) -> None:
        self.dtype = tf.as_dtype(dtype)
        self._constants: dict[tuple[Any, ...], tuple[Any, tf.Tensor]] = {}
        self._held = {_place(view(each)): each for each in tensors}

    def constant(self, values: Any, dtype: Any = None) -> tf.Tensor:
        """Numbers as a tensor; a tensor as it is."""
        if tf.is_tensor(values):
            return values
        wanted = tf.as_dtype(dtype or self.dtype)
        values = np.asarray(values)
        held = self._held.get(_place(values))
        if held is not None and values.flags.c_contiguous and tf.as_dtype(held.dtype) == wanted:
            # Of a variable it is what that holds when the graph runs.
            return tf.reshape(tf.convert_to_tensor(held), values.shape)
        key = (*_place(values), values.shape, values.strides, wanted)
        if key not in self._constants:
            with tf.init_scope():
                # The array is kept, too, so that no other one takes its place.
                self._constants[key] = values, tf.constant(values, wanted)
        return self._constants[key][1]

    def matmul(self, x: Any, kernel: Array) -> Any:
        return tf.matmul(x, self.constant(kernel))

    def conv(self, x: Any, kernel: Array, window: Window, groups: int) -> Any:
        rank = window.rank
        if window.spread != (1,) * rank:
            x = _spread(x, window)
        before, after = window.margins, ((0, 0),) * rank
        padding = "VALID"
        both = max(window.strides, default=1) > 1 and max(window.dilation, default=1) > 1
        if any(map(any, before)) and window.spread == (1,) * rank and not both and _is_same(x.shape[1:-1], window):
            padding, before = "SAME", after
        if any(map(any, before)):
            x = _padded(x, before)
        filters = self.constant(kernel)
        if groups == 1 or groups != x.shape[-1] or rank != 2 or len(set(window.strides)) > 1:
            return _grouped(x, filters, window, groups, padding)
        multiplier = kernel.shape[-1] // groups
        filters = tf.reshape(filters, (*kernel.shape[:2], groups, multiplier))
        if both:
            return _grouped(x, self.constant(kernel), window, groups, padding)
        return tf.nn.depthwise_conv2d(x, filters, (1, *window.strides, 1), padding, dilations=window.dilation)

    def reshape(self, x: Any, shape: Shape) -> Any:
        return tf.reshape(x, (-1, *shape))

    def take(self, x: Any, index: Indices, shape: Shape) -> Any:
        flat = tf.reshape(x, (-1, int(np.prod(x.shape[1:]))))
        padded = tf.concat([flat, tf.zeros_like(flat[:, :1])], axis=1)
        where = self.constant(index, tf.int64)
        chosen = tf.gather(padded, tf.where(where < 0, tf.constant(flat.shape[1], tf.int64), where), axis=1)
        return tf.reshape(chosen, (-1, *shape))

    def shift(self, x: Any, margins: tuple[Margin, ...]) -> Any:
        cut = tuple(slice(max(-before, 0), -max(-after, 0) or None) for before, after in margins)
        wide = [(max(before, 0), max(after, 0)) for before, after in margins]
        return tf.pad(x[(slice(None), *cut)], [(0, 0), *wide])

    def extremum(self, x: Any, window: Window, minimum: NDArray[np.bool_]) -> Any:
        """The largest under each place of a window, the smallest in channels where `minimum`; margins never win."""
        sign = tf.constant(np.where(minimum, -1.0, 1.0), x.dtype) if minimum.any() else None
        x = x if sign is None else x * sign
        if any(map(any, window.margins)):
            x = _padded(x, window.margins, x.dtype.min)
        found = _largest(x, window)
        return found if sign is None else found * sign

    def extremes(self, tensors: Sequence[Any], window: Window, minimum: NDArray[np.bool_]) -> Any:
        """The same over several tensors: the largest of theirs, the smallest in channels where `minimum`."""
        found = [self.extremum(each, window, minimum) for each in tensors]
        if len(found) == 1:
            return found[0]
        return tf.where(tf.constant(minimum), tf.reduce_min(found, axis=0), tf.reduce_max(found, axis=0))

    def total(self, maps: Mapping[str, LinearMap], tensors: Mapping[str, Any]) -> Any:
        """Σ_s L_s x_s."""
        parts = [map_.apply(tensors[name], self) for name, map_ in maps.items()]
        return tf.add_n(parts) if len(parts) > 1 else parts[0]


def unit_range(images: Any, low: Array, high: Array) -> Any:
    """Images (batch, *shape) with values in [low, high] brought to [0, 1]; low and high () or (channels,)."""
    return (images - tf.constant(low, images.dtype)) / tf.constant(high - low, images.dtype)


def view(held: Any) -> NDArray[Any]:
    """The numbers of a tensor or variable, without a copy; they stay as they are when a variable is assigned others."""
    with tf.init_scope():
        return np.asarray(tf.convert_to_tensor(held))


def _place(values: NDArray[Any]) -> tuple[Any, ...]:
    """What two arrays share that are the same numbers in memory."""
    return values.ctypes.data, values.size, values.dtype.str


def _spread(x: Any, window: Window) -> Any:
    """The cells of x laid `spread` apart, with zeros between them."""
    for axis, step in enumerate(window.spread, start=1):
        if step == 1:
            continue
        x = tf.expand_dims(x, axis + 1)
        x = tf.pad(x, [(0, step - 1) if each == axis + 1 else (0, 0) for each in range(x.shape.rank)])
        shape = [*x.shape[1:axis], x.shape[axis] * step, *x.shape[axis + 2 :]]
        x = tf.reshape(x, (-1, *shape))
        x = x[(slice(None),) * axis + (slice(None, shape[axis - 1] - step + 1),)]
    return x


def _padded(x: Any, margins: Any, fill: Any = 0) -> Any:
    wide = [(max(before, 0), max(after, 0)) for before, after in margins]
    if any(map(any, wide)):
        x = tf.pad(x, [(0, 0), *wide, (0, 0)], constant_values=fill)
    cut = tuple(slice(max(-before, 0), -max(-after, 0) or None) for before, after in margins)
    return x[(slice(None), *cut)]


def _is_same(sides: Any, window: Window) -> bool:
    return same_margins(sides, window) == window.margins


def _grouped(x: Any, kernel: Any, window: Window, groups: int, padding: str) -> Any:
    if max(window.strides, default=1) > 1 and max(window.dilation, default=1) > 1:
        # TensorFlow has no convolution with both: of one with neither stride every so many places are taken.
        assert padding == "VALID"
        whole = _grouped(x, kernel, replace(window, strides=(1,) * window.rank), groups, padding)
        steps = tuple(slice(None, None, stride) for stride in window.strides)
        return whole[(slice(None), *steps)]
    if groups == 1:
        return tf.nn.convolution(x, kernel, window.strides, padding, dilations=window.dilation)
    # TensorFlow's grouped convolutions are for GPUs only.
    parts = zip(tf.split(x, groups, axis=-1), tf.split(kernel, groups, axis=-1), strict=True)
    found = [tf.nn.convolution(a, b, window.strides, padding, dilations=window.dilation) for a, b in parts]
    return tf.concat(found, axis=-1)


def _largest(x: Any, window: Window) -> Any:
    """A max pool of any rank, without margins: axis by axis, since TensorFlow's own is for float32 in rank 3."""
    if window.rank == 2 and window.dilation == (1, 1):
        return tf.nn.max_pool2d(x, window.sizes, window.strides, "VALID")
    for axis, (size, stride, rate) in enumerate(
        zip(window.sizes, window.strides, window.dilation, strict=True), start=1
    ):
        places = (x.shape[axis] - (size - 1) * rate - 1) // stride + 1
        index = (np.arange(places) * stride)[:, None] + np.arange(size) * rate
        x = tf.reduce_max(tf.gather(x, index, axis=axis), axis=axis + 1)
    return x
