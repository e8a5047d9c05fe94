"""Membrane potentials over time, rasters, histograms and decoded values: against the oracle and the spike times."""

import itertools
import re
from pathlib import Path

import keras
import numpy as np
import oracle
import pytest
from networks import conv_network, dense_network

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.maps import Chain
from relu2snn.graph.nodes import Network, Segment
from relu2snn.mapping import (
    bounded_sums,
    compare_values,
    convert,
    measure,
    read_keras,
    relu_model,
    to_spiking,
    values_model,
)
from relu2snn.spiking import (
    EARLY,
    FORCED,
    LATE,
    ON_TIME,
    SpikeHistogram,
    SpikingModel,
    membrane_potentials,
    output_potentials,
    raster,
    spike_histogram,
    spike_kinds,
    spike_times,
    spiking_model,
)

ROOT = Path(__file__).resolve().parents[1]
LOW, HIGH = -1.0, 2.0
NETWORKS = {
    "dense": lambda: dense_network(0, sizes=(9, 8, 7)),
    "same": lambda: conv_network(2, "after"),
    "valid": lambda: conv_network(2, "after", padding="valid", pool_padding="valid"),
    "strides": lambda: conv_network(2, "after", strides=(2, 3), kernel=(3, 2)),
    "dilation": lambda: conv_network(2, "before", dilation=(2, 2)),
}


def converted(model: keras.Model, zeta: float, **noise: float) -> tuple[Network, SpikingModel, np.ndarray]:
    """The scaled network, its spiking network, and 20 images."""
    network = bounded_sums(read_keras(model, LOW, HIGH))
    images = np.random.default_rng(0).uniform(LOW, HIGH, (20, *model.input_shape[1:]))
    maxima = measure(relu_model(network), [images]).maxima
    return network, spiking_model(to_spiking(network, maxima, mapping="published", zeta=zeta, seed=7, **noise)), images


def inputs_of(model: SpikingModel, layer: keras.layers.Layer, image: np.ndarray) -> np.ndarray:
    """Spike times of a layer's inputs, which are compared with the oracle elsewhere."""
    leads = keras.Model(model.inputs[0], {"leads": layer.input})(image[None])["leads"]
    return layer.t_min - np.asarray(leads)[0]


def neuron_of(node: Segment, neuron: tuple, times: np.ndarray, t_min: float) -> tuple:
    """Weights, bias and input times of one neuron, from the scaled ReLU network; padding spikes at t_min."""
    (map_,) = node.maps.values()
    # Flattened before.
    map_ = map_.second if isinstance(map_, Chain) else map_
    assert isinstance(map_, Convolution)
    window, times = map_.window, times.reshape(map_.inputs)
    field = np.full((*window.sizes, times.shape[-1]), t_min)
    for tap in np.ndindex(*window.sizes):
        rows = zip(neuron, window.strides, window.margins, tap, window.dilation, strict=False)
        cell = tuple(at * stride - before + k * rate for at, stride, (before, _), k, rate in rows)
        if all(0 <= row < side for row, side in zip(cell, times.shape, strict=False)):
            field[tap] = times[cell]
    bias = np.broadcast_to(node.bias, node.shape)[neuron]
    return map_.kernel[..., neuron[-1]].ravel(), float(bias), field.ravel()


