"""Writes docs/layers.md, the layers of Keras and operators of ONNX that are mapped, of the tables of the readers.

    python scripts/layer_page.py

A layer that no row of this file takes ends it, so that what is new gets a row.
"""

import re
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from relu2snn.mapping import onnx_unsupported, unsupported
from relu2snn.mapping.activations import ENDS, LINEAR
from relu2snn.mapping.keras_layers import HANDLERS, NOTHING, SIZING
from relu2snn.mapping.onnx_nodes import FOLDED

PAGE = Path(__file__).resolve().parents[1] / "docs" / "layers.md"

Rows = Iterable[tuple[str, str]]

KERAS: Rows = (
    ("dense, on the last axis of whatever shape", "Dense"),
    (
        "convolutions: strides, dilation, groups, `same`, `valid`, `causal`",
        r"Conv\dD|DepthwiseConv\dD|SeparableConv\dD|Conv\dDTranspose",
    ),
    ("normalising, anywhere", "BatchNormalization|Normalization|Rescaling"),
    ("pools", r"(Global)?(Max|Average)Pooling\dD"),
    (
        "moving values; up-sampling to the nearest",
        r"ZeroPadding\dD|Cropping\dD|UpSampling\dD|Flatten|Reshape|Permute|RepeatVector",
    ),
    ("joining branches", "Add|Subtract|Average|Concatenate|Maximum|Minimum"),
    ("activations, with `max_value` and `negative_slope`", "Activation|ReLU|LeakyReLU|PReLU"),
    ("at the very end, of the last axis, left out of what the spiking network gives", "Softmax"),
)
ONNX: Rows = (
    (
        "convolutions: groups, strides, dilation, explicit pads and `auto_pad`; normalising",
        "Conv(Transpose)?|BatchNormalization",
    ),
    ("averages (`count_include_pad`, `ceil_mode`)", "(Global)?AveragePool"),
    ("matrices with constant weights; sums along axes", "Gemm|MatMul|ReduceMean|ReduceSum"),
    ("extrema, of axes in space; padding is never one", "(Global)?MaxPool|ReduceMax|ReduceMin|Max|Min"),
    ("activations; `Shrink` where it is soft", "Relu|LeakyRelu|PRelu|Clip|HardSigmoid|Abs|Shrink"),
    ("joining; constants of any shape that is broadcast", "Add|Sum|Sub|Mean|Mul|Div|Neg|Concat"),
    (
        "moving elements",
        "Reshape|Flatten|Squeeze|Unsqueeze|Transpose|Slice|Split|Gather|Pad|Expand|Tile|DepthToSpace|SpaceToDepth",
    ),
    ("nearest neighbours", "Resize|Upsample"),
    ("nothing at inference; `Cast` to float32 or float64", "Identity|Dropout|Cast"),
    ("at the very end, left out of what the spiking network gives", "Softmax|LogSoftmax|Sigmoid|Tanh"),
)

TEXT = """\
# Layers and operators that are mapped

Made by `scripts/layer_page.py` of the tables that the readers go by; a test compares. Anything else is refused before
an image is read, in one line that names the layer, the reason and what to do instead.

## Keras

A Keras model, functional or Sequential, of any graph of these layers becomes a single-spike network that computes it
exactly. Layers may be shared, models may stand in models, and there may be several inputs and outputs. Sides of the
input must be given, tensors are `channels_last`, and layers compute in float32 or float64.

{keras}

**Activations** by name or function, of Keras, `keras.ops` or `tf.nn`, in `Activation` or as `activation=` of a layer:
{linear}; and at the very end, left out of what the spiking network gives: {ends}. `ReLU`, `LeakyReLU`, `PReLU` and
`Softmax` may be given as `activation=`, too.

**Nothing at inference**, and taken as that: {nothing}. {sizing} are, too, where they give images of the size that
they are given.

### What is refused

{keras_refused}

Any other layer, also one of your own, is *not supported*. A layer of the tables above is refused for a value that
makes it another function: a `ReLU` with a `threshold`, an `UpSampling2D` that is not `nearest`, `channels_first`,
half precision, quantised weights, numbers that are not finite.

## ONNX

Opset 7 and later, images of rank 1 to 3. [Networks in ONNX](onnx.md) says how they are read.

{onnx}

`Constant`, and whatever is computed of constants and of the images' shape, is computed beforehand: {folded}.

### What is refused of ONNX

{onnx_refused}

Any other operator is *not supported*.
"""


def text() -> str:
    """The page as it has to be."""
    keras = [kind.__name__ for kind in HANDLERS]
    return TEXT.format(
        keras=table("layers", KERAS, keras),
        linear=listed(("linear", *LINEAR)),
        ends=listed(ENDS),
        nothing=listed(sorted(kind.__name__ for kind in NOTHING)),
        sizing=listed(kind.__name__ for kind in SIZING),
        keras_refused=refused(unsupported.KINDS),
        onnx=table("operators", ONNX, read_onnx_handlers()),
        folded=listed(sorted(FOLDED)),
        onnx_refused=refused(onnx_unsupported.KINDS),
    )


def read_onnx_handlers() -> Collection[str]:
    """Operators by their names; `read_onnx` is the function of that name in the package."""
    found: Collection[str] = sys.modules["relu2snn.mapping.read_onnx"].HANDLERS
    return found


def table(title: str, rows: Rows, names: Collection[str]) -> str:
    """A row of each kind, with the names that it takes, in the reader's order."""
    taken = {what: [name for name in names if re.fullmatch(pattern, name)] for what, pattern in rows}
    found = [name for each in taken.values() for name in each]
    if sorted(found) != sorted(names) or not all(taken.values()):
        raise ValueError(f"{set(names) ^ set(found)} of {title}: give each one row of scripts/layer_page.py")
    lines = [f"| what | {title} |", "|---|---|", *(f"| {what} | {listed(own)} |" for what, own in taken.items())]
    return "\n".join(lines)


def refused(kinds: Mapping[str, tuple[str, str]]) -> str:
    """What is said of each kind, those of which the same is said together."""
    said: dict[tuple[str, str], list[str]] = {}
    for name, reason in kinds.items():
        said.setdefault(reason, []).append(name)
    lines = ["| kind | why | instead |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {listed(own)} | {why} | {instead} |" for (why, instead), own in said.items())])


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
