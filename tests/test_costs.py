"""Costs: synaptic operations beside a count over the oracle's spikes, multiply-accumulates, energy by hand."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import oracle
import oracle_costs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import conv_network, dense_network
from random_graphs import chained, flat, random_graph, scaled_matrices, taps, values_of
from test_graph_oracle import oracle_nodes, scaled_network

import relu2snn
from relu2snn.config import compose_experiment, compose_suite
from relu2snn.datasets import read_idx
from relu2snn.energy import Counts, EnergyModel
from relu2snn.graph.convolution import Convolution, average_pool, dense
from relu2snn.graph.geometry import Window
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Chain, Diagonal, Selection, Shift, add, chain
from relu2snn.graph.nodes import Extremum, Network, Segment, Source
from relu2snn.mapping import bounded_sums, measure, read_keras, relu_model, to_spiking, unit_maxima
from relu2snn.networks.build import build
from relu2snn.spiking import SpikeRecorder, SpikingRun, costs, costs_of, segment_sums, spiking_model
from relu2snn.spiking.fanout import fan_out, products_of, sums_at

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample" / "fmnist"
COUNTED = ("neurons", "start", "synapses", "reference", "spikes", "operations")


def assert_counts(run: SpikingRun, expected: dict[str, Counter[str]]) -> None:
    """What a run has counted is what was counted of the oracle's spikes, over all images."""
    sums = segment_sums(run)
    columns = {**sums["constant"], **sums["sums"]}
    images = run.images
    for place, name in enumerate(sums["segments"]):
        for key in COUNTED:
            found = columns[key][place] * (images if key in sums["constant"] else 1)
            assert found == expected[name][key], (name, key)
        assert columns["integration"][place] * images == pytest.approx(expected[name]["integration"])
    found = costs_of(run)
    for key in ("synapses", "operations", "forced", "reference", "start"):
        wanted = sum(each[key] for each in expected.values()) / images
        assert getattr(found.counts, key) == pytest.approx(wanted, rel=1e-12), key
    spiking = [each for each in found.segments if each.spiking]
    wanted = sum(expected[each.name]["spikes"] for each in spiking)
    assert found.spikes_per_neuron == pytest.approx(wanted / images / max(found.spiking_neurons, 1))


def matrix_of(map_: LinearMap) -> np.ndarray:
    """A convolution or dense layer of the library as a matrix, by loops over its kernel."""
    plain = map_.second if isinstance(map_, Chain) else map_
    assert isinstance(plain, Convolution)
    assert plain.groups == 1
    channels, filters = plain.kernel.shape[-2:]
    kernel = plain.kernel.reshape(-1, channels, filters)
    places = int(np.prod(plain.outputs[:-1]))
    found = np.zeros((places, filters, int(np.prod(plain.inputs[:-1])), channels))
    for place, tap, cell in taps(plain.inputs, plain.window):
        found[place, :, cell] += kernel[tap].T
    return found.reshape(places * filters, -1)


def nodes_of(network: Network, spiking: Any, maxima: dict[str, float], zeta: float) -> list[Any]:
    """A network of convolutions, dense layers and max pools as the oracle takes it; of the spiking one only S."""
    found: list[Any] = []
    for node in network:
        if isinstance(node, Source):
            continue
        if isinstance(node, Extremum):
            (name,) = node.tensors
            sides, channels = network.tensors[name][:-1], node.shape[-1]
            window = node.window
            places = oracle.cells_of_pools(sides, window.sizes, window.strides, window.dilation, window.margins)
            cells = [[cell * channels + c for cell in each] for each in places for c in range(channels)]
            found.append(oracle.Extremum(node.name, node.tensors, cells, np.zeros(len(cells), bool)))
            continue
        matrices = {name: matrix_of(map_) for name, map_ in node.maps.items()}
        if not isinstance(node, Segment):
            found.append(oracle.Readout(node.name, matrices, flat(node.bias, node.shape)))
            continue
        populations = []
        for each in node.populations:
            neurons = spiking.populations[each.name][1]
            sums = flat(neurons.total / (1 + neurons.total), node.shape)
            alpha = np.ones(len(sums))
            populations.append(oracle.Population(each.name, each.sign, flat(each.offset, node.shape), sums, alpha))
        length = (1 + zeta) * max(maxima[each.name] for each in node.populations)
        found.append(oracle.Segment(matrices, flat(node.bias, node.shape), tuple(populations), length))
    return found