@pytest.mark.parametrize("alpha_noise", [0.0, 0.05])
@pytest.mark.parametrize("zeta", [-0.7, 0.5])
@pytest.mark.parametrize("name", NETWORKS)
def test_potentials_are_those_of_the_oracle(name: str, zeta: float, alpha_noise: float) -> None:
    network, spiking, images = converted(NETWORKS[name](), zeta, alpha_noise=alpha_noise)
    draw = np.random.default_rng(1)
    seen = set()
    for name, (_, neurons) in spiking.network.populations.items():
        layer = spiking.get_layer(name)
        times = inputs_of(spiking, layer, images[0])
        every = list(np.ndindex(*layer.output.shape[1:]))
        some = [every[k] for k in draw.permutation(len(every))[:12]]
        spikes = spike_times(spiking, images[:1])[name][0]
        traces = membrane_potentials(spiking, images[0], layer=name, neurons=some)
        for neuron, trace in zip(some, traces, strict=True):
            w, b, field = neuron_of(network.nodes[layer.name], neuron, times, layer.t_min)
            length = layer.t_max - layer.t_min
            j, theta = oracle.translate(w, b, layer.t_start, layer.t_min, length)
            assert trace.threshold == pytest.approx(theta, rel=1e-9, abs=1e-9)
            alpha = float(neurons.drive[neuron[-1]])
            assert (trace.times[0], trace.times[-1]) == (layer.t_start, pytest.approx(layer.t_max))
            assert (np.diff(trace.times) > 0).all()
            between = draw.uniform(layer.t_start, layer.t_max, 30)
            for t in [*trace.times, *between]:
                expected = oracle.potential(j, alpha, field, layer.t_start, t)
                assert np.interp(t, trace.times, trace.potentials) == pytest.approx(expected, rel=1e-9, abs=1e-9)
            spike = oracle.fire(w, b, field, layer.t_start, layer.t_min, length, alpha)
            assert trace.crossing == pytest.approx(spike, abs=1e-9)
            assert trace.spike == pytest.approx(spikes[neuron], abs=1e-12)
            expected_kind = EARLY if spike < layer.t_min - 1e-9 else ON_TIME if spike < layer.t_max - 1e-9 else FORCED
            assert trace.kind == expected_kind
            seen.add(trace.kind)
    # Potentials that never cross early would not show that the first crossing counts.
    assert seen >= ({EARLY, ON_TIME, FORCED} if zeta < 0 else {ON_TIME, FORCED})


def test_a_potential_goes_on_after_an_early_spike_and_crosses_there_first() -> None:
    _, spiking, images = converted(NETWORKS["dense"](), -0.7)
    layers = {name: node.shape[-1] for name, (node, _) in spiking.network.populations.items()}
    traces = [
        trace
        for name, units in layers.items()
        for trace in membrane_potentials(spiking, images[0], layer=name, neurons=units)
    ]
    early = [trace for trace in traces if trace.kind == EARLY]
    assert early
    for trace in early:
        assert trace.t_start <= trace.crossing < trace.t_min < trace.times[-1]
        assert np.interp(trace.crossing, trace.times, trace.potentials) == pytest.approx(trace.threshold, abs=1e-9)
        assert (trace.potentials[trace.times < trace.crossing - 1e-9] < trace.threshold).all()


def test_every_kind_of_spike_is_drawn_in_turn_and_the_seed_says_which() -> None:
    _, spiking, images = converted(NETWORKS["same"](), -0.7)
    node = spiking.network.firing[0]
    leads = node.t_max - spike_times(spiking, images[:1])[node.name][0]
    assert {0, 1, 2} == set(spike_kinds(leads, node.before, node.window).ravel())

    def drawn(count: int, seed: int) -> list:
        traces = membrane_potentials(spiking, images[0], layer=node.name, neurons=count, seed=seed)
        return [(trace.kind, trace.neuron) for trace in traces]

    assert [kind for kind, _ in drawn(3, 0)] == [EARLY, ON_TIME, FORCED]
    assert [kind for kind, _ in drawn(5, 0)] == [EARLY, EARLY, ON_TIME, ON_TIME, FORCED]
    assert drawn(5, 0) == drawn(5, 0) != drawn(5, 1)
    # No neuron twice, and no more than there are.
    everyone = drawn(10**6, 0)
    assert len(set(everyone)) == len(everyone) == leads.size


def test_noise_after_the_window_makes_spikes_late() -> None:
    _, spiking, images = converted(dense_network(0, sizes=(200,)), 0.5, noise=0.05)
    layer = spiking.network.firing[0]
    traces = membrane_potentials(spiking, images[0], layer=layer.name, neurons=200)
    late = [trace for trace in traces if trace.kind == LATE]
    assert 20 < len(late) < 180
    assert all(trace.spike > layer.t_max >= trace.crossing for trace in late)
    moved = np.array([trace.spike - trace.crossing for trace in traces])
    assert np.std(moved) == pytest.approx(0.05, rel=0.3)


