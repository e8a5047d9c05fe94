"""Evidence belongs to the run that computes it: whatever happens to the network, a run counts what it alone saw."""

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import conv_network, dense_network, maxima_of, neuron_layers, scaled_network, spiking_of

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.nodes import Network
from relu2snn.mapping import to_spiking, verify
from relu2snn.spiking import (
    SpikeRecorder,
    SpikingRun,
    membrane_potentials,
    output_potentials,
    raster,
    spike_histogram,
    spike_times,
)
from relu2snn.spiking.noise import noise_state

LOW, HIGH = -1.0, 2.0
COUNTS = ("spikes", "certified", "simulated", "early", "deviation", "rounding")


def network_of(model: Any, zeta: float = -0.7, **options: Any) -> tuple[Any, Any, np.ndarray]:
    """A ReLU network, its spiking network with windows far too short, and images."""
    network = scaled_network(model, LOW, HIGH)
    images = np.random.default_rng(0).uniform(LOW, HIGH, (24, *model.input_shape[1:]))
    return model, spiking_of(network, maxima_of(network, images), zeta=zeta, seed=3, **options), images


@pytest.fixture(scope="module")
def quiet() -> tuple[Any, Any, np.ndarray]:
    return network_of(conv_network(3, "after"))


@pytest.fixture(scope="module")
def noisy() -> tuple[Any, Any, np.ndarray]:
    return network_of(conv_network(3, "after"), zeta=-0.5, noise=0.02, alpha_noise=0.02)


def state(run: SpikingRun) -> dict[str, Any]:
    return {name: getattr(run, name).tolist() for name in COUNTS} | {"images": run.images, "exact": run.exact}


def alone(spiking: Any, batches: list[np.ndarray], part: int = 0) -> tuple[list[np.ndarray], dict[str, Any]]:
    run = SpikingRun(spiking, part)
    return [run.logits(batch) for batch in batches], state(run)


