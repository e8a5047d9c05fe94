"""`verify` says exact of the network it is shown and no other, and names what is not a number or makes no sense."""

from typing import Any

import keras
import numpy as np
import pytest
from networks import conv_network, dense_network, neuron_layers, randomise, scaled_network

from relu2snn.mapping import (
    UnsupportedLayerError,
    convert,
    measure,
    measure_bounds,
    read_keras,
    relu_model,
    verify,
)
from relu2snn.mapping.same import difference

LOW, HIGH = -1.0, 2.0
KL = keras.layers


def images(model: Any, count: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(LOW, HIGH, (count, *model.input_shape[1:]))


def converted(model: Any, **options: Any) -> Any:
    return convert(model, images(model), low=LOW, high=HIGH, **{"mapping": "published", "zeta": 60.0, **options})


def differs(model: Any, spiking: Any) -> str | None:
    return difference(read_keras(model, LOW, HIGH), spiking.network)


def copy_of(model: Any) -> Any:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


MODELS = {
    "dense": lambda seed: dense_network(seed, "before"),
    "dense, normalised after": lambda seed: dense_network(seed, "after"),
    "conv": lambda seed: conv_network(seed, "after"),
    "conv, normalised before": lambda seed: conv_network(seed, "before", strides=(2, 1)),
    "conv, valid": lambda seed: conv_network(seed, "after", padding="valid", pool_padding="valid"),
}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", MODELS)
def test_a_network_is_exact_with_itself_however_it_was_scaled(name: str, precision: str) -> None:
    model = MODELS[name](3)
    ways: list[dict[str, Any]] = [{"bounds": (-0.5, 0.3)}]
    if name == "conv":
        ways += [{}, {"window": "certified", "zeta": 0.5}]
    for options in ways:
        result = verify(model, converted(model, precision=precision, **options), images(model), batch=7)
        assert result.exact, result
        assert (result.images, result.agreement, result.equal_signs, result.reasons) == (20, 1.0, None, ())
        assert (result.precision, sum(result.early_spikes.values())) == (precision, 0)
        assert 0 < result.rounding < (1e-6 if precision == "float64" else 0.05)
        assert result.largest_difference <= result.tolerance * result.largest_logit


def test_the_scaled_network_is_the_same_network() -> None:
    model = conv_network(3, "after")
    spiking = converted(model)
    assert difference(scaled_network(model, LOW, HIGH), spiking.network) is None
    other = difference(scaled_network(MODELS["conv"](4), LOW, HIGH), spiking.network)
    assert (other or "").startswith("layer ")


@pytest.mark.parametrize("name", MODELS)
def test_another_network_is_not_exact_whatever_the_labels_say(name: str) -> None:
    model, other = MODELS[name](3), MODELS[name](4)
    result = verify(other, converted(model), images(model))
    assert not result.exact
    assert "it is not the network of this ReLU network: layer" in result.reasons[0]
    assert "logits differ by" in result.reasons[1]


@pytest.mark.parametrize("change", [1e-3, 1e-6])
@pytest.mark.parametrize("name", ["dense", "conv"])
def test_one_weight_changed_anywhere_is_another_network(name: str, change: float) -> None:
    model = MODELS[name](3)
    spiking, x = converted(model), images(model)
    for layer in model.layers:
        for weight in layer.weights:
            good = np.asarray(weight)
            bad = good.copy()
            # Relative to the size of the numbers, since a trained network is float32.
            bad.flat[bad.size // 2] += change * max(np.abs(good).max(), 1)
            weight.assign(bad)
            assert (differs(model, spiking) or "").startswith("layer "), weight.path
            weight.assign(good)
    assert verify(model, spiking, x).exact
    weight.assign(bad)
    result = verify(model, spiking, x)
    assert not result.exact
    assert "it is not the network of this ReLU network: layer" in result.reasons[0]


def test_a_weight_that_no_image_sees_is_a_weight_all_the_same() -> None:
    """The unit is silent for every image, so that logits coincide to the last bit."""
    model = dense_network(3)
    kernel, bias = model.layers[1].get_weights()
    bias[2] = -1000.0
    model.layers[1].set_weights([kernel, bias])
    spiking, other = converted(model), copy_of(model)
    kernel[4, 2] += 1.0
    other.layers[1].set_weights([kernel, bias])
    result = verify(other, spiking, images(model))
    assert result.largest_difference < 1e-9
    assert not result.exact
    assert "its weight (4, 2) stands for" in result.reasons[0]


def test_units_in_another_order_compute_the_same_but_are_not_the_same_neurons() -> None:
    model = dense_network(3)
    spiking, other = converted(model), copy_of(model)
    order = [1, 0, *range(2, 9)]
    kernel, bias = model.layers[1].get_weights()
    following, last = model.layers[3].get_weights()
    other.layers[1].set_weights([kernel[:, order], bias[order]])
    other.layers[3].set_weights([following[order], last])
    result = verify(other, spiking, images(model))
    assert result.agreement == 1.0
    assert result.largest_difference < 1e-6
    assert not result.exact
    assert verify(other, converted(other), images(model)).exact


def test_scales_that_cancel_are_the_same_network() -> None:
    """ReLUs are positively homogeneous: 4 times a unit and a quarter of what it gives is what phase 1 does itself."""
    model = dense_network(3)
    spiking, other = converted(model), copy_of(model)
    kernel, bias = model.layers[1].get_weights()
    following, last = model.layers[3].get_weights()
    other.layers[1].set_weights([4 * kernel, 4 * bias])
    other.layers[3].set_weights([following / 4, last])
    assert verify(other, spiking, images(model)).exact
    # A negative one is not.
    other.layers[1].set_weights([-kernel, -bias])
    other.layers[3].set_weights([-following, last])
    assert not verify(other, spiking, images(model)).exact


@pytest.mark.parametrize("change", [1e-3, -1e-3])
def test_a_spiking_network_that_was_tampered_with_is_not_exact(change: float) -> None:
    model = conv_network(3, "after")
    spiking, x = converted(model), images(model)
    for layer in [*neuron_layers(spiking), spiking.layers[-1]]:
        for weight in layer.weights:
            good = np.asarray(weight)
            bad = good.copy()
            bad.flat[0] += change
            weight.assign(bad)
            # Of what a unit computes `scale` says nothing: it is where its values are found again.
            assert (differs(model, spiking) is None) == (weight.name in ("drive", "scale")), weight.path
            if weight.name == "drive":
                assert not verify(model, spiking, x).exact
            weight.assign(good)
    assert verify(model, spiking, x).exact


def test_networks_of_other_layers_are_another_network() -> None:
    model = dense_network(3, sizes=(9, 7))
    spiking = converted(model)
    for sizes in ((9,), (9, 7, 7)):
        found = differs(dense_network(3, sizes=sizes), spiking) or ""
        assert "are not those that the ReLU network's would become" in found
    assert not verify(dense_network(3, sizes=(9,)), spiking, images(model)).exact
    spiking = converted(conv_network(3, "after"))
    for options in ({"dilation": (2, 2)}, {"kernel": (3, 2)}, {"strides": (2, 2)}, {"pool_padding": "valid"}):
        found = differs(conv_network(3, "after", **options), spiking) or ""
        assert "in the ReLU network" in found
        if "dilation" in options:
            assert "'dilation': [1, 1]" in found
            assert "'dilation': [2, 2]" in found
            assert "strides" not in found
    assert "low is" in (difference(read_keras(conv_network(3, "after"), LOW - 1, HIGH), spiking.network) or "")


def test_arguments_that_are_not_what_they_should_be_are_named() -> None:
    model = dense_network(3)
    spiking, x = converted(model), images(model)
    with pytest.raises(ValueError, match=r"is not a spiking network: relu2snn\.convert makes one"):
        verify(model, model, x)
    with pytest.raises(ValueError, match="is a spiking network: give the ReLU network first"):
        verify(spiking, model, x)
    with pytest.raises(ValueError, match="is a spiking network: give the ReLU network first"):
        verify(spiking, spiking, x)
    with pytest.raises(ValueError, match="model: expected a Keras model, not str"):
        verify("model", spiking, x)
    with pytest.raises(ValueError, match="spiking: expected a Keras model, not NoneType"):
        verify(model, None, x)
    start = keras.Input((12,))
    five = keras.Model(start, KL.Dense(5)(KL.Dense(9, activation="relu")(start)))
    with pytest.raises(ValueError, match=r"output_shape of the ReLU network is \(None, 5\), of the spiking .* 4\)"):
        verify(five, spiking, x)
    with pytest.raises(ValueError, match=r"input_shape of the ReLU network is \(None, 11\), of the spiking .* 12\)"):
        verify(dense_network(3, inputs=11), spiking, x)
    tanh = keras.Model(start, KL.Dense(4)(KL.Dense(9, activation="tanh")(start)))
    with pytest.raises(UnsupportedLayerError, match="'tanh' is not piecewise linear"):
        verify(tanh, spiking, x)
    with pytest.raises(ValueError, match=r"images of shape \(11,\): the network takes \(12,\)"):
        verify(model, spiking, x[:, :11])
    with pytest.raises(ValueError, match="no images given"):
        verify(model, spiking, x[:0])
    with pytest.raises(ValueError, match="batch=0: must be at least 1"):
        verify(model, spiking, x, batch=0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["dense", "conv"])
def test_numbers_that_are_not_finite_are_refused_by_name(name: str, value: float) -> None:
    model = MODELS[name](3)
    spiking, x = converted(model), images(model)
    bad = x.copy()
    bad[13].flat[3] = value
    with pytest.raises(
        ValueError, match=rf"batch 2, image 13 is {value} at \(.*\); every pixel must be a finite number"
    ):
        verify(model, spiking, bad, batch=6)
    with pytest.raises(ValueError, match=rf"batch 0, image 0 is {value} at"):
        verify(model, spiking, np.full_like(x, value))
    with pytest.raises(ValueError, match=rf"batch 0, image 13 is {value} at"):
        convert(model, bad, low=LOW, high=HIGH)
    network = relu_model(scaled_network(model, LOW, HIGH))
    for pass_over in (measure, measure_bounds):
        with pytest.raises(ValueError, match=rf"image 13 is {value} at"):
            pass_over(network, [bad[:8], bad[8:]])
    for layer in model.layers:
        for weight in layer.weights:
            good = np.asarray(weight)
            broken = good.copy()
            broken.flat[-1] = value
            weight.assign(broken)
            message = rf"layer '{layer.name}' \({type(layer).__name__}\): weight '{weight.name}' is {value} at"
            for function in (lambda: verify(model, spiking, x), lambda: convert(model, x, low=LOW, high=HIGH)):
                with pytest.raises(UnsupportedLayerError, match=message):
                    function()
            weight.assign(good)
    for layer in [*neuron_layers(spiking), spiking.layers[-1]]:
        for weight in layer.weights:
            good = np.asarray(weight)
            broken = good.copy()
            broken.flat[-1] = value
            weight.assign(broken)
            with pytest.raises(ValueError, match=rf"layer '{layer.name}': weight '{weight.name}' is {value} at"):
                verify(model, spiking, x)
            weight.assign(good)


def test_logits_that_overflow_are_refused_by_batch_and_layer() -> None:
    start = keras.Input((2,), dtype="float64")
    hidden = KL.Dense(2, activation="relu", dtype="float64")(start)
    model = keras.Model(start, KL.Dense(2, name="out", dtype="float64")(hidden))
    model.layers[1].set_weights([np.eye(2) * 0.9, np.zeros(2)])
    model.layers[2].set_weights([np.full((2, 2), 1.7e308), np.zeros(2)])
    x = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"batch 0, image 0: layer 'out' of the ReLU network gives inf"):
        verify(model, convert(model, x), x)


def test_one_output_has_no_classes_but_signs() -> None:
    start = keras.Input((12,))
    model = keras.Model(start, KL.Dense(1)(KL.Dense(9, activation="relu")(start)))
    randomise(model, 1)
    x = images(model, 40)
    kernel, bias = model.layers[-1].get_weights()
    middle = float(np.median(np.asarray(model(x))))
    model.layers[-1].set_weights([kernel, bias - middle])
    result = verify(model, converted(model), x)
    assert (result.agreement, result.equal_signs, result.exact) == (None, 1.0, True)
    assert "equal signs for 100.00% of 40 images" in str(result)
    other = copy_of(model)
    other.layers[-1].set_weights([kernel, bias - middle + 100])
    wrong = verify(other, converted(model), x)
    assert wrong.equal_signs == pytest.approx(0.5, abs=0.1)
    assert not wrong.exact


@pytest.mark.parametrize("zeta", [1e12, 1e15])
def test_a_precision_that_is_lost_is_said(zeta: float) -> None:
    model = dense_network(3, "after")
    result = verify(model, converted(model, zeta=zeta), images(model))
    assert not result.exact
    assert sum(result.early_spikes.values()) == 0
    assert result.rounding > 1e-6
    assert any("rounding in float64 may change values of layer" in reason for reason in result.reasons)


def test_early_spikes_noise_and_images_outside_are_reasons() -> None:
    model = dense_network(3, "after")
    x = images(model)
    early = verify(model, converted(model, zeta=-0.8), x)
    assert not early.exact
    assert early.reasons[-1].startswith(f"{sum(early.early_spikes.values())} spikes came before their window: ")
    wide = x.copy()
    wide[4, 0] = HIGH + 1
    outside = verify(model, converted(model), wide)
    assert any("1 images have pixels outside [-1.0, 2.0]" in reason for reason in outside.reasons)


def test_what_it_prints_can_be_read() -> None:
    model = dense_network(3, "after")
    good, bad = (verify(model, converted(model, zeta=zeta), images(model)) for zeta in (60.0, -0.8))
    first, *rest = str(good).splitlines()
    assert first == "exact: the same class for 100.00% of 20 images"
    assert not any("not exact" in line for line in rest)
    assert str(bad).startswith("not exact: ")
    assert all(f"  not exact since {reason}" in str(bad) for reason in bad.reasons)


def test_a_network_without_hidden_layers_is_verified_by_its_values() -> None:
    start = keras.Input((5, 5, 1))
    model = keras.Model(start, KL.Dense(3)(KL.Flatten()(start)))
    result = verify(model, converted(model), images(model))
    assert (result.exact, result.certified, result.early_spikes) == (True, 1.0, {})


def quantised(mode: str) -> Any:
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            KL.Conv2D(4, 3, activation="relu"),
            KL.Flatten(),
            KL.Dense(8, activation="relu", name="hidden"),
            KL.Dense(3),
        ]
    )
    model.quantize(mode)
    return model


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantised_layers_are_refused_by_name(mode: str) -> None:
    model = quantised(mode)
    x = np.random.default_rng(0).random((4, 6, 6, 2))
    with pytest.raises(UnsupportedLayerError, match=rf"layer 'hidden' \(Dense\): it is quantized \({mode}\); convert"):
        convert(model, x)