def test_what_is_not_there_is_named() -> None:
    _, spiking, images = converted(NETWORKS["same"](), 0.5)
    name = spiking.network.firing[0].name
    with pytest.raises(ValueError, match=f"layer 'other': no spiking layer of that name; choose from {name}, "):
        membrane_potentials(spiking, images[0], layer="other")
    with pytest.raises(ValueError, match="layer 'other': no spiking layer"):
        spike_histogram(spiking, [images], layer="other")
    for neuron in ((7, 0, 0), (0, -1, 0), (0,)):
        with pytest.raises(ValueError, match=rf"neuron .*: layer '{name}' has outputs of shape \(7, 8, 4\)"):
            membrane_potentials(spiking, images[0], layer=name, neurons=[neuron])


@pytest.mark.parametrize("name", ["dense", "same"])
def test_output_potentials_are_those_of_the_oracle_and_end_as_the_logits(name: str) -> None:
    network, spiking, images = converted(NETWORKS[name](), 0.5)
    output = output_potentials(spiking, images[0])
    (node,) = network.readouts
    layer = spiking.get_layer(node.name)
    times = inputs_of(spiking, layer, images[0])
    (map_,) = node.maps.values()
    assert isinstance(map_, Convolution)
    assert (output.times[0], output.times[-1]) == (layer.t_start, layer.t_min) == (output.t_start, output.t_min)
    np.testing.assert_allclose(output.potentials[-1], np.asarray(spiking(images[:1]))[0], rtol=1e-9, atol=1e-9)
    for t in [*output.times, *np.random.default_rng(0).uniform(layer.t_start, layer.t_min, 30)]:
        for k in range(4):
            drive = node.bias[k] / (layer.t_min - layer.t_start)
            expected = oracle.potential(map_.kernel[:, k], drive, times, layer.t_start, t)
            assert np.interp(t, output.times, output.potentials[:, k]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_highest_outputs_come_first_and_the_true_class_is_kept() -> None:
    _, spiking, images = converted(NETWORKS["dense"](), 0.5)
    whole = output_potentials(spiking, images[0])
    order = np.argsort(-np.asarray(spiking(images[:1]))[0])
    assert whole.highest(2).classes.tolist() == order[:2].tolist()
    assert whole.highest(2, also=int(order[0])).classes.tolist() == order[:2].tolist()
    kept = whole.highest(2, also=int(order[3]))
    assert kept.classes.tolist() == order[[0, 1, 3]].tolist()
    np.testing.assert_array_equal(kept.potentials, whole.potentials[:, order[[0, 1, 3]]])
    assert kept.units == 4


@pytest.mark.parametrize(("zeta", "noise"), [(0.5, 0.0), (-0.7, 0.0), (0.5, 0.02)])
def test_a_histogram_counts_every_spike_once(zeta: float, noise: float) -> None:
    _, spiking, images = converted(NETWORKS["same"](), zeta, noise=noise)
    layer = spiking.network.firing[1]
    times = spike_times(spiking, images)[layer.name]
    found = spike_histogram(spiking, [images], layer=layer.name, bins=10)
    assert found.counts.sum() + found.at_end == times.size == found.neurons * found.images
    assert (found.t_min, found.t_max) == (layer.t_min, layer.t_max)
    assert {layer.t_min, layer.t_max} <= set(found.edges)
    # Times that lie on an edge are t_max alone.
    at_end = np.count_nonzero(np.abs(times - layer.t_max) < 1e-12)
    assert found.at_end == (0 if noise else at_end)
    for count, low, high in zip(found.counts, found.edges[:-1], found.edges[1:], strict=True):
        inside = (times >= low) & (times < high) & (np.abs(times - layer.t_max) >= (0 if noise else 1e-12))
        assert count == np.count_nonzero(inside)
    assert found.before_end == np.count_nonzero(times < layer.t_max - 1e-12)
    early = found.counts[found.edges[:-1] < layer.t_min - 1e-9].sum()
    assert early == np.count_nonzero(times < layer.t_min)
    assert (early > 0) == (zeta < 0)


def test_spikes_within_rounding_of_the_end_stay_before_it() -> None:
    _, spiking, _ = converted(NETWORKS["dense"](), 0.5)
    histogram = SpikeHistogram.empty(spiking, spiking.network.firing[1].name, bins=10)
    histogram.add(np.array([[0.0, 1e-30, 1e-30, 1.0]], np.float32))
    assert (histogram.at_end, histogram.before_end, histogram.counts.sum()) == (1, 3, 3)
    assert histogram.counts[histogram.edges[:-1] < histogram.t_max].sum() == 3


def test_batches_add_up() -> None:
    _, spiking, images = converted(NETWORKS["same"](), -0.7)
    name = spiking.network.firing[0].name
    whole, parts = (spike_histogram(spiking, batches, layer=name) for batches in ([images], [images[:7], images[7:]]))
    np.testing.assert_array_equal(whole.counts, parts.counts)
    assert (whole.images, whole.at_end, whole.before_end) == (parts.images, parts.at_end, parts.before_end)


def test_a_raster_shows_neurons_at_their_times_with_their_values() -> None:
    network, spiking, images = converted(NETWORKS["same"](), -0.7)
    times = {name: each[0].ravel() for name, each in spike_times(spiking, images[:1]).items()}
    found = raster(spiking, images[0], neurons=20, seed=3)
    assert found.layers == list(times)
    assert found.sizes.tolist() == [each.size for each in times.values()]
    counts = np.bincount(found.layer)
    assert counts.tolist() == [min(20, each.size) for each in times.values()]
    for layer, neuron, time, value in zip(found.layer, found.neuron, found.time, found.value, strict=True):
        assert time == pytest.approx(times[found.layers[layer]][neuron], abs=1e-12)
        assert value == pytest.approx(found.windows[layer][1] - time, abs=1e-12)
    for first, second in itertools.pairwise(np.split(found.neuron, np.cumsum(counts)[:-1])):
        assert (np.diff(first) > 0).all()
        assert (np.diff(second) > 0).all()
    assert (raster(spiking, images[0], neurons=20, seed=4).neuron != found.neuron).any()
    name = next(iter(network.populations))
    given = raster(spiking, images[0], neurons=20, seed=3, values={name: np.arange(found.sizes[1]).reshape(7, 8, 4)})
    np.testing.assert_array_equal(given.value[given.layer == 1], given.neuron[given.layer == 1])
    np.testing.assert_array_equal(given.value[given.layer != 1], found.value[found.layer != 1])


def test_the_pages_example_draws_a_network_of_the_users(tmp_path, monkeypatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own_network.md").read_text(), re.S)
    (example,) = (block for block in blocks if "plot_raster" in block)
    model = NETWORKS["same"]()
    images = np.random.default_rng(0).uniform(0, 1, (5, *model.input_shape[1:]))
    names = {"model": model, "spiking": convert(model, images), "test_images": images}
    monkeypatch.chdir(tmp_path)
    exec(example, names)
    assert {path.name for path in tmp_path.iterdir()} == {"raster.png", "raster.svg"}


@pytest.mark.parametrize("zeta", [60.0, -0.7])
def test_decoded_values_are_compared_with_the_relu_networks(zeta: float) -> None:
    network, spiking, images = converted(NETWORKS["same"](), zeta)
    model = relu_model(network)
    found = compare_values(model, spiking, [images[:8], images[8:]], images=len(images), points=90)
    values = {name: np.asarray(value) for name, value in values_model(model)(images).items()}
    times = spike_times(spiking, images)
    assert found.layers == list(values)
    assert found.images == 20
    assert found.pairs == sum(value.size for value in values.values())
    for index, name in enumerate(found.layers):
        relu, decoded = values[name].ravel(), spiking.windows[name][1] - times[name].ravel()
        difference = np.abs(decoded - relu)
        assert found.largest[index] == pytest.approx(difference.max(), abs=1e-12)
        own = found.layer == index
        assert 10 < own.sum() <= 31
        # Each is one of the pairs, and the worst is among them.
        for one, other in zip(found.relu[own], found.decoded[own], strict=True):
            assert np.min(np.abs(relu - one) + np.abs(decoded - other)) < 1e-9
        assert np.abs(found.decoded[own] - found.relu[own]).max() == found.largest[index]
    assert (found.largest.max() < 1e-9) == (zeta > 0)
