"""The certified engine against the simulation of every event, which the oracle checks, on layers built to break it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import conv_network, dense_network, maxima_of, scaled_network, spiking_of
from slacks import sum_slacks_in

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.convolution import Convolution, dense
from relu2snn.graph.geometry import Window, same_margins
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Selection, chain
from relu2snn.graph.nodes import evaluate
from relu2snn.mapping import convert, read_keras, verify
from relu2snn.mapping.measure import measure_bounds
from relu2snn.mapping.relu_model import relu_model
from relu2snn.spiking import Evidence, SpikingRun, spike_times
from relu2snn.spiking.backend import TensorFlowOps
from relu2snn.spiking.certificate import growth
from relu2snn.spiking.engine import _plain_gaps, evidence_of, fire, simulate
from relu2snn.spiking.layers import SpikingNeurons
from relu2snn.spiking.mapped import describe_maps
from relu2snn.spiking.nodes import Firing, Neurons
from relu2snn.spiking.prepared import Prepared

LOW, HIGH = -1.0, 2.0


@pytest.fixture(params=[tf.float32, tf.bfloat16], ids=["float32", "bfloat16"])
def slack_type(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Either type that slacks are summed in; the processor decides which of them is used."""
    sum_slacks_in(monkeypatch, request.param)
    return request.param


def segment_of(
    map_: LinearMap, bias: np.ndarray, alpha: np.ndarray, *, before: float, window: float, t_min: float = 4.0
) -> Firing:
    """J and ϑ of the mapping, written down once more from method.md; only the dynamics see α."""
    weights = np.asarray(map_.kernel)
    sums = weights.reshape(-1, weights.shape[-1]).sum(axis=0)
    total = (weights / (1 - sums)).reshape(-1, weights.shape[-1]).sum(axis=0)
    threshold = before + window + window * total - (1 + total) * bias
    neurons = Neurons("n", 1 / (1 - sums), total, threshold, alpha, 1, np.ones_like(sums))
    return Firing("n", map_.outputs, {"x": map_}, (neurons,), before, window, t_min)


def prepared(node: Firing) -> Prepared:
    return Prepared(node, {"x": node.maps["x"].inputs}, TensorFlowOps("float64"))


def leads_of(
    segment: Prepared, leads: np.ndarray, *, certify: bool, coarse: bool = False
) -> tuple[np.ndarray, Evidence]:
    """Leads of a segment with one population, and what became of its pairs."""
    given = {"x": tf.constant(leads)}
    fired = fire(segment, given, coarse) if certify else simulate(segment, given)
    return np.asarray(fired.leads[0]), evidence_of(fired.counts[0], fired.sizes[0])


def as_layer(node: Firing, leads: np.ndarray) -> np.ndarray:
    """The same by the Keras layer that holds the segment."""
    maps, arrays = describe_maps(node.maps)
    (neurons,) = node.populations
    times = {"t_start": node.t_start, "t_min": node.t_min, "t_max": node.t_max}
    layer = SpikingNeurons(maps, [{"name": "n"}], **times, place=1, sides=node.shape, name="n", dtype="float64")
    layer.build()
    layer.set_weights([*arrays, neurons.gain, neurons.total, neurons.threshold, neurons.drive, neurons.scale])
    return np.asarray(layer(tf.constant(leads)))


def assert_same_spikes(node: Firing, leads: np.ndarray) -> None:
    """Equal leads, unless V only touches a threshold: then rounding decides, and both must be on it."""
    segment = prepared(node)
    fast, slow = leads_of(segment, leads, certify=True)[0], leads_of(segment, leads, certify=False)[0]
    different = np.argwhere(np.abs(fast - slow) > 1e-9)
    (neurons,) = node.populations
    kernel = neurons.gain * node.maps["x"].kernel
    for batch, unit in different:
        s = max(fast[batch, unit], slow[batch, unit]) - node.window
        inputs = np.maximum(leads[batch] - s, 0) @ kernel[:, unit]
        on = neurons.drive[unit] * (node.before - s) + inputs - neurons.threshold[unit]
        assert abs(on) < 1e-9, (fast, slow)


quarters = st.integers(-16, 16).map(lambda n: n / 4)


@settings(max_examples=200, deadline=None)
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
    alpha = np.array(data.draw(st.lists(st.sampled_from([1.0, 1.0, 0.7, 1.2, -0.5]), min_size=units, max_size=units)))
    map_ = dense((inputs,), weights)
    assert_same_spikes(segment_of(map_, bias, alpha, before=before, window=window, t_min=2.0 + before), leads)


