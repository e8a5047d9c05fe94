"""The simulation of random graphs of segments beside the oracle, which walks every event of every neuron."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import oracle
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_graphs import Graph, flat, random_graph, scaled_matrices, values_of

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.nodes import Extremum, Network, Readout, Segment, Source, evaluate
from relu2snn.mapping import bounded_sums, to_spiking, unit_maxima
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


def late_references(spiking: SpikingNetwork, image: int, part: int) -> dict[str, float]:
    """How late the reference of each segment is for an image of the first batch of a part."""
    if not spiking.reference_noise:
        return {}
    found = {}
    for node in spiking.firing:
        shape, seed = (2, *(1,) * len(node.shape)), batch_seed(noise_state(node.reference_seed, part), 0)
        drawn = tf.random.stateless_normal(shape, seed, stddev=spiking.reference_noise, dtype=tf.float64)
        found[node.name] = float(np.ravel(drawn)[image])
    return found


def with_references(nodes: list[Any], network: Network, late: dict[str, float]) -> list[Any]:
    """The oracle's nodes with what the reference has of each clock: what whole kernels do not add up to."""
    if not late:
        return nodes
    segments = iter(network.segments)
    found = []
    for node in nodes:
        if isinstance(node, oracle.Segment):
            own = next(segments)
            whole = sum(map_.sums(NumpyOps()) for map_ in own.maps.values())
            populations = [
                replace(each, reference=each.S - each.sign * flat(whole, own.shape), late=late[own.name])
                for each in node.populations
            ]
            node = replace(node, populations=tuple(populations))
        found.append(node)
    return found


def scaled_network(mapping: str, drawn: Network, values: list[dict[str, Array]]) -> tuple[Network, dict[str, float]]:
    """The network as a mapping takes it, and its layer maxima over images for which it has these values."""
    if mapping == "reference":
        shapes = drawn.tensors
        largest = {
            name: np.max([each[name].reshape(-1, shapes[name][-1]) for each in values], axis=(0, 1))
            for name in drawn.populations
        }
        return unit_maxima(drawn, largest)
    try:
        network = bounded_sums(drawn)
    except ValueError as error:
        # max(x, ReLU(2 x)) has a sum of 2, however its tensors are scaled.
        if "feed each other" not in str(error):
            raise
        reject()
    scales = {name: flat(each.scale, node.shape) for name, (node, each) in network.populations.items()}
    return network, {name: float(max((scales[name] * each[name]).max() for each in values)) for name in scales}


def compare(
    seed: int,
    size: int,
    zeta: float,
    *,
    certify: bool,
    mapping: str,
    noise: float = 0.0,
    alpha_noise: float = 0.0,
    reference_noise: float = 0.0,
    stretch: float | None = None,
) -> Counter[str]:
    """Assert that every value, spike and potential of a random graph is the oracle's; returns what there was."""
    draw = np.random.default_rng(seed)
    drawn = random_graph(draw, size)
    sources = [node for node in drawn.nodes if isinstance(node, Source)]
    images = {each.name: draw.uniform(each.low, each.high, (2, *each.shape)) for each in sources}
    original = [values_of(drawn, {name: each[k] for name, each in images.items()}) for k in range(2)]
    network, maxima = scaled_network(mapping, Network(drawn.nodes), original)
    graph = scaled_matrices(drawn, network)
    values = [values_of(graph, {name: each[k] for name, each in images.items()}) for k in range(2)]
    for name, found in evaluate(network, images).items():
        for k in range(2):
            np.testing.assert_allclose(found[k].ravel(), values[k][name], rtol=1e-9, atol=1e-9, err_msg=name)
    for readout in network.readouts:
        np.testing.assert_allclose(values[0][readout.name], original[0][readout.name], rtol=1e-9, atol=1e-9)
    chosen = {"mapping": mapping, "zeta": zeta, "noise": noise, "alpha_noise": alpha_noise, "seed": seed % 1000}
    spiking = to_spiking(network, maxima, reference_noise=reference_noise, stretch=stretch, **chosen)
    outcome = Simulation(spiking, part=3, certify=certify, keep=list(spiking.shapes))(images)
    jitter, nodes = noise_of(spiking, 2, part=3), oracle_nodes(graph, spiking, maxima, zeta)
    encoders = {each.image: each.name for each in spiking.encoders}
    seen = Counter(type(node).__name__ for node in graph.nodes)
    early: Counter[str] = Counter()
    for k in range(2):
        pixels = {each.name: values[k][each.name] for each in network.sources}
        own = {name: each[k].ravel() for name, each in jitter.items()}
        late = late_references(spiking, k, part=3)
        times, windows, potentials = oracle.run_graph(with_references(nodes, network, late), pixels, own)
        for name, expected in times.items():
            found = windows[name][1] - outcome.leads[encoders.get(name, name)][k].ravel()
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=name)
            if name in network.populations:
                t_min, t_max = windows[name]
                quiet = expected - own.get(name, 0.0)
                early[name] += int((quiet < t_min - 1e-9 * (t_max - t_min)).sum())
                seen["late"] += int((expected > t_max).sum())
        if mapping == "reference" and not noise and not reference_noise:
            seen.update(obey_the_theorem(nodes, times, windows, everywhere=(stretch or 1) >= 1 and not alpha_noise))
        for name, expected in potentials.items():
            np.testing.assert_allclose(outcome.potentials[name][k].ravel(), expected, rtol=1e-8, atol=1e-8)
    assert {name: each.early for name, each in outcome.evidence.items() if each.early} == +early
    seen["early"] = sum(early.values())
    segments = [node for node in nodes if isinstance(node, oracle.Segment)]
    seen["delayed"] = sum(len({windows[name][1] for name in node.weights}) > 1 for node in segments)
    seen["clocked"] = sum(map(has_clock, segments))
    seen["certified"] = sum(each.certified - each.binned for each in outcome.evidence.values())
    seen["binned"] = sum(each.binned for each in outcome.evidence.values())
    seen["constructed"] = sum(each.constructed for each in outcome.evidence.values())
    return seen


