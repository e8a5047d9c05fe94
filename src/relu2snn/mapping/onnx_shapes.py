"""ONNX's operators that move elements: shapes, padding, concatenation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from relu2snn.graph.geometry import Shape
from relu2snn.graph.maps import Shift
from relu2snn.mapping.forms import Builder
from relu2snn.mapping.onnx_nodes import Node
from relu2snn.mapping.onnx_values import Index, Value, channels_first, grid, laid_out, whole
from relu2snn.mapping.onnx_weighted import Given


def axis_of(node: Node, axis: int, rank: int) -> int:
    """An axis counted from the front."""
    if not -rank <= axis < rank:
        raise node.refuse(f"axis={axis} of a tensor with {rank} axes", "export the network again")
    return axis % rank


def chosen(builder: Builder, value: Value, index: Index) -> Value:
    """A tensor of elements of another, which may repeat them or leave some out."""
    if not index.size:
        raise ValueError("a tensor without elements")
    if index.ndim > 2 and index.shape[0] == 1:
        return channels_first(laid_out(builder, value, np.moveaxis(index[0], 0, -1)))
    return whole(laid_out(builder, value, index.reshape(-1)), index.shape)


def _reshape(builder: Builder, node: Node, given: Given) -> Value:
    value: Value = given[0]
    sizes = node.whole("shape", given[1] if len(given) > 1 else node.options.get("shape"))
    if not node.options.get("allowzero"):
        if any(size == 0 and place >= len(value.shape) for place, size in enumerate(sizes)):
            raise node.refuse(f"shape={sizes} of a tensor {value.shape}", "export the network again")
        sizes = [value.shape[place] if size == 0 else size for place, size in enumerate(sizes)]
    return _shaped(node, value, sizes)


def _shaped(node: Node, value: Value, sizes: Sequence[int]) -> Value:
    try:
        return replace(value, index=value.index.reshape(tuple(sizes)))
    except ValueError:
        raise node.refuse(
            f"shape={list(sizes)} of a tensor {value.shape}",
            "export the network for a batch of 1, or with an open (dynamic) batch",
        ) from None


def _flatten(builder: Builder, node: Node, given: Given) -> Value:
    rank = len(given[0].shape)
    axis = node.whole("axis", node.options.get("axis", 1))[0]
    axis = rank if axis == rank else axis_of(node, axis, rank)
    return _shaped(node, given[0], (int(np.prod(given[0].shape[:axis])), -1))


def _axes(node: Node, given: Given, rank: int) -> list[int]:
    """The axes of an attribute or, in newer files, of an input, counted from the front of `rank` axes."""
    axes = given[1] if len(given) > 1 and given[1] is not None else node.options.get("axes")
    return [axis_of(node, axis, rank) for axis in node.whole("axes", axes)]


def _squeeze(builder: Builder, node: Node, given: Given) -> Value:
    value: Value = given[0]
    if "axes" in node.options or (len(given) > 1 and given[1] is not None):
        axes = _axes(node, given, len(value.shape))
    else:
        axes = [axis for axis, side in enumerate(value.shape) if side == 1]
    if any(value.shape[axis] != 1 for axis in axes):
        raise node.refuse(f"axes={axes} of a tensor {value.shape} are not all 1", "export the network again")
    return _shaped(node, value, [side for axis, side in enumerate(value.shape) if axis not in axes])


def _unsqueeze(builder: Builder, node: Node, given: Given) -> Value:
    value: Value = given[0]
    axes = node.whole("axes", given[1] if len(given) > 1 else node.options.get("axes"))
    rank = len(value.shape) + len(axes)
    places = {axis_of(node, axis, rank) for axis in axes}
    sides = iter(value.shape)
    return _shaped(node, value, [1 if axis in places else next(sides) for axis in range(rank)])


def _transpose(builder: Builder, node: Node, given: Given) -> Value:
    value: Value = given[0]
    rank = len(value.shape)
    order = node.whole("perm", node.options.get("perm", list(range(rank))[::-1]))
    if sorted(order) != list(range(rank)):
        raise node.refuse(f"perm={order} of a tensor {value.shape}", "export the network again")
    return replace(value, index=value.index.transpose(order))


def _concat(builder: Builder, node: Node, given: Given) -> Value:
    rank = max(len(np.shape(each.index if isinstance(each, Value) else each)) for each in given)
    axis = axis_of(node, node.whole("axis", node.options.get("axis"))[0], rank)
    values = [each for each in given if isinstance(each, Value)]
    shapes = [each.shape if isinstance(each, Value) else np.shape(each) for each in given]
    if any(len(shape) != rank or shape[:axis] + shape[axis + 1 :] != _rest(shapes[0], axis) for shape in shapes):
        raise node.refuse(f"tensors {', '.join(map(str, shapes))} along axis {axis}", "export the network again")
    if len(values) < len(given):
        raise node.refuse("one of its tensors is constant", "let it be added by a bias")
    if rank > 2 and axis and all(each.shape[0] == 1 for each in values):
        forms = [grid(builder, each) for each in values]
        return channels_first(builder.concatenated(forms, rank - 2 if axis == 1 else axis - 2, node.name))
    forms = [laid_out(builder, each, each.index) for each in values]
    return whole(builder.concatenated(forms, axis, node.name), builder_shape(shapes, axis))


def _rest(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]


def builder_shape(shapes: Sequence[Shape], axis: int) -> Shape:
    """The shape of tensors side by side."""
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def _pad(builder: Builder, node: Node, given: Given) -> Value:
    value: Value = given[0]
    rank = len(value.shape)
    pads = node.whole("pads", given[1] if len(given) > 1 else node.options.get("pads"))
    filling: Any = given[2] if len(given) > 2 and given[2] is not None else node.options.get("value", 0.0)
    axes = list(range(rank))
    if len(given) > 3 and given[3] is not None:
        axes = [axis_of(node, axis, rank) for axis in node.whole("axes", given[3])]
    if len(pads) != 2 * len(axes):
        raise node.refuse(f"pads={pads} for {len(axes)} axes", "export the network again")
    margins = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        margins[axis] = (pads[place], pads[place + len(axes)])
    sides = [side + sum(margin) for side, margin in zip(value.shape, margins, strict=True)]
    node.require_room(sides)
    if min(sides) < 1 or any(margins[0]):
        raise node.refuse(f"pads={pads} of a tensor {value.shape}", "export the network again")
    mode = node.options.get("mode", "constant")
    constant = node.constant("value", np.asarray(filling)) if np.size(filling) else np.zeros(())
    if mode != "constant":
        return _mirrored(builder, node, value, margins, str(mode))
    if rank > 2 and value.shape[0] == 1:
        form = grid(builder, value)
        map_ = Shift(form.shape, (*margins[2:], margins[1]))
        return channels_first(builder.affine(form, map_, _around(map_, float(constant.ravel()[0]))))
    form = laid_out(builder, value, value.index)
    map_ = Shift(form.shape, tuple(margins))
    return whole(builder.affine(form, map_, _around(map_, float(constant.ravel()[0]))), map_.outputs)


def _around(map_: Shift, number: float) -> Any:
    """What padding with a number adds to padding with zeros."""
    return np.where(map_.index.reshape(map_.outputs) < 0, number, 0.0) if number else 0.0


def _mirrored(builder: Builder, node: Node, value: Value, margins: list[tuple[int, int]], mode: str) -> Value:
    if mode not in ("reflect", "edge", "wrap"):
        raise node.refuse(f"mode={mode!r}", "pad with zeros, reflected or repeated values")
    inside = [(max(before, 0), max(after, 0)) for before, after in margins]
    cuts = tuple(
        slice(max(-before, 0), side - max(-after, 0))
        for side, (before, after) in zip(value.shape, margins, strict=True)
    )
    index = value.index[cuts]
    if not index.size or any(max(pair) >= side for pair, side in zip(inside, index.shape, strict=True) if any(pair)):
        raise node.refuse(f"pads={margins} of a tensor {value.shape}", "pad by less than a side")
    kind: Any = mode
    return chosen(builder, value, np.pad(index, inside, mode=kind))


def _expand(builder: Builder, node: Node, given: Given) -> Value:
    value: Value = given[0]
    try:
        shape = np.broadcast_shapes(value.shape, tuple(node.whole("shape", given[1])))
    except ValueError:
        raise node.refuse(f"shape={given[1]} of a tensor {value.shape}", "export the network again") from None
    if shape == value.shape:
        return value
    node.require_room(shape)
    return chosen(builder, value, np.broadcast_to(value.index, shape))


def _tile(builder: Builder, node: Node, given: Given) -> Value:
    repeats = node.whole("repeats", given[1])
    if len(repeats) != len(given[0].shape) or min(repeats) < 1:
        raise node.refuse(f"repeats={repeats} of a tensor {given[0].shape}", "export the network again")
    node.require_room([side * times for side, times in zip(given[0].shape, repeats, strict=True)])
    return chosen(builder, given[0], np.tile(given[0].index, repeats))


def _depth_to_space(builder: Builder, node: Node, given: Given) -> Value:
    value: Value = given[0]
    block = node.whole("blocksize", node.options.get("blocksize"))[0]
    if len(value.shape) != 4 or block < 1 or value.shape[1] % block**2:
        raise node.refuse(f"blocksize={block} of a tensor {value.shape}", "export the network again")
    batch, channels, height, width = value.shape
    left = channels // block**2
    if node.options.get("mode", "DCR") == "CRD":
        cut, order = (batch, left, block, block, height, width), (0, 1, 4, 2, 5, 3)
    else:
        cut, order = (batch, block, block, left, height, width), (0, 3, 4, 1, 5, 2)
    index = value.index.reshape(cut).transpose(order).reshape(batch, left, height * block, width * block)
    return replace(value, index=index)


def _space_to_depth(builder: Builder, node: Node, given: Given) -> Value:
    value: Value = given[0]
    block = node.whole("blocksize", node.options.get("blocksize"))[0]
    if len(value.shape) != 4 or block < 1 or value.shape[2] % block or value.shape[3] % block:
        raise node.refuse(f"blocksize={block} of a tensor {value.shape}", "export the network again")
    batch, channels, height, width = value.shape
    index = value.index.reshape(batch, channels, height // block, block, width // block, block)
    index = index.transpose(0, 3, 5, 1, 2, 4)
    return replace(value, index=index.reshape(batch, channels * block**2, height // block, width // block))


SHAPES: Mapping[str, Any] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Pad": _pad,
    "Expand": _expand,
    "Tile": _tile,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
"""Operators that give elements of what they are given."""

MOVING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast"})
"""Those that may follow an activation at the very end."""
