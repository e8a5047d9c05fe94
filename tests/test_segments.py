"""The simulation of any graph beside brute force: every neuron walked event by event, in plain numpy."""

from typing import Any

import numpy as np
import oracle
import pytest
from numpy.typing import NDArray
from test_read_keras import CHAINS, GRAPHS, LOW
from test_scaling import networks

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.nodes import Extremum, Network, Readout, Segment, evaluate
from relu2snn.mapping.scaling import bounded_sums
from relu2snn.mapping.translate import to_spiking
from relu2snn.spiking.nodes import SpikingNetwork
from relu2snn.spiking.simulation import Outcome, Simulation

Array = NDArray[np.float64]
NAMES = [*CHAINS, *(graph.__name__ for graph in GRAPHS)]
OPS = NumpyOps()
QUIET = ("cropping3d", "no hidden layer")
"""Networks whose neurons are too few to spike early."""


@pytest.fixture(scope="module")
def known() -> dict[str, Network]:
    return {name: bounded_sums(network) for name, network in networks().items()}


def rows(map_: Any) -> Array:
    """The matrix of a map, (outputs, inputs)."""
    size = int(np.prod(map_.inputs))
    return np.asarray(map_.apply(np.eye(size).reshape(size, *map_.inputs), OPS)).reshape(size, -1).T


def oracle_nodes(network: Network, maxima: dict[str, float], zeta: float) -> list[Any]:
    """The nodes of a network as the oracle takes them: matrices, and pools as lists of cells."""
    found: list[Any] = []
    for node in network:
        match node:
            case Extremum():
                shape, window, channels = network.tensors[node.tensors[0]], node.window, node.shape[-1]
                places = oracle.cells_of_pools(
                    shape[:-1], window.sizes, window.strides, window.dilation, window.margins
                )
                cells = [[cell * channels + c for cell in each] for each in places for c in range(channels)]
                minimum = np.tile(node.minimum, len(places))
                found.append(oracle.Extremum(node.name, node.tensors, cells, minimum))
            case Readout():
                weights = {name: rows(map_) for name, map_ in node.maps.items()}
                found.append(oracle.Readout(node.name, weights, flat(node.bias, node.shape)))
            case Segment():
                weights = {name: rows(map_) for name, map_ in node.maps.items()}
                sums = flat(sum(map_.sums(OPS) for map_ in node.maps.values()), node.shape)
                populations = tuple(
                    oracle.Population(
                        each.name, each.sign, flat(each.offset, node.shape), each.sign * sums, np.ones(len(sums))
                    )
                    for each in node.populations
                )
                largest = max(maxima[each.name] for each in node.populations)
                length = (1 + zeta) * (largest or 1.0)
                found.append(oracle.Segment(weights, flat(node.bias, node.shape), populations, length))
    return found


def flat(values: Any, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(values, shape).ravel().astype(float)


def maxima_of(network: Network, values: dict[str, Array]) -> dict[str, float]:
    return {name: float(values[name].max()) for name in network.populations}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", NAMES)
def test_every_spike_is_that_of_brute_force(known: dict[str, Network], name: str) -> None:
    network = known[name]
    draw = np.random.default_rng(3)
    both = {each.name: draw.uniform(LOW, 2.0, (2, *each.shape)) for each in network.sources}
    maxima = maxima_of(network, evaluate(network, both))
    # Every event of every neuron in Python takes long: both images only where many spike early.
    for chosen, zeta in ((part_of(both, 1, 2), -0.4), (both, -0.8)):
        spiking = to_spiking(network, maxima, mapping="published", zeta=zeta)
        outcome = Simulation(spiking, keep=list(spiking.shapes))(chosen)
        nodes, count = oracle_nodes(network, maxima, zeta), len(next(iter(chosen.values())))
        early = sum(compare(network, spiking, nodes, outcome, chosen, image) for image in range(count))
        assert sum(each.early for each in outcome.evidence.values()) == early
        # A comparison without them would say nothing about the first-crossing rule.
        assert early > 0 or zeta > -0.8 or name in QUIET


def part_of(images: dict[str, Array], first: int, stop: int) -> dict[str, Array]:
    return {name: each[first:stop] for name, each in images.items()}


def compare(
    network: Network, spiking: SpikingNetwork, nodes: list[Any], outcome: Outcome, images: dict[str, Array], image: int
) -> int:
    """Assert that all spikes and potentials of one image are those of brute force; returns how many came early."""
    encoders = {each.image: each.name for each in spiking.encoders}
    pixels = {
        each.name: ((images[each.name][image] - each.low) / (each.high - each.low)).ravel() for each in network.sources
    }
    times, windows, potentials = oracle.run_graph(nodes, pixels, {})
    for tensor, expected in times.items():
        found = windows[tensor][1] - outcome.leads[encoders.get(tensor, tensor)][image].ravel()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=tensor)
    for each, window in spiking.windows.items():
        assert window == pytest.approx(windows[each])
    for output, expected in potentials.items():
        found = outcome.potentials[output][image].ravel()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=output)
    early = 0
    for each in network.populations:
        t_min, t_max = windows[each]
        early += int((times[each] < t_min - 1e-9 * (t_max - t_min)).sum())
    return early
