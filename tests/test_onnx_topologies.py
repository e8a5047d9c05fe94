"""The topologies that the package onnx ships, with random weights: read as they are, or refused for what they have."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from relu2snn import convert, verify
from relu2snn.mapping import OnnxModel, read_onnx

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def drawn(name: str, seed: int = 0) -> onnx.ModelProto:
    """A topology, whose files have constants for weights, with weights drawn as He does."""
    proto = onnx.load(FOLDER / f"light_{name}.onnx")
    graph, draw = proto.graph, np.random.default_rng(seed)
    shapes = {each.name: numpy_helper.to_array(each).tolist() for each in graph.initializer}
    users = {tensor: (node, place) for node in graph.node for place, tensor in enumerate(node.input)}
    kept = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape, (user, place) = shapes[node.input[0]], users[node.output[0]]
        while user.op_type == "Unsqueeze":
            user, place = users[user.output[0]]
        size = np.sqrt(2 / max(np.prod(shape[1:]), 1)) if len(shape) > 1 else 0.1
        values = draw.normal(0, size, shape)
        if user.op_type == "BatchNormalization" and place in (1, 4):
            values = np.abs(values) + 1
        if user.op_type == "Mul":
            values = values + 1
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    # Of version 3 every weight would have to be an input, too.
    proto.ir_version = 8
    return proto


@pytest.mark.parametrize("name", ["bvlc_alexnet", "zfnet512", "inception_v1"])
def test_a_normalisation_by_what_an_image_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"node 'n\d+' \(LRN\): it divides by what it computes of each image"):
        read_onnx(OnnxModel(onnx.load(FOLDER / f"light_{name}.onnx")))


# The others take minutes, and gigabytes: docs/onnx.md says what came of them.
def test_a_topology_becomes_an_exact_spiking_network() -> None:
    model = OnnxModel(drawn("squeezenet"))
    images = np.random.default_rng(1).random((1, *next(iter(model.inputs.values()))))
    spiking = convert(model, images)
    result = verify(model, spiking, images)
    assert result.exact, result
    assert result.largest_difference <= 1e-9 * result.largest_logit
