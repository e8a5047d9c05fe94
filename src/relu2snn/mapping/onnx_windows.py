"""Windows of convolutions and pools as ONNX gives them: pads, auto_pad and ceil_mode as explicit margins."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from relu2snn.graph.geometry import Margin, Shape, Window, receptive_fields, same_margins
from relu2snn.mapping.onnx_nodes import Node

_MOST = 2**24
"""Cells along an axis of a window: more are a damaged file."""


def per_axis(node: Node, name: str, rank: int, usual: int = 1) -> Shape:
    """An attribute with a whole number for each axis, `usual` where it is left out."""
    if name not in node.options:
        return (usual,) * rank
    found = tuple(node.whole(name, node.options[name]))
    if len(found) != rank:
        raise node.refuse(f"{name}={list(found)} for {rank} axes", "give one number for each")
    if any(not (each >= 0 if usual == 0 else each >= 1) or each > _MOST for each in found):
        raise node.refuse(f"{name}={list(found)}", "export the network again")
    return found


def pads_of(node: Node, rank: int) -> list[tuple[int, int]]:
    """(before, after) of each axis."""
    found = node.whole("pads", node.options.get("pads", [0] * (2 * rank)))
    if len(found) != 2 * rank or max(map(abs, found), default=0) > _MOST:
        raise node.refuse(f"pads={found} for {rank} axes", "give one before and one after each")
    return list(zip(found[:rank], found[rank:], strict=True))


def window_of(node: Node, sizes: Sequence[int], sides: Sequence[int]) -> Window:
    """The window of a convolution or a pool over (*sides), with the margins that the node declares."""
    rank = len(sizes)
    window = Window.of(sizes, strides=per_axis(node, "strides", rank), dilation=per_axis(node, "dilations", rank))
    match node.options.get("auto_pad", "NOTSET"):
        case "NOTSET":
            margins = pads_of(node, rank)
        case "VALID":
            margins = [(0, 0)] * rank
        case "SAME_UPPER":
            margins = list(same_margins(sides, window))
        case "SAME_LOWER":
            margins = [(after, before) for before, after in same_margins(sides, window)]
        case other:
            raise node.refuse(f"auto_pad={other!r}", "export the network again")
    found = replace(window, margins=tuple(margins))
    if min(found.outputs(sides), default=1) < 1:
        raise node.refuse(f"a window of {list(sizes)} over {list(sides)} has no place", "give larger images")
    return found


def pool_windows(node: Node, sides: Shape, channels: int) -> tuple[Window, Window]:
    """The window of a pool over (*sides, channels) as the node declares it, and as it is with ceil_mode."""
    sizes = node.whole("kernel_shape", node.options.get("kernel_shape"))
    if len(sizes) != len(sides) or min(sizes) < 1:
        raise node.refuse(f"kernel_shape={sizes} over {list(sides)}", "export the network again")
    declared = window_of(node, sizes, sides)
    whole = _with_ceil(node, declared, sides)
    node.require_room((*whole.outputs(sides), channels))
    return declared, whole


def _with_ceil(node: Node, window: Window, sides: Sequence[int]) -> Window:
    """The window of a pool: with ceil_mode its last places reach past the margins."""
    if not node.options.get("ceil_mode"):
        return window
    margins = (
        (before, after + _past_the_end(side, extent, stride, before, after))
        for side, extent, stride, (before, after) in zip(
            sides, window.extents, window.strides, window.margins, strict=True
        )
    )
    return replace(window, margins=tuple(margins))


def _past_the_end(side: int, extent: int, stride: int, before: int, after: int) -> int:
    """How far the last window of ceil_mode reaches past the margin; it begins inside the image or the first margin."""
    places = -(-(side + before + after - extent) // stride) + 1
    if (places - 1) * stride >= side + before:
        places -= 1
    return max((places - 1) * stride + extent - (side + before + after), 0)


def counted(window: Window, declared: Sequence[Margin] | None, sides: Shape) -> Any:
    """By how many cells an average is divided at each place of a window over (*sides), (*places,).

    declared: margins that count as cells, all but what ceil_mode adds behind them; None where only the image counts.
    """
    if declared is not None:
        sides_ = tuple(side + sum(own) for side, own in zip(sides, declared, strict=True))
        rest = tuple((a - c, b - d) for (a, b), (c, d) in zip(window.margins, declared, strict=True))
        fields = receptive_fields(sides_, replace(window, margins=rest))
    else:
        fields = receptive_fields(sides, window)
    return np.maximum((fields >= 0).sum(axis=1), 1).reshape(window.outputs(sides))