def small(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((6, 6, 2)), *layers, KL.Flatten(), KL.Dense(3)])


def test_what_a_layer_computes_with_is_what_is_converted() -> None:
    """LoRA's part of a kernel counts; what belongs to training need not be one that can be copied."""
    layer = KL.Conv2D(4, 3, activation="relu", kernel_regularizer=lambda w: 0.0 * keras.ops.sum(w))
    dense = KL.Dense(6, activation="relu")
    model = small(layer, KL.Flatten(), dense, KL.Dense(5, activation="relu", kernel_constraint=lambda w: w))
    draw = np.random.default_rng(0)
    for each in (layer, dense):
        each.enable_lora(2)
        each.lora_kernel_b.assign(draw.normal(size=each.lora_kernel_b.shape))
    x = draw.random((20, 6, 6, 2))
    spiking = convert(model, x, mapping="published", zeta=60.0)
    np.testing.assert_allclose(np.asarray(spiking(x)), np.asarray(model(x)), rtol=0, atol=1e-5)
    assert verify(model, spiking, x).exact
    dense.lora_kernel_b.assign(2 * np.asarray(dense.lora_kernel_b))
    assert not verify(model, spiking, x).exact


class Doubled(KL.Dense):
    """A layer whose kernel is not what it computes with."""

    def call(self, inputs: Any) -> Any:
        return 2 * super().call(inputs)


