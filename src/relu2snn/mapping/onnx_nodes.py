"""Nodes of an ONNX network: their attributes, what is refused of them, and constants computed beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from relu2snn.mapping.form import Array
from relu2snn.mapping.onnx_file import array, one_line, onnx, plain
from relu2snn.mapping.unsupported import UnsupportedLayerError

_LARGEST = 2**27
"""Numbers of a tensor: the largest kernels have a hundred million."""


@dataclass(frozen=True)
class Node:
    """A node of the file: name (its own, or that of what it makes), operator, attributes, tensors by name."""

    name: str
    kind: str
    options: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int
    proto: Any

    def refuse(self, reason: str, way_out: str) -> UnsupportedLayerError:
        """An error that names the node, its operator, the reason and the way out."""
        return UnsupportedLayerError(f"node {self.name!r} ({self.kind}): {reason}; {way_out}")

    def constant(self, name: str, value: Any) -> Array:
        """A weight as an array in float64; raises UnsupportedLayerError where it is none, or has a NaN."""
        if not isinstance(value, np.ndarray):
            raise self.refuse(f"its {name} is computed from the images", "use weights that are constant")
        if value.dtype.kind not in "fiub":
            raise self.refuse(f"its {name} is {value.dtype}", "use floating-point weights")
        found: Array = np.asarray(value, np.float64)
        if not np.isfinite(found).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0])
            raise self.refuse(f"its {name} is {found[place]} at {place}", "every weight must be a finite number")
        return found

    def number(self, name: str, usual: float) -> float:
        """An attribute, or what it is where it is left out, as float32 has it."""
        found = self.options.get(name, np.float32(usual))
        if not isinstance(found, float | int | np.float32) or not np.isfinite(found):
            raise self.refuse(f"{name}={found}", "it must be a finite number")
        return float(found)

    def require_room(self, shape: Sequence[int]) -> None:
        """Refuse a tensor of this shape where it is larger than any image: a damaged file fills the memory."""
        if np.prod([float(side) for side in shape]) > _LARGEST:
            raise self.refuse(f"it makes a tensor {tuple(shape)}", f"{_LARGEST:.3g} numbers are the most")

    def whole(self, name: str, value: Any) -> list[int]:
        """Whole numbers, of an input or an attribute, that are constant."""
        if value is None:
            raise self.refuse(f"it has no {name}", "export the network again")
        if isinstance(value, int):
            return [value]
        if not isinstance(value, list | tuple | np.ndarray):
            raise self.refuse(f"its {name} are computed from the images", "use sizes that are constant")
        found = np.asarray(value).ravel()
        if found.dtype.kind not in "iu" and found.size:
            raise self.refuse(f"its {name} are {found.dtype}", "they must be whole numbers")
        return [int(each) for each in found]


def node_of(proto: Any, opset: int) -> Node:
    """A node as it is read; raises UnsupportedLayerError for an attribute that cannot be."""
    options: dict[str, Any] = {}
    for each in proto.attribute:
        if each.type in (each.GRAPH, each.GRAPHS, each.SPARSE_TENSOR, each.SPARSE_TENSORS):
            continue
        found = onnx().helper.get_attribute_value(each)
        options[each.name] = found.decode("utf-8", "replace") if isinstance(found, bytes) else found
    name = proto.name or next((each for each in proto.output if each), proto.op_type)
    kind = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
    return Node(plain(name) or kind, kind, options, tuple(proto.input), tuple(proto.output), opset, proto)


def folded(node: Node, given: Sequence[Any]) -> list[Any]:
    """What a node makes of constants, by ONNX's own reference implementation.

    Raises UnsupportedLayerError where it cannot be computed, or would be larger than any weight is.
    """
    if node.kind not in FOLDED:
        raise node.refuse("it is not computed from the images, but is no operation on sizes or weights", "leave it out")
    _require_room(node, given)
    from onnx.reference import ReferenceEvaluator

    feeds = {name: each for name, each in zip(node.inputs, given, strict=True) if name}
    tensor = onnx().helper.make_empty_tensor_value_info
    outputs = [tensor(name) for name in node.proto.output if name]
    graph = onnx().helper.make_graph([node.proto], "constants", [tensor(name) for name in feeds], outputs)
    # A node by itself would be taken for one of the newest files.
    model = onnx().helper.make_model(graph, opset_imports=[onnx().helper.make_opsetid("", node.opset)])
    try:
        with np.errstate(all="ignore"):
            found = ReferenceEvaluator(model).run(None, feeds)
    except Exception as error:
        raise node.refuse(f"it cannot be computed ({one_line(error)})", "export the network again") from None
    return [np.asarray(each) for each in found]


def constant_of(node: Node) -> Any:
    """The numbers of a Constant node."""
    value = node.options.get("value")
    if value is not None and not isinstance(value, int | float | str | list):
        return array(value)
    for name in ("value_int", "value_ints"):
        if name in node.options:
            return np.asarray(node.options[name], np.int64)
    raise node.refuse("it holds no dense tensor", "export the network without sparse tensors and texts")


def _require_room(node: Node, given: Sequence[Any]) -> None:
    """Refuse what a damaged file makes of a few bytes: an array that fills the memory."""
    arrays = [np.asarray(each) for each in given if each is not None]
    try:
        count = float(_SIZES.get(node.kind, _broadcast)(*arrays)) if arrays else 0.0
    except (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError):
        # It fits together in no way, which the implementation says in its own words.
        count = 0.0
    if not count <= _LARGEST:
        raise node.refuse(f"it makes {count:.3g} numbers of constants", f"{_LARGEST:.3g} are the most")


def _size(shape: Any) -> float:
    return float(np.prod([abs(float(side)) for side in np.ravel(shape)]))


def _broadcast(*arrays: Any) -> float:
    return _size(np.broadcast_shapes(*(each.shape for each in arrays)))


def _product(first: Any, second: Any, *_: Any) -> float:
    return float(first.size) * float(second.size)


def _padded(values: Any, pads: Any = 0, *_: Any) -> float:
    # More than there can be, whatever axes the pads are of.
    return _size([side + float(np.abs(np.asarray(pads, float)).sum()) for side in values.shape])


_SIZES: Mapping[str, Any] = {
    "ConstantOfShape": _size,
    "Expand": lambda values, shape: _size(np.broadcast_shapes(values.shape, tuple(map(int, shape)))),
    "Tile": lambda values, repeats: values.size * _size(repeats),
    "Range": lambda start, stop, step: np.ceil(abs(float(stop) - float(start)) / abs(float(step))),
    "Pad": _padded,
    "Gather": _product,
    "GatherND": _product,
    "MatMul": _product,
    "Gemm": _product,
    **dict.fromkeys(("Concat", "GatherElements", "ScatterElements", "ScatterND", "Slice", "Split"), lambda *_: 0.0),
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze", "NonZero", "Flatten", "Transpose"), lambda *_: 0.0),
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"), lambda *_: 0.0),
}
"""At most how many numbers an operator makes of arrays, where that is not what broadcasting gives."""

FOLDED = frozenset(
    {
        "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "ConstantOfShape", "Div", "Equal", "Exp",
        "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Greater", "GreaterOrEqual", "Identity",
        "Less", "LessOrEqual", "Log", "MatMul", "Max", "Min", "Mod", "Mul", "Neg", "NonZero", "Not", "Or", "Pad", "Pow",
        "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Relu", "Reshape",
        "Round", "ScatterElements", "ScatterND", "Shape", "Sigmoid", "Sign", "Size", "Slice", "Split", "Sqrt",
        "Squeeze", "Sub", "Sum", "Tanh", "Tile", "Transpose", "Unsqueeze", "Where", "Gemm",
    }
)  # fmt: skip
"""Operators that are computed beforehand where all that they take is constant."""