def convolution(
    inputs: tuple[int, ...],
    kernel: np.ndarray,
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: str = "same",
) -> Convolution:
    window = Window.of(kernel.shape[:2], strides=strides, dilation=dilation)
    margins = same_margins(inputs[:-1], window) if padding == "same" else None
    return Convolution(inputs, kernel, Window.of(kernel.shape[:2], strides=strides, dilation=dilation, margins=margins))


@pytest.mark.parametrize("seed", range(1, 5))
def test_the_keras_layer_spikes_as_the_segment_that_it_holds(seed: int) -> None:
    draw = np.random.default_rng(seed)
    weights = draw.normal(size=(5, 3))
    weights *= np.minimum(1, 0.9 / np.abs(weights.sum(axis=0)))
    map_ = dense((5,), weights)
    node = segment_of(map_, draw.normal(size=3), np.array([1.0, 1.2, 0.7]), before=1.0, window=0.25)
    leads = np.maximum(draw.normal(size=(4, 5)), -0.1)
    found, evidence = leads_of(prepared(node), leads, certify=True)
    np.testing.assert_array_equal(as_layer(node, leads), found)
    assert evidence.early > 0


@pytest.mark.parametrize("lateness", [0.0, 0.1])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("strides", "dilation"), [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 1), (2, 3))])
@pytest.mark.parametrize("window", [0.3, 1.0, 6.0])
def test_a_convolution_spikes_when_every_event_says(
    slack_type: Any,
    window: float,
    strides: tuple[int, int],
    dilation: tuple[int, int],
    padding: str,
    lateness: float,
) -> None:
    draw = np.random.default_rng(5)
    weights = draw.normal(0, 0.6, (3, 2, 4, 5))
    weights *= np.minimum(1, 0.9 / np.maximum(weights.sum(axis=(0, 1, 2)), 1e-9)).clip(0, 1) ** 2
    map_ = convolution((9, 8, 4), weights, strides, dilation, padding)
    bias = draw.normal(0, 0.3, map_.outputs)
    segment = prepared(segment_of(map_, bias, np.ones(5), before=1.0, window=window))
    # Strides and dilation at once are what no plain convolution is made of.
    assert (segment.plain is None) == (strides != (1, 1) and dilation != (1, 1))
    leads = np.maximum(draw.uniform(-1, 1, (3, 9, 8, 4)), 0.0) - lateness * draw.random((3, 9, 8, 4))
    fast, evidence = leads_of(segment, leads, certify=True)
    slow, expected = leads_of(segment, leads, certify=False)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-9)
    assert evidence.early == expected.early
    # In blocks, which are tried after a batch with nothing open, and given up: the same spikes.
    np.testing.assert_allclose(leads_of(segment, leads, certify=True, coarse=True)[0], fast, rtol=0, atol=1e-9)
    # Both ways of deciding a pair must have been taken for the comparison to say something.
    assert evidence.early > 0 or window > 1
    assert evidence.simulated < fast.size or (lateness > 0 and window < 1)


def spiking_network(model: Any, **options: Any) -> tuple[Any, np.ndarray]:
    network = scaled_network(model, LOW, HIGH)
    x = np.random.default_rng(0).uniform(LOW, HIGH, (30, *model.input_shape[1:]))
    return spiking_of(network, maxima_of(network, x), seed=3, **options), x


@pytest.mark.parametrize(("noise", "alpha_noise"), [(0.0, 0.0), (0.05, 0.0), (0.0, 0.1), (0.02, 0.02)])
@pytest.mark.parametrize("zeta", [-0.8, -0.5, 0.0, 0.5])
@pytest.mark.parametrize("model", [dense_network(1, "after"), conv_network(3, "after")], ids=["dense", "conv"])
def test_networks_spike_when_every_event_says_with_any_noise(
    model: Any, zeta: float, noise: float, alpha_noise: float
) -> None:
    spiking, x = spiking_network(model, zeta=zeta, noise=noise, alpha_noise=alpha_noise)
    results = []
    for certify in (True, False):
        results.append(spike_times(spiking, x, certify=certify))
    for name, times in results[0].items():
        np.testing.assert_allclose(times, results[1][name], rtol=0, atol=1e-9, err_msg=name)


