"""What happens between segments: a pool passes one spike of several on, a read-out is a potential."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from relu2snn.spiking.backend import TensorFlowOps
from relu2snn.spiking.nodes import Earliest, Potential


def earliest(node: Earliest, leads: Mapping[str, Any], ops: TensorFlowOps) -> Any:
    """The leads of the earliest, or latest, spike of each pool."""
    return ops.extremes([leads[name] for name in node.tensors], node.window, node.latest)


def read(node: Potential, leads: Mapping[str, Any], ops: TensorFlowOps) -> Any:
    """The potentials at t_min."""
    # Noise can delay a spike past the read-out: it has not arrived and counts nothing.
    arrived = {name: tf.maximum(leads[name], 0) for name in node.maps}
    return ops.total(node.maps, arrived) + ops.constant(node.bias)
