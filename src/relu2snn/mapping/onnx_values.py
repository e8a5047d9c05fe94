"""Tensors of an ONNX network while it is read: forms in a layout of their own, and which element is which.

Inside, channels are last; in the file they come first, and Transpose, Reshape, Flatten only change what is where. So a
tensor is a form and `index`, in the file's shape, the number of each of its elements in the form: a permutation, that
costs nothing until a layer needs another order. The batch is one image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.geometry import Shape
from relu2snn.graph.maps import Selection
from relu2snn.mapping.form import Array, Form
from relu2snn.mapping.forms import Builder

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Value:
    """u[e] = form[index[e]] for the elements e of a tensor as the file has it, its batch of 1 included.

    ended: an activation at the very end that the tensor has been through, "" for none: the form is from before it.
    """

    form: Form
    index: Index
    ended: str = ""

    @property
    def shape(self) -> Shape:
        return tuple(self.index.shape)


def whole(form: Form, shape: Sequence[int]) -> Value:
    """A form whose elements are those of the tensor in their order."""
    return Value(form, np.arange(int(np.prod(form.shape))).reshape(tuple(shape)))


def channels_last(value: Value) -> Index:
    """The index (*sides, channels) of a tensor (1, channels, *sides)."""
    return np.moveaxis(value.index[0], 0, -1)


def channels_first(form: Form) -> Value:
    """A form (*sides, channels) as the tensor (1, channels, *sides)."""
    numbers = np.arange(int(np.prod(form.shape))).reshape(form.shape)
    return Value(form, np.moveaxis(numbers, -1, 0)[None])


def laid_out(builder: Builder, value: Value, index: Index) -> Form:
    """The elements `index`, which may repeat or leave out, of a tensor's form, as a form of that shape."""
    if index.shape == value.form.shape and _in_order(index, value.form):
        return value.form
    chosen = None if _in_order(index, value.form) else index
    return builder.affine(value.form, Selection(value.form.shape, tuple(index.shape), chosen))


def _in_order(index: Index, form: Form) -> bool:
    count = int(np.prod(form.shape))
    return index.size == count and bool((index.ravel() == np.arange(count)).all())


def grid(builder: Builder, value: Value) -> Form:
    """A tensor (1, channels, *sides) as a form (*sides, channels)."""
    return laid_out(builder, value, channels_last(value))


def alike(builder: Builder, values: Sequence[Value], shape: Shape) -> tuple[list[Form], Value]:
    """Tensors that are broadcast to `shape`, in one layout, and a tensor in it, whose form is only the first's."""
    first = next((each for each in values if each.shape == shape), None)
    if first is None:
        size = int(np.prod(shape))
        first = Value(values[0].form, np.arange(size).reshape(shape))
        sides: Shape = (size,)
    else:
        sides = first.form.shape
    order = np.argsort(first.index, axis=None)
    forms = []
    for each in values:
        if each is first or (each.shape == shape and (each.index == first.index).all() and each.form.shape == sides):
            forms.append(each.form)
            continue
        index = np.broadcast_to(each.index, shape).ravel()[order].reshape(sides)
        forms.append(laid_out(builder, each, index))
    return forms, first


def numbers_for(value: Value, constant: Any) -> Array:
    """A constant that is broadcast to a tensor, in the layout of the tensor's form."""
    numbers: Array = np.asarray(constant, np.float64)
    if numbers.size == 1:
        return numbers.reshape(())
    wide = np.broadcast_to(numbers, value.shape)
    form = value.form.shape
    if len(form) == len(value.shape) - 1:
        by_channel = _by_channel(value, numbers)
        if by_channel is not None:
            return by_channel
    found = np.empty(value.index.size)
    found[value.index.ravel()] = wide.ravel()
    return found.reshape(form)


def _by_channel(value: Value, constant: Array) -> Array | None:
    """(channels,) where the form has channels last and the constant is one number for each of them."""
    full = (1,) * (len(value.shape) - constant.ndim) + constant.shape
    if len(full) != len(value.shape) or any(side != 1 for place, side in enumerate(full) if place != 1):
        return None
    if channels_last(value).shape != value.form.shape or not _in_order(channels_last(value), value.form):
        return None
    found: Array = constant.reshape(-1)
    return found
