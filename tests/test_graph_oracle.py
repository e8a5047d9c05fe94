"""The simulation of random graphs of segments beside the oracle, which walks every event of every neuron."""

from collections import Counter
from typing import Any

import numpy as np
import oracle
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_graphs import Graph, flat, random_graph, scaled_matrices, values_of

from relu2snn.graph.nodes import Extremum, Network, Readout, Segment, evaluate
from relu2snn.mapping import bounded_sums, to_spiking
from relu2snn.spiking import Simulation, SpikingNetwork
from relu2snn.spiking.noise import batch_seed, noise_state

Array = NDArray[np.float64]


def oracle_nodes(graph: Graph, spiking: SpikingNetwork, maxima: dict[str, float], zeta: float) -> list[Any]:
    """The graph as the oracle takes it; of the spiking network only what is free: S, and the α that was drawn."""
    found: list[Any] = []
    for node in graph.nodes:
        match node:
            case Extremum():
                found.append(
                    oracle.Extremum(node.name, node.tensors, graph.cells[node.name], flat(node.minimum, node.shape) > 0)
                )
            case Readout():
                found.append(oracle.Readout(node.name, graph.matrices[node.name], flat(node.bias, node.shape)))
            case Segment():
                populations = []
                for each in node.populations:
                    neurons = spiking.populations[each.name][1]
                    sums = flat(neurons.total / (1 + neurons.total), node.shape)
                    offset, alpha = flat(each.offset, node.shape), flat(neurons.drive, node.shape)
                    populations.append(oracle.Population(each.name, each.sign, offset, sums, alpha))
                largest = max(maxima[each.name] for each in node.populations)
                bias = flat(node.bias, node.shape)
                length = (1 + zeta) * (largest or 1.0)
                found.append(oracle.Segment(graph.matrices[node.name], bias, tuple(populations), length))
    return found


def noise_of(spiking: SpikingNetwork, count: int, part: int) -> dict[str, Array]:
    """What the first batch of a part draws, by tensor of the ReLU network, (batch, *shape)."""
    if not spiking.noise:
        return {}
    seeds = {each.image: (each.seed, each.shape) for each in spiking.encoders}
    seeds |= {name: (neurons.seed, node.shape) for name, (node, neurons) in spiking.populations.items()}
    return {
        name: np.asarray(
            tf.random.stateless_normal(
                (count, *shape), batch_seed(noise_state(seed, part), 0), stddev=spiking.noise, dtype=tf.float64
            )
        )
        for name, (seed, shape) in seeds.items()
    }


def compare(seed: int, size: int, zeta: float, noise: float, alpha_noise: float, *, certify: bool) -> Counter[str]:
    """Assert that every value, spike and potential of a random graph is the oracle's; returns what there was."""
    draw = np.random.default_rng(seed)
    drawn = random_graph(draw, size)
    try:
        network = bounded_sums(Network(drawn.nodes))
    except ValueError as error:
        # max(x, ReLU(2 x)) has a sum of 2, however its tensors are scaled.
        if "feed each other" not in str(error):
            raise
        reject()
    graph = scaled_matrices(drawn, network)
    images = {each.name: draw.uniform(each.low, each.high, (2, *each.shape)) for each in network.sources}
    values = [values_of(graph, {name: each[k] for name, each in images.items()}) for k in range(2)]
    original = [values_of(drawn, {name: each[k] for name, each in images.items()}) for k in range(2)]
    for name, found in evaluate(network, images).items():
        for k in range(2):
            np.testing.assert_allclose(found[k].ravel(), values[k][name], rtol=1e-9, atol=1e-9, err_msg=name)
    for readout in network.readouts:
        np.testing.assert_allclose(values[0][readout.name], original[0][readout.name], rtol=1e-9, atol=1e-9)
    maxima = {name: float(max(each[name].max() for each in values)) for name in network.populations}
    spiking = to_spiking(network, maxima, zeta=zeta, noise=noise, alpha_noise=alpha_noise, seed=seed % 1000)
    outcome = Simulation(spiking, part=3, certify=certify, keep=list(spiking.shapes))(images)
    jitter, nodes = noise_of(spiking, 2, part=3), oracle_nodes(graph, spiking, maxima, zeta)
    encoders = {each.image: each.name for each in spiking.encoders}
    seen = Counter(type(node).__name__ for node in graph.nodes)
    early: Counter[str] = Counter()
    for k in range(2):
        pixels = {each.name: values[k][each.name] for each in network.sources}
        own = {name: each[k].ravel() for name, each in jitter.items()}
        times, windows, potentials = oracle.run_graph(nodes, pixels, own)
        for name, expected in times.items():
            found = windows[name][1] - outcome.leads[encoders.get(name, name)][k].ravel()
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=name)
            if name in network.populations:
                t_min, t_max = windows[name]
                quiet = expected - own.get(name, 0.0)
                early[name] += int((quiet < t_min - 1e-9 * (t_max - t_min)).sum())
                seen["late"] += int((expected > t_max).sum())
        for name, expected in potentials.items():
            np.testing.assert_allclose(outcome.potentials[name][k].ravel(), expected, rtol=1e-8, atol=1e-8)
    assert {name: each.early for name, each in outcome.evidence.items() if each.early} == +early
    seen["early"] = sum(early.values())
    segments = [node for node in nodes if isinstance(node, oracle.Segment)]
    seen["delayed"] = sum(len({windows[name][1] for name in node.weights}) > 1 for node in segments)
    seen["clocked"] = sum(map(has_clock, segments))
    seen["certified"] = sum(each.certified - each.binned for each in outcome.evidence.values())
    seen["binned"] = sum(each.binned for each in outcome.evidence.values())
    return seen


def has_clock(node: oracle.Segment) -> bool:
    """Whether weights do not add up to the sum of their channel, so that a clock fills it up."""
    sums = np.sum([matrix.sum(axis=1) for matrix in node.weights.values()], axis=0)
    return not np.allclose(node.populations[0].sign * sums, node.populations[0].S)


@pytest.mark.usefixtures("eager")
def test_every_spike_of_random_graphs_is_the_oracles() -> None:
    total: Counter[str] = Counter()

    @settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        seed=st.integers(0, 2**32 - 1),
        size=st.integers(1, 5),
        zeta=st.sampled_from([-0.8, -0.5, -0.2, 0.0, 0.5]),
        noise=st.sampled_from([0.0, 0.0, 0.02, 0.2]),
        alpha_noise=st.sampled_from([0.0, 0.0, 0.1]),
        certify=st.sampled_from([True, True, True, False]),
    )
    def check(seed: int, size: int, zeta: float, noise: float, alpha_noise: float, certify: bool) -> None:
        total.update(compare(seed, size, zeta, noise, alpha_noise, certify=certify))

    check()
    # A comparison without them would say nothing about the first-crossing rule, delays, clocks or the certificate.
    least = {"early": 200, "late": 200, "delayed": 10, "clocked": 30, "certified": 500, "binned": 200, "Extremum": 10}
    assert {name: total[name] for name, count in least.items() if total[name] < count} == {}, total