@pytest.fixture(scope="module", params=["fmnist_fc", "fmnist_lenet"])
def trained(request: pytest.FixtureRequest) -> tuple[Any, Any, Any]:
    """FC and LeNet5 after an epoch on real images, calibration images, and two test images."""
    config = compose_experiment(request.param, compose_suite("paper"))
    images = read_idx(SAMPLE / "train-images-idx3-ubyte.gz", 3)[:2000, ..., None] / 255.0
    labels = read_idx(SAMPLE / "train-labels-idx1-ubyte.gz", 1)[:2000]
    keras.utils.set_random_seed(0)
    model = build(config.model, images.shape[1:], 10)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(images, labels, batch_size=32, epochs=1, verbose=0)
    assert history.history["accuracy"][-1] > 0.4
    tested = read_idx(SAMPLE / "t10k-images-idx3-ubyte.gz", 3)[:2, ..., None] / 255.0
    return model, images[:500], tested


@pytest.mark.parametrize("mapping", ["published", "reference"])
def test_costs_of_fc_and_lenet_are_those_of_the_oracles_spikes(trained: Any, mapping: str) -> None:
    model, calibration, images = trained
    network = read_keras(model, 0.0, 1.0)
    if mapping == "published":
        network = bounded_sums(network)
        maxima = measure(relu_model(network), [calibration]).maxima
    else:
        network, maxima = unit_maxima(network, measure(relu_model(network), [calibration]).channel_maxima)
    spiking = to_spiking(network, maxima, mapping=mapping, zeta=0.5)
    nodes = nodes_of(network, spiking, maxima, 0.5)
    (source,) = network.sources
    expected: dict[str, Counter[str]] = {}
    for image in images:
        times, windows = oracle_costs.run_layers(nodes, {source.name: image.ravel()})
        for name, counted in oracle_costs.count(nodes, times, windows).items():
            expected.setdefault(name, Counter()).update(counted)
    run = SpikingRun(spiking_model(spiking))
    run.logits(images)
    assert_counts(run, expected)
    total = sum(expected.values(), Counter())
    # Sparse enough, and with clocks of either kind, for the comparison to say something.
    assert 0.1 < total["operations"] / total["synapses"] < 0.9
    assert (total["reference"] > 0) == (mapping == "reference" or len(network.segments) > 2)


@pytest.mark.usefixtures("eager")
def test_costs_of_random_graphs_are_those_of_the_oracles_spikes() -> None:
    """Strides, groups, borders, pools of either kind, several sources, one tensor by two ways, two populations."""
    total: Counter[str] = Counter()

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        seed=st.integers(0, 2**32 - 1),
        size=st.integers(1, 5),
        mapping=st.sampled_from(["published", "reference"]),
        zeta=st.sampled_from([-0.5, 0.5]),
    )
    def check(seed: int, size: int, mapping: str, zeta: float) -> None:
        draw = np.random.default_rng(seed)
        drawn = random_graph(draw, size)
        sources = [node for node in drawn.nodes if isinstance(node, Source)]
        images = {each.name: draw.uniform(each.low, each.high, (2, *each.shape)) for each in sources}
        for name, each in images.items():
            # Pixels that stand for 0, as most of a digit's do.
            low = next(node.low for node in sources if node.name == name)
            each[...] = np.where(draw.random(each.shape) < 0.3, low, each)
        values = [values_of(drawn, {name: each[k] for name, each in images.items()}) for k in range(2)]
        network, maxima = scaled_network(mapping, Network(drawn.nodes), values)
        graph = scaled_matrices(drawn, network)
        values = [values_of(graph, {name: each[k] for name, each in images.items()}) for k in range(2)]
        spiking = to_spiking(network, maxima, mapping=mapping, zeta=zeta)
        nodes = oracle_nodes(graph, spiking, maxima, zeta)
        expected: dict[str, Counter[str]] = {}
        for value in values:
            pixels = {each.name: value[each.name] for each in network.sources}
            times, windows, _ = oracle.run_graph(nodes, pixels, {})
            for name, counted in oracle_costs.count(nodes, times, windows).items():
                expected.setdefault(name, Counter()).update(counted)
        run = SpikingRun(spiking_model(spiking))
        # What reaches no output is no part of a model.
        expected = {node.name: expected[node.name] for node in run.network if node.name in expected}
        run.logits({node.image: images[node.image] for node in run.network.encoders})
        assert_counts(run, expected)
        total.update(sum(expected.values(), Counter()))
        total["two ways"] += sum(len(node.weights) > 1 for node in nodes if not isinstance(node, oracle.Extremum))
        total["early"] += int(run.early.sum())
        total["pools"] += sum(isinstance(node, oracle.Extremum) for node in nodes)

    check()
    least = {"operations": 5000, "forced": 2000, "reference": 200, "two ways": 20, "early": 20, "pools": 10}
    assert {name: total[name] for name, few in least.items() if total[name] < few} == {}, total


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([(5,), (6, 2), (3, 4, 2), (2, 2, 2, 2)]), twice=st.booleans()
)
def test_the_fan_out_is_the_column_of_the_matrix(seed: int, shape: tuple[int, ...], twice: bool) -> None:
    draw = np.random.default_rng(seed)
    map_, matrix = chained(draw, shape)
    if twice and map_.outputs == shape:
        map_, matrix = add(map_, Diagonal(shape, np.ones(shape))), matrix + np.eye(len(matrix))
    # Pruned weights are no synapses; of chains, whose parts are inside, none are pruned here.
    if isinstance(map_, Convolution) and draw.random() < 0.5:
        kernel = np.where(draw.random(map_.kernel.shape) < 0.4, 0.0, map_.kernel)
        map_ = Convolution(map_.inputs, kernel, map_.window, groups=map_.groups)
        matrix = np.stack(
            [map_.apply(each[None].reshape(1, *shape), _ops()).ravel() for each in np.eye(len(matrix.T))], 1
        )
    np.testing.assert_array_equal(fan_out(map_), np.count_nonzero(matrix, axis=0))
    np.testing.assert_allclose(sums_at(map_).ravel(), matrix.sum(axis=1), rtol=1e-9, atol=1e-9)


