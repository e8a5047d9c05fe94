"""A spiking network as a Keras model, and the package as users import it: saved, loaded, summarised, taken apart."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from networks import conv_network

import relu2snn
from relu2snn.mapping import bounded_sums, measure, read_keras, relu_model, to_spiking
from relu2snn.saved.keras_files import load_model, save_model
from relu2snn.spiking import SpikeRecorder, SpikingModel, SpikingRun, neurons_of, spiking_model

layers = keras.layers


def images(count: int = 12) -> np.ndarray:
    """What float32 can hold: Keras rounds whatever `predict` is given."""
    return np.random.default_rng(0).uniform(0, 1, (count, 7, 8, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def original() -> keras.Model:
    return conv_network(2, "after")


@pytest.fixture(scope="module")
def spiking(original: keras.Model) -> SpikingModel:
    """Converted with windows so short that spikes do come early."""
    return relu2snn.convert(original, images(), mapping="published", zeta=-0.5)


def branched() -> Any:
    """Two inputs, a sum, a concatenation that is permuted, two outputs, one with a sigmoid."""
    left, right = keras.Input((6, 5, 2), name="left"), keras.Input((6, 5, 2), name="right")
    a = layers.Conv2D(3, 3, padding="same", activation="relu", name="a")(left)
    b = layers.Conv2D(3, 3, padding="same", activation="relu", name="b")(right)
    both = layers.Permute((2, 1, 3))(layers.Concatenate()([layers.Add()([a, b]), b]))
    c = layers.Dense(5, activation="relu", name="c")(layers.Flatten()(both))
    outputs = [layers.Dense(3, name="classes")(c), layers.Dense(2, activation="sigmoid", name="flags")(c)]
    keras.utils.set_random_seed(1)
    model = keras.Model([left, right], outputs)
    draw = np.random.default_rng(1)
    model.set_weights([draw.normal(0, 0.4, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def several() -> tuple[Any, SpikingModel, dict[str, np.ndarray]]:
    model = branched()
    draw = np.random.default_rng(2)
    given = {name: draw.uniform(0, 1, (9, 6, 5, 2)).astype(np.float32) for name in ("left", "right")}
    network = bounded_sums(read_keras(model))
    maxima = measure(relu_model(network), [given]).maxima
    return model, spiking_model(to_spiking(network, maxima, mapping="published")), given


def ran(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Python as a user starts it, who has set nothing."""
    kept = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, env=kept, capture_output=True, text=True, check=False)


def test_importing_the_package_is_light_and_shows_its_names() -> None:
    code = (
        "import sys, relu2snn;"
        "print({name.split('.')[0] for name in sys.modules} & {'keras', 'tensorflow', 'numba', 'numpy'});"
        "print(*[name for name in dir(relu2snn) if not name.startswith('__')], relu2snn.__version__)"
    )
    done = ran(code)
    loaded, names = done.stdout.splitlines()
    assert loaded == "set()"
    *names, version = names.split()
    assert names == sorted(relu2snn.__all__)
    assert version.split(".")[0].isdigit()
    assert done.stderr == ""
    with pytest.raises(AttributeError, match="module 'relu2snn' has no attribute 'convrt'"):
        _ = relu2snn.convrt  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "imports", ["import relu2snn, keras", "import keras, relu2snn", "import relu2snn.serving, keras"]
)
def test_a_saved_network_loads_in_a_new_process_that_only_imports_the_package(
    spiking: SpikingModel, tmp_path: Path, imports: str
) -> None:
    spiking.save(tmp_path / "spiking.keras")
    relu_model(bounded_sums(read_keras(conv_network(2)))).save(tmp_path / "relu.keras")
    np.save(tmp_path / "images.npy", images())
    code = f"""
import os, sys
{imports}
import numpy as np
folder = sys.argv[1]
spiking, relu = (keras.models.load_model(f"{{folder}}/{{name}}.keras") for name in ("spiking", "relu"))
assert type(spiking).__name__ == "SpikingModel" and len(relu.layers) > 3
np.save(f"{{folder}}/found.npy", spiking.predict(np.load(f"{{folder}}/images.npy"), verbose=0))
"""
    done = ran(code, str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), spiking.predict(images(), verbose=0))
    if imports.startswith("import relu2snn"):
        assert (done.stdout, done.stderr) == ("", "")


