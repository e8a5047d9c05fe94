"""ONNX networks as they are read, against ONNX's own reference implementation: every operator, and chains of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_networks import (
    agree,
    branches,
    channels_last,
    images_of,
    ints,
    network,
    node,
    normal,
    one,
    residual,
    sequence,
    shuffled,
)

from relu2snn import convert, load_onnx, verify
from relu2snn.graph.convolution import Convolution
from relu2snn.graph.nodes import Extremum
from relu2snn.mapping import OnnxModel, read_onnx
from relu2snn.mapping.read_onnx import HANDLERS, check_parity

OPERATORS: list[tuple[str, Callable[[], onnx.ModelProto]]] = [
    ("conv", lambda: one("Conv", (3, 7, 6), normal(4, 3, 3, 2), normal(4), pads=[1, 0, 2, 1], strides=[2, 1])),
    ("conv groups", lambda: one("Conv", (4, 6, 6), normal(6, 2, 3, 3), group=2, dilations=[2, 1])),
    ("depthwise", lambda: one("Conv", (3, 6, 6), normal(6, 1, 3, 3), normal(6), group=3, auto_pad="SAME_UPPER")),
    ("conv same lower", lambda: one("Conv", (2, 7, 8), normal(3, 2, 4, 3), auto_pad="SAME_LOWER", strides=[2, 3])),
    ("conv valid", lambda: one("Conv", (2, 7, 8), normal(3, 2, 4, 3), auto_pad="VALID")),
    ("conv 1d", lambda: one("Conv", (2, 9), normal(3, 2, 4), pads=[2, 1], dilations=[2])),
    ("conv 3d", lambda: one("Conv", (2, 4, 5, 4), normal(3, 2, 2, 3, 2), strides=[1, 2, 1], pads=[1, 1, 0, 0, 1, 1])),
    ("transposed", lambda: one("ConvTranspose", (3, 4, 5), normal(3, 2, 3, 3), normal(2), strides=[2, 3])),
    (
        "transposed cut",
        lambda: one(
            "ConvTranspose", (4, 4, 5), normal(4, 2, 3, 4), strides=[2, 2], pads=[1, 0, 2, 1], output_padding=[1, 0]
        ),
    ),
    ("transposed groups", lambda: one("ConvTranspose", (4, 4, 5), normal(4, 3, 3, 3), group=2, dilations=[2, 1])),
    ("transposed same", lambda: one("ConvTranspose", (2, 4), normal(2, 3, 4), strides=[3], auto_pad="SAME_UPPER")),
    (
        "transposed shape",
        lambda: one("ConvTranspose", (2, 4, 4), normal(2, 3, 3, 3), strides=[2, 2], output_shape=[8, 9]),
    ),
    ("gemm", lambda: one("Gemm", (5,), normal(5, 4), normal(4), alpha=0.5, beta=2.0)),
    ("gemm turned", lambda: one("Gemm", (5,), normal(4, 5), normal(1, 4), transB=1)),
    ("gemm without bias", lambda: one("Gemm", (5,), normal(5, 4), alpha=-1.5)),
    ("matmul", lambda: one("MatMul", (5,), normal(5, 4))),
    ("matmul of rows", lambda: one("MatMul", (3, 5), normal(5, 4))),
    ("matmul of a vector", lambda: one("MatMul", (3, 5), normal(5))),
    (
        "matmul from the left",
        lambda: network([helper.make_node("MatMul", ["w", "x"], ["y"])], {"x": [1, 3, 5]}, weights={"w": normal(4, 3)}),
    ),
    ("norm", lambda: one("BatchNormalization", (3, 4, 4), *(abs(normal(3)) + 0.1 for _ in range(4)), epsilon=1e-3)),
    ("norm opset 9", lambda: one("BatchNormalization", (3, 4), *(abs(normal(3)) + 0.1 for _ in range(4)), opset=9)),
    ("relu", lambda: one("Relu", (3, 4, 4))),
    ("leaky", lambda: one("LeakyRelu", (3, 4), alpha=0.3)),
    ("leaky as usual", lambda: one("LeakyRelu", (3, 4))),
    ("prelu of channels", lambda: one("PRelu", (3, 4, 4), normal(3, 1, 1))),
    ("prelu of elements", lambda: one("PRelu", (3, 4, 4), normal(3, 4, 4))),
    ("clip", lambda: one("Clip", (3, 4), np.float32(-0.5), np.float32(1.0))),
    ("clip below", lambda: one("Clip", (3, 4), None, np.float32(1.0))),
    ("clip above", lambda: one("Clip", (3, 4), np.float32(0.25))),
    ("clip opset 7", lambda: one("Clip", (3, 4), opset=7, min=0.0, max=6.0)),
    ("hard sigmoid", lambda: one("HardSigmoid", (3, 4), alpha=0.4, beta=0.3)),
    ("abs", lambda: one("Abs", (3, 4))),
    ("shrink", lambda: one("Shrink", (3, 4), lambd=0.4, bias=0.4)),
    ("max with a number", lambda: one("Max", (3, 4), np.float32(0.3))),
    ("min with a number", lambda: one("Min", (3, 4), np.float32(0.3))),
    ("max pool", lambda: one("MaxPool", (3, 7, 6), kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])),
    ("max pool ceil", lambda: one("MaxPool", (3, 7, 6), kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)),
    ("max pool 1d", lambda: one("MaxPool", (3, 9), kernel_shape=[3], dilations=[2])),
    ("max pool that leaves out", lambda: one("MaxPool", (3, 7, 6), kernel_shape=[1, 1], strides=[2, 3])),
    ("mean pool", lambda: one("AveragePool", (3, 7, 6), kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])),
    (
        "mean pool with pads",
        lambda: one(
            "AveragePool", (3, 7, 6), kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1], count_include_pad=1
        ),
    ),
    ("mean pool ceil", lambda: one("AveragePool", (2, 7, 6), kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)),
    ("global mean", lambda: one("GlobalAveragePool", (3, 4, 5))),
    ("global max", lambda: one("GlobalMaxPool", (3, 4, 5))),
    ("mean over space", lambda: one("ReduceMean", (3, 4, 5), axes=[2, 3], keepdims=0, opset=13)),
    ("mean over an input's axes", lambda: one("ReduceMean", (3, 4, 5), ints(-1, -2))),
    ("mean over channels", lambda: one("ReduceMean", (3, 4, 5), axes=[1], opset=13)),
    ("sum over rows", lambda: one("ReduceSum", (3, 4, 5), ints(2), keepdims=0)),
    ("max over space", lambda: one("ReduceMax", (3, 4, 5), axes=[2, 3], keepdims=0, opset=13)),
    ("min over space", lambda: one("ReduceMin", (3, 4, 5), axes=[2, 3], opset=13)),
    ("add a constant", lambda: one("Add", (3, 4, 5), normal(3, 1, 1))),
    ("add a map", lambda: one("Add", (3, 4, 5), normal(4, 5))),
    ("subtract a number", lambda: one("Sub", (3, 4), np.float32(0.7))),
    (
        "subtract from a constant",
        lambda: network([helper.make_node("Sub", ["w", "x"], ["y"])], {"x": [1, 3, 5]}, weights={"w": normal(3, 1)}),
    ),
    ("add that widens", lambda: one("Add", (3, 1, 5), normal(3, 4, 5))),
    ("multiply by channels", lambda: one("Mul", (3, 4, 5), normal(3, 1, 1))),
    ("divide by a row", lambda: one("Div", (3, 4, 5), normal(5) + 3)),
    ("negative", lambda: one("Neg", (3, 4))),
    ("sum with itself", lambda: network([helper.make_node("Sum", ["x", "x", "x"], ["y"])], {"x": [1, 3, 4]})),
    ("mean with itself", lambda: network([helper.make_node("Mean", ["x", "x"], ["y"])], {"x": [1, 3, 4]})),
    ("identity", lambda: one("Identity", (3, 4))),
    ("dropout", lambda: one("Dropout", (3, 4))),
    ("cast", lambda: one("Cast", (3, 4), to=TensorProto.FLOAT)),
    ("pad", lambda: one("Pad", (3, 4, 5), ints(0, 1, 2, 0, 0, 0, 1, 3))),
    ("pad with a number", lambda: one("Pad", (3, 4, 5), ints(0, 0, 2, 0, 0, 0, 1, 3), np.float32(0.5))),
    ("pad axes", lambda: one("Pad", (3, 4, 5), ints(1, 2), None, ints(-1))),
    ("pad opset 2", lambda: one("Pad", (3, 4, 5), opset=7, pads=[0, 0, 1, 1, 0, 0, 1, 1])),
    ("pad reflected", lambda: one("Pad", (3, 4, 5), ints(0, 0, 2, 1, 0, 0, 1, 3), mode="reflect")),
    ("pad edge", lambda: one("Pad", (3, 4, 5), ints(0, 0, 2, 1, 0, 0, 1, 3), mode="edge")),
    ("pad crop", lambda: one("Pad", (3, 4, 5), ints(0, 0, -1, 1, 0, 0, 0, -2))),
    ("slice", lambda: one("Slice", (3, 6, 5), ints(1, 0), ints(5, 4), ints(2, 3), ints(2, 1))),
    ("slice of channels", lambda: one("Slice", (5, 6), ints(1), ints(100), ints(1))),
    ("slice backwards", lambda: one("Slice", (5, 6), ints(-1), ints(-100), ints(2), ints(-1))),
    ("slice opset 7", lambda: one("Slice", (5, 6, 4), opset=7, starts=[1, 0], ends=[4, -1], axes=[1, 3])),
    ("transpose", lambda: one("Transpose", (3, 4, 5), perm=[0, 2, 3, 1])),
    ("reshape", lambda: one("Reshape", (3, 4, 5), ints(0, -1, 4))),
    ("flatten", lambda: one("Flatten", (3, 4, 5))),
    ("squeeze", lambda: one("Squeeze", (3, 1, 5), ints(2))),
    ("unsqueeze", lambda: one("Unsqueeze", (3, 5), ints(-1, 2))),
    ("expand", lambda: one("Expand", (3, 1, 5), ints(1, 3, 4, 5))),
    ("tile", lambda: one("Tile", (3, 2, 5), ints(1, 2, 1, 2))),
    ("gather", lambda: one("Gather", (5, 4), ints(3, 0, -1), axis=1)),
    ("gather a row", lambda: one("Gather", (5, 4, 3), np.array(1), axis=2)),
    ("depth to space", lambda: one("DepthToSpace", (8, 3, 2), blocksize=2)),
    ("depth to space CRD", lambda: one("DepthToSpace", (8, 3, 2), blocksize=2, mode="CRD")),
    ("space to depth", lambda: one("SpaceToDepth", (2, 4, 6), blocksize=2)),
    ("upsample", lambda: one("Upsample", (2, 3, 4), np.array([1, 1, 2, 3.0]), opset=9)),
    (
        "resize",
        lambda: one(
            "Resize",
            (2, 3, 4),
            None,
            np.array([1, 1, 2.0, 2.0]),
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
    ),
    ("resize as usual", lambda: one("Resize", (2, 3, 4), None, np.array([1, 1, 2.0, 1.5]))),
    (
        "resize to sizes",
        lambda: network(
            [helper.make_node("Resize", ["x", "", "", "w"], ["y"])], {"x": [1, 2, 3, 4]}, weights={"w": [1, 2, 5, 6]}
        ),
    ),
    ("softmax", lambda: one("Softmax", (5,))),
    ("log softmax", lambda: one("LogSoftmax", (5,), axis=1)),
    ("sigmoid", lambda: one("Sigmoid", (5,))),
]


@pytest.mark.parametrize("build", [build for _, build in OPERATORS], ids=[name for name, _ in OPERATORS])
def test_every_operator_is_what_onnx_says(build: Callable[[], onnx.ModelProto]) -> None:
    (found,) = agree(build(), count=1 if build().graph.input[0].type.tensor_type.shape.dim[0].dim_value else 3)
    assert np.ptp(found) > 0


def test_every_operator_that_is_read_is_tried() -> None:
    tried = {node.op_type for _, build in OPERATORS for node in build().graph.node}
    # They need several tensors; networks below have them.
    assert set(HANDLERS) - tried == {"Concat", "Split", "Tanh"}


def two_inputs() -> onnx.ModelProto:
    nodes = [
        node("Conv", "x/1 w1", "a"),
        node("Relu", "a", "b"),
        node("Flatten", "b", "c"),
        node("Concat", "c x.2", "d", axis=1),
        node("Gemm", "d w2", "y"),
    ]
    weights = {"w1": normal(2, 1, 3, 3), "w2": normal(21, 3)}
    return network(nodes, {"x/1": ["batch", 1, 5, 5], "x.2": ["batch", 3]}, weights=weights)


NETWORKS = [residual, shuffled, branches, channels_last, sequence]


@pytest.mark.parametrize("build", NETWORKS)
def test_networks_are_what_onnx_says_and_their_spiking_ones_exact(build: Callable[[], onnx.ModelProto]) -> None:
    proto = build()
    agree(proto, low=-1.0, high=1.0)
    (images,) = images_of(OnnxModel(proto), 20, low=-1.0, high=1.0)
    for mapping in ("reference", "published"):
        spiking = convert(proto, images, low=-1, high=1, mapping=mapping)
        result = verify(proto, spiking, images)
        assert result.exact, result
        assert result.largest_difference <= 1e-9 * result.largest_logit
    model = OnnxModel(proto)
    assert spiking.input_shape == (None, *model.inputs["x"])
    assert result.agreement == (None if build is branches else 1.0)


def test_several_inputs_go_by_names_that_keras_can_have() -> None:
    model = OnnxModel(two_inputs())
    assert model.inputs == {"x_1": (1, 5, 5), "x_2": (3,)}
    agree(two_inputs())
    images = dict(zip(model.inputs, images_of(model, 10, low=0, high=1), strict=True))
    assert verify(model, convert(model, images), images).exact


def test_a_flatten_costs_nothing_the_rows_of_the_matrix_move() -> None:
    segments = read_onnx(OnnxModel(residual())).readouts
    (map_,) = segments[0].maps.values()
    assert isinstance(map_, Convolution) or map_.begins_with_reshape
    assert any(isinstance(each, Extremum) for each in read_onnx(OnnxModel(residual())))


def test_of_a_range_for_each_channel_that_of_all_is_taken() -> None:
    (source,) = read_onnx(OnnxModel(residual()), low=[-1, -2, 0], high=[1, 2, 3]).sources
    assert (source.low, source.high) == (-2.0, 3.0)
    images = images_of(OnnxModel(residual()), 8, low=-1.0, high=1.0)[0]
    spiking = convert(residual(), images, low=[-1, -2, -1], high=[1, 2, 3])
    assert verify(residual(), spiking, images).exact


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_windows_are_those_of_onnx_whatever_their_numbers(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 2))
    sides = data.draw(st.lists(st.integers(4, 9), min_size=rank, max_size=rank))
    sizes, strides, rates = (
        data.draw(st.lists(st.integers(1, top), min_size=rank, max_size=rank)) for top in (3, 3, 2)
    )
    pads = [data.draw(st.integers(0, max(size - 1, 0))) for size in (*sizes, *sizes)]
    auto = data.draw(st.sampled_from([None, None, "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        # Where a stride leaves cells out, the implementation pads by less than nothing.
        strides = [min(pair) for pair in zip(sizes, strides, strict=True)]
    kind = data.draw(st.sampled_from(["Conv", "MaxPool", "AveragePool", "ConvTranspose"]))
    options: dict[str, Any] = {"kernel_shape": sizes, "strides": strides}
    if kind in ("MaxPool", "AveragePool"):
        options["ceil_mode"] = data.draw(st.integers(0, 1)) if auto is None else 0
        # The implementation counts pads otherwise than it says where ceil_mode reaches past them.
        options |= (
            {"count_include_pad": data.draw(st.integers(0, 1))}
            if kind == "AveragePool" and not options["ceil_mode"]
            else {}
        )
    else:
        options["dilations"] = rates if auto is None else [1] * rank
    options |= {"pads": pads} if auto is None else {"auto_pad": auto}
    weights = [] if "Pool" in kind else [normal(4, 2, *sizes), normal(4)]
    options |= {"group": 2} if weights else {}
    if kind == "ConvTranspose":
        weights = [normal(4, 3, *sizes), normal(6)]
    agree(one(kind, (4, *sides), *weights, **options))


REFUSED: list[tuple[str, Callable[[], onnx.ModelProto], str]] = [
    ("lrn", lambda: one("LRN", (3, 4, 4), size=3), r"node 'node' \(LRN\): it divides by what it computes of"),
    ("elu", lambda: one("Elu", (3, 4)), r"\(Elu\): it is not piecewise linear; train the network with ReLU"),
    ("quantized", lambda: one("QuantizeLinear", (3, 4), 0.1), r"\(QuantizeLinear\): it is quantized"),
    ("product", lambda: network([node("Mul", "x x", "y")], {"x": [1, 3]}), "a product of two tensors is not piecewise"),
    ("attention", lambda: network([node("MatMul", "x x", "y")], {"x": [1, 3, 3]}), "a product of two tensors"),
    ("division", lambda: network([node("Div", "x x", "y")], {"x": [1, 3]}), "dividing by what is computed from the"),
    ("rounding", lambda: one("Cast", (3,), to=TensorProto.FLOAT16), r"it rounds what the network computes \(to=10\)"),
    (
        "softmax inside",
        lambda: network([node("Softmax", "x", "a"), node("Relu", "a", "y")], {"x": [1, 3]}),
        r"node 'y_node' \(Relu\): it follows a softmax, which is not piecewise linear",
    ),
    ("softmax of the batch", lambda: one("Softmax", (3, 4), axis=0), "axis=0 is the batch"),
    (
        "weights of the images",
        lambda: network([node("Conv", "x x", "y")], {"x": [1, 3, 4, 4]}),
        "its kernel is computed from the images",
    ),
    ("nan", lambda: one("Gemm", (3,), [[0.5, np.nan]] * 3), r"its matrix is nan at \(0, 1\); every weight must be"),
    (
        "constant",
        lambda: network(
            [node("Relu", "w", "y"), node("Relu", "x", "z")], {"x": [1, 3]}, ("y", "z"), weights={"w": [1.0]}
        ),
        "output 'y': it does not depend on the images",
    ),
    (
        "training",
        lambda: one("BatchNormalization", (3, 4), *(abs(normal(3)) for _ in range(4)), training_mode=1),
        "export the network after model.eval",
    ),
    (
        "unknown",
        lambda: network([helper.make_node("Mine", ["x"], ["y"], domain="my.own")], {"x": [1, 3]}),
        "no valid ONNX network|this operator is not supported",
    ),
    (
        "bilinear",
        lambda: one("Resize", (2, 3, 4), None, np.array([1, 1, 2, 2.0]), mode="linear"),
        "mode='linear'; use mode='nearest'",
    ),
    ("jump", lambda: one("ThresholdedRelu", (3,)), "it jumps, or compares"),
    (
        "indices",
        lambda: network([node("MaxPool", "x", "y z", kernel_shape=[2, 2])], {"x": [1, 3, 4, 4]}, ("y", "z")),
        "its indices are used",
    ),
    (
        "recurrent",
        lambda: one("LSTM", (3, 4), normal(1, 8, 4), normal(1, 8, 2), hidden_size=2),
        "a recurrent layer cannot be mapped",
    ),
    (
        "huge constant",
        lambda: network(
            [node("ConstantOfShape", "w", "a"), node("Add", "x a", "y")],
            {"x": [1, 3]},
            weights={"w": ints(10**6, 10**6)},
        ),
        r"it makes 1e\+12 numbers of constants",
    ),
]


@pytest.mark.parametrize(("build", "message"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_what_cannot_be_mapped_is_refused_by_name(build: Callable[[], onnx.ModelProto], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_onnx(OnnxModel(build()))
    assert "\n" not in str(caught.value)


OPEN: list[tuple[str, Callable[[], OnnxModel], str]] = [
    (
        "sides",
        lambda: OnnxModel(network([node("Relu", "x", "y")], {"x": ["n", 3, "h", "w"]})),
        r"input 'x' is \(\?, 3, \?, \?\), open but for the batch; give its shape",
    ),
    (
        "a batch of 8",
        lambda: OnnxModel(network([node("Relu", "x", "y")], {"x": [8, 3]})),
        r"input 'x' is \(8, 3\), 8 images at once; export it for one image",
    ),
    (
        "half precision",
        lambda: OnnxModel(network([node("Relu", "x", "y")], {"x": [1, 3]}, kind=TensorProto.FLOAT16)),
        "input 'x' is FLOAT16, but the network must compute in FLOAT",
    ),
    ("a shape of another input", lambda: OnnxModel(residual(), shapes={"z": (1, 3)}), "no input 'z'; its inputs are x"),
    (
        "a shape that contradicts",
        lambda: OnnxModel(residual(), shapes={"x": (1, 4, 8, 8)}),
        r"shape \(1, 4, 8, 8\) for input 'x', which is \(\?, 3, 8, 8\)",
    ),
    ("no network", lambda: OnnxModel(onnx.ModelProto()), "no valid ONNX network"),
    (
        "an old opset",
        lambda: OnnxModel(network([node("Relu", "x", "y")], {"x": [1, 3]}, opset=6)),
        "opset 6, but 7 is the oldest that is read; convert it with onnx.version_converter",
    ),
]


@pytest.mark.parametrize(("build", "message"), [each[1:] for each in OPEN], ids=[each[0] for each in OPEN])
def test_what_is_open_of_a_file_is_said(build: Callable[[], OnnxModel], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_open_sides_can_be_given() -> None:
    proto = network([node("Conv", "x w", "y")], {"x": ["n", 2, "h", "w"]}, weights={"w": normal(2, 2, 3, 3)})
    assert OnnxModel(proto, shapes={"x": (1, 2, 6, 7)}).inputs == {"x": (2, 6, 7)}


def test_a_network_that_is_read_wrongly_is_not_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first node that differs is named, not the last."""
    right = HANDLERS["BatchNormalization"]
    monkeypatch.setitem(
        HANDLERS,
        "BatchNormalization",
        lambda builder, each, given: right(builder, each, [given[0], *given[1:4], 1.01 * given[4]]),
    )
    images = images_of(OnnxModel(residual()), 4)[0]
    with pytest.raises(ValueError, match=r"node 'n_node' \(BatchNormalization\) differs from ONNX's own by .* in 'n'"):
        convert(residual(), images, low=-1, high=2)


