"""What is said of a layer that cannot be mapped: which, why, and what to do instead."""

from collections.abc import Mapping
from typing import Any


class UnsupportedLayerError(ValueError):
    """A layer that cannot be mapped: the text names the layer, its type, the reason and the way out."""


def refuse(layer: Any, reason: str, way_out: str) -> UnsupportedLayerError:
    """An error that names the layer, its type, the reason and the way out."""
    return UnsupportedLayerError(f"layer {layer.name!r} ({type(layer).__name__}): {reason}; {way_out}")


def refuse_model(model: Any, reason: str, way_out: str) -> UnsupportedLayerError:
    """An error that names a model, also one inside another, its type, the reason and the way out."""
    name = getattr(model, "name", "?")
    return UnsupportedLayerError(f"model {name!r} ({type(model).__name__}): {reason}; {way_out}")


def refuse_kind(layer: Any) -> UnsupportedLayerError:
    """An error for a layer whose type cannot be mapped."""
    return refuse(layer, *KINDS.get(type(layer).__name__, _UNKNOWN))


def refuse_operation(operation: Any) -> UnsupportedLayerError:
    """An error for a function that a functional model applies to tensors without a layer, as x + y."""
    return UnsupportedLayerError(
        f"operation {operation.name!r} ({type(operation).__name__}): it is no layer but a function of tensors, which "
        "cannot be mapped; use the layer that does the same: keras.layers.Add for x + y, ReLU for keras.ops.relu, …"
    )


def refuse_activation(layer: Any, name: str, *, follower: Any = None) -> UnsupportedLayerError:
    """An error for an activation that is no sum of ReLUs, in `layer`; `follower` is the layer that takes its values."""
    shown = f"activation {name!r}"
    if follower is None:
        return refuse(layer, f"{shown} cannot be mapped", "leave it out at the output, and apply it to what that gives")
    if name in _JUMPS:
        return refuse(layer, f"{shown} jumps", "train the network with ReLUs")
    if name in _INSIDE:
        return refuse(
            layer,
            f"{shown} is not piecewise linear and may only stand at the very end, but layer {follower.name!r} "
            f"({type(follower).__name__}) follows it",
            _INSIDE[name],
        )
    return refuse(layer, f"{shown} is not piecewise linear", "train the network with ReLUs")


_JUMPS = ("hard_shrink", "threshold")
_INSIDE: Mapping[str, str] = {
    "softmax": "leave it out",
    "log_softmax": "leave it out",
    "sigmoid": "train the network with hard_sigmoid there",
    "tanh": "train the network with hard_tanh there",
}

_UNKNOWN = ("this kind of layer is not supported", "docs/layers.md lists those that are")
_TOKENS = ("it takes whole numbers or texts and looks them up", "give the network what it makes of them")
NORM = ("it divides by what it computes of each image", "train the network with BatchNormalization")
_PRODUCT = ("a product of two tensors is not piecewise linear", "add or concatenate them instead")
CURVED = ("it is not piecewise linear", "train the network with ReLU, LeakyReLU or PReLU")
_ATTENTION = ("attention multiplies tensors, which is not piecewise linear", "use convolutions and dense layers")
_RECURRENT = ("a recurrent layer cannot be mapped", "use Conv1D over the sequence")
_OPAQUE = ("what it computes cannot be read", "replace it by layers of Keras")
_WRAPPED = (
    "a layer in a wrapper cannot be mapped",
    "use the layer itself: Dense and Conv1D take sequences as they are",
)
_SPECTRA = ("it is not piecewise linear", "give the network spectrograms")
_IMAGES = ("it changes every image by what is in it", "prepare the images before, and build the network without it")

KINDS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("Multiply", "Dot"), _PRODUCT),
    **dict.fromkeys(("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"), _OPAQUE),
    **dict.fromkeys(("LayerNormalization", "GroupNormalization", "UnitNormalization", "RMSNormalization"), NORM),
    "ELU": CURVED,
    **dict.fromkeys(("MultiHeadAttention", "GroupedQueryAttention", "Attention", "AdditiveAttention"), _ATTENTION),
    **dict.fromkeys(
        ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), _RECURRENT
    ),
    **dict.fromkeys(
        (
            "Embedding", "ReversibleEmbedding", "Discretization", "Hashing", "HashedCrossing", "CategoryEncoding",
            "StringLookup", "IntegerLookup", "TextVectorization",
        ),
        _TOKENS,
    ),
    **dict.fromkeys(("TimeDistributed", "SpectralNormalization"), _WRAPPED),
    **dict.fromkeys(
        ("AutoContrast", "Equalization", "Solarization", "ContrastLimitedAdaptiveHistogramEqualization"), _IMAGES
    ),
    **dict.fromkeys(
        (f"Adaptive{kind}Pooling{rank}D" for kind in ("Average", "Max") for rank in (1, 2, 3)),
        ("its windows differ from place to place", "use a pool with a pool_size"),
    ),
    **dict.fromkeys(("MelSpectrogram", "STFTSpectrogram"), _SPECTRA),
    "Pipeline": ("layers in it cannot be seen", "put its layers into the network, or prepare the images before"),
    "Masking": ("it leaves steps out by what is in them", "give sequences of one length, without a mask"),
    "EinsumDense": ("an einsum cannot be mapped", "use Dense, which maps the last axis, with Permute and Reshape"),
}  # fmt: skip
"""Of Keras' layers that cannot be mapped: why, and what to do instead."""
