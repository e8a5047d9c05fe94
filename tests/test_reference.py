"""The mapping with a reference spike: its scales and windows, batches with early spikes, perturbations, files."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from relu2snn import convert, verify
from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.nodes import Network
from relu2snn.mapping import largest_values, measure, read_keras, relu_model, to_spiking, unit_maxima
from relu2snn.spiking import SpikingModel, SpikingRun, membrane_potentials, spiking_model

KL = keras.layers


def branched(seed: int = 0) -> keras.Model:
    """A maximum of two tensors beside a clipped sum; pools, groups and strides; sources of different depth."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((9, 8, 2))
    x, y = (KL.Conv2D(6, 3, padding="same", activation="relu", name=name)(image) for name in ("first", "other"))
    y = KL.MaxPooling2D(2)(KL.Maximum()([x, y]))
    x = KL.AveragePooling2D(2)(KL.ReLU(1.0)(KL.Add()([KL.Conv2D(6, 3, padding="same", name="second")(x), x])))
    y = KL.Conv2D(6, 3, groups=2, strides=2, activation=KL.LeakyReLU(0.2))(KL.Concatenate()([x, y]))
    y = KL.Dense(11, activation="relu")(KL.Flatten()(y))
    model = keras.Model(image, KL.Dense(4)(y))
    draw = np.random.default_rng(seed)
    model.set_weights([draw.normal(0, 0.4, weight.shape) for weight in model.get_weights()])
    return model


def images(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 9, 8, 2))


@pytest.fixture(scope="module")
def known() -> tuple[keras.Model, Network, dict[str, np.ndarray]]:
    model = branched()
    network = read_keras(model)
    return model, network, measure(relu_model(network), [images(30)]).channel_maxima


def spiking_of(known: Any, **options: Any) -> SpikingModel:
    _, network, channels = known
    return spiking_model(to_spiking(*unit_maxima(network, channels), mapping="reference", **options))


def every_event(spiking: SpikingModel, batches: list[np.ndarray]) -> tuple[np.ndarray, SpikingRun]:
    run = SpikingRun(spiking, certify=False)
    return np.concatenate([run.logits(each) for each in batches]), run


def test_every_channel_is_scaled_to_one_and_what_meets_in_a_maximum_alike(known: Any) -> None:
    model, network, channels = known
    scaled, maxima = unit_maxima(network, channels, floor=1e-9)
    again = measure(relu_model(scaled), [images(30)]).channel_maxima
    assert set(maxima.values()) == {1.0}
    tied = [name for node in scaled if hasattr(node, "tensors") for name in node.tensors if name in again]
    assert set(tied) == {"first", "other"}
    # Two parts of a clip rectify one z.
    groups = [[each.name for each in node.populations] for node in scaled.segments]
    for together in [tied, *(each for each in groups if not set(each) & set(tied))]:
        largest = np.max([again[name] for name in together], axis=0)
        alive = np.max([channels[name] for name in together], axis=0) > 0
        assert alive.sum() > 3
        np.testing.assert_allclose(largest[alive], 1, rtol=1e-12)
    one, other = (np.asarray(each(images(5, 2))) for each in (relu_model(scaled), model))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_a_channel_that_hardly_fires_has_the_factor_of_the_floor(known: Any) -> None:
    _, network, channels = known
    name = next(reversed(channels))
    rare = {**channels, name: np.array([1e-9, 0.0, *channels[name][2:]])}
    scaled, _ = unit_maxima(network, rare, floor=0.02)
    largest = rare[name].max()
    scale = scaled.populations[name][1].scale
    np.testing.assert_allclose(scale[:2], 1 / (0.02 * largest))
    np.testing.assert_allclose(scale[2:], 1 / np.maximum(rare[name][2:], 0.02 * largest))
    silent, maxima = unit_maxima(network, {**channels, name: 0 * channels[name]})
    assert maxima[name] == 0.0
    np.testing.assert_array_equal(silent.populations[name][1].scale, 1.0)
    # It gets the window of a layer whose largest is 1.
    assert to_spiking(silent, maxima, mapping="reference", zeta=0.5).populations[name][0].window == 1.5