def test_nothing_is_said_while_networks_are_converted_and_run() -> None:
    code = """
import relu2snn, keras, numpy as np
for units in range(3, 11):
    start = keras.Input((6, 6, 1))
    x = keras.layers.Flatten()(keras.layers.Conv2D(units, 3, activation="relu")(start))
    model = keras.Model(start, keras.layers.Dense(4, activation="softmax")(x))
    images = np.random.default_rng(0).random((units, 6, 6, 1))
    spiking = relu2snn.convert(model, images)
    assert relu2snn.verify(model, spiking, images).exact
    spiking.predict(images, verbose=0)
    relu2snn.spike_times(spiking, images)
"""
    done = ran(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_failed_import_of_tensorflow_says_why(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise ImportError('no such processor')")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import relu2snn; import tensorflow"
    done = ran(code, str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ImportError: no such processor"


def test_the_summary_has_every_layer_with_its_neurons_and_window(spiking: SpikingModel) -> None:
    said: list[str] = []
    spiking.summary(print_fn=said.append)
    lines = "\n".join(said).splitlines()
    neurons = neurons_of(spiking)
    for name, (start, end) in spiking.windows.items():
        (line,) = [line for line in lines if line.split() and line.split()[0] == name]
        assert line.endswith(f"{start:.6g}  {end:.6g}") or line.split()[-2:] == [f"{start:.6g}", f"{end:.6g}"]
        assert f" {neurons[name]:,} " in line
    assert [line.split()[0] for line in lines[3:-1]] == [layer.name for layer in spiking.layers[1:]]
    assert lines[-1].startswith(
        f"{sum(neurons.values()):,} neurons that spike at most once; latency {spiking.latency:.6g}"
    )


def test_windows_are_made_from_the_layer_maxima_that_the_network_keeps(
    original: keras.Model, spiking: SpikingModel, tmp_path: Path
) -> None:
    network = bounded_sums(read_keras(original))
    maxima = measure(relu_model(network), [images()]).maxima
    assert spiking.layer_maxima == pytest.approx(maxima, rel=1e-12)
    assert list(spiking.layer_maxima) == list(spiking.windows) == list(neurons_of(spiking))
    for name, (start, end) in spiking.windows.items():
        assert end - start == pytest.approx(0.5 * maxima[name], rel=1e-12)
    assert spiking.latency == max(end for _, end in spiking.windows.values())
    save_model(spiking, tmp_path / "a.keras")
    found = load_model(tmp_path / "a.keras", "make it again")
    assert (found.layer_maxima, found.windows, found.latency) == (
        spiking.layer_maxima,
        spiking.windows,
        spiking.latency,
    )
    certified = relu2snn.convert(original, images(), mapping="published", window="certified")
    assert all(certified.layer_maxima[name] >= value * (1 - 1e-12) for name, value in maxima.items())


def test_predict_is_the_simulation(spiking: SpikingModel) -> None:
    run = SpikingRun(spiking)
    expected = run.logits(images())
    assert run.early.sum() > 0
    np.testing.assert_array_equal(spiking.predict(images(), batch_size=len(images()), verbose=0), expected)
    np.testing.assert_array_equal(np.asarray(spiking(images())), expected)
    np.testing.assert_allclose(spiking.predict(images(), batch_size=5, verbose=0), expected, rtol=1e-12, atol=1e-12)


def test_predict_follows_weights_that_change(spiking: SpikingModel) -> None:
    model = keras.models.clone_model(spiking)
    model.set_weights(spiking.get_weights())
    before = model.predict(images(), verbose=0)
    readout = model.layers[-1]
    readout.bias.assign(np.asarray(readout.bias) + 1.0)
    np.testing.assert_allclose(model.predict(images(), verbose=0), before + 1.0, rtol=1e-12)


def test_the_layers_of_a_network_give_their_leads(spiking: SpikingModel) -> None:
    leads = SpikeRecorder(spiking).leads(images())
    times = relu2snn.spike_times(spiking, images())
    for name, lead in leads.items():
        part = keras.Model(spiking.input, spiking.get_layer(name).output)
        np.testing.assert_allclose(part.predict(images(), verbose=0), lead, rtol=0, atol=1e-12)
        end = spiking.windows[name][1] if name in spiking.windows else 1.0
        np.testing.assert_allclose(times[name], end - lead, rtol=0, atol=1e-12)


def test_a_clone_is_a_spiking_network_of_its_own(spiking: SpikingModel) -> None:
    clone = keras.models.clone_model(spiking)
    assert isinstance(clone, SpikingModel)
    clone.set_weights(spiking.get_weights())
    np.testing.assert_array_equal(clone.predict(images(), verbose=0), spiking.predict(images(), verbose=0))
    before = spiking.get_weights()
    clone.perturb(3, alpha_noise=0.2)
    for weight, kept in zip(spiking.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_several_inputs_and_outputs_are_given_and_come_by_name(several: Any, tmp_path: Path) -> None:
    model, spiking, given = several
    assert [tensor.name for tensor in spiking.inputs] == ["left", "right"]
    assert spiking.output_names == ["classes", "flags"]
    expected = model.predict(given, verbose=0)
    logits = SpikingRun(spiking).logits(given)
    save_model(spiking, tmp_path / "a.keras")
    spiking.save(tmp_path / "b.keras")
    ours, theirs = load_model(tmp_path / "a.keras", "make it again"), keras.models.load_model(tmp_path / "b.keras")
    for network in (spiking, ours, theirs):
        for inputs in (given, list(given.values())):
            found = network.predict(inputs, verbose=0)
            for values, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(values, other, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found[0], logits["classes"], rtol=1e-12)
        np.testing.assert_allclose(found[1], 1 / (1 + np.exp(-logits["flags"])), rtol=1e-12)
    with pytest.raises(ValueError, match=r"images for the inputs \['left'\]: the network's are \['left', 'right'\]"):
        SpikingRun(spiking).logits({"left": given["left"]})


def test_arrays_of_whole_numbers_come_back_in_their_places(several: Any, tmp_path: Path) -> None:
    """Keras lists what is not trained last, though a map may have it before its other arrays."""
    _, spiking, given = several
    whole = [weight for layer in spiking.layers for weight in layer.weights if "int" in str(weight.dtype)]
    assert whole
    save_model(spiking, tmp_path / "a.keras")
    found = load_model(tmp_path / "a.keras", "make it again")
    for weight, other in zip(spiking.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)
    before, after = SpikeRecorder(spiking).leads(given), SpikeRecorder(found).leads(given)
    for name, lead in before.items():
        np.testing.assert_array_equal(after[name], lead)


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    """Keras tells objects by their addresses in memory, which no two models share."""
    files = [tmp_path / "a.keras", tmp_path / "b.keras"]
    models = []
    for file in files:
        # Names of layers are counted from the start, as in a process of its own.
        keras.utils.clear_session()
        models.append(conv_network(2, "after"))
        save_model(models[-1], file)
    found = [{name: archive.read(name) for name in archive.namelist()} for archive in map(zipfile.ZipFile, files)]
    assert b"shared_object_id" in found[0]["config.json"]
    for members in found:
        del members["metadata.json"]
    assert found[0] == found[1]
    np.testing.assert_array_equal(load_model(files[0], "").predict(images()), models[0].predict(images()))