def _ops() -> Any:
    from relu2snn.graph.arrays import NumpyOps

    return NumpyOps()


def test_multiply_accumulates_are_counted_factor_by_factor() -> None:
    draw = np.random.default_rng(3)
    shape, window = (6, 5, 4), Window.of((3, 2), strides=(2, 1), dilation=(1, 2), margins=((1, 1), (0, 1)))
    kernel = np.where(draw.random((3, 2, 2, 6)) < 0.3, 0.0, draw.normal(size=(3, 2, 2, 6)))
    x = np.maximum(draw.normal(size=shape), 0).reshape(30, 4)
    weights, dense_macs, effective = kernel.reshape(6, 2, 6), 0, 0
    for (_, tap, cell), channel, f in itertools.product(taps(shape, window), range(4), range(6)):
        # Two groups of two channels and three filters.
        if channel // 2 == f // 3:
            dense_macs += 1
            effective += bool(weights[tap, channel % 2, f] != 0 and x[cell, channel] != 0)
    found = products_of(Convolution(shape, kernel, window, groups=2))
    assert (found.dense, found.behind) == (dense_macs, 0)
    assert int(found.each @ (x.ravel() != 0)) == effective
    assert 0 < effective < dense_macs


def test_layers_without_a_relu_between_are_counted_one_after_the_other() -> None:
    """An average pool and a dense layer behind it: 4 · 3 products and 3 · 5, while the neurons have 12 · 5 synapses."""
    pool = average_pool((2, 2, 3), Window.of((2, 2)))
    head = dense((3,), np.ones((3, 5)))
    both = chain(chain(pool, Selection((1, 1, 3), (3,))), head)
    found = products_of(both)
    assert (found.dense, found.behind, found.each.tolist()) == (12 + 15, 15, [1] * 12)
    assert fan_out(both).tolist() == [5] * 12
    # What only moves values, or scales them, multiplies nothing; up-sampled values are multiplied wherever they are.
    moved = chain(Selection((2,), (4,), np.array([0, 0, 1, 1])), dense((4,), np.ones((4, 3))))
    assert (products_of(moved).dense, products_of(moved).each.tolist()) == (12, [6, 6])
    assert fan_out(moved).tolist() == [3, 3]
    assert products_of(add(Diagonal((3,), np.ones(3)), dense((3,), np.ones((3, 3))))).dense == 9
    assert products_of(Shift((3,), ((0, 2),))).dense == 0


@pytest.mark.parametrize(
    ("noise", "zeta", "mapping"), [(0, 0.5, "reference"), (0, -0.8, "reference"), (0.05, 0.5, "published")]
)
def test_spikes_are_counted_unit_by_unit(noise: float, zeta: float, mapping: str) -> None:
    """Also of images that are run again event by event, and with noise that moves spikes across the end."""
    model, images = conv_network(4, "before"), np.random.default_rng(0).random((11, 7, 8, 2))
    network = read_keras(model)
    known = measure(relu_model(network), [images])
    network, maxima = unit_maxima(network, known.channel_maxima)
    if mapping == "published":
        network = bounded_sums(read_keras(model))
        maxima = measure(relu_model(network), [images]).maxima
    spiking = spiking_model(to_spiking(network, maxima, mapping=mapping, zeta=zeta, noise=noise))
    run = SpikingRun(spiking)
    run.logits(images)
    shapes = spiking.network.shapes
    leads = spiking.simulation(keep=list(shapes))(images).leads
    assert set(run.unit_spikes) < set(shapes)
    for name, counted in run.unit_spikes.items():
        np.testing.assert_array_equal(counted, (leads[name] > 0).reshape(len(images), -1).sum(axis=0), err_msg=name)
    assert (run.early.sum() > 0) == (zeta < 0)
    apart = SpikingRun(spiking)
    for batch in np.array_split(images, 3):
        apart.logits(batch)
    if not noise:
        assert segment_sums(apart) == segment_sums(run)
    run.start()
    assert all(not each.any() for each in run.unit_spikes.values())


