"""The spiking layers against the independent event-driven oracle, and the properties the paper promises."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import conv_network, dense_network, maxima_of, scaled_network, spiking_of

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.maps import Chain
from relu2snn.graph.nodes import Extremum, Network, Readout, Segment, Source
from relu2snn.mapping import logits_model, read_keras, relu_model, values_model
from relu2snn.spiking import SpikingRun, latency, spike_times
from relu2snn.spiking.events import first_crossings

LOW, HIGH = -1.0, 2.0
ZETAS = [-0.8, -0.6, -0.3, 0.0, 0.5]


def images(shape: tuple[int, ...], count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(LOW, HIGH, (count, *shape))


def only_convolution(node: Segment | Readout) -> Convolution:
    """The one convolution or dense layer that a node of these networks is, after a change of shape."""
    (map_,) = node.maps.values()
    if isinstance(map_, Chain):
        map_ = map_.second
    assert isinstance(map_, Convolution)
    return map_


def padding_of(window: Any) -> oracle.Padding:
    return "same" if any(map(any, window.margins)) else "valid"


def oracle_times(
    network: Network, maxima: dict[str, float], zeta: float, image: np.ndarray, alphas: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Spike times of every hidden layer and the logits for one image, by the oracle alone."""
    times, t_start, t_min = 1 - (image - LOW) / (HIGH - LOW), 0.0, 1.0
    found = {}
    for node in network:
        match node:
            case Readout():
                kernel = only_convolution(node).kernel
                return found, oracle.read_out(times.ravel(), kernel, node.bias, t_start, t_min)
            case Segment():
                length = (1 + zeta) * maxima[node.name]
                alpha = alphas.get(node.name)
                map_ = only_convolution(node)
                kernel, window = map_.kernel, map_.window
                if window.rank:
                    times = oracle.fire_conv2d(
                        times,
                        kernel,
                        node.bias,
                        t_start,
                        t_min,
                        length,
                        strides=window.strides,
                        padding=padding_of(window),
                        dilation=window.dilation,
                        alpha=alpha,
                    )
                else:
                    times = oracle.fire_dense(times.ravel(), kernel, node.bias, t_start, t_min, length, alpha)
                found[node.name] = times
                t_start, t_min = t_min, t_min + length
            case Extremum():
                window = node.window
                earliest = oracle.pool_earliest(times, window.sizes, window.strides, padding_of(window))
                latest = oracle.pool_latest(times, window.sizes, window.strides, padding_of(window))
                times = np.where(node.minimum, latest, earliest)
            case _:
                assert isinstance(node, Source)
    raise AssertionError("no output layer")


def compare_with_oracle(model: keras.Model, zeta: float, alpha_noise: float = 0.0, count: int = 3) -> int:
    """Assert equal spike times and logits; returns how many spikes came before their window."""
    network = scaled_network(model, LOW, HIGH)
    x = images(model.input_shape[1:], 30)
    maxima = maxima_of(network, x)
    spiking = spiking_of(network, maxima, zeta=zeta, alpha_noise=alpha_noise, seed=7)
    alphas = {name: np.asarray(neurons.drive) for name, (_, neurons) in spiking.network.populations.items()}
    assert (np.concatenate(list(alphas.values())) != 1).all() == bool(alpha_noise)
    times = spike_times(spiking, x[:count])
    logits = np.asarray(spiking(x[:count]))
    early = 0
    for i in range(count):
        expected, readout = oracle_times(network, maxima, zeta, x[i], alphas if alpha_noise else {})
        assert set(times) == {"encoder", *expected}
        for name, spikes in expected.items():
            np.testing.assert_allclose(times[name][i], spikes, rtol=0, atol=1e-9, err_msg=f"{name}, ζ={zeta}")
            early += int((spikes < spiking.windows[name][0] - 1e-9).sum())
        np.testing.assert_allclose(logits[i], readout, rtol=1e-9, atol=1e-9)
    return early


@pytest.mark.parametrize("zeta", ZETAS)
@pytest.mark.parametrize("seed", range(3))
def test_dense_networks_spike_when_the_oracle_says(zeta: float, seed: int) -> None:
    early = compare_with_oracle(dense_network(seed, ["none", "before", "after"][seed], (9, 8, 7)), zeta)
    # A comparison in which nothing spikes early would say nothing about the first-crossing rule.
    assert early > 0 or zeta > -0.5