def test_numbers_that_leave_others_no_digits_are_not_called_read_wrongly() -> None:
    nodes = [node("Gemm", "x w", "a"), node("Clip", "a low high", "y")]
    known = {"w": normal(3, 4) * 1e30, "low": 0.0, "high": 1.5}
    proto = network(nodes, {"x": ["n", 3]}, weights=known)
    with pytest.raises(ValueError, match=r"after numbers of up to \S*e\+30; mend|leave it no digits"):
        convert(proto, np.random.default_rng(0).random((4, 3)))
    squared = network(
        [node("Gemm", f"{'x' if not k else f'a{k}'} w", f"a{k + 1}") for k in range(9)],
        {"x": ["n", 4]}, ("a9",), weights={"w": np.full((4, 4), 3e38)},
    )  # fmt: skip
    with pytest.raises(ValueError, match="not finite"):
        convert(squared, np.random.default_rng(0).random((4, 4)))


def test_images_that_are_one_batch_to_the_file_are_found_out() -> None:
    """A softmax aside, nothing may go from one image to another: here the rows are turned over the batch."""
    nodes = [
        node("Reshape", "x all", "a"),
        node("ReduceSum", "a axes", "b"),
        node("Mul", "b zero", "c"),
        node("Add", "x b", "y"),
    ]
    weights = {"all": ints(-1, 1), "axes": ints(0), "zero": 0.0}
    proto = network(nodes[:2] + nodes[3:], {"x": ["n", 3]}, weights={key: weights[key] for key in ("all", "axes")})
    with pytest.raises(ValueError, match="the batch is no axis like others"):
        convert(proto, np.random.default_rng(0).random((4, 3)))


