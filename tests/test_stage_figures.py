"""The stage that draws an experiment's figures: on a small network whose spikes do come early, from its files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import conv_network
from stamped import prepare, write_json, write_npz

from relu2snn import figures
from relu2snn.config import FIGURES, Paths, from_slice
from relu2snn.datasets.arrays import ArraySet
from relu2snn.errors import UserError
from relu2snn.made import Job
from relu2snn.mapping import bounded_sums, logits_model, measure, read_keras, relu_model, to_spiking
from relu2snn.spiking import (
    Decoding,
    MembranePotential,
    OutputPotentials,
    Raster,
    SpikeHistogram,
    SpikingRun,
    costs_of,
    membrane_potentials,
    output_potentials,
    segment_sums,
    spike_times,
    spiking_model,
)
from relu2snn.stages.figures import run
from relu2snn.stages.gather import costs_in_result

IMAGES = 20
SUITE, NAME, DATA = "fake_suite", "fake_experiment", "fake_data"
PHASE2 = {"mapping": "published", "noise": 0.0, "alpha_noise": 0.0, "reference_noise": 0.0}
PHASE2 |= {"seed": 0, "window": "margin", "precision": "float64"}
FOLDERS = {"dataset": "base", "phase1": "base", "phase2": "base", "figures": "base"}
NAMES = {"suite": {"name": SUITE}, "name": NAME, "dataset": {"name": DATA}, "run": FOLDERS}


def prepare_experiment(outputs: Path, zeta: float, channels: int = 3) -> dict[str, Any]:
    """The files that the stage reads, of a random network on random images: results and networks really go together."""
    paths = Paths.of(from_slice(NAMES | {"outputs": str(outputs)}))
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 7, 8, channels)).astype(np.uint8)
    labels = np.arange(IMAGES) % 4
    prepare(paths.dataset, DATA, "synthetic", ArraySet(pixels, labels, pixels, labels, "random", []))
    model = conv_network(2, "after", shape=(7, 8, channels))
    images = pixels / 255.0
    kernel, bias = model.layers[-1].get_weights()
    # Else all random images are of one class, and the networks would not disagree.
    model.layers[-1].set_weights([kernel, bias - np.asarray(logits_model(model)(images)).mean(axis=0)])
    network = bounded_sums(read_keras(model))
    scaled = relu_model(network)
    measured = measure(scaled, [images])
    spiking = spiking_model(to_spiking(network, measured.maxima, mapping="published", zeta=zeta))
    original = np.asarray(logits_model(model)(images)).argmax(-1)
    tested = SpikingRun(spiking)
    found = tested.logits(images).argmax(-1)
    Job("phase1", {}).write_model(f"{paths.phase1}/scaled.keras", scaled)
    settings = {f"phase2.{key}": value for key, value in {**PHASE2, "zeta": zeta}.items()}
    Job("convert", settings).write_model(f"{paths.phase2}/spiking.keras", spiking, layer_maxima=measured.maxima)
    write_npz(f"{paths.phase1}/predictions.npz", {"labels": original})
    write_npz(f"{paths.phase2}/predictions.npz", {"labels": found})
    maxima = list(measured.maxima.values())
    phase1 = {"layers": measured.layers, "layer_maxima": maxima, "calibration_images": IMAGES}
    write_json(f"{paths.phase1}/result.json", phase1)
    result = {
        "images": IMAGES,
        "layers": tested.layers,
        "layer_maxima": maxima,
        "windows": tested.windows,
        "simulated": {"layers": tested.simulated.tolist()},
        "early_spikes": {"layers": tested.early.tolist()},
        "costs": costs_in_result([segment_sums(tested)], IMAGES),
    }
    write_json(f"{paths.phase2}/result.json", result)
    return {"spiking": spiking, "images": images, "pixels": pixels, "run": tested, "labels": (original, found)}


def draw(outputs: Path, zeta: float = -0.7, **changes: Any) -> dict[str, Any]:
    """Run the stage; returns the numbers it wrote."""
    settings = {"images": None, "batch": 8, "image": None, "layer": None, "neurons": 5, "traces": 4, "seed": 0}
    config = {
        "outputs": str(outputs),
        **NAMES,
        "dataset": {
            "name": DATA,
            "preprocess": {"mean": 0.0, "std": 255.0, "low": 0.0, "high": 1.0},
            "source": {"mean_bgr": []},
        },
        "phase2": {**PHASE2, "zeta": zeta},
        "figures": {**settings, **changes},
    }
    run(from_slice(config))
    with np.load(outputs / SUITE / NAME / "figures" / "base" / "data.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Outputs, networks and drawn numbers of an experiment with early spikes."""
    outputs = tmp_path_factory.mktemp("outputs")
    made = prepare_experiment(outputs, zeta=-0.7)
    return outputs, made, draw(outputs)