def test_windows_have_one_length_and_what_is_above_them_is_counted(known: Any) -> None:
    model, _, _ = known
    for zeta in (0.5, 0.1, -0.5):
        spiking = convert(model, images(30), zeta=zeta)
        lengths = {name: end - start for name, (start, end) in spiking.windows.items()}
        np.testing.assert_allclose(list(lengths.values()), 1 + zeta)
        depth = round((spiking.latency - 1) / (1 + zeta))
        assert depth == 4
        result = verify(model, spiking, images(30))
        assert result.exact == (zeta > 0)
        assert bool(sum(result.early_spikes.values())) == (zeta <= 0)
        if zeta > 0:
            assert (result.certified, result.constructed, result.agreement) == (1.0, 1.0, 1.0)
            assert "certified (100.0000% by construction), the others simulated" in str(result)


def test_certified_windows_are_those_of_the_margin(known: Any) -> None:
    model, _, _ = known
    margin, certified = (convert(model, images(30), window=window) for window in ("margin", "certified"))
    assert margin.windows == certified.windows


def test_a_batch_goes_on_event_by_event_from_where_a_z_is_above_its_window(known: Any) -> None:
    spiking = spiking_of(known, zeta=0.1)
    # Some images within, some that no calibration image was like, of which the late layers alone see much.
    quiet = images(6)
    batches = [quiet, np.concatenate([quiet, np.ones((2, 9, 8, 2))]), np.ones((1, 9, 8, 2)), quiet]
    run = SpikingRun(spiking)
    found = np.concatenate([run.logits(each) for each in batches])
    expected, events = every_event(spiking, batches)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(run.early, events.early)
    np.testing.assert_array_equal(run.simulated, run.early)
    assert run.spikes.sum() == pytest.approx(events.spikes.sum(), abs=3)
    np.testing.assert_array_equal(run.constructed + run.simulated, run.neurons * run.images)
    assert run.early.sum() > 0
    assert 0 < run.early_images == events.early_images < run.images
    assert not run.exact
    # The first of them are the same whatever is beside them.
    np.testing.assert_allclose(found[6:12], found[:6], rtol=1e-12, atol=1e-12)


def test_pixels_outside_their_range_are_late_or_early_and_simulated(known: Any) -> None:
    spiking = spiking_of(known, zeta=0.5)
    late = images(4)
    # After most spikes that it takes part in.
    late[:, 4, 4] = -1.4
    for outside in (images(4) * 1.3 - 0.2, images(4) - 0.5, late):
        run = SpikingRun(spiking)
        found = run.logits(outside)
        expected, events = every_event(spiking, [outside])
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
        assert run.early_images == events.early_images
        assert "outside" in run.reasons


DISTURBED = [
    ({"noise": 0.03}, "float64"),
    ({"noise": 0.03}, "float32"),
    ({"reference_noise": 0.03}, "float64"),
    ({"alpha_noise": 1e-3}, "float64"),
    ({"alpha_noise": 0.2}, "float64"),
    ({"alpha_noise": 1e-3, "stretch": 0.25}, "float64"),
    ({"reference_noise": 0.03, "stretch": 0.25}, "float64"),
]


@pytest.mark.parametrize(("noise", "precision"), DISTURBED, ids=[f"{noise}-{kind}" for noise, kind in DISTURBED])
def test_a_disturbed_network_spikes_when_every_event_says(known: Any, noise: dict[str, Any], precision: str) -> None:
    spiking = spiking_of(known, zeta=0.2, seed=5, precision=precision, **noise)
    batches = [images(8), images(8, 4)]
    run = SpikingRun(spiking)
    for part in (0, 1):
        run.start(part)
        found = np.concatenate([run.logits(each) for each in batches])
        other = SpikingRun(spiking, part, certify=False)
        expected = np.concatenate([other.logits(each) for each in batches])
        tolerance = 1e-9 if precision == "float64" else 1e-3
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
        if precision == "float64":
            np.testing.assert_array_equal(run.early, other.early)
    assert run.reasons["noise"] == "it was run with noise"
    # Drawn anew, in the same graph or another.
    spiking.perturb(6, alpha_noise=noise.get("alpha_noise", 0.0))
    run.start()
    again = np.concatenate([run.logits(each) for each in batches])
    assert not np.allclose(again, found, atol=1e-6)
    other = SpikingRun(spiking, certify=False)
    np.testing.assert_allclose(
        again, np.concatenate([other.logits(each) for each in batches]), rtol=tolerance, atol=tolerance
    )


