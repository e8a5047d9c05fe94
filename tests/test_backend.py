"""TensorFlow's operations on linear maps, beside numpy's."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from test_read_keras import CHAINS, GRAPHS, LOW
from test_scaling import networks

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.nodes import Extremum, Network, Readout, Segment, evaluate
from relu2snn.spiking.backend import TensorFlowOps


@pytest.fixture(scope="module")
def known() -> dict[str, Network]:
    return networks()


def compiled(ops: TensorFlowOps, maps: Any) -> Any:
    return tf.function(lambda given: ops.total(maps, given))


@pytest.mark.parametrize("name", [*CHAINS, *(graph.__name__ for graph in GRAPHS)])
def test_every_map_and_pool_is_the_same_as_in_numpy(known: dict[str, Network], name: str) -> None:
    network, ops, plain = known[name], TensorFlowOps(tf.float64), NumpyOps()
    draw = np.random.default_rng(0)
    values = evaluate(network, {each.name: draw.uniform(LOW, 2.0, (2, *each.shape)) for each in network.sources})
    for node in network:
        if isinstance(node, Segment | Readout):
            expected = sum(map_.apply(values[tensor], plain) for tensor, map_ in node.maps.items())
            given = {tensor: tf.constant(values[tensor]) for tensor in node.maps}
            found = compiled(ops, node.maps)(given)
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
        elif isinstance(node, Extremum):
            for tensor in node.tensors:
                expected = plain.extremum(values[tensor], node.window, node.minimum)
                found = ops.extremum(tf.constant(values[tensor]), node.window, node.minimum)
                np.testing.assert_array_equal(found, expected)