def test_a_run_counts_what_it_proved_and_what_it_simulated() -> None:
    spiking, x = spiking_network(conv_network(3, "after"), zeta=-0.5)
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


def test_leaving_out_the_simulation_of_open_pairs_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutation: what the certificate leaves open is taken for certified. The comparisons above must see it."""
    spiking, x = spiking_network(dense_network(1, "after"), zeta=-0.5)
    true = spike_times(spiking, x)
    nothing = np.empty(0, np.int64), np.empty(0), Evidence()
    monkeypatch.setattr("relu2snn.spiking.engine.decide", lambda *_: nothing)
    mutated = spike_times(spiking, x)
    assert max(np.abs(true[name] - mutated[name]).max() for name in true) > 1e-3


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize("inputs", [1, 7, 576, 4608])
def test_no_potential_rises_above_its_bound(slack_type: Any, inputs: int, noise: float) -> None:
    """V(s) computed in float64 at many s, against max(V(0), V(M)) and the slack as the layer computes it."""
    draw = np.random.default_rng(inputs)
    before, window = 2.0, 1.0
    weights = draw.normal(0, 1 / np.sqrt(inputs), (inputs, 32)) - 0.3 / inputs
    alpha = draw.uniform(0.9, 1.1, 32)
    map_ = dense((inputs,), weights * np.minimum(1, 0.9 / np.abs(weights.sum(0))))
    node = segment_of(map_, draw.normal(0, 0.1, 32), alpha, before=before, window=window)
    leads = np.maximum(draw.normal(-0.2, 1, (16, inputs)), 0).clip(0, before) + noise * draw.normal(size=(16, inputs))
    segment = prepared(node)
    (neurons,), (constants,), plain = node.populations, segment.constants, segment.plain
    assert plain is not None
    bits, latest, largest = (np.asarray(each) for each in _plain_gaps(plain, tf.constant(leads), False))
    slack = plain.slack(tf.bitcast(tf.constant(bits), slack_type), 1, 1)
    # As leads, which the layer compares; times α + Σ J they are potentials.
    slack = np.asarray(tf.cast(slack, tf.float64)) * constants.scale * (alpha + neurons.total)
    kernel = neurons.gain * map_.kernel
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
def test_slacks_of_blocks_bound_those_of_their_positions(
    slack_type: Any, strides: tuple[int, int], dilation: tuple[int, int]
) -> None:
    draw = np.random.default_rng(2)
    map_ = convolution((9, 8, 3), draw.normal(-0.1, 0.3, (3, 2, 3, 4)), strides, dilation)
    plain = prepared(segment_of(map_, np.zeros(4), np.ones(4), before=1.0, window=1.0)).plain
    assert plain is not None
    leads = np.maximum(draw.normal(0, 1, (2, 9, 8, 3)), 0)
    slacks = []
    for step in (1, 2):
        bits, _, _ = _plain_gaps(plain, tf.constant(leads), step == 2)
        slack = plain.slack(tf.bitcast(bits, slack_type), 1, step)
        slacks.append(np.asarray(tf.cast(slack, tf.float64)))
    fine, blocks = slacks
    assert blocks.shape[1:3] == tuple(-(-side // 2) for side in fine.shape[1:3])
    spread = blocks.repeat(2, axis=1).repeat(2, axis=2)[:, : fine.shape[1], : fine.shape[2]]
    # Blocks add the same terms or larger ones, in another order.
    assert (spread >= fine * (1 - 2.0**-7)).all()


def test_nothing_is_proved_where_the_numbers_cannot_hold_the_bound() -> None:
    kernel = np.array([[1e39, np.nan, 0.1], [-1e39, 0.0, 0.1]])
    ones = np.ones(3)
    neurons = Neurons("n", ones, kernel.sum(axis=0), np.array([1e300, 5.0, 5.0]), ones, 1, ones)
    node = Firing("n", (3,), {"x": dense((2,), kernel)}, (neurons,), 1.0, 1.0, 1.0)
    _, evidence = leads_of(prepared(node), np.ones((1, 2)), certify=True)
    assert (evidence.binned, evidence.simulated) == (0, 2)


def test_the_heuristic_margin_is_caught_where_it_fails() -> None:
    """method.md's neuron: at layer maximum 2.6 it spikes early, at 2.7 it is exact, and neither is assumed."""
    start = keras.Input((3,))
    model = keras.Model(start, keras.layers.Dense(1)(keras.layers.Dense(1, activation="relu", name="n")(start)))
    model.layers[1].set_weights([np.array([[10.0], [-30.0], [19.0]]), np.zeros(1)])
    for maximum, early, deviation in ((2.6, 1, 4.4), (2.7, 0, 0.0)):
        run = SpikingRun(spiking_of(read_keras(model), {"n": maximum}))
        run.logits(np.array([[1.0, 0.5, 0.1]]))
        assert run.early.tolist() == [early]
        assert run.deviation[0] == pytest.approx(deviation, abs=0.05)


