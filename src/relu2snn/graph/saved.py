"""Linear maps as a description of plain values and a list of arrays, and back: what a file of a network holds."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import Margin, Shape, Window
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Chain, Diagonal, Selection, Shift, Sum

# Values of one tensor for one image: VGG16 has 3.2 million at 224 x 224. A side of a kernel or a stride is no larger.
_LARGEST = 1 << 26
_DEEPEST = 32


class Slot(NamedTuple):
    """An array that a description needs: `kind` is "index" for whole numbers, else what its numbers are."""

    kind: str
    shape: Shape


def describe(map_: LinearMap) -> tuple[dict[str, Any], list[Any]]:
    """A map as values that JSON can hold, and its arrays in the order of `slots`."""
    match map_:
        case Shift():
            return {"kind": "shift", "inputs": list(map_.inputs), "margins": [list(each) for each in map_.margins]}, []
        case Selection():
            text: dict[str, Any] = {"kind": "selection", "inputs": list(map_.inputs), "outputs": list(map_.outputs)}
            return (text | {"kind": "reshape"}, []) if map_.index is None else (text, [map_.index])
        case Diagonal():
            whole = map_.factors.ndim > 1
            return {"kind": "diagonal", "shape": list(map_.outputs), "whole": whole}, [map_.factors]
        case Convolution():
            window = map_.window
            text = {
                "kind": "convolution",
                "inputs": list(map_.inputs),
                "filters": map_.outputs[-1],
                "groups": map_.groups,
                **{name: list(getattr(window, name)) for name in ("sizes", "strides", "dilation", "spread")},
                "margins": [list(each) for each in window.margins],
            }
            return text, [map_.kernel]
        case Chain():
            return _several("chain", (map_.first, map_.second))
        case Sum():
            return _several("sum", map_.parts)
    raise TypeError(f"no description of a {type(map_).__name__}")


def _several(kind: str, maps: tuple[LinearMap, ...]) -> tuple[dict[str, Any], list[Any]]:
    found = [describe(each) for each in maps]
    return {"kind": kind, "parts": [text for text, _ in found]}, [each for _, arrays in found for each in arrays]


def slots(text: Mapping[str, Any], depth: int = 0) -> list[Slot]:
    """The arrays that a description needs, in order.

    Raises ValueError for what is no description, or one of a map larger than any network's.
    """
    kind = text.get("kind") if isinstance(text, Mapping) else None
    if depth > _DEEPEST:
        raise ValueError("maps in maps without end")
    match kind:
        case "reshape" | "shift":
            return []
        case "selection":
            return [Slot("index", (math.prod(_shape(text, "outputs")),))]
        case "diagonal":
            shape = _shape(text, "shape")
            return [Slot("factors", shape if text.get("whole") else shape[-1:])]
        case "convolution":
            inputs, sizes = _shape(text, "inputs"), _numbers(text, "sizes")
            groups, filters = _natural(text, "groups"), _natural(text, "filters")
            return [Slot("kernel", (*sizes, inputs[-1] // groups, filters))]
        case "chain" | "sum":
            parts = text.get("parts")
            if not isinstance(parts, list) or len(parts) < 2 or (kind == "chain" and len(parts) > 2):
                raise ValueError(f"a {kind} of {parts!r:.40}")
            return [slot for each in parts for slot in slots(each, depth + 1)]
    raise ValueError(f"no linear map of the kind {kind!r:.40}")


def restore(text: Mapping[str, Any], arrays: Iterator[Any]) -> LinearMap:
    """The map that `describe` has described; takes its arrays from the front of `arrays`.

    Raises ValueError when the description contradicts itself or the arrays, or makes a tensor larger than any network's
    on the way.
    """
    found = _restored(text, arrays)
    if math.prod(found.outputs) > _LARGEST:
        raise ValueError(f"a map to {found.outputs}, more than {_LARGEST} elements")
    return found


def require_room(window: Window, inputs: Shape) -> None:
    """Raise ValueError for a window over tensors of shape `inputs` that needs more room around them than any network's.

    Its places may be few where it moves by large steps.
    """
    laid = ((side - 1) * step + 1 for side, step in zip(inputs[:-1], window.spread, strict=True))
    sides = [side + max(a, 0) + max(b, 0) for side, (a, b) in zip(laid, window.margins, strict=True)]
    if math.prod(sides) * inputs[-1] > _LARGEST:
        raise ValueError(f"a window with margins {window.margins} around {inputs}, more than {_LARGEST} elements")


def _restored(text: Mapping[str, Any], arrays: Iterator[Any]) -> LinearMap:
    match text.get("kind"):
        case "reshape":
            inputs, outputs = _shape(text, "inputs"), _shape(text, "outputs")
            if math.prod(inputs) != math.prod(outputs):
                raise ValueError(f"{inputs} cannot be reshaped to {outputs}")
            return Selection(inputs, outputs)
        case "shift":
            return Shift(_shape(text, "inputs"), _margins(text))
        case "selection":
            inputs, index = _shape(text, "inputs"), np.asarray(next(arrays))
            if index.size and not -1 <= index.min() <= index.max() < math.prod(inputs):
                raise ValueError(f"an index from {index.min()} to {index.max()} into {inputs}")
            return Selection(inputs, _shape(text, "outputs"), index)
        case "diagonal":
            return Diagonal(_shape(text, "shape"), next(arrays))
        case "convolution":
            names = ("sizes", "strides", "dilation", "spread")
            sizes, strides, dilation, spread = (_numbers(text, name) for name in names)
            window = Window(sizes, strides, dilation, _margins(text), spread)
            if len({len(each) for each in (sizes, strides, dilation, spread, window.margins)}) > 1:
                raise ValueError(f"a window of {sizes} with strides {strides}, margins {window.margins}")
            inputs = _shape(text, "inputs")
            if len(inputs) != window.rank + 1:
                raise ValueError(f"a window of {sizes} over {inputs}")
            require_room(window, inputs)
            found = Convolution(inputs, next(arrays), window, groups=_natural(text, "groups"))
            if min(found.outputs) < 1:
                raise ValueError(f"a window of {sizes} has no place in {found.inputs}")
            return found
        case "chain":
            return Chain(*(restore(each, arrays) for each in text["parts"]))
        case "sum":
            return Sum(*(restore(each, arrays) for each in text["parts"]))
    raise ValueError(f"no linear map of the kind {text.get('kind')!r:.40}")


def _numbers(text: Mapping[str, Any], name: str) -> Shape:
    values = text.get(name)
    if not isinstance(values, list | tuple) or not all(isinstance(v, int) and 0 < v < _LARGEST for v in values):
        raise ValueError(f"{name}={values!r:.40}: must be whole numbers, at least 1")
    return tuple(values)


def _shape(text: Mapping[str, Any], name: str) -> Shape:
    shape = _numbers(text, name)
    if not shape or math.prod(shape) > _LARGEST:
        raise ValueError(f"{name}={shape}: must have a side, and at most {_LARGEST} elements")
    return shape


def _natural(text: Mapping[str, Any], name: str) -> int:
    value = text.get(name)
    if not isinstance(value, int) or not 0 < value < _LARGEST:
        raise ValueError(f"{name}={value!r:.40}: must be a whole number, at least 1")
    return value


def _margins(text: Mapping[str, Any]) -> tuple[Margin, ...]:
    margins = text.get("margins")
    if not isinstance(margins, list | tuple) or not all(_is_margin(pair) for pair in margins):
        raise ValueError(f"margins={margins!r:.40}: must be pairs of whole numbers")
    return tuple((pair[0], pair[1]) for pair in margins)


def _is_margin(pair: Any) -> bool:
    return (
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and all(isinstance(value, int) and abs(value) < _LARGEST for value in pair)
    )