def test_jitter_of_the_reference_costs_more_than_that_of_all_inputs(known: Any) -> None:
    quiet = SpikingRun(spiking_of(known)).logits(images(20))
    moved = {
        name: np.abs(SpikingRun(spiking_of(known, seed=1, **{name: 0.01})).logits(images(20)) - quiet).mean()
        for name in ("noise", "reference_noise")
    }
    assert moved["reference_noise"] > moved["noise"] > 0


def test_a_smaller_k_makes_potentials_steeper_and_is_proved_by_the_certificate(known: Any) -> None:
    model = known[0]
    spiking = convert(model, images(30), stretch=0.25)
    for name, (node, each) in spiking.network.populations.items():
        negative = sum(map_.magnitudes(-each.sign, NumpyOps()) for map_ in node.maps.values())
        np.testing.assert_allclose(1 / np.abs(each.gain), np.maximum(0.25 * negative, 0.05), err_msg=name)
    assert spiking.windows == convert(model, images(30)).windows
    result = verify(model, spiking, images(30))
    assert (result.exact, result.agreement) == (True, 1.0)
    assert result.constructed < 1
    # Above N only the margin is another.
    assert verify(model, convert(model, images(30), stretch=1.001), images(30)).constructed == 1.0
    for noise in ({"reference_noise": 0.01}, {"alpha_noise": 1e-3}):
        moved = []
        for stretch in (0.25, None, 4.0):
            quiet, noisy = (
                SpikingRun(spiking_of(known, seed=1, stretch=stretch, **each)).logits(images(20))
                for each in ({}, noise)
            )
            moved.append(np.abs(noisy - quiet).mean())
        assert moved[0] < moved[1] < moved[2], noise


def test_a_file_keeps_the_jitter_of_references(known: Any, tmp_path: Path) -> None:
    spiking = spiking_of(known, reference_noise=0.02, seed=3)
    spiking.save(tmp_path / "spiking.keras")
    loaded = keras.saving.load_model(tmp_path / "spiking.keras")
    assert loaded.network.reference_noise == 0.02
    np.testing.assert_array_equal(SpikingRun(loaded).logits(images(3)), SpikingRun(spiking).logits(images(3)))


def test_potentials_cross_where_the_jittered_reference_makes_them(known: Any) -> None:
    spiking = spiking_of(known, reference_noise=0.05, seed=2)
    image = images(1)[0]
    for layer in spiking.windows:
        for trace in membrane_potentials(spiking, image, layer=layer, neurons=5):
            assert trace.crossing == pytest.approx(trace.spike, abs=1e-9)