def test_every_figure_is_written_twice_and_nothing_else_but_the_numbers(early: Any) -> None:
    files = {path.name for path in (early[0] / SUITE / NAME / "figures" / "base").iterdir()}
    assert files == {"data.npz"} | {f"{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg")}


def test_the_numbers_are_those_of_the_run(early: Any) -> None:
    _, made, numbers = early
    run = made["run"]
    assert run.early.max() > 0
    chosen = int(run.early.argmax())
    name = run.layers[chosen]
    assert numbers["spike_times.layer"] == name
    assert numbers["spike_times.images"] == IMAGES
    assert numbers["spike_times.before_end"] == run.spikes[chosen]
    assert numbers["operations.images"] == IMAGES
    counted = costs_of(run)
    assert list(numbers["operations.segments"]) == [each.name for each in counted.segments]
    for key in ("operations", "forced"):
        np.testing.assert_allclose(numbers[f"operations.{key}"], [getattr(each, key) for each in counted.segments])
    assert numbers["operations.dense"].tolist() == [each.dense_macs for each in counted.segments]
    assert numbers["operations.clocks"].sum() == counted.counts.reference + counted.counts.start
    # Spikes before t_min by rounding alone are not early.
    before = numbers["spike_times.edges"][:-1] < numbers["spike_times.t_min"] - 1e-9
    assert numbers["spike_times.counts"][before].sum() == pytest.approx(run.early[chosen], abs=5)
    assert numbers["certified.simulated"].tolist() == run.simulated.tolist()
    assert numbers["certified.early"].tolist() == run.early.tolist()
    assert numbers["certified.pairs"].tolist() == (run.neurons * IMAGES).tolist()
    assert numbers["exactness.pairs"] == run.neurons.sum() * IMAGES
    np.testing.assert_array_equal(numbers["layer_maxima.windows"], run.windows)
    np.testing.assert_array_equal(numbers["disagreement.original"], made["labels"][0])
    np.testing.assert_array_equal(numbers["disagreement.spiking"], made["labels"][1])
    differ = np.flatnonzero(made["labels"][0] != made["labels"][1])
    assert differ.size
    np.testing.assert_array_equal(numbers["disagreement.pictures"], made["pixels"][differ[:12]])


def test_the_image_shown_is_the_first_with_an_early_spike_in_the_layer(early: Any) -> None:
    _, made, numbers = early
    layer = made["spiking"].get_layer(str(numbers["spike_times.layer"]))
    times = spike_times(made["spiking"], made["images"])[layer.name]
    first = int(np.flatnonzero((times < layer.t_min - 1e-9).reshape(IMAGES, -1).any(axis=1))[0])
    assert numbers["raster.image"] == numbers["potentials.image"] == numbers["output_potentials.image"] == first
    assert numbers["potentials.0.kind"] == "early"
    neuron = tuple(numbers["potentials.0.neuron"])
    (trace,) = membrane_potentials(made["spiking"], made["images"][first], layer=layer.name, neurons=[neuron])
    np.testing.assert_array_equal(numbers["potentials.0.potentials"], trace.potentials)
    output = output_potentials(made["spiking"], made["images"][first])
    np.testing.assert_array_equal(numbers["output_potentials.potentials"], output.highest(10).potentials)
    np.testing.assert_array_equal(numbers["raster.picture"], made["pixels"][first])
    # The raster's values are the ReLU's, from which early spikes differ.
    own = numbers["raster.layer"] == list(numbers["raster.layers"]).index(layer.name)
    decoded = numbers["raster.windows"][numbers["raster.layer"], 1] - numbers["raster.time"]
    assert own.sum() == 5
    assert np.abs(decoded - numbers["raster.value"]).max() > 1e-3


def test_without_early_spikes_the_last_hidden_layer_and_the_first_image_are_shown(tmp_path: Path) -> None:
    made = prepare_experiment(tmp_path, zeta=0.5)
    numbers = draw(tmp_path, zeta=0.5)
    assert not made["run"].early.any()
    assert numbers["spike_times.layer"] == numbers["potentials.0.layer"] == made["run"].layers[-1]
    assert numbers["raster.image"] == 0


