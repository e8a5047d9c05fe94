"""ONNX networks for tests: nodes in a row, and what the file's own implementation makes of images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from relu2snn.graph.nodes import evaluate
from relu2snn.mapping import OnnxModel, read_onnx
from relu2snn.mapping.read_onnx import logits

Array = np.ndarray


def normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).normal(0, 0.6, shape)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def network(
    nodes: Sequence[Any],
    shapes: Mapping[str, Sequence[Any]],
    outputs: Sequence[str] = ("y",),
    *,
    weights: Mapping[str, Any] | None = None,
    opset: int = 18,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A file of these nodes; weights are float32, whole numbers int64."""
    held = []
    for name, value in (weights or {}).items():
        array = np.asarray(value)
        held.append(numpy_helper.from_array(array.astype(np.int64 if array.dtype.kind in "iu" else np.float32), name))
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, kind, ()) for name in outputs],
        held,
    )
    # Of version 3 every weight would have to be an input, too.
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def one(kind: str, shape: Sequence[int], *weights: Any, opset: int = 18, **attributes: Any) -> onnx.ModelProto:
    """A file of one node between images (batch, *shape) and its output; weights None are left out."""
    names = ["" if each is None else f"w{number}" for number, each in enumerate(weights)]
    node = helper.make_node(kind, ["x", *names], ["y"], name="node", **attributes)
    held = {name: each for name, each in zip(names, weights, strict=True) if name}
    return network([node], {"x": ["batch", *shape]}, weights=held, opset=opset)


def images_of(model: OnnxModel, count: int = 3, seed: int = 0, low: float = -1.0, high: float = 2.0) -> list[Array]:
    draw = np.random.default_rng(seed)
    return [draw.uniform(low, high, (count, *shape)) for shape in model.inputs.values()]


