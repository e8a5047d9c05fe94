"""What is said of ONNX's operators that cannot be mapped: why, and what to do instead."""

from collections.abc import Mapping

from relu2snn.mapping.unsupported import CURVED, NORM

_QUANTIZED = ("it is quantized: it rounds what the network computes", "export the network before it is quantized")
_RECURRENT = ("a recurrent layer cannot be mapped", "use a convolution over the sequence")
_FLOW = ("what is computed depends on the images", "export the network without branches and loops")
_RANDOM = ("it draws at random", "export the network after model.eval()")
_JUMPS = ("it jumps, or compares", "train the network with ReLUs")
_PRODUCT = ("a product of two tensors is not piecewise linear", "multiply by weights that are constant")
UNKNOWN = ("this operator is not supported", "docs/layers.md lists those that are")

KINDS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(
        (
            "LRN", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization",
            "LpNormalization", "MeanVarianceNormalization",
        ),
        NORM,
    ),
    **dict.fromkeys(
        (
            "Elu", "Selu", "Celu", "Gelu", "Softplus", "Softsign", "Mish", "HardSwish", "Swish", "Exp", "Log", "Sqrt",
            "Pow", "Erf", "Sin", "Cos", "Reciprocal", "ReduceL2", "ReduceL1", "ReduceProd", "ReduceLogSumExp",
            "ReduceSumSquare", "LpPool", "GlobalLpPool",
        ),
        CURVED,
    ),
    **dict.fromkeys(
        (
            "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul",
            "ConvInteger", "MatMulInteger",
        ),
        _QUANTIZED,
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _RECURRENT),
    **dict.fromkeys(("If", "Loop", "Scan", "NonZero", "NonMaxSuppression", "TopK", "Unique", "Compress"), _FLOW),
    **dict.fromkeys(("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli"), _RANDOM),
    **dict.fromkeys(
        (
            "ThresholdedRelu", "Hardmax", "ArgMax", "ArgMin", "Sign", "Floor", "Ceil", "Round", "Greater", "Less",
            "Equal", "GreaterOrEqual", "LessOrEqual", "Where", "Not", "And", "Or", "Xor", "Mod", "IsNaN", "IsInf",
        ),
        _JUMPS,
    ),
    **dict.fromkeys(("Einsum", "Attention", "Det", "GridSample"), _PRODUCT),
}  # fmt: skip