def test_images_of_other_channels_than_colours_are_left_out(tmp_path: Path) -> None:
    made = prepare_experiment(tmp_path, zeta=-0.7, channels=2)
    numbers = draw(tmp_path)
    assert (made["labels"][0] != made["labels"][1]).any()
    assert [key for key in numbers if "picture" in key] == []
    assert numbers["raster.title"] == f"test image {numbers['raster.image']}, class {numbers['raster.label']}"


def test_settings_choose_images_layer_neurons_and_traces(early: Any) -> None:
    outputs, made, _ = early
    numbers = draw(outputs, images=3, image=17, layer=2, neurons=3, traces=2)
    assert numbers["spike_times.layer"] == made["run"].layers[1]
    assert numbers["spike_times.images"] == numbers["exactness.images"] == 3
    assert numbers["raster.image"] == numbers["potentials.image"] == 17
    assert np.bincount(numbers["raster.layer"]).tolist() == [3, 3, 3, 3]
    assert len({key.split(".")[1] for key in numbers if key.startswith("potentials.") and key[11].isdigit()}) == 2
    assert numbers["potentials.0.layer"] == made["run"].layers[1]


def test_the_numbers_draw_the_figures_again(early: Any, tmp_path: Path) -> None:
    numbers = draw(early[0])

    def of(name: str, *without: str) -> dict[str, Any]:
        own = {key.removeprefix(f"{name}."): value for key, value in numbers.items() if key.startswith(f"{name}.")}
        return {key: value for key, value in own.items() if key not in without}

    shown = ("image", "title", "label")
    raster, output = of("raster"), of("output_potentials")
    traces = [of(f"potentials.{number}") for number in range(4)]
    again = {
        "layer_maxima": figures.plot_layer_maxima(**of("layer_maxima")),
        "certified": figures.plot_certified(**of("certified")),
        "operations": figures.plot_operations(**of("operations")),
        "disagreement": figures.plot_disagreement(**of("disagreement")),
        "spike_times": figures.plot_spike_times(SpikeHistogram(**of("spike_times"))),
        "exactness": figures.plot_exactness(Decoding(**of("exactness"))),
        "raster": figures.plot_raster(
            Raster(**of("raster", *shown, "picture")), str(raster["title"]), picture=raster["picture"]
        ),
        "potentials": figures.plot_potentials(
            [MembranePotential(**{**each, "kind": str(each["kind"])}) for each in traces], str(raster["title"])
        ),
        "output_potentials": figures.plot_output_potentials(
            OutputPotentials(**of("output_potentials", *shown)), int(output["label"]), str(output["title"])
        ),
    }
    assert set(again) == set(FIGURES)
    for name, figure in again.items():
        figures.save_figure(figure, tmp_path / name)
        found = (early[0] / SUITE / NAME / "figures" / "base" / name).with_suffix(".png")
        assert (tmp_path / name).with_suffix(".png").read_bytes() == found.read_bytes(), name


def test_the_same_settings_give_the_same_bytes(early: Any) -> None:
    folder = early[0] / SUITE / NAME / "figures" / "base"
    draw(early[0])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    draw(early[0])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"layer": 4}, "figures.layer=4: fake_experiment has hidden layers 1 to 3"),
        ({"image": 20}, "figures.image=20: fake_experiment has test images 0 to 19"),
    ],
)
def test_what_is_not_there_is_one_line(early: Any, setting: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        draw(early[0], **setting)


def test_a_result_from_before_costs_were_counted_is_one_line(tmp_path: Path) -> None:
    prepare_experiment(tmp_path, zeta=0.5)
    file = tmp_path / SUITE / NAME / "phase2" / "base" / "result.json"
    result = json.loads(file.read_text())
    del result["costs"]
    write_json(file, result)
    with pytest.raises(UserError, match=r"phase2/base/result\.json: made before costs were counted; delete it"):
        draw(tmp_path)


@pytest.mark.parametrize(
    "missing", ["phase1/base/result.json", "phase2/base/spiking.keras", "phase1/base/scaled.keras"]
)
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    prepare_experiment(tmp_path, zeta=0.5)
    (tmp_path / SUITE / NAME / missing).unlink()
    with pytest.raises(UserError, match=f"{missing}: no such file"):
        draw(tmp_path)
    assert not list(tmp_path.rglob("data.npz"))


def test_photographs_are_shown_as_they_were(tmp_path: Path) -> None:
    from relu2snn.presentation.drawn import picture

    mean = [10.0, 20.0, 30.0]
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    prepared = rgb[..., ::-1].astype(np.float32) - np.array(mean, np.float32)
    np.testing.assert_array_equal(picture(prepared, mean), rgb)
    np.testing.assert_array_equal(picture(rgb, []), rgb)