# Files


def test_weights_beside_a_file_are_read_and_nothing_outside_its_folder(tmp_path: Any) -> None:
    folder = tmp_path / "network"
    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save_model(residual(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = load_onnx(path)
    images = images_of(model, 3)
    for a, b in zip(model.run(images, ["y"]), OnnxModel(residual()).run(images, ["y"]), strict=True):
        np.testing.assert_array_equal(a, b)
    proto = onnx.load_model(path, load_external_data=False)
    (tmp_path / "outside.bin").write_bytes((folder / "weights.bin").read_bytes())
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    for location in ("../outside.bin", str(tmp_path / "outside.bin"), "link.bin", "missing.bin", ""):
        for each in proto.graph.initializer:
            for entry in each.external_data:
                entry.value = location if entry.key == "location" else entry.value
        path.write_bytes(proto.SerializeToString())
        with pytest.raises(ValueError, match=r"weight '\w+' lies in .* which is no file in the network's folder"):
            load_onnx(path)
    for each in proto.graph.initializer:
        for entry in each.external_data:
            entry.value = {"location": "weights.bin", "length": str(10**12)}.get(entry.key, entry.value)
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ValueError, match=r"but it has .*; copy it again"):
        load_onnx(path)


def test_a_file_that_is_none_is_said_in_a_line(tmp_path: Any) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(FileNotFoundError):
        load_onnx(path)
    for content in (b"", b"not an ONNX file", residual().SerializeToString()[:-50]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.onnx: no ") as caught:
            load_onnx(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match=r"not a path: give relu2snn\.load_onnx"):
        convert(str(path), np.zeros((1, 3)))


def test_parity_is_asked_of_a_network_as_it_is_scaled() -> None:
    model = OnnxModel(residual())
    network_ = read_onnx(model, -1.0, 2.0)
    images = images_of(model, 2)
    right = model.run(images, ["l"])
    check_parity(model, network_, images, right)
    with pytest.raises(
        ValueError, match="its outputs differ from ONNX's own, though no node's do, after numbers of up to"
    ):
        check_parity(model, network_, images, [right[0] * (1 + 1e-6)])