def obey_the_theorem(
    nodes: list[Any], times: dict[str, Array], windows: dict[str, Any], *, everywhere: bool
) -> Counter[str]:
    """Assert of every spike that it is early if and only if z is above B, and else stands for the ReLU of z.

    z is that of the inputs as they came, early ones too. With α noise ε a spike is early if and only if z + K ε D is
    above B, and else stands for (z + K ε (D + B)) / (1 + K ε). everywhere: whether each neuron's K is large enough for
    this, not only that of some. Returns how many were looked at, and were early.
    """
    seen: Counter[str] = Counter()
    for node in nodes:
        if not isinstance(node, oracle.Segment):
            continue
        leads = {name: windows[name][1] - times[name] for name in node.weights}
        D = max(windows[name][1] - windows[name][0] for name in node.weights)  # noqa: N806
        z = sum(matrix @ leads[name] for name, matrix in node.weights.items()) + node.bias
        size = sum(np.abs(matrix) @ leads[name] for name, matrix in node.weights.items()) + np.abs(z) + node.B
        for each in node.populations:
            own, negative = each.sign * z + each.offset, 0.0
            for matrix in node.weights.values():
                negative = negative + np.maximum(-each.sign * matrix, 0).sum(axis=1)
            K, error = 1 - each.S, each.alpha - 1  # noqa: N806
            holds = (each.alpha * K >= negative) & (1 + K * error > 0)
            assert holds.all() or not everywhere
            reached = own + K * error * D
            precise = 1e-9 * (size + np.abs(each.offset)) * (1 + K)
            near, early = np.abs(reached - node.B) <= precise, times[each.name] < windows[each.name][0] - 1e-9 * node.B
            np.testing.assert_array_equal(early[holds & ~near], (reached > node.B)[holds & ~near])
            with np.errstate(divide="ignore", invalid="ignore"):
                expected = np.maximum((own + K * error * (D + node.B)) / (1 + K * error), 0)
            found = windows[each.name][1] - times[each.name]
            assert (np.abs(found - expected) <= precise)[holds & ~early & ~near].all()
            seen.update(theorem=int(holds.sum()), above=int((early & holds).sum()))
    return seen


def has_clock(node: oracle.Segment) -> bool:
    """Whether weights do not add up to the sum of their channel, so that a clock fills it up."""
    sums = np.sum([matrix.sum(axis=1) for matrix in node.weights.values()], axis=0)
    return not np.allclose(node.populations[0].sign * sums, node.populations[0].S)


def over_random_graphs(mapping: str, disturbed: dict[str, list[Any]]) -> Counter[str]:
    """What `compare` has seen in random graphs, with one of each of these standard deviations."""
    total: Counter[str] = Counter()

    @settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        seed=st.integers(0, 2**32 - 1),
        size=st.integers(1, 5),
        zeta=st.sampled_from([-0.8, -0.5, -0.2, 0.0, 0.5]),
        certify=st.sampled_from([True, True, True, False]),
        chosen=st.fixed_dictionaries({name: st.sampled_from(values) for name, values in disturbed.items()}),
    )
    def check(seed: int, size: int, zeta: float, certify: bool, chosen: dict[str, Any]) -> None:
        total.update(compare(seed, size, zeta, certify=certify, mapping=mapping, **chosen))
        total["jittered"] += chosen.get("reference_noise", 0.0) > 0
        total["flatter"] += (chosen.get("stretch") or 1) < 1

    check()
    return total


@pytest.mark.usefixtures("eager")
def test_every_spike_of_random_graphs_is_the_oracles() -> None:
    total = over_random_graphs("published", {"noise": [0.0, 0.0, 0.02, 0.2], "alpha_noise": [0.0, 0.0, 0.1]})
    # A comparison without them would say nothing about the first-crossing rule, delays, clocks or the certificate.
    least = {"early": 200, "late": 200, "delayed": 10, "clocked": 30, "certified": 500, "binned": 200, "Extremum": 10}
    assert {name: total[name] for name, count in least.items() if total[name] < count} == {}, total


@pytest.mark.usefixtures("eager")
def test_with_a_reference_spike_only_what_is_above_its_window_is_early() -> None:
    disturbed: dict[str, list[Any]] = {"noise": [0.0, 0.0, 0.0, 0.02, 0.2], "alpha_noise": [0.0, 0.0, 0.01, 0.1]}
    disturbed |= {"reference_noise": [0.0, 0.0, 0.0, 0.0, 0.1], "stretch": [None, None, None, None, 0.3, 4.0]}
    total = over_random_graphs("reference", disturbed)
    least = {"theorem": 3000, "above": 300, "late": 200, "delayed": 10, "constructed": 1000}
    least |= {"jittered": 10, "flatter": 10, "Extremum": 10}
    assert {name: total[name] for name, count in least.items() if total[name] < count} == {}, total