@pytest.mark.parametrize("zeta", ZETAS)
@pytest.mark.parametrize(
    "options",
    [
        {"batch_norm": "after"},
        {"batch_norm": "after", "strides": (2, 3), "kernel": (3, 2)},
        {"batch_norm": "before", "dilation": (2, 2)},
        {"batch_norm": "after", "padding": "valid", "pool_padding": "valid"},
    ],
    ids=str,
)
def test_convolutional_networks_spike_when_the_oracle_says(zeta: float, options: dict) -> None:
    early = compare_with_oracle(conv_network(2, **options), zeta, count=2)
    assert early > 0 or zeta > -0.5


@pytest.mark.parametrize("zeta", [-0.5, 0.5])
def test_noise_on_alpha_acts_on_the_dynamics_only(zeta: float) -> None:
    compare_with_oracle(dense_network(1), zeta, alpha_noise=0.05)
    compare_with_oracle(conv_network(1, "after"), zeta, alpha_noise=0.05, count=1)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_one_layer_with_hostile_inputs_spikes_when_the_oracle_says(data: st.DataObject) -> None:
    """Ties, late inputs, inputs from before the start, sums at both bounds, biases that cross at once."""
    inputs = data.draw(st.integers(1, 6))
    # Quarters make exact ties likely and stay exact in floating point.
    quarters = st.integers(-16, 16).map(lambda n: n / 4)
    weights = np.array(data.draw(st.lists(quarters, min_size=inputs, max_size=inputs)))
    target = data.draw(st.sampled_from([None, -10.0, 0.99]))
    if target is not None and abs(weights.sum()) > 0 and weights.sum() * target > 0:
        weights = weights * (target / weights.sum())
    if weights.sum() >= 0.995:
        return
    bias = data.draw(quarters)
    before = data.draw(st.sampled_from([0.5, 1.0, 2.5]))
    window = data.draw(st.sampled_from([0.25, 1.0, 3.0]))
    leads = np.array(data.draw(st.lists(st.integers(-8, 16).map(lambda n: n / 4), min_size=inputs, max_size=inputs)))

    sums = weights.sum()
    j = weights / (1 - sums)
    threshold = before + window + window * j.sum() - (1 + j.sum()) * bias
    out = np.empty(1)
    first_crossings(leads, j[:, None], j.sum(keepdims=True), np.array([threshold]), np.ones(1), before, window, out)
    lead = out[0]
    t_start, t_min = 2.0, 2.0 + before
    expected = oracle.fire_dense(t_min - leads, weights[:, None], np.array([bias]), t_start, t_min, window)[0]

    def potential(t: float) -> float:
        return (t - t_start) + float(np.sum(j * np.maximum(t - (t_min - leads), 0)))

    found = t_min + window - lead
    if abs(found - expected) > 1e-9:
        # Where V only touches the threshold, rounding decides; both answers must then be on the threshold.
        assert found <= t_min + window + 1e-12
        first = min(found, expected)
        assert abs(potential(first) - threshold) < 1e-9, (found, expected)


@pytest.mark.parametrize("batch_norm", ["none", "before", "after"])
def test_with_wide_windows_every_neuron_decodes_to_its_relu(batch_norm: str) -> None:
    """t_max − t equals the ReLU's output where the certificate holds, which windows this wide guarantee."""
    model = conv_network(6, batch_norm)
    network = scaled_network(model, LOW, HIGH)
    x = images(model.input_shape[1:], 20)
    spiking = spiking_of(network, maxima_of(network, x), zeta=60.0)
    times = spike_times(spiking, x)
    values = values_model(relu_model(network))(x)
    assert list(values) == list(spiking.windows)
    for name, (_, t_max) in spiking.windows.items():
        np.testing.assert_allclose(t_max - times[name], np.asarray(values[name]), rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.asarray(spiking(x)), np.asarray(logits_model(model)(x)), rtol=1e-9, atol=1e-9)


def test_windows_follow_each_other_and_the_latency_is_their_sum() -> None:
    network = scaled_network(dense_network(0), LOW, HIGH)
    spiking = spiking_of(network, dict(zip(network.populations, [2.0, 3.0], strict=True)), zeta=0.5)
    run = SpikingRun(spiking)
    assert run.windows == [(1.0, 4.0), (4.0, 8.5)]
    assert latency(spiking) == 8.5