def test_a_spike_that_only_the_events_show_is_counted_and_may_be_the_largest() -> None:
    """method.md's neuron, whose closed form is silent."""
    map_ = dense((3,), np.array([[10.0], [-30.0], [19.0]]))
    node = segment_of(map_, np.zeros(1), np.ones(1), before=1.0, window=3.9, t_min=1.0)
    leads, evidence = leads_of(prepared(node), np.array([[1.0, 0.5, 0.1]]), certify=True)
    assert (evidence.simulated, evidence.spikes, evidence.early) == (1, 1, 1)
    assert evidence.peak == np.max(leads) > 3.9


@pytest.mark.parametrize("order", [None, [1, 0, 2]], ids=["plain", "any map"])
def test_the_bins_certify_pairs_that_the_first_bound_cannot(order: list[int] | None) -> None:
    """Inputs of opposite signs that come together: the first bound spreads the negative one, the bins do not."""
    kernel = np.array([[0.1], [-6.5], [5.0]])
    node = segment_of(dense((3,), kernel), np.zeros(1), np.ones(1), before=1.0, window=1.0, t_min=1.0)
    if order:
        # What is put in another order is no run of elements.
        swapped = chain(Selection((3,), (3,), np.array(order)), dense((3,), kernel[order]))
        node = replace(node, maps=dict.fromkeys(node.maps, swapped))
    _, evidence = leads_of(prepared(node), np.array([[1.0, 0.5, 0.5]]), certify=True)
    assert (evidence.binned, evidence.simulated) == (1, 0)


def test_windows_certify_by_the_largest_sum_of_positive_weights() -> None:
    network = scaled_network(dense_network(2, "after"), LOW, HIGH)
    (source,) = network.sources
    images = np.random.default_rng(0).uniform(LOW, HIGH, (20, *source.shape))
    values = evaluate(network, {source.name: images})
    found = measure_bounds(relu_model(network), [images[:7], images[7:]])
    for node in network.segments:
        ((name, map_),) = node.maps.items()
        x = values[name] if name != source.name else (images - LOW) / (HIGH - LOW)
        positive = np.maximum(map_.apply(np.eye(map_.inputs[0]), NumpyOps()), 0)
        assert found[node.name] == pytest.approx((x @ positive + node.bias).max(), rel=1e-12)


@pytest.mark.parametrize(
    "model",
    [dense_network(2, "after"), conv_network(2, "after"), dense_network(2, "after", sizes=(20,))],
    ids=["dense", "conv", "one hidden layer"],
)
def test_certified_windows_prove_every_neuron_on_their_calibration_images(model: Any) -> None:
    x = np.random.default_rng(0).uniform(LOW, HIGH, (20, *model.input_shape[1:]))
    margin = verify(model, convert(model, x, low=LOW, high=HIGH, mapping="published", zeta=-0.3), x)
    assert not margin.exact
    certified = verify(
        model, convert(model, x, low=LOW, high=HIGH, mapping="published", zeta=1e-6, window="certified"), x
    )
    # The batch is the same, so no rounding separates the images that set the windows from those that are proved.
    assert (certified.exact, certified.certified) == (True, 1.0)
    assert certified.largest_difference < 1e-9
    with pytest.raises(ValueError, match="window='wide': must be"):
        convert(model, x, low=LOW, high=HIGH, window="wide")


@pytest.mark.parametrize("model", [dense_network(2, "after"), conv_network(2, "after")], ids=["dense", "conv"])
def test_float32_stays_near_float64_and_near_its_own_events(model: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(LOW, HIGH, (20, *model.input_shape[1:]))
    for zeta, tolerance in ((0.5, 2e-4), (-0.5, 2e-4)):
        double = convert(model, x, low=LOW, high=HIGH, mapping="published", zeta=zeta)
        single = convert(model, x, low=LOW, high=HIGH, mapping="published", zeta=zeta, precision="float32")
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
