"""What MLflow's pages show: names, descriptions, data sets, sweeps and models, read back from a real store."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from fake_results import config_slice, fake_results, paths_of, track
from networks import conv_network
from stamped import prepare, write_json

from relu2snn.config import Paths, compose_experiment, compose_suite, from_slice, stage_slice
from relu2snn.datasets import ArraySet
from relu2snn.errors import UserError
from relu2snn.files import digest_of, read_json
from relu2snn.made import Job
from relu2snn.mapping import bounded_sums, convert, read_keras, relu_model
from relu2snn.stages import track_sweep

pytestmark = pytest.mark.usefixtures("tracking")


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "fmnist_lenet (sample)"),
        (["phase2.zeta=0.3", "train.epochs=2"], "fmnist_lenet zeta=0.3 epochs=2 (sample)"),
        (["phase2.noise=0.01"], "fmnist_lenet noise=0.01 (sample)"),
        (
            ["phase2.zeta=0.3", "phase2.batch=4", "phase1.upper=0.5", "train.seed=1"],
            "fmnist_lenet zeta=0.3 batch=4 upper=0.5 … (sample)",
        ),
        # What only changes what is shown names no run.
        (["figures.image=3", "energy.float32.mac=2.5"], "fmnist_lenet (sample)"),
    ],
)
def test_a_name_tells_what_is_not_as_in_conf(tmp_path: Path, client: Any, overrides: list[str], name: str) -> None:
    values = config_slice(tmp_path, "quickstart", *overrides)
    fake_results(values)
    run = client.get_run(track(values)["parent"])
    assert run.info.run_name == name
    # And the description has the call that makes it again.
    given = f" 'overrides={' '.join(overrides)}'" if len(overrides) > 1 else f" overrides={''.join(overrides)}"
    command = f"--config suite=quickstart experiments=fmnist_lenet{given if overrides else ''}\n```"
    assert command in run.data.tags["mlflow.note.content"]


def test_a_description_has_the_table_the_layers_and_the_figures(tmp_path: Path, client: Any) -> None:
    values = config_slice(tmp_path, "page_note")
    fake_results(values, agreement=0.999)
    logged = track(values)
    note = client.get_run(logged["parent"]).data.tags["mlflow.note.content"]
    early = "1 spikes came before their window: 1 in conv2d"
    assert f"**999 of 1,000 images** of `fmnist_sample`; **not exact**: {early}." in note
    assert "a sample of the real ones" in note
    lines = note.splitlines()
    assert "| accuracy | 0.8750 | 0.8750 | 0.8750 |" in lines
    assert "| agreement with the original |  | 1.0 | 0.9990 |" in lines
    assert "| `conv2d_1` | 7.2500 | 4.7500 to 12.5000 | 1.0 | 0 | 0.6000 |" in lines
    assert f"![layer maxima](get-artifact?path=figures/layer_maxima.png&run_uuid={logged['parent']})" in lines
    experiment = client.get_experiment(logged["experiment_id"])
    assert experiment.tags["mlflow.note.content"].startswith("Results of `suite=page_note`")


def test_data_sets_are_logged_with_digest_origin_and_use(tmp_path: Path, client: Any) -> None:
    values = config_slice(tmp_path, "page_data")
    fake_results(values)
    logged = track(values)
    track(values)

    def uses(run_id: str) -> dict[str, str]:
        inputs = client.get_run(run_id).inputs.dataset_inputs
        return {each.dataset.name: each.tags[0].value for each in inputs}

    train, test = "fmnist_sample train", "fmnist_sample test"
    assert uses(logged["parent"]) == {train: "training", test: "test"}
    assert uses(logged["children"]["train"]) == {train: "training"}
    assert uses(logged["children"]["phase1"]) == {train: "calibration", test: "test"}
    assert uses(logged["children"]["phase2"]) == {test: "test"}
    data = client.get_run(logged["children"]["phase2"]).inputs.dataset_inputs[0].dataset
    assert (data.digest, json.loads(data.source)["uri"]) == ("0123456789ab", "data/sample/fmnist")
    assert json.loads(data.profile) == {
        "images": 1000,
        "image_shape": [28, 28, 1],
        "sha256": "0123456789abcdef" * 4,
    }


def test_what_a_user_writes_stays_until_the_result_changes(tmp_path: Path, client: Any) -> None:
    values = config_slice(tmp_path, "page_edit")
    fake_results(values)
    parent = track(values)["parent"]
    client.set_tag(parent, "mlflow.note.content", "My own words")
    track(values)
    assert client.get_run(parent).data.tags["mlflow.note.content"] == "My own words"
    fake_results(values, agreement=0.5)
    track(values)
    assert "**500 of 1,000 images**" in client.get_run(parent).data.tags["mlflow.note.content"]


# Sweeps


def sweep(tmp_path: Path, suite: str, values: list[float]) -> Any:
    """Log a sweep that never ran; returns the ids of its runs."""
    spread = {"mean": 0.75, "std": 0.125, "min": 0.5, "max": 1.0}
    shares = dict.fromkeys(
        ("accuracy", "agreement", "spiking_fraction", "certified", "early_spikes", "early_images"), spread
    )
    points = [
        {"value": value, "images": 8, "latency": 9.5, "window": 2.0, "seconds": 2.0, "exact_trials": 0, **shares}
        | {"trials": [{"exact": False}, {"exact": True}]}
        for value in values
    ]
    result = {"experiment": "fmnist_lenet", "sweep": "noise", "points": points, "seconds": 4.0}
    overrides = [f"outputs={tmp_path}", f"sweep.values={values}".replace(" ", "")]
    config = compose_experiment("fmnist_lenet", compose_suite("quickstart"), overrides, "noise")
    slice_ = stage_slice(config, "track_sweep")
    slice_["suite"]["name"] = suite
    folder = Path(paths_of(slice_).sweep)
    folder.mkdir(parents=True, exist_ok=True)
    shown = [folder / name for name in ("table.csv", "noise.png", "noise.svg")]
    for path in shown:
        path.write_bytes(b"not really")
    write_json(folder / "result.json", result, files={path.name: digest_of(path) for path in shown})
    track_sweep.run(from_slice(slice_))
    return read_json(folder / "mlflow.json")


def test_the_points_of_a_sweep_are_runs_that_charts_compare(tmp_path: Path, client: Any) -> None:
    values = config_slice(tmp_path, "page_sweep")
    fake_results(values)
    experiment = track(values)
    logged = sweep(tmp_path, "page_sweep", [0.1, 0.2])
    run = client.get_run(logged["run"])
    assert run.data.tags["mlflow.parentRunId"] == experiment["parent"]
    assert run.info.run_name == "sweep noise fmnist_lenet (sample)"
    note = run.data.tags["mlflow.note.content"]
    assert "| 0.1 | 2 | 0.7500 ± 0.1250 | 0.7500 ± 0.1250 | 0.7500 | 9.5000 |" in note.splitlines()
    assert f"get-artifact?path=noise.png&run_uuid={logged['run']}" in note
    assert [point.value for point in client.get_metric_history(logged["run"], "noise")] == [0.1, 0.2]
    # A chart takes the parameter from one, the shares from the other, under the names of phase 2.
    points = {name: client.get_run(run_id) for name, run_id in logged["points"].items()}
    assert {name: run.data.params["phase2.noise"] for name, run in points.items()} == {"0.1": "0.1", "0.2": "0.2"}
    for run in points.values():
        assert run.data.tags["mlflow.parentRunId"] == logged["run"]
        assert run.data.tags["stage"] == "sweep_point"
        shown = {name: run.data.metrics[name] for name in ("accuracy", "agreement", "agreement_std", "exact", "trials")}
        assert shown == {"accuracy": 0.75, "agreement": 0.75, "agreement_std": 0.125, "exact": 0.0, "trials": 2.0}
    assert points["0.2"].info.run_name == "noise=0.2 fmnist_lenet (sample)"
    assert sweep(tmp_path, "page_sweep", [0.1, 0.2]) == logged
    # One more value: the points that were there stay, below the longer sweep.
    longer = sweep(tmp_path, "page_sweep", [0.1, 0.15, 0.2])
    assert {name: longer["points"][name] for name in logged["points"]} == logged["points"]
    for run_id in longer["points"].values():
        assert client.get_run(run_id).data.tags["mlflow.parentRunId"] == longer["run"]


# Models


def networks(values: dict[str, Any], seed: int = 0) -> Paths:
    """Small networks in the places of an experiment's, and a prepared data set of random images."""
    paths = fake_results(values)
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (12, *values["dataset"]["image_shape"]), dtype=np.uint8)
    labels = np.arange(12)
    folder = Path(paths.dataset)
    source = read_json(folder / "source.json")
    prepare(folder, "fake", "sample", ArraySet(images, labels, images, labels, "nowhere", []))
    prepared = read_json(folder / "source.json")
    write_json(folder / "source.json", {**source, **{key: prepared[key] for key in ("arrays", "digest")}})
    original = conv_network(seed, shape=(28, 28, 1))
    spiking = convert(original, images / 255.0, low=0.0, high=1.0)
    Job("phase1", {}).write_model(f"{paths.phase1}/scaled.keras", relu_model(bounded_sums(read_keras(original))))
    Job("convert", {}).write_model(f"{paths.phase2}/spiking.keras", spiking)
    return paths