def test_a_spiking_network_saves_loads_and_predicts_the_same(tmp_path: Path) -> None:
    model = conv_network(2, "after")
    network = scaled_network(model, LOW, HIGH)
    x = images(model.input_shape[1:], 10)
    spiking = spiking_of(network, maxima_of(network, x), noise=0.01, seed=3)
    spiking.save(tmp_path / "spiking.keras")
    again = keras.saving.load_model(tmp_path / "spiking.keras")
    for one, other in zip(spiking.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    first, second = SpikingRun(spiking, part=2), SpikingRun(again, part=2)
    np.testing.assert_array_equal(first.logits(x), second.logits(x))
    quiet = spiking_of(network, maxima_of(network, x))
    assert quiet.predict(x, verbose=0).shape == (10, 4)


def test_noise_moves_spikes_by_its_standard_deviation_and_depends_on_seed_and_part_only() -> None:
    network = scaled_network(dense_network(0, sizes=(200,)), LOW, HIGH)
    x = images((12,), 200)
    maxima = maxima_of(network, x)

    def times(noise: float, seed: int, part: int = 0) -> dict[str, np.ndarray]:
        return spike_times(spiking_of(network, maxima, noise=noise, seed=seed), x, part=part)

    quiet, noisy = times(0.0, 1), times(1e-3, 1)
    pixels = (noisy["encoder"] - quiet["encoder"])[quiet["encoder"] > 0.01]
    assert np.std(pixels) == pytest.approx(1e-3, rel=0.1)
    assert (noisy["encoder"] >= 0).all()
    # A silent neuron is forced at t_max, and the noise comes after that.
    (hidden,) = network.populations
    t_max = quiet[hidden].max()
    silent = noisy[hidden][quiet[hidden] == t_max]
    assert np.std(silent - t_max) == pytest.approx(1e-3, rel=0.3)
    assert silent.max() > t_max
    np.testing.assert_array_equal(noisy[hidden], times(1e-3, 1)[hidden])
    assert (noisy[hidden] != times(1e-3, 2)[hidden]).any()
    assert (noisy[hidden] != times(1e-3, 1, part=1)[hidden]).any()


def test_a_layer_that_was_never_active_gets_a_window_all_the_same() -> None:
    network = scaled_network(dense_network(0), LOW, HIGH)
    maxima = dict(zip(network.populations, [0.0, 1.0], strict=True))
    assert SpikingRun(spiking_of(network, maxima, zeta=0.5)).windows == [(1.0, 2.5), (2.5, 4.0)]


@pytest.mark.parametrize("certify", [True, False])
def test_early_spikes_are_counted(certify: bool) -> None:
    """method.md's neuron: W = (10, −30, 19), b = 0, x = (1, 0.5, 0.1) spikes early at B = 3.9 and not at 4.05."""
    start = keras.Input((3,))
    model = keras.Model(start, keras.layers.Dense(1)(keras.layers.Dense(1, activation="relu", name="n")(start)))
    model.layers[1].set_weights([np.array([[10.0], [-30.0], [19.0]]), np.zeros(1)])
    x = np.array([[1.0, 0.5, 0.1]])
    for maximum, early, lead in ((2.6, 1, 4.4), (2.7, 0, 0.0)):
        spiking = spiking_of(read_keras(model), {"n": maximum})
        run = SpikingRun(spiking, certify=certify)
        run.logits(x)
        assert run.early.tolist() == [early]
        times = spike_times(spiking, x)["n"][0, 0]
        assert 1 + 1.5 * maximum - times == pytest.approx(lead, abs=0.05)


@pytest.mark.parametrize(("noise", "alpha_noise"), [(0.01, 0.0), (0.0, 0.05), (0.01, 0.05)])
def test_perturbations_drawn_anew_are_those_of_a_network_converted_with_that_seed(
    noise: float, alpha_noise: float
) -> None:
    network = scaled_network(conv_network(1, "after"), LOW, HIGH)
    x = images((7, 8, 2), 12)
    options = {"zeta": -0.3, "noise": noise, "alpha_noise": alpha_noise}
    maxima = maxima_of(network, x)
    reused = spiking_of(network, maxima, seed=1, **options)
    run = SpikingRun(reused)
    first = run.logits(x)
    for seed, part in ((2, 0), (3, 4), (1, 0)):
        reused.perturb(seed, alpha_noise=alpha_noise)
        run.start(part)
        again = run.logits(x)
        fresh = SpikingRun(spiking_of(network, maxima, seed=seed, **options), part)
        np.testing.assert_array_equal(again, fresh.logits(x))
        for counts in ("spikes", "simulated", "early", "deviation"):
            np.testing.assert_array_equal(getattr(run, counts), getattr(fresh, counts))
        assert np.array_equal(again, first) == (seed == 1)
    assert run.early.sum() > 0
