"""Scaling leaves every output as it is, and every neuron's sum of weights within its bounds."""

import keras
import numpy as np
import pytest
from test_read_keras import CHAINS, GRAPHS, LOW, build, in_float64, randomise

from relu2snn.graph.linear import input_sums
from relu2snn.graph.nodes import Network, evaluate
from relu2snn.mapping.read_keras import read_keras
from relu2snn.mapping.scaling import bounded_sums, scaled


def networks() -> dict[str, Network]:
    found = {}
    with in_float64():
        for name, (shape, steps) in CHAINS.items():
            found[name] = read_keras(build(shape, *steps()), LOW, 2.0)
        for graph in GRAPHS:
            inputs, outputs = graph()
            model = keras.Model(inputs, outputs)
            randomise(model)
            found[graph.__name__] = read_keras(model, LOW, 2.0)
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, Network]:
    return networks()


@pytest.mark.parametrize("name", [*CHAINS, *(graph.__name__ for graph in GRAPHS)])
def test_scaled_networks_are_equal_and_bounded(known: dict[str, Network], name: str) -> None:
    network = known[name]
    draw = np.random.default_rng(0)
    images = {each.name: draw.uniform(LOW, 2.0, (2, *each.shape)) for each in network.sources}
    before = evaluate(network, images)
    after_network = bounded_sums(network, -0.5, 0.4)
    after = evaluate(after_network, images)
    for readout in network.readouts:
        np.testing.assert_allclose(after[readout.name], before[readout.name], rtol=1e-9, atol=1e-9)
    for segment in after_network.segments:
        sums = input_sums(segment.maps, segment.shape[-1])
        for each in segment.populations:
            assert (each.sign * sums <= 0.4 + 1e-12).all()
            assert (each.sign * sums >= -0.5 - 1e-12).all()


def test_a_factor_that_not_all_share_is_refused(known: dict[str, Network]) -> None:
    network = known["relu6"]
    name = network.segments[0].populations[0].name
    with pytest.raises(ValueError, match=f"{network.segments[0].name!r}.*different factors"):
        scaled(network, {name: np.full(network.tensors[name][-1], 2.0)})


@pytest.mark.parametrize(("lower", "upper"), [(0.0, 0.5), (-1.0, 1.0), (-1.0, 0.0)])
def test_senseless_bounds_are_refused(known: dict[str, Network], lower: float, upper: float) -> None:
    with pytest.raises(ValueError, match="need lower < 0 < upper < 1"):
        bounded_sums(known["dense"], lower, upper)