class Custom(keras.Model):
    """A model that does more than its layers."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        return 2 * super().call(inputs)


def test_layers_and_models_with_a_call_of_their_own_are_refused() -> None:
    x = np.random.default_rng(0).random((4, 6, 6, 2))
    start = keras.Input((6, 6, 2))
    plain = KL.Dense(3)(KL.Dense(4, activation="relu")(KL.Flatten()(start)))
    with pytest.raises(UnsupportedLayerError, match=r"\(Doubled\): this kind of layer is not supported"):
        convert(small(KL.Flatten(), Doubled(4, activation="relu")), x)
    with pytest.raises(UnsupportedLayerError, match=r"\(Custom\): it has a call of its own"):
        convert(Custom(start, plain), x)
    normalised = KL.BatchNormalization(name="norm")(KL.ReLU()(KL.Conv2D(2, 3)(start)), training=True)
    with pytest.raises(UnsupportedLayerError, match=r"layer 'norm' .*called with training=True"):
        convert(keras.Model(start, KL.Dense(3)(KL.Flatten()(normalised))), x)


def test_a_variance_below_zero_is_named() -> None:
    model = conv_network(3, "after")
    layer = next(layer for layer in model.layers if isinstance(layer, KL.BatchNormalization))
    layer.moving_variance.assign(-np.ones(4))
    with pytest.raises(UnsupportedLayerError, match=rf"'{layer.name}' .*moving_variance \+ epsilon is -0.999"):
        convert(model, images(model), low=LOW, high=HIGH)
