"""ONNX's pools of extrema: padding is minus infinity there, never 0."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from relu2snn.graph.geometry import Window
from relu2snn.mapping.forms import Builder
from relu2snn.mapping.onnx_nodes import Node
from relu2snn.mapping.onnx_products import reduced_axes
from relu2snn.mapping.onnx_slices import cut
from relu2snn.mapping.onnx_values import Value, channels_first, grid
from relu2snn.mapping.onnx_weighted import Given, sides_of
from relu2snn.mapping.onnx_windows import pool_windows


def _max_pool(builder: Builder, node: Node, given: Given) -> Value:
    if len([name for name in node.outputs if name]) > 1:
        raise node.refuse("its indices are used", "leave them out: they are no values of a ReLU network")
    sides = sides_of(node, given[0])
    _, window = pool_windows(node, sides, given[0].shape[1])
    sizes = window.sizes
    for (before, after), extent, stride in zip(window.margins, window.extents, window.strides, strict=True):
        if before >= extent or after >= extent + stride:
            raise node.refuse(f"pads {window.margins} of a window of {list(sizes)}", "let every place see the image")
    if window == Window.of((1,) * len(sizes)):
        same: Value = given[0]
        return same
    if all(size == 1 for size in sizes) and not any(map(any, window.margins)):
        # It only leaves cells out.
        cuts = (slice(None), slice(None), *(slice(None, None, stride) for stride in window.strides))
        return cut(builder, node, given[0], cuts)
    return channels_first(builder.pooled(grid(builder, given[0]), window, minimum=False, label=node.name))


def _global_max(builder: Builder, node: Node, given: Given) -> Value:
    window = Window.of(sides_of(node, given[0]))
    return channels_first(builder.pooled(grid(builder, given[0]), window, minimum=False, label=node.name))


def _reduce_extreme(minimum: bool) -> Any:
    def handle(builder: Builder, node: Node, given: Given) -> Value:
        value, axes = given[0], reduced_axes(node, given)
        if axes != tuple(range(2, len(value.shape))) or not 1 <= len(axes) <= 3 or value.shape[0] != 1:
            raise node.refuse(f"axes={list(axes)} of a tensor {value.shape}", "take the extremum over space")
        window = Window.of(value.shape[2:])
        found = channels_first(builder.pooled(grid(builder, value), window, minimum=minimum, label=node.name))
        return found if node.options.get("keepdims", 1) else replace(found, index=found.index.reshape(value.shape[:2]))

    return handle


POOLS: Mapping[str, Any] = {
    "MaxPool": _max_pool,
    "GlobalMaxPool": _global_max,
    "ReduceMax": _reduce_extreme(False),
    "ReduceMin": _reduce_extreme(True),
}
