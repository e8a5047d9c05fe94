"""The certified engine against the simulation of every event, which the oracle checks, on layers built to break it."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import conv_network, dense_network

from relu2snn.mapping import Network, convert, fold, measure, read, scale, to_spiking, verify
from relu2snn.spiking import SpikingConv2D, SpikingDense, SpikingRun, spike_times
from relu2snn.spiking.certificate import growth
from relu2snn.spiking.decide import Evidence
from relu2snn.spiking.engine import _gaps, evidence_of, fire, simulate

LOW, HIGH = -1.0, 2.0


@pytest.fixture(params=[tf.float32, tf.bfloat16], ids=["float32", "bfloat16"])
def slack_type(request, monkeypatch) -> Any:
    """Either type that slacks are summed in; the processor decides which of them is used."""
    chosen = request.param
    bits = (np.uint16, tf.uint16) if chosen == tf.bfloat16 else (np.uint32, tf.uint32)
    monkeypatch.setattr("relu2snn.spiking.certificate.slack_type", chosen)
    monkeypatch.setattr("relu2snn.spiking.engine.slack_type", chosen)
    monkeypatch.setattr("relu2snn.spiking.engine._BITS", bits[0])
    monkeypatch.setattr("relu2snn.spiking.engine._TF_BITS", bits[1])
    return chosen


def layer_leads(layer: Any, leads: np.ndarray, certify: bool, coarse: bool = False) -> tuple[np.ndarray, Evidence]:
    """Leads of a layer, and what became of its pairs."""
    inputs, weights = tf.constant(leads), layer.parameters()
    fired = fire(layer, inputs, weights, layer.derive(), coarse) if certify else simulate(layer, inputs, weights)
    return np.asarray(fired.leads), evidence_of(fired.counts, fired.sizes)


def set_weights(layer: Any, shape: tuple[int, ...], weights: np.ndarray, bias: np.ndarray, alpha: np.ndarray) -> None:
    """J and ϑ of the mapping, written down once more from method.md; only the dynamics see α."""
    layer.build(shape)
    before, window = layer.t_min - layer.t_start, layer.t_max - layer.t_min
    sums = weights.sum(axis=tuple(range(weights.ndim - 1)))
    j = weights / (1 - sums)
    total = j.sum(axis=tuple(range(weights.ndim - 1)))
    layer.set_weights([j, before + window + window * total - (1 + total) * bias, alpha])


def assert_same_spikes(layer: Any, leads: np.ndarray) -> None:
    """Equal leads, unless V only touches a threshold: then rounding decides, and both must be on it."""
    fast, slow = layer_leads(layer, leads, True)[0], layer_leads(layer, leads, False)[0]
    np.testing.assert_array_equal(np.asarray(layer(tf.constant(leads))), fast)
    different = np.argwhere(np.abs(fast - slow) > 1e-9)
    kernel, threshold, drive = (np.asarray(value) for value in layer.get_weights())
    before, window = layer.t_min - layer.t_start, layer.t_max - layer.t_min
    for batch, unit in different:
        s = max(fast[batch, unit], slow[batch, unit]) - window
        inputs = np.maximum(leads[batch] - s, 0) @ kernel[:, unit]
        assert abs(drive[unit] * (before - s) + inputs - threshold[unit]) < 1e-9, (fast, slow)


quarters = st.integers(-16, 16).map(lambda n: n / 4)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_dense_layer_built_to_break_the_certificate_spikes_when_every_event_says(data: st.DataObject) -> None:
    """Early crossings, ties, late and too early inputs, all-zero inputs, negative weights only, S at both bounds."""
    inputs, units = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 3))
    values = st.lists(quarters, min_size=inputs * units, max_size=inputs * units)
    weights = np.array(data.draw(values)).reshape(inputs, units)
    if data.draw(st.booleans()):
        weights = -np.abs(weights)
    target = data.draw(st.sampled_from([None, -10.0, 0.99]))
    for i in range(units):
        total = weights[:, i].sum()
        if (target is not None and total * target > 0) or total >= 0.995:
            weights[:, i] *= (0.99 if target is None or total > 0 else target) / total
    bias = np.array(data.draw(st.lists(quarters, min_size=units, max_size=units)))
    lowest = data.draw(st.sampled_from([0, 0, -6]))
    lead = st.integers(lowest, 12).map(lambda n: n / 4)
    leads = np.array(data.draw(st.lists(lead, min_size=2 * inputs, max_size=2 * inputs))).reshape(2, inputs)
    if data.draw(st.integers(0, 9)) == 0:
        leads[0] = 0.0
    before, window = data.draw(st.sampled_from([0.5, 1.0, 2.5])), data.draw(st.sampled_from([0.25, 1.0, 3.0]))
    layer = SpikingDense(units, t_start=2.0, t_min=2.0 + before, t_max=2.0 + before + window, dtype="float64")
    alpha = np.array(data.draw(st.lists(st.sampled_from([1.0, 1.0, 0.7, 1.2, -0.5]), min_size=units, max_size=units)))
    set_weights(layer, (None, inputs), weights, bias, alpha)
    assert_same_spikes(layer, leads)


@pytest.mark.parametrize("lateness", [0.0, 0.1])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("strides", "dilation"), [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 1), (2, 3))])
@pytest.mark.parametrize("window", [0.3, 1.0, 6.0])
def test_a_convolution_spikes_when_every_event_says(slack_type, window, strides, dilation, padding, lateness) -> None:
    draw = np.random.default_rng(5)
    options = {"t_start": 1.0, "t_min": 2.0, "t_max": 2.0 + window, "dtype": "float64", "threshold_map": True}
    layer = SpikingConv2D(5, (3, 2), strides, padding, dilation, **options)
    weights = draw.normal(0, 0.6, (3, 2, 4, 5))
    weights *= np.minimum(1, 0.9 / np.maximum(weights.sum(axis=(0, 1, 2)), 1e-9)).clip(0, 1) ** 2
    shape = layer.compute_output_shape((None, 9, 8, 4))[1:]
    set_weights(layer, (None, 9, 8, 4), weights, draw.normal(0, 0.3, shape), np.ones(5))
    leads = np.maximum(draw.uniform(-1, 1, (3, 9, 8, 4)), 0.0) - lateness * draw.random((3, 9, 8, 4))
    fast, evidence = layer_leads(layer, leads, True)
    slow, expected = layer_leads(layer, leads, False)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-9)
    assert evidence.early == expected.early
    # In blocks, which are tried after a batch with nothing open, and given up: the same spikes.
    np.testing.assert_allclose(layer_leads(layer, leads, True, coarse=True)[0], fast, rtol=0, atol=1e-9)
    # Both ways of deciding a pair must have been taken for the comparison to say something.
    assert evidence.early > 0 or window > 1
    assert evidence.simulated < fast.size or (lateness > 0 and window < 1)


def spiking_network(model: Any, **options: Any) -> tuple[Any, Network, np.ndarray]:
    network = scale(read(model, LOW, HIGH))
    x = np.random.default_rng(0).uniform(LOW, HIGH, (30, *model.input_shape[1:]))
    maxima = measure(network, [x]).layer_maxima.tolist()
    return to_spiking(network, maxima, seed=3, **options), network, x


@pytest.mark.parametrize(("noise", "alpha_noise"), [(0.0, 0.0), (0.05, 0.0), (0.0, 0.1), (0.02, 0.02)])
@pytest.mark.parametrize("zeta", [-0.8, -0.5, 0.0, 0.5])
@pytest.mark.parametrize("model", [dense_network(1, "after"), conv_network(3, "after")], ids=["dense", "conv"])
def test_networks_spike_when_every_event_says_with_any_noise(model, zeta, noise, alpha_noise) -> None:
    spiking, _, x = spiking_network(model, zeta=zeta, noise=noise, alpha_noise=alpha_noise)
    results = []
    for certify in (True, False):
        results.append(spike_times(spiking, x, certify))
    for name, times in results[0].items():
        np.testing.assert_allclose(times, results[1][name], rtol=0, atol=1e-9, err_msg=name)


def test_a_run_counts_what_it_proved_and_what_it_simulated() -> None:
    spiking, _, x = spiking_network(conv_network(3, "after"), zeta=-0.5)
    fast = SpikingRun(spiking)
    logits = np.concatenate([fast.logits(x[:20]), fast.logits(x[20:])])
    certified, simulated, early, deviation = fast.certified, fast.simulated, fast.early, fast.deviation
    slow = SpikingRun(spiking, certify=False)
    np.testing.assert_allclose(slow.logits(x), logits, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(certified + simulated, fast.neurons * len(x))
    assert (certified > 0).all()
    assert (simulated > 0).any()
    np.testing.assert_array_equal(slow.simulated, slow.neurons * len(x))
    np.testing.assert_array_equal(slow.early, early)
    assert early.sum() > 0
    assert (deviation[early > 0] > 1e-6).all()
    np.testing.assert_array_equal(fast.spikes, slow.spikes)


def test_leaving_out_the_simulation_of_open_pairs_would_be_noticed(monkeypatch) -> None:
    """The mutation: what the certificate leaves open is taken for certified. The comparisons above must see it."""
    spiking, _, x = spiking_network(dense_network(1, "after"), zeta=-0.5)
    true = spike_times(spiking, x)
    nothing = np.empty(0, np.int64), np.empty(0), Evidence()
    monkeypatch.setattr("relu2snn.spiking.engine.decide", lambda *_: nothing)
    mutated = spike_times(spiking, x)
    assert max(np.abs(true[name] - mutated[name]).max() for name in true) > 1e-3


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize("inputs", [1, 7, 576, 4608])
def test_no_potential_rises_above_its_bound(slack_type, inputs, noise) -> None:
    """V(s) computed in float64 at many s, against max(V(0), V(M)) and the slack as the layer computes it."""
    draw = np.random.default_rng(inputs)
    before, window = 2.0, 1.0
    layer = SpikingDense(32, t_start=1.0, t_min=1.0 + before, t_max=1.0 + before + window, dtype="float64")
    weights = draw.normal(0, 1 / np.sqrt(inputs), (inputs, 32)) - 0.3 / inputs
    alpha = draw.uniform(0.9, 1.1, 32)
    set_weights(
        layer, (None, inputs), weights * np.minimum(1, 0.9 / np.abs(weights.sum(0))), draw.normal(0, 0.1, 32), alpha
    )
    leads = np.maximum(draw.normal(-0.2, 1, (16, inputs)), 0).clip(0, before) + noise * draw.normal(size=(16, inputs))
    bits, latest, largest = _gaps(layer, leads, coarse=False)
    constants = layer.derive()
    slack = layer.apply_padded(tf.bitcast(tf.constant(bits), slack_type), constants.negative, 1)
    slack = np.asarray(tf.cast(slack, tf.float64)) / np.asarray(constants.gain)
    kernel = np.asarray(layer.kernel)
    shifted, span = leads + latest[:, None], before + latest[:, None]
    assert (shifted >= 0).all()
    end = alpha * span + shifted @ kernel
    highest = shifted.max(axis=1, keepdims=True)
    assert (largest >= highest[:, 0]).all()
    bound = np.maximum(end, alpha * (span - highest)) + slack
    tightest = np.inf
    for share in np.linspace(0, 1, 201):
        s = share**2 * highest
        room = bound - (alpha * (span - s) + np.maximum(shifted - s, 0) @ kernel)
        assert (room > -1e-12).all()
        tightest = min(tightest, float(room.min()))
    # A bound that is always far away would prove nothing; with many inputs no single s comes near it.
    assert tightest < 1e-3 or inputs > 1


def test_float32_sums_with_their_margin_are_never_too_small() -> None:
    """float32 sums of n products, times the margin, are never below the exact sums; nor wastefully above."""
    draw = np.random.default_rng(0)
    for inputs in (1, 7, 576, 4608, 25088):
        x, w = draw.random((64, inputs)), draw.exponential(1, (inputs, 32)) ** 3
        exact = x @ w
        found = np.asarray(tf.matmul(tf.cast(x, tf.float32), tf.cast(w, tf.float32)), np.float64)
        assert (found * growth(inputs) >= exact).all()
        assert 1 < growth(inputs) < 1.004


@pytest.mark.parametrize(("strides", "dilation"), [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 1), (2, 1))])
def test_slacks_of_blocks_bound_those_of_their_positions(slack_type, strides, dilation) -> None:
    draw = np.random.default_rng(2)
    layer = SpikingConv2D(4, (3, 2), strides, "same", dilation, t_start=0.0, t_min=1.0, t_max=2.0, dtype="float64")
    set_weights(layer, (None, 9, 8, 3), draw.normal(-0.1, 0.3, (3, 2, 3, 4)), np.zeros(4), np.ones(4))
    leads = np.maximum(draw.normal(0, 1, (2, 9, 8, 3)), 0)
    negative = layer.derive().negative
    slacks = []
    for step in (1, 2):
        bits, _, _ = _gaps(layer, leads, coarse=step == 2)
        slack = layer.apply_padded(tf.bitcast(tf.constant(bits), slack_type), negative, step)
        slacks.append(np.asarray(tf.cast(slack, tf.float64)))
    fine, blocks = slacks
    assert blocks.shape[1:3] == tuple(-(-side // 2) for side in fine.shape[1:3])
    spread = blocks.repeat(2, axis=1).repeat(2, axis=2)[:, : fine.shape[1], : fine.shape[2]]
    # Blocks add the same terms or larger ones, in another order.
    assert (spread >= fine * (1 - 2.0**-7)).all()


def test_nothing_is_proved_where_the_numbers_cannot_hold_the_bound() -> None:
    layer = SpikingDense(3, t_start=0.0, t_min=1.0, t_max=2.0, dtype="float64")
    kernel = np.array([[1e39, np.nan, 0.1], [-1e39, 0.0, 0.1]])
    layer.build((None, 2))
    layer.set_weights([kernel, np.array([1e300, 5.0, 5.0]), np.ones(3)])
    _, evidence = layer_leads(layer, np.ones((1, 2)), True)
    assert (evidence.binned, evidence.simulated) == (0, 2)


def test_the_heuristic_margin_is_caught_where_it_fails() -> None:
    """method.md's neuron: at layer maximum 2.6 it spikes early, at 2.7 it is exact, and neither is assumed."""
    start = keras.Input((3,))
    model = keras.Model(start, keras.layers.Dense(1)(keras.layers.Dense(1, activation="relu")(start)))
    model.layers[1].set_weights([np.array([[10.0], [-30.0], [19.0]]), np.zeros(1)])
    for maximum, early, deviation in ((2.6, 1, 4.4), (2.7, 0, 0.0)):
        run = SpikingRun(to_spiking(fold(read(model)), [maximum]))
        run.logits(np.array([[1.0, 0.5, 0.1]]))
        assert run.early.tolist() == [early]
        assert run.deviation[0] == pytest.approx(deviation, abs=0.05)


