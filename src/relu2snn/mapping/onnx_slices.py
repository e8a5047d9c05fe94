"""ONNX's operators that take parts of a tensor."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from relu2snn.graph.maps import Shift
from relu2snn.mapping.forms import Builder
from relu2snn.mapping.onnx_nodes import Node
from relu2snn.mapping.onnx_shapes import axis_of, chosen
from relu2snn.mapping.onnx_values import Value, channels_first, grid
from relu2snn.mapping.onnx_weighted import Given


def _slice(builder: Builder, node: Node, given: Given) -> Value:
    value: Value = given[0]
    rank = len(value.shape)
    if "starts" in node.options:
        starts, ends = (node.whole(name, node.options.get(name)) for name in ("starts", "ends"))
        axes, steps = node.options.get("axes"), None
    else:
        starts, ends = (node.whole(name, each) for name, each in zip(("starts", "ends"), given[1:3], strict=True))
        axes, steps = (given[place] if len(given) > place else None for place in (3, 4))
    axes = node.whole("axes", axes) if axes is not None else list(range(len(starts)))
    steps = node.whole("steps", steps) if steps is not None else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise node.refuse(f"starts={starts}, ends={ends}, axes={axes}, steps={steps}", "export the network again")
    cuts = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = axis_of(node, axis, rank)
        # Before the first element is None for Python, where it goes backwards.
        stop = None if step < 0 and end < -value.shape[place] else end
        cuts[place] = slice(start, stop, step)
    return cut(builder, node, value, tuple(cuts))


def cut(builder: Builder, node: Node, value: Value, cuts: tuple[slice, ...]) -> Value:
    index = value.index[cuts]
    if index.shape == value.shape:
        return replace(value, index=index)
    if not index.size:
        raise node.refuse(f"it leaves nothing of a tensor {value.shape}", "export the network again")
    bounds = [cut.indices(side) for cut, side in zip(cuts, value.shape, strict=True)]
    if len(value.shape) > 2 and value.shape[0] == 1 and all(step == 1 for _, _, step in bounds):
        margins = [(-start, stop - side) for (start, stop, _), side in zip(bounds, value.shape, strict=True)]
        form = grid(builder, value)
        return channels_first(builder.affine(form, Shift(form.shape, (*margins[2:], margins[1]))))
    return chosen(builder, value, index)


def _split(builder: Builder, node: Node, given: Given) -> list[Value]:
    value: Value = given[0]
    axis = axis_of(node, node.whole("axis", node.options.get("axis", 0))[0], len(value.shape))
    side, count = value.shape[axis], len(node.outputs)
    sizes = given[1] if len(given) > 1 and given[1] is not None else node.options.get("split")
    if sizes is None:
        part = -(-side // count)
        sizes = [min(part, side - part * number) for number in range(count)]
    sizes = node.whole("split", sizes)
    if len(sizes) != count or min(sizes) < 1 or sum(sizes) != side:
        raise node.refuse(f"split={sizes} of a side of {side}", "export the network again")
    starts = np.cumsum([0, *sizes])
    rank = len(value.shape)
    cuts = [
        tuple(slice(int(a), int(b)) if each == axis else slice(None) for each in range(rank))
        for a, b in itertools.pairwise(starts)
    ]
    return [cut(builder, node, value, each) for each in cuts]


def _gather(builder: Builder, node: Node, given: Given) -> Value:
    value: Value = given[0]
    axis = axis_of(node, node.whole("axis", node.options.get("axis", 0))[0], len(value.shape))
    numbers = np.asarray(node.whole("indices", given[1]), np.int64).reshape(np.shape(given[1]))
    side = value.shape[axis]
    if numbers.size and not (-side <= numbers.min() and numbers.max() < side):
        raise node.refuse(f"indices up to {numbers.max()} of a side of {side}", "export the network again")
    node.require_room((*value.shape[:axis], *numbers.shape, *value.shape[axis + 1 :]))
    return chosen(builder, value, np.take(value.index, numbers % side, axis=axis))


SLICES: Mapping[str, Any] = {"Slice": _slice, "Split": _split, "Gather": _gather}