OTHERS: dict[str, Callable[[Any, Any, np.ndarray], Any]] = {
    "spike_times": lambda _, spiking, images: spike_times(spiking, images[:5]),
    "spike_times, every event": lambda _, spiking, images: spike_times(spiking, images[:5], certify=False),
    "another run": lambda _, spiking, images: SpikingRun(spiking).logits(images[:7]),
    "another run, every event": lambda _, spiking, images: SpikingRun(spiking, certify=False).logits(images[:3]),
    "predict": lambda _, spiking, images: spiking.predict(images[:6], verbose=0),
    "call": lambda _, spiking, images: spiking(images[:2]),
    "verify": lambda model, spiking, images: verify(model, spiking, images[:4]),
    "raster": lambda _, spiking, images: raster(spiking, images[0]),
    "recorder": lambda _, spiking, images: SpikeRecorder(spiking).leads(images[:3]),
    "histogram": lambda _, spiking, images: spike_histogram(spiking, [images[:3]], layer=next(iter(spiking.windows))),
    "potentials": lambda _, spiking, images: membrane_potentials(spiking, images[0], layer=list(spiking.windows)[1]),
    "output": lambda _, spiking, images: output_potentials(spiking, images[0]),
    "perturb": lambda _, spiking, images: spiking.perturb(99, alpha_noise=0.3),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("which", ["quiet", "noisy"])
def test_what_happens_between_batches_changes_nothing_of_a_run(which: str, other: str, request: Any) -> None:
    model, spiking, images = request.getfixturevalue(which)
    spiking.perturb(3, alpha_noise=0.02 if which == "noisy" else 0.0)
    batches = [images[:10], images[10:14], images[14:]]
    logits, expected = alone(spiking, batches, part=2)
    assert sum(expected["early"]) > 20
    run = SpikingRun(spiking, part=2)
    for batch, wanted in zip(batches, logits, strict=True):
        OTHERS[other](model, spiking, images)
        np.testing.assert_array_equal(run.logits(batch), wanted)
    OTHERS[other](model, spiking, images)
    assert state(run) == expected


def test_a_perturbation_takes_effect_at_the_next_start() -> None:
    _, spiking, images = network_of(dense_network(1, "after"), noise=0.01, alpha_noise=0.05)
    run = SpikingRun(spiking)
    first = run.logits(images)
    spiking.perturb(8, alpha_noise=0.05)
    run.start()
    second = run.logits(images)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(second, SpikingRun(spiking).logits(images))


def test_noise_of_another_size_is_that_of_the_next_start() -> None:
    _, spiking, images = network_of(dense_network(1, "after"), noise=0.01)
    run = SpikingRun(spiking)
    first, plain = run.logits(images), np.asarray(spiking(images))
    for layer in spiking.layers:
        if getattr(layer, "noise", 0):
            layer.noise = 0.2
    run.start()
    wider = run.logits(images)
    assert np.abs(wider - first).max() > 0.01
    np.testing.assert_array_equal(wider, SpikingRun(spiking).logits(images))
    assert np.abs(np.asarray(spiking(images)) - plain).max() > 0.01


@pytest.mark.parametrize("name", ["kernel", "gain", "total", "threshold", "drive", "bias"])
def test_weights_changed_under_a_run_are_those_of_the_next_start(name: str) -> None:
    _, spiking, images = network_of(dense_network(1, "after"))
    run = SpikingRun(spiking)
    first = run.logits(images[:5])
    changed = [weight for layer in spiking.layers for weight in layer.weights if weight.name == name]
    assert changed
    for weight in changed:
        weight.assign(np.asarray(weight) * 1.1)
    np.testing.assert_array_equal(run.logits(images[:5]), first)
    run.start()
    assert not np.array_equal(run.logits(images[:5]), first)
    np.testing.assert_array_equal(run.logits(images[:5]), SpikingRun(spiking).logits(images[:5]))


def some_runs(spiking: Any) -> list[SpikingRun]:
    """One of each part; the last simulates every event."""
    return [SpikingRun(spiking, part, certify=part != 3) for part in range(4)]


def test_what_batches_add_up_to_is_what_the_spike_times_show(quiet: tuple[Any, Any, np.ndarray]) -> None:
    _, spiking, images = quiet
    run = SpikingRun(spiking)
    for first in range(0, len(images), 7):
        run.logits(images[first : first + 7])
    times = spike_times(spiking, images)
    leads = {name: spiking.windows[name][1] - times[name] for name in run.layers}
    length = {name: end - start for name, (start, end) in spiking.windows.items()}
    early = [(leads[name] > length[name] * (1 + 1e-9)).reshape(len(images), -1).any(axis=1) for name in run.layers]
    assert 0 < run.early_images == np.count_nonzero(np.any(early, axis=0))
    for k, name in enumerate(run.layers):
        assert run.spikes[k] == np.count_nonzero(leads[name] > 1e-12) > 0
        assert run.early[k] == np.count_nonzero(leads[name] > length[name] * (1 + 1e-9)) > 0
        assert run.certified[k] + run.simulated[k] == leads[name].size


def test_interleaved_runs_give_what_each_gives_alone(noisy: Any) -> None:
    """Any number of runs of one network, in any order, with starts anew between."""
    _, spiking, images = noisy
    spiking.perturb(3, alpha_noise=0.02)
    # Runs that are started again are as new, and making one costs more than its batches.
    pool, others = some_runs(spiking), some_runs(spiking)

    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        runs = pool[: data.draw(st.integers(2, 4))]
        for part, run in enumerate(runs):
            run.start(part)
        fed: list[list[np.ndarray]] = [[] for _ in runs]
        found: list[list[np.ndarray]] = [[] for _ in runs]
        for _ in range(data.draw(st.integers(3, 9))):
            which = data.draw(st.integers(0, len(runs) - 1))
            if data.draw(st.integers(0, 5)) == 0:
                runs[which].start(which)
                fed[which], found[which] = [], []
                continue
            start = data.draw(st.integers(0, 20))
            batch = images[start : start + data.draw(st.integers(1, 4))]
            fed[which].append(batch)
            found[which].append(runs[which].logits(batch))
        for part, run in enumerate(runs):
            again = others[part]
            again.start(part)
            for batch, logits in zip(fed[part], found[part], strict=True):
                np.testing.assert_array_equal(again.logits(batch), logits)
            assert state(run) == state(again)

    check()


@pytest.mark.parametrize("which", ["quiet", "noisy"])
def test_runs_in_threads_give_what_each_gives_alone(which: str, request: Any) -> None:
    _, spiking, images = request.getfixturevalue(which)
    spiking.perturb(3, alpha_noise=0.02 if which == "noisy" else 0.0)
    batches = [images[k : k + 4] for k in range(0, 24, 4)]
    expected = [alone(spiking, batches, part) for part in range(4)]
    found: dict[int, Any] = {}
    ready = threading.Barrier(4)

    def work(part: int) -> None:
        ready.wait()
        try:
            found[part] = alone(spiking, batches, part)
        except Exception as error:  # what a thread raises is lost otherwise
            found[part] = error

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for part, (logits, counts) in enumerate(expected):
        assert not isinstance(found[part], Exception), found[part]
        np.testing.assert_array_equal(np.concatenate(found[part][0]), np.concatenate(logits))
        assert found[part][1] == counts


def test_verify_in_three_threads_on_one_model(quiet: Any) -> None:
    model, spiking, images = quiet
    expected = verify(model, spiking, images, batch=7)
    assert sum(expected.early_spikes.values()) > 100
    found: list[Any] = []

    def work() -> None:
        try:
            found.append(verify(model, spiking, images, batch=7))
        except Exception as error:  # what a thread raises is lost otherwise
            found.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3


def test_one_run_fed_by_several_threads_counts_every_image(quiet: Any) -> None:
    _, spiking, images = quiet
    run = SpikingRun(spiking)
    threads = [threading.Thread(target=run.logits, args=(images[k : k + 3],)) for k in range(0, 24, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state(run) == alone(spiking, [images[k : k + 3] for k in range(0, 24, 3)])[1]


def test_no_layer_holds_anything_of_a_run(quiet: Any) -> None:
    """The attributes of every layer are the same objects before and after runs of every kind."""
    model, spiking, images = quiet
    kept = [{key: id(value) for key, value in vars(layer).items()} for layer in spiking.layers]
    for other in OTHERS.values():
        if other is not OTHERS["perturb"]:
            other(model, spiking, images)
    assert [{key: id(value) for key, value in vars(layer).items()} for layer in spiking.layers] == kept


def test_the_noise_of_a_run_is_its_own_and_that_of_a_plain_call_goes_on(noisy: Any) -> None:
    _, spiking, images = noisy
    spiking.perturb(3, alpha_noise=0.02)
    first = SpikingRun(spiking).logits(images)
    np.testing.assert_array_equal(SpikingRun(spiking).logits(images), first)
    spike_times(spiking, images)
    # A plain call of the network draws anew each time, the first time what a run draws.
    np.testing.assert_allclose(np.asarray(spiking(images)), first, rtol=1e-9)
    assert not np.array_equal(np.asarray(spiking(images)), np.asarray(spiking(images)))


def test_noise_is_what_keras_draws_from_the_same_state() -> None:
    """Results with noise stay those of earlier versions, whose layers had generators of Keras' own."""
    _, spiking, images = network_of(dense_network(0), zeta=0.5, noise=0.01)
    layer = spiking.get_layer("encoder")
    generator = keras.random.SeedGenerator(0)
    generator.state.assign(noise_state(layer.seed, 5))
    simulation = spiking.simulation(part=5, keep=[layer.name])
    for batch in (images[:9], images[9:]):
        drawn = np.asarray(keras.random.normal(batch.shape, stddev=0.01, dtype="float64", seed=generator))
        expected = np.minimum((batch - LOW) / (HIGH - LOW) - drawn, 1.0)
        np.testing.assert_allclose(simulation(batch).leads[layer.name], expected, rtol=0, atol=1e-14)


def test_blocks_are_learnt_by_each_run_for_itself() -> None:
    """A run that has tried blocks on easy images does not hand that to a run on hard ones."""
    _, spiking, images = network_of(conv_network(3, "after"), zeta=3.0)
    expected = state_of_hard(spiking, images)
    easy = SpikingRun(spiking)
    for _ in range(3):
        easy.logits(np.full_like(images, LOW))
    assert state_of_hard(spiking, images) == expected
    easy.start()
    easy.logits(images)
    assert state(easy) == expected


def state_of_hard(spiking: Any, images: np.ndarray) -> dict[str, Any]:
    run = SpikingRun(spiking)
    run.logits(images)
    return state(run)


# What a run may call exact.


def exactness(spiking: Any, images: np.ndarray) -> tuple[bool, list[str]]:
    run = SpikingRun(spiking)
    run.logits(images)
    assert run.exact == (not run.reasons)
    return run.exact, list(run.reasons)


def scaled(model: Any) -> tuple[Network, dict[str, float], np.ndarray]:
    network = scaled_network(model, LOW, HIGH)
    images = np.random.default_rng(0).uniform(LOW, HIGH, (20, *model.input_shape[1:]))
    return network, maxima_of(network, images), images


@pytest.mark.parametrize("model", [dense_network(1, "after"), conv_network(3, "after")], ids=["dense", "conv"])
def test_a_run_says_why_it_is_not_exact(model: Any) -> None:
    network, maxima, x = scaled(model)
    good = spiking_of(network, maxima, zeta=60.0)
    assert exactness(good, x) == (True, [])
    run = SpikingRun(good)
    assert (run.exact, list(run.reasons)) == (False, ["images"])
    assert run.logits(x[:0]).shape == (0, 4)
    assert not run.exact
    assert exactness(spiking_of(network, maxima, zeta=-0.8), x) == (False, ["early"])
    assert exactness(spiking_of(network, maxima, zeta=60.0, noise=1e-9), x)[1] == ["noise"]
    assert exactness(spiking_of(network, maxima, zeta=60.0, alpha_noise=1e-9), x)[1] == ["noise"]
    assert exactness(spiking_of(network, maxima, zeta=1e12), x) == (False, ["rounding"])
    large = {name: 1e12 * each for name, each in maxima.items()}
    assert exactness(spiking_of(network, large), x) == (False, ["rounding"])
    for outside in (x.max() * 2, -5.0):
        other = x.copy()
        other[3].flat[0] = outside
        exact, why = exactness(good, other)
        assert not exact
        assert "outside" in why
    edge = x.copy()
    edge[0].flat[0] = HIGH * (1 + 1e-15)
    assert exactness(good, edge) == (True, [])


@pytest.mark.parametrize("certify", [True, False], ids=["closed form", "events"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(
    "model",
    [dense_network(1, "after"), conv_network(3, "after"), dense_network(2, "before", (400, 200), inputs=900)],
    ids=["dense", "conv", "wide"],
)
def test_the_stated_rounding_bounds_the_true_one_for_windows_of_every_length(
    model: Any, precision: str, certify: bool
) -> None:
    """Values of every layer against the ReLU of the layer's own inputs, computed in extended precision."""
    network, maxima, x = scaled(model)
    verdicts = []
    for zeta in (0.5, 60.0, 1e3, 1e6, 1e9, 1e12, 1e15):
        spiking = spiking_of(network, maxima, zeta=zeta, precision=precision)
        run = SpikingRun(spiking, certify=certify)
        run.logits(x)
        if run.early.any():
            assert zeta == 0.5
            continue
        leads = spiking.simulation(keep=list(spiking.network.shapes), certify=certify)(x).leads
        for node, firing in zip(network.segments, spiking.network.firing, strict=True):
            exact = node.bias.astype(np.longdouble)
            for map_, tensor in zip(node.maps.values(), firing.maps, strict=True):
                exact = exact + map_.apply(leads[tensor].astype(np.longdouble), NumpyOps())
            assert exact.dtype == np.longdouble
            error = float(np.abs(leads[node.name] - np.maximum(exact, 0)).max())
            place = run.layers.index(node.name)
            peak = leads[node.name].max()
            if peak:
                assert error <= run.rounding[place] * peak, (zeta, node.name)
            else:
                # It has no share of a value to be: all of them may be lost, and that is said.
                assert run.rounding[place] > 1 or not error, (zeta, node.name)
        verdicts.append(run.exact)
    assert verdicts[0]
    assert not any(verdicts[-3 if precision == "float32" else -2 :])
    assert verdicts == sorted(verdicts, reverse=True)


@pytest.mark.parametrize("zeta", [1e308, np.inf, np.nan, 1e17])
def test_windows_that_numbers_cannot_hold_are_refused_by_name(zeta: float) -> None:
    network, maxima, _ = scaled(dense_network(1, "after"))
    sizes = [1.0, 1e-20] if zeta == 1e17 else [1e3 * each for each in maxima.values()]
    with pytest.raises(ValueError, match=r"zeta=(1e\+308|inf|nan|1e\+17)"):
        to_spiking(network, dict(zip(maxima, sizes, strict=True)), mapping="published", zeta=zeta)


def test_weights_that_overflow_in_float32_are_refused_by_name() -> None:
    network, maxima, _ = scaled(dense_network(1))
    name = next(iter(network.populations))
    with pytest.raises(ValueError, match=rf"layer '{name}': threshold has numbers that are not finite in float32"):
        spiking_of(network, maxima, zeta=1e39, precision="float32")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_named(value: float) -> None:
    network, maxima, x = scaled(dense_network(1))
    spiking = spiking_of(network, maxima, zeta=60.0)
    run = SpikingRun(spiking)
    run.logits(x[:6])
    broken = x[6:].copy()
    broken[2, 5] = value
    with pytest.raises(ValueError, match=rf"image 8 is {value} at \(5,\)"):
        run.logits(broken)
    with pytest.raises(ValueError, match=rf"image 2 is {value} at \(5,\)"):
        spike_times(spiking, broken)
    assert run.images == 6
    for layer in (neuron_layers(spiking)[1], spiking.layers[-1]):
        assert layer.weights
        for weight in layer.weights:
            good = np.asarray(weight)
            bad = good.copy()
            bad.flat[-1] = value
            weight.assign(bad)
            with pytest.raises(ValueError, match=rf"layer '{layer.name}': weight '{weight.name}' is {value} at "):
                SpikingRun(spiking)
            weight.assign(good)
    assert SpikingRun(spiking).logits(x).shape == (20, 4)


def test_a_model_that_is_no_spiking_network_is_refused() -> None:
    model = dense_network(0)
    for function in (SpikingRun, lambda each: spike_times(each, np.zeros((1, 12)))):
        with pytest.raises(ValueError, match=r"is not a spiking network: relu2snn\.convert makes one"):
            function(model)
