"""Resizing by the nearest neighbour: Upsample, and Resize with its ways of saying which that is."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from relu2snn.mapping.forms import Builder
from relu2snn.mapping.onnx_nodes import Node
from relu2snn.mapping.onnx_shapes import axis_of, chosen
from relu2snn.mapping.onnx_values import Value
from relu2snn.mapping.onnx_weighted import Given

_PLACES: Mapping[str, Any] = {
    "asymmetric": lambda x, scale, out, side: x / scale,
    "half_pixel": lambda x, scale, out, side: (x + 0.5) / scale - 0.5,
    "pytorch_half_pixel": lambda x, scale, out, side: (x + 0.5) / scale - 0.5 if out > 1 else np.zeros_like(x),
    "tf_half_pixel_for_nn": lambda x, scale, out, side: (x + 0.5) / scale,
    "align_corners": lambda x, scale, out, side: x * (side - 1) / (out - 1) if out > 1 else np.zeros_like(x),
    "half_pixel_symmetric": lambda x, scale, out, side: side / 2 * (1 - out / (scale * side)) + (x + 0.5) / scale - 0.5,
}
"""Where an element x of the output lies in the input, by coordinate_transformation_mode."""

_NEAREST: Mapping[str, Any] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _resize(builder: Builder, node: Node, given: Given) -> Value:
    value = given[0]
    rank = len(value.shape)
    mode = node.options.get("mode", "nearest")
    if mode != "nearest":
        raise node.refuse(f"mode={mode!r}", "use mode='nearest'")
    upsample = node.kind == "Upsample"
    scales, sizes = _wanted(node, given)
    axes = [axis_of(node, axis, rank) for axis in node.whole("axes", node.options.get("axes", list(range(rank))))]
    if node.options.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise node.refuse("keep_aspect_ratio_policy is not 'stretch'", "give the sizes themselves")
    if len(scales or sizes) != len(axes):
        raise node.refuse(f"{len(scales or sizes)} factors for {len(axes)} axes", "give one for each axis")
    ways = node.options.get("coordinate_transformation_mode", "half_pixel")
    rounding = node.options.get("nearest_mode", "round_prefer_floor")
    if upsample or node.opset < 11:
        ways, rounding = "asymmetric", "floor"
    if ways not in _PLACES or rounding not in _NEAREST:
        raise node.refuse(f"coordinates {ways!r}, rounded {rounding!r}", "use 'asymmetric' and 'floor'")
    index = value.index
    for place, axis in enumerate(axes):
        side = value.shape[axis]
        scale = float(scales[place]) if scales else sizes[place] / side
        out = int(np.floor(side * scale)) if scales else sizes[place]
        if not (0 < scale < 1e6 and out >= 1):
            raise node.refuse(f"a factor of {scale:g} for a side of {side}", "give one that leaves an image")
        node.require_room((*index.shape[:axis], out, *index.shape[axis + 1 :]))
        if out == side and scale == 1:
            continue
        x = _NEAREST[rounding](_PLACES[ways](np.arange(out, dtype=np.float64), scale, out, side))
        index = np.take(index, np.clip(x, 0, side - 1).astype(np.int64), axis=axis)
    return value if index is value.index else chosen(builder, value, index)


def _wanted(node: Node, given: Given) -> tuple[Sequence[float], Sequence[int]]:
    """Factors or sizes, one of them empty."""
    place = 1 if node.kind == "Upsample" or node.opset < 11 else 2
    scales = given[place] if len(given) > place else node.options.get("scales")
    sizes = given[3] if len(given) > 3 else None
    if sizes is not None and np.size(sizes):
        return [], node.whole("sizes", sizes)
    if scales is None or not np.size(scales):
        raise node.refuse("it has neither scales nor sizes", "export the network again")
    return [float(each) for each in node.constant("scales", np.asarray(scales)).ravel()], []


RESIZE: Mapping[str, Any] = {"Resize": _resize, "Upsample": _resize}
