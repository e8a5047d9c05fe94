"""Activation functions as sums of ReLUs of one z, by the names that frameworks give them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from relu2snn.mapping.form import RELU, Array, Term

Sum = tuple[tuple[Term, ...], float]
"""Terms and a constant: Σ coefficient · ReLU(sign z + offset) + constant."""

ENDS = ("softmax", "log_softmax", "sigmoid", "tanh")
"""Functions that are no sums of ReLUs, but may stand at the very end: they are left out of what the potentials say."""


def leaky(slope: Array | float) -> Sum:
    """ReLU(z) − slope ReLU(−z), for any slope () or (channels,) or of z's shape."""
    return (*RELU, Term(-np.asarray(slope, np.float64), -1)), 0.0


def clipped(low: float, high: float, *, factor: float = 1.0) -> Sum:
    """factor · clip(z, low, high) = factor (ReLU(z − low) − ReLU(z − high) + low)."""
    rising = Term(np.asarray(factor), 1, -low)
    return (rising, Term(np.asarray(-factor), 1, -high)), factor * low


def relu(*, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0) -> Sum:
    """Keras' ReLU: max_value above it, z from threshold on, negative_slope (z − threshold) below.

    Raises ValueError for one that jumps at its threshold.
    """
    if threshold != 0:
        raise ValueError(f"threshold={threshold} makes it jump from 0 to {threshold}; use threshold=0")
    # Keras clips with a constant that it takes as float32.
    terms, constant = (RELU, 0.0) if max_value is None else clipped(0.0, float(np.float32(max_value)))
    if negative_slope:
        terms = (*terms, *leaky(negative_slope)[0][1:])
    return terms, constant


def shrunk(threshold: float) -> Sum:
    """Soft shrinking: ReLU(z − threshold) − ReLU(−z − threshold)."""
    return (Term(np.ones(()), 1, -threshold), Term(-np.ones(()), -1, -threshold)), 0.0


LINEAR: Mapping[str, Callable[..., Sum]] = {
    "relu": relu,
    "relu6": lambda: clipped(0.0, 6.0),
    # TensorFlow takes the slope as float32.
    "leaky_relu": lambda negative_slope=0.2: leaky(np.float64(np.float32(negative_slope))),
    # Of Keras 3 and TensorFlow's ops: relu6(z + 3) / 6.
    "hard_sigmoid": lambda: (clipped(-3.0, 3.0, factor=1 / 6)[0], 0.0),
    "hard_tanh": lambda: clipped(-1.0, 1.0),
    "sparse_sigmoid": lambda: (clipped(-1.0, 1.0, factor=0.5)[0], 0.0),
    "soft_shrink": lambda threshold=0.5: shrunk(threshold),
}
"""By name: what each piecewise-linear function is, from its options."""


def function_name(function: Any) -> str:
    """The name of an activation function of Keras or TensorFlow; "" for anybody else's."""
    if function is None:
        return "linear"
    # Not those of Keras 2 (tf_keras), whose hard_sigmoid is another.
    module = str(getattr(function, "__module__", ""))
    known = module.partition(".")[0] in ("keras", "tensorflow")
    return str(getattr(function, "__name__", "")).removesuffix("_v2") if known else ""