def models(client: Any, logged: Any) -> dict[str, Any]:
    found = client.search_logged_models([logged["experiment_id"]])
    assert len({model.name for model in found}) == len(found)
    return {model.name: model for model in found}


def test_a_network_is_logged_once_while_it_is_the_same(tmp_path: Path, client: Any) -> None:
    values = config_slice(tmp_path, "page_models", "tracking.models=[scaled,spiking]")
    paths = networks(values)
    first = track(values)
    found = models(client, first)
    assert set(found) == {"fmnist_lenet-scaled", "fmnist_lenet-spiking"}
    spiking = found["fmnist_lenet-spiking"]
    assert spiking.source_run_id == first["parent"]
    assert (spiking.tags["network"], spiking.params["std"]) == ("spiking", "255.0")
    assert {metric.key: metric.value for metric in spiking.metrics} == {
        "accuracy": 0.875,
        "agreement": 1.0,
        "latency": 12.5,
        "exact": 0.0,
    }
    # Saved again the file differs by its date; the network is the same.
    for stage, file in (("phase1", f"{paths.phase1}/scaled.keras"), ("convert", f"{paths.phase2}/spiking.keras")):
        Job(stage, {}).write_model(file, keras.saving.load_model(file))
    assert track(values) == first
    assert {model.model_id for model in models(client, first).values()} == set(first["models"].values())
    # Weights trained again: the run is the same, the networks are others.
    networks(values, seed=1)
    second = track(values)
    assert second["parent"] == first["parent"]
    assert not set(second["models"].values()) & set(first["models"].values())
    assert {model.model_id for model in models(client, second).values()} == set(second["models"].values())