def test_the_bins_certify_pairs_that_the_first_bound_cannot() -> None:
    """Inputs of opposite signs that come together: the first bound spreads the negative one, the bins do not."""
    layer = SpikingDense(1, t_start=0.0, t_min=1.0, t_max=2.0, dtype="float64")
    set_weights(layer, (None, 3), np.array([[0.1], [-6.5], [5.0]]), np.array([0.0]), np.ones(1))
    _, evidence = layer_leads(layer, np.array([[1.0, 0.5, 0.5]]), True)
    assert (evidence.binned, evidence.simulated) == (1, 0)


@pytest.mark.parametrize(
    "model",
    [dense_network(2, "after"), conv_network(2, "after"), dense_network(2, "after", sizes=(20,))],
    ids=["dense", "conv", "one hidden layer"],
)
def test_certified_windows_prove_every_neuron_on_their_calibration_images(model) -> None:
    x = np.random.default_rng(0).uniform(LOW, HIGH, (20, *model.input_shape[1:]))
    margin = verify(model, convert(model, x, LOW, HIGH, zeta=-0.3), x)
    assert not margin.exact
    certified = verify(model, convert(model, x, LOW, HIGH, zeta=1e-6, window="certified"), x)
    # The batch is the same, so no rounding separates the images that set the windows from those that are proved.
    assert (certified.exact, certified.certified) == (True, 1.0)
    assert certified.largest_difference < 1e-9
    with pytest.raises(ValueError, match="window='wide': must be"):
        convert(model, x, LOW, HIGH, window="wide")


@pytest.mark.parametrize("model", [dense_network(2, "after"), conv_network(2, "after")], ids=["dense", "conv"])
def test_float32_stays_near_float64_and_near_its_own_events(model, tmp_path) -> None:
    x = np.random.default_rng(0).uniform(LOW, HIGH, (20, *model.input_shape[1:]))
    for zeta, tolerance in ((0.5, 2e-4), (-0.5, 2e-4)):
        double = convert(model, x, LOW, HIGH, zeta=zeta)
        single = convert(model, x, LOW, HIGH, zeta=zeta, precision="float32")
        assert {str(weight.dtype) for weight in single.weights} == {"float32"}
        one, other = SpikingRun(double), SpikingRun(single)
        expected, found = one.logits(x), other.logits(x)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())
        slow = SpikingRun(single, certify=False)
        np.testing.assert_allclose(found, slow.logits(x), rtol=0, atol=tolerance * np.abs(expected).max())
        single.save(tmp_path / "single.keras")
        again = keras.saving.load_model(tmp_path / "single.keras")
        np.testing.assert_array_equal(SpikingRun(again).logits(x), found)