def by_runtime(proto: onnx.ModelProto, images: Sequence[Array], wanted: Sequence[str]) -> list[Array]:
    """Tensors of a file by name as onnxruntime has them, in float32."""
    import onnxruntime

    other = onnx.ModelProto()
    other.CopyFrom(proto)
    del other.graph.output[:]
    other.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in wanted)
    session = onnxruntime.InferenceSession(other.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {each.name: chunk.astype(np.float32) for each, chunk in zip(session.get_inputs(), images, strict=True)}
    return [np.asarray(each) for each in session.run(None, feeds)]


def agree(proto: onnx.ModelProto, *, count: int = 3, low: float = -1.0, high: float = 2.0) -> list[Array]:
    """Assert that the network that is read gives what the file does, to rounding; returns the outputs."""
    model = OnnxModel(proto)
    images = images_of(model, count, low=low, high=high)
    read = read_onnx(model, low, high)
    values = evaluate(read, {each.name: chunk for each, chunk in zip(read.sources, images, strict=True)})
    wanted = logits(model)
    expected = model.run(images, wanted)
    # Of the operators that are replaced in the reference implementation it is no judge.
    for a, b in zip(by_runtime(proto, images, wanted), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
    for node, other in zip(read.readouts, expected, strict=True):
        found = values[node.name]
        assert found.size == other.size, (found.shape, other.shape)
        size = max(np.abs(other).max(initial=0.0), 1e-3)
        np.testing.assert_allclose(found.reshape(other.shape), other, rtol=0, atol=1e-11 * size)
    return expected


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    """A node by the names of its tensors, "-" for one that is left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(kind, names, output.split(), name=f"{output.split()[0]}_node", **attributes)


def residual() -> onnx.ModelProto:
    """A residual block with batch normalisation, a pool, and a dense layer after a Flatten."""
    nodes = [
        node("Conv", "x w1", "a", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "a s b m v", "n"),
        node("Relu", "n", "r"),
        node("Conv", "r w2 c", "d", pads=[1, 1, 1, 1]),
        node("Add", "d r", "e"),
        node("Relu", "e", "f"),
        node("MaxPool", "f", "g", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Flatten", "g", "h"),
        node("Gemm", "h w3 q", "l", transB=1),
        node("Softmax", "l", "y", axis=1),
    ]
    weights = {
        "w1": normal(4, 3, 3, 3), "w2": normal(4, 4, 3, 3), "c": normal(4), "w3": normal(5, 64), "q": normal(5),
        **{name: abs(normal(4)) + 0.2 for name in "sbmv"},
    }  # fmt: skip
    return network(nodes, {"x": ["batch", 3, 8, 8]}, weights=weights)


def shuffled() -> onnx.ModelProto:
    """Grouped convolutions with a channel shuffle between them, whose shapes the file computes from the images."""
    nodes = [
        node("Conv", "x w1", "a", group=1),
        node("Relu", "a", "r"),
        node("Shape", "r", "shape"),
        node("Gather", "shape zero", "batch", axis=0),
        node("Unsqueeze", "batch front", "one"),
        node("Concat", "one groups", "cut", axis=0),
        node("Reshape", "r cut", "s"),
        node("Transpose", "s", "t", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "t back", "u"),
        node("Conv", "u w2", "v", group=2, strides=[2, 2]),
        node("Clip", "v low high", "c"),
        node("ReduceMean", "c axes", "p", keepdims=0),
        node("MatMul", "p w3", "y"),
    ]
    weights = {
        "w1": normal(6, 2, 3, 3), "w2": normal(4, 3, 3, 3), "w3": normal(4, 3), "zero": np.array(0), "front": ints(0),
        "groups": ints(2, 3, 6, 6), "back": ints(0, -1, 6, 6), "low": 0.0, "high": 1.5, "axes": ints(2, 3),
    }  # fmt: skip
    return network(nodes, {"x": ["batch", 2, 8, 8]}, weights=weights)


def branches() -> onnx.ModelProto:
    """Branches side by side, a slice and a split of them, an extremum; two outputs, of which one is a map."""
    nodes = [
        node("Conv", "x w1", "a", auto_pad="SAME_UPPER"),
        node("Conv", "x w2", "b", auto_pad="SAME_UPPER"),
        node("LeakyRelu", "a", "c", alpha=0.1),
        node("Relu", "b", "d"),
        node("AveragePool", "d", "e", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Concat", "c e", "f", axis=1),
        node("Split", "f parts", "g h", axis=1),
        node("Max", "g d", "i"),
        node("Add", "i h", "j"),
        node("Slice", "j from to at", "k"),
        node("Relu", "k", "l"),
        node("Conv", "l w3", "y"),
        node("GlobalMaxPool", "l", "m"),
        node("Squeeze", "m at", "n"),
        node("MatMul", "n w4", "o"),
        node("Tanh", "o", "z"),
    ]
    weights = {
        "w1": normal(3, 2, 3, 3), "w2": normal(3, 2, 1, 1), "w3": normal(2, 3, 2, 2), "w4": normal(3, 4),
        "parts": ints(3, 3), "from": ints(1, 0), "to": ints(6, 5), "at": ints(2, 3),
    }  # fmt: skip
    return network(nodes, {"x": ["batch", 2, 7, 7]}, ("y", "z"), weights=weights)


def channels_last() -> onnx.ModelProto:
    """As converters from TensorFlow write it: images channels last, turned before and after every convolution."""
    nodes = [
        node("Transpose", "x", "a", perm=[0, 3, 1, 2]),
        node("Conv", "a w1 b1", "b", strides=[2, 2]),
        node("Transpose", "b", "c", perm=[0, 2, 3, 1]),
        node("Mul", "c scale", "d"),
        node("Add", "d shift", "e"),
        node("Relu", "e", "f"),
        node("Transpose", "f", "g", perm=[0, 3, 1, 2]),
        node("ConvTranspose", "g w2", "h", strides=[2, 2]),
        node("Transpose", "h", "i", perm=[0, 2, 3, 1]),
        node("PRelu", "i slope", "j"),
        node("Reshape", "j flat", "k"),
        node("MatMul", "k w3", "y"),
    ]
    weights = {
        "w1": normal(4, 2, 3, 3), "b1": normal(4), "scale": normal(4), "shift": normal(4), "w2": normal(4, 2, 3, 3),
        "slope": abs(normal(2)), "flat": ints(-1, 98), "w3": normal(98, 3),
    }  # fmt: skip
    return network(nodes, {"x": ["batch", 7, 7, 2]}, weights=weights)


def sequence() -> onnx.ModelProto:
    """A convolution over a sequence, and a dense layer of each step."""
    nodes = [
        node("Conv", "x w1", "a", pads=[2, 0]),
        node("Relu", "a", "b"),
        node("MaxPool", "b", "c", kernel_shape=[2], strides=[2], ceil_mode=1),
        node("Transpose", "c", "d", perm=[0, 2, 1]),
        node("MatMul", "d w2", "e"),
        node("Relu", "e", "f"),
        node("Flatten", "f", "g"),
        node("Gemm", "g w3", "y"),
    ]
    weights = {"w1": normal(5, 3, 3), "w2": normal(5, 4), "w3": normal(20, 3)}
    return network(nodes, {"x": ["batch", 3, 9]}, weights=weights)
