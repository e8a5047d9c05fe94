"""ONNX networks for tests: nodes in a row, and what the file's own implementation makes of images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from relu2snn.graph.nodes import evaluate
from relu2snn.mapping import OnnxModel, read_onnx
from relu2snn.mapping.read_onnx import Reading

Array = np.ndarray


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
    wanted = Reading(model, low, high).logits()
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