def test_a_registered_version_outlives_what_supersedes_it(tmp_path: Path, client: Any) -> None:
    values = config_slice(tmp_path, "page_register", "tracking.models=[spiking]", "tracking.register=true")
    networks(values)
    first = track(values)
    track(values)

    def versions() -> list[int]:
        found = client.search_model_versions("name = 'relu2snn-page_register-fmnist_lenet'")
        return sorted(int(version.version) for version in found)

    assert versions() == [1]
    networks(values, seed=1)
    second = track(values)
    assert versions() == [1, 2]
    kept = {model.model_id for model in client.search_logged_models([first["experiment_id"]])}
    assert kept == {first["models"]["fmnist_lenet-spiking"], second["models"]["fmnist_lenet-spiking"]}


def test_a_network_too_large_is_left_out_with_a_line(
    tmp_path: Path, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    values = config_slice(
        tmp_path, "page_large", "tracking.models=[scaled,spiking]", "tracking.model_megabytes=0.000001"
    )
    networks(values)
    assert track(values)["models"] == {}
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "more than tracking.model_megabytes=1e-06; it is not logged" in line]) == 2


def test_a_network_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    values = config_slice(tmp_path, "page_absent", "tracking.models=[spiking]")
    fake_results(values)
    with pytest.raises(UserError, match=r"spiking\.keras: no such file; run the stage that makes it first"):
        track(values)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tracking.models=[spikes]", "tracking.models=spikes: must be one of scaled, spiking"),
        ("tracking.model_megabytes=0", "tracking.model_megabytes=0.0: must be greater than 0"),
        ("tracking.models=[scaled]", r"tracking.register=true: tracking.models=\['scaled'\] leaves out the spiking"),
    ],
)
def test_a_mistake_about_models_is_one_line(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose_experiment("fmnist_fc", compose_suite("quickstart"), [override, "tracking.register=true"])