def test_costs_for_users() -> None:
    model, images = dense_network(1), np.random.default_rng(1).random((9, 12))
    spiking = relu2snn.convert(model, images)
    found = relu2snn.costs(spiking, images, batch=4)
    assert found == costs(spiking, images)
    assert (found.images, found.latency, found.spiking_neurons) == (9, spiking.latency, 16)
    assert [each.name for each in found.segments] == [*spiking.windows, spiking.network.potentials[0].name]
    counts = found.counts
    assert counts.synapses == counts.dense_macs == 12 * 9 + 9 * 7 + 7 * 4
    # As no neuron spikes early, each activation that is not 0 is one spike.
    assert counts.operations == counts.effective_macs
    assert (counts.reference, counts.start) == (16, 20)
    leads = SpikeRecorder(spiking).leads(images)
    spikes = sum(np.count_nonzero(each > 0) for name, each in leads.items() if name in spiking.windows)
    assert found.spikes_per_neuron == spikes / 9 / 16
    text = str(found)
    assert f"{counts.operations:,.0f} synaptic operations for an image, on average over 9" in text
    assert f"multiplies and adds {counts.dense_macs} times" in text
    assert f"{found.spikes_per_neuron:.4f} spikes for each neuron" in text
    with pytest.raises(ValueError, match="no images were run, so nothing was counted; give at least one"):
        relu2snn.costs(spiking, images[:0])
    with pytest.raises(ValueError, match=r"is not a spiking network: relu2snn\.convert makes one"):
        relu2snn.costs(model, images)


HAND = Counts(
    synapses=1000,
    operations=250.0,
    forced=750.0,
    neurons=40,
    reference=30,
    start=50,
    dense_macs=1000,
    effective_macs=240.0,
    integration=100.0,
    latency=2.5,
)


def test_energy_by_hand() -> None:
    found = HAND.energy(EnergyModel(mac=4.6, accumulate=0.9, resolution=0.25))
    assert (found.dense, found.effective) == pytest.approx((4600, 1104))
    # 250 operations, 50 begin to integrate, 40 have their last slope.
    assert found.spiking == pytest.approx(340 * 0.9)
    assert found.all_spikes == pytest.approx((250 + 750 + 30 + 50) * 0.9)
    assert found.updates == pytest.approx(100 / 0.25 * 0.9)
    assert found.share == 0.25
    # 4600 pJ are 5111 accumulates, of which 90 are clocks': more than there are synapses.
    assert found.break_even == pytest.approx((4600 / 0.9 - 90) / 1000)
    assert found.verdict == "the spiking network takes less, also than a ReLU network that skips zeros"


@pytest.mark.parametrize(
    ("access", "verdict"),
    [
        (1.0, "the spiking network takes less, also than a ReLU network that skips zeros"),
        (5.0, "the spiking network takes less than the whole ReLU network, more than one that skips zeros"),
    ],
)
def test_memory_turns_the_balance(access: float, verdict: str) -> None:
    model = EnergyModel(4.6, 0.9, access=access, mac_accesses=2, accumulate_accesses=3)
    found = HAND.energy(model)
    assert (found.dense, found.spiking) == pytest.approx((1000 * (4.6 + 2 * access), 340 * (0.9 + 3 * access)))
    assert found.updates is None
    assert found.verdict == verdict
    # At the break-even both take the same.
    at = Counts(**{**vars(HAND), "operations": found.break_even * 1000}).energy(model)
    assert at.spiking == pytest.approx(at.dense)
    dearer = HAND.energy(EnergyModel(mac=0.2, accumulate=0.9))
    assert dearer.verdict == "the ReLU network takes less, even without skipping zeros"
    assert dearer.order == ("zeros skipped", "ReLU", "spiking")
    assert dearer.break_even < dearer.share


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"mac": -1.0, "accumulate": 0.9}, "mac=-1.0: must be a finite number, at least 0"),
        ({"mac": 4.6, "accumulate": float("nan")}, "accumulate=nan: must be a finite number"),
        ({"mac": 4.6, "accumulate": 0.0}, "accumulate=0.0: an accumulate must take some energy; give more than 0"),
        ({"mac": 4.6, "accumulate": 0.9, "resolution": 0.0}, "resolution=0.0: must be greater than 0"),
    ],
)
def test_constants_that_are_none_are_refused(numbers: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EnergyModel(**numbers)
