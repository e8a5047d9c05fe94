"""ONNX's operators under a window, and by channel: convolutions, averages, batch normalisation."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import Shape, Window
from relu2snn.graph.maps import Diagonal
from relu2snn.mapping.form import Array, Form
from relu2snn.mapping.forms import Builder
from relu2snn.mapping.onnx_nodes import Node
from relu2snn.mapping.onnx_values import Value, channels_first, grid, numbers_for
from relu2snn.mapping.onnx_windows import counted, pads_of, per_axis, pool_windows, window_of

Given = list[Any]
"""What a node is given: Value, array, or None for an input that is left out."""


def sides_of(node: Node, value: Value) -> Shape:
    """(*sides,) of images (1, channels, *sides) of rank 1 to 3."""
    shape = value.shape
    if not 3 <= len(shape) <= 5 or shape[0] != 1:
        raise node.refuse(f"a tensor {shape} for it", "give images (batch, channels, *sides) of rank 1 to 3")
    return shape[2:]


def _kernel(node: Node, weights: Any, rank: int) -> Array:
    found = node.constant("kernel", weights)
    if found.ndim != rank + 2:
        raise node.refuse(f"a kernel {found.shape} for images of rank {rank}", "export the network again")
    sizes = node.options.get("kernel_shape", found.shape[2:])
    if tuple(sizes) != found.shape[2:]:
        raise node.refuse(f"kernel_shape={list(sizes)} for a kernel {found.shape}", "export the network again")
    return found


def _groups(node: Node, channels: int) -> int:
    groups = node.whole("group", node.options.get("group", 1))[0]
    if groups < 1 or channels % groups:
        raise node.refuse(f"group={groups} of {channels} channels", "export the network again")
    return groups


def _bias(node: Node, given: Given, place: int, count: int) -> Array:
    if len(given) <= place or given[place] is None:
        return np.zeros(())
    found = node.constant("bias", given[place])
    if found.shape != (count,):
        raise node.refuse(f"a bias {found.shape} for {count} filters", "export the network again")
    return found


def _conv(builder: Builder, node: Node, given: Given) -> Value:
    sides = sides_of(node, given[0])
    kernel = _kernel(node, given[1], len(sides))
    groups = _groups(node, given[0].shape[1])
    if kernel.shape[1] * groups != given[0].shape[1] or kernel.shape[0] % groups:
        raise node.refuse(f"a kernel {kernel.shape} for {given[0].shape[1]} channels", "export the network again")
    window = window_of(node, kernel.shape[2:], sides)
    node.require_room((*window.outputs(sides), kernel.shape[0]))
    form = grid(builder, given[0])
    map_ = Convolution(form.shape, np.moveaxis(kernel, (1, 0), (-2, -1)), window, groups=groups)
    return channels_first(builder.affine(form, map_, _bias(node, given, 2, kernel.shape[0]), node.name))


def _conv_transposed(builder: Builder, node: Node, given: Given) -> Value:
    sides = sides_of(node, given[0])
    rank = len(sides)
    kernel = _kernel(node, given[1], rank)
    channels = given[0].shape[1]
    groups = _groups(node, channels)
    if kernel.shape[0] != channels:
        raise node.refuse(f"a kernel {kernel.shape} for {channels} channels", "export the network again")
    back = Window.of(
        kernel.shape[2:], strides=per_axis(node, "strides", rank), dilation=per_axis(node, "dilations", rank)
    )
    extra = per_axis(node, "output_padding", rank, 0)
    margins = []
    for axis, (before, after) in enumerate(_cut(node, back, sides, extra)):
        extent = back.extents[axis]
        margins.append((extent - 1 - before, extent - 1 - after + extra[axis]))
    window = Window.of(kernel.shape[2:], dilation=back.dilation, margins=margins, spread=back.strides)
    if min(window.outputs(sides), default=1) < 1:
        raise node.refuse(f"its pads leave nothing of {list(sides)}", "export the network again")
    turned = np.flip(kernel, tuple(range(2, kernel.ndim))).reshape(groups, channels // groups, *kernel.shape[1:])
    # (groups, channels / groups, filters / groups, *sizes) to (*sizes, channels / groups, filters)
    turned = np.moveaxis(turned, (1, 0, 2), (-3, -2, -1))
    filters = groups * kernel.shape[1]
    node.require_room((*window.outputs(sides), filters))
    turned = turned.reshape(*kernel.shape[2:], channels // groups, filters)
    form = grid(builder, given[0])
    map_ = Convolution(form.shape, turned, window, groups=groups)
    return channels_first(builder.affine(form, map_, _bias(node, given, 2, filters), node.name))


def _cut(node: Node, back: Window, sides: Shape, extra: Shape) -> list[tuple[int, int]]:
    """What is cut off the whole transposed convolution, (before, after) along each axis."""
    rank = len(sides)
    whole = [
        (side - 1) * stride + extent for side, stride, extent in zip(sides, back.strides, back.extents, strict=True)
    ]
    auto = node.options.get("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise node.refuse(f"auto_pad={auto!r}", "export the network again")
    wanted = node.options.get("output_shape")
    if wanted is None and auto.startswith("SAME"):
        wanted = [side * stride for side, stride in zip(sides, back.strides, strict=True)]
    if wanted is None:
        return pads_of(node, rank) if auto == "NOTSET" else [(0, 0)] * rank
    sizes = node.whole("output_shape", wanted)[-rank:]
    if len(sizes) != rank:
        raise node.refuse(f"output_shape={sizes} for {rank} axes", "export the network again")
    found = []
    for size, most, more in zip(sizes, whole, extra, strict=True):
        total = most + more - size
        small, large = total // 2, total - total // 2
        found.append((small, large) if auto == "SAME_UPPER" else (large, small))
    return found


def _batch_norm(builder: Builder, node: Node, given: Given) -> Value:
    if node.options.get("training_mode") or len([name for name in node.outputs if name]) > 1:
        raise node.refuse("it does at inference what it does in training", "export the network after model.eval()")
    value = given[0]
    if len(value.shape) < 2 or value.shape[0] != 1:
        raise node.refuse(f"a tensor {value.shape} for it", "give (batch, channels, *sides)")
    channels = value.shape[1]
    names = ("scale", "bias", "mean", "variance")
    scale, shift, mean, variance = (node.constant(name, each) for name, each in zip(names, given[1:5], strict=True))
    for name, each in zip(names, (scale, shift, mean, variance), strict=True):
        if each.shape != (channels,):
            raise node.refuse(f"its {name} is {each.shape} for {channels} channels", "export the network again")
    variance = variance + node.number("epsilon", 1e-5)
    if not (variance > 0).all():
        raise node.refuse(f"variance + epsilon is {variance.min()}", "it must be above 0")
    scale = scale / np.sqrt(variance)
    return scaled_by(builder, value, _along(value, scale), _along(value, shift - mean * scale), node.name)


def _along(value: Value, numbers: Array) -> Array:
    """(channels,) as what is broadcast to (1, channels, *sides)."""
    return numbers.reshape(-1, *(1,) * (len(value.shape) - 2))


def scaled_by(builder: Builder, value: Value, factors: Any, shift: Any, label: str | None = None) -> Value:
    """factors u + shift, each broadcast to the tensor."""
    if label is None:
        label = value.form.label
    form = value.form
    if form.pool is None and value.index.ndim > 2 and np.ndim(factors) > 0 and form.shape != grid_shape(value):
        # By channel it costs nothing, where channels are last.
        value = channels_first(grid(builder, value)) if value.shape[0] == 1 else value
    scale, moved = numbers_for(value, factors), numbers_for(value, shift)
    diagonal = Diagonal(value.form.shape, scale)
    return replace(value, form=builder.affine(value.form, diagonal, moved, label))


def grid_shape(value: Value) -> Shape:
    """(*sides, channels) of (1, channels, *sides)."""
    return (*value.shape[2:], value.shape[1])


def _average(builder: Builder, node: Node, given: Given) -> Value:
    sides = sides_of(node, given[0])
    declared, window = pool_windows(node, sides, given[0].shape[1])
    margins = declared.margins if node.options.get("count_include_pad") else None
    return channels_first(averaged(builder, grid(builder, given[0]), window, counted(window, margins, sides)))


def averaged(builder: Builder, form: Form, window: Window, counts: Any) -> Form:
    """Sums under a window, channel by channel, divided by counts (*places,)."""
    channels, least = form.shape[-1], counts.min()
    kernel = np.full((*window.sizes, 1, channels), 1.0 / least)
    pool = Convolution(form.shape, kernel, window, groups=channels)
    found = builder.affine(form, pool)
    if (counts == least).all():
        return found
    share = np.broadcast_to((least / counts)[..., None], pool.outputs)
    return builder.affine(found, Diagonal(pool.outputs, share))


def _global_average(builder: Builder, node: Node, given: Given) -> Value:
    sides = sides_of(node, given[0])
    form = grid(builder, given[0])
    return channels_first(averaged(builder, form, Window.of(sides), np.full((1,) * len(sides), int(np.prod(sides)))))


WEIGHTED: Mapping[str, Any] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transposed,
    "BatchNormalization": _batch_norm,
    "AveragePool": _average,
    "GlobalAveragePool": _global_average,
}
