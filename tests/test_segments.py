"""The simulation of any graph beside brute force: every neuron walked event by event, in plain numpy."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from oracle import spike_time
from relu2snn.spiking.simulation import Simulation
from test_read_keras import CHAINS, GRAPHS, LOW
from test_scaling import networks

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.nodes import Extremum, Network, Readout, Segment, Source, evaluate
from relu2snn.mapping.published import to_spiking
from relu2snn.mapping.scaling import bounded_sums

Array = NDArray[np.float64]
NAMES = [*CHAINS, *(graph.__name__ for graph in GRAPHS)]
OPS = NumpyOps()


@pytest.fixture(scope="module")
def known() -> dict[str, Network]:
    return {name: bounded_sums(network) for name, network in networks().items()}


def rows(map_: Any) -> Array:
    """The matrix of a map, (outputs, inputs)."""
    size = int(np.prod(map_.inputs))
    return np.asarray(map_.apply(np.eye(size).reshape(size, *map_.inputs), OPS)).reshape(size, -1).T


def brute_force(network: Network, images: dict[str, Array], maxima: dict[str, float], zeta: float) -> dict[str, Array]:
    """Decoded values of every tensor and read-out of one image: t_max − t, each neuron simulated by itself.

    Absolute times; an input whose window ends before t_min is delayed, and so is the clock that fills up the sums.
    """
    times: dict[str, Array] = {}
    windows: dict[str, tuple[float, float]] = {}
    outputs: dict[str, Array] = {}
    for node in network:
        match node:
            case Source():
                times[node.name] = 1 - (images[node.name] - node.low) / (node.high - node.low)
                windows[node.name] = (0.0, 1.0)
            case Extremum():
                end = max(windows[name][1] for name in node.tensors)
                length = max(windows[name][1] - windows[name][0] for name in node.tensors)
                moved = [times[name] + end - windows[name][1] for name in node.tensors]
                pooled = [-OPS.extremum(-each[None], node.window, node.minimum)[0] for each in moved]
                times[node.name] = np.where(node.minimum, np.max(pooled, axis=0), np.min(pooled, axis=0))
                windows[node.name] = (end - length, end)
            case Segment() | Readout():
                t_min = max(windows[name][1] for name in node.maps)
                t_start = t_min - max(windows[name][1] - windows[name][0] for name in node.maps)
                arrivals = np.concatenate([np.ravel(times[name] + t_min - windows[name][1]) for name in node.maps])
                weights = np.concatenate([rows(map_) for map_ in node.maps.values()], axis=1)
                bias = np.broadcast_to(node.bias, node.shape).ravel()
                if isinstance(node, Readout):
                    outputs[node.name] = (bias + weights @ (t_min - arrivals)).reshape(node.shape)
                    continue
                sums = np.tile(sum(map_.sums(OPS) for map_ in node.maps.values()), weights.shape[0] // node.shape[-1])
                B = (1 + zeta) * (maxima[node.name] or 1.0)  # noqa: N806
                for each in node.populations:
                    own = each.sign * weights
                    total = each.sign * sums
                    shift = np.broadcast_to(each.offset, node.shape).ravel()
                    spikes = np.empty(len(bias))
                    for i, (w, b) in enumerate(zip(own, each.sign * bias + shift, strict=True)):
                        J = np.append(w, total[i] - w.sum()) / (1 - total[i])  # noqa: N806
                        theta = (t_min - t_start) + B + B * J.sum() - (1 + J.sum()) * b
                        spikes[i] = spike_time(J, theta, 1.0, np.append(arrivals, t_min), t_start, t_min + B)
                    times[each.name] = spikes.reshape(node.shape)
                    windows[each.name] = (t_min, t_min + B)
    return {name: windows[name][1] - each for name, each in times.items()} | outputs


def maxima_of(network: Network, values: dict[str, Array]) -> dict[str, float]:
    return {node.name: max(float(values[each.name].max()) for each in node.populations) for node in network.segments}


@pytest.mark.parametrize("zeta", [0.5, -0.4, -0.8])
@pytest.mark.parametrize("name", NAMES)
def test_every_spike_is_that_of_brute_force(known: dict[str, Network], name: str, zeta: float) -> None:
    network = known[name]
    draw = np.random.default_rng(3)
    images = {each.name: draw.uniform(LOW, 2.0, (2, *each.shape)) for each in network.sources}
    maxima = maxima_of(network, evaluate(network, images))
    simulation = Simulation(to_spiking(network, maxima, zeta=zeta))
    batch = simulation(images)
    early = 0
    for image in range(2):
        expected = brute_force(network, {key: each[image] for key, each in images.items()}, maxima, zeta)
        for tensor, values in {**batch.leads, **batch.potentials}.items():
            np.testing.assert_allclose(values[image], expected[tensor], rtol=1e-9, atol=1e-9, err_msg=tensor)
        for node in simulation.network.firing:
            early += sum(int((expected[each.name] > node.window * (1 + 1e-9)).sum()) for each in node.populations)
    assert sum(each.early for each in batch.evidence.values()) == early


def test_there_are_early_spikes_in_what_is_compared(known: dict[str, Network]) -> None:
    draw = np.random.default_rng(3)
    found = 0
    for name in NAMES:
        network = known[name]
        images = {each.name: draw.uniform(LOW, 2.0, (2, *each.shape)) for each in network.sources}
        maxima = maxima_of(network, evaluate(network, images))
        evidence = Simulation(to_spiking(network, maxima, zeta=-0.8))(images).evidence
        found += any(each.early for each in evidence.values())
    assert found > len(NAMES) // 2