def shallow(depth: int = 1, seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    layers = [KL.Conv2D(4, 3, padding="same", activation="relu") for _ in range(depth)]
    model = keras.Sequential([keras.Input((9, 8, 2)), *layers, KL.MaxPooling2D(), KL.Flatten(), KL.Dense(3)])
    draw = np.random.default_rng(seed)
    model.set_weights([draw.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    return model


def test_no_admissible_image_leaves_a_guaranteed_window() -> None:
    model = shallow(2)
    margin, spiking = (convert(model, images(5), zeta=0.0, window=window) for window in ("margin", "guaranteed"))
    # Corners of the range are the worst images there are.
    draw = np.random.default_rng(7)
    worst = (draw.random((200, 9, 8, 2)) < draw.random((200, 1, 1, 1))).astype(float)
    assert sum(verify(model, margin, worst).early_spikes.values()) > 0
    result = verify(model, spiking, worst)
    assert (result.exact, result.constructed) == (True, 1.0)
    assert spiking.latency > margin.latency
    # Of the first layer the bound is reached: where all weights of one sign see ones, and the others nothing.
    network = read_keras(model)
    first, kernel = network.segments[0], model.layers[0].get_weights()[0]
    bound = largest_values(network)[first.name]
    highest = np.maximum(kernel, 0).sum(axis=(0, 1, 2)) + model.layers[0].get_weights()[1]
    assert bound == pytest.approx(max(highest.max(), 0), rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_no_value_of_any_graph_is_above_its_bound(seed: int) -> None:
    network = read_keras(branched(seed))
    bounds = largest_values(network)
    draw = np.random.default_rng(seed)
    corners = (draw.random((100, 9, 8, 2)) < draw.random((100, 1, 1, 1))).astype(float)
    measured = measure(relu_model(network), [corners, images(20)]).maxima
    assert set(bounds) == set(measured)
    for name, value in measured.items():
        assert value <= bounds[name]


def test_windows_that_leave_no_digits_are_refused_by_the_name_of_the_layer() -> None:
    with pytest.raises(ValueError, match=r"layer 'conv2d_\d+': its guaranteed window of .* leaves values of 1 with an"):
        convert(shallow(9), images(5), window="guaranteed", precision="float32")


MISTAKES = [
    (lambda model: convert(model, images(2), window="wide"), r"window='wide': must be .* or \"guaranteed\""),
    (
        lambda model: convert(model, images(2), window="guaranteed", zeta=-0.1),
        r'zeta=-0.1: must be at least 0 with window="guaranteed"',
    ),
    (
        lambda model: convert(model, images(2), window="guaranteed", mapping="published"),
        r"window=\"guaranteed\": mapping='published' guarantees nothing",
    ),
    (lambda model: convert(model, images(2), mapping="other"), r'mapping=.other.: must be "reference" or "published"'),
    (
        lambda model: convert(model, images(2), window="guaranteed", stretch=1.0),
        r'stretch=1.0: must be at least 1.001 with window="guaranteed"',
    ),
    (lambda model: convert(model, images(2), stretch=0.0), r"stretch=0.0: must be finite and above 0"),
    (lambda model: convert(model, images(2), stretch=np.inf), r"stretch=inf: must be finite and above 0"),
    (
        lambda model: convert(model, images(2), stretch=1.02, mapping="published"),
        r"stretch=1.02: the mapping published has no K to choose",
    ),
    (lambda model: convert(model, images(2), floor=0.0), r"floor=0.0: must be above 0 and at most 1"),
    (lambda model: convert(model, images(2), floor=2.0), r"floor=2.0: must be above 0 and at most 1"),
    (lambda model: convert(model, images(2), zeta=-1.0), r"zeta=-1.0: must be finite and greater than -1"),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES)
def test_a_mistake_is_one_line(known: Any, call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        call(known[0])
    assert "\n" not in str(caught.value)


def test_the_published_mapping_has_no_reference_to_disturb(known: Any) -> None:
    _, network, channels = known
    scaled, maxima = unit_maxima(network, channels)
    with pytest.raises(ValueError, match=r"reference_noise=0.1: the mapping published has no reference"):
        to_spiking(scaled, maxima, mapping="published", reference_noise=0.1)
    name = next(iter(channels))
    with pytest.raises(ValueError, match=rf"layer {name!r}: no channel maxima were measured, only of"):
        unit_maxima(network, {key: each for key, each in channels.items() if key != name})
    with pytest.raises(ValueError, match=rf"channel maxima of {name!r}: must be 6 finite numbers of at least 0"):
        unit_maxima(network, {**channels, name: channels[name][:-1]})
    with pytest.raises(ValueError, match=rf"channel maxima of {name!r}: must be 6 finite numbers of at least 0"):
        unit_maxima(network, {**channels, name: -channels[name] - 1})
