"""MLflow tracking, from made-up result folders, read back from real SQLite stores."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fake_results import config_slice, fake_results, make_newer, track
from filelock import FileLock

from relu2snn.errors import UserError
from relu2snn.files import read_json
from relu2snn.software import git_commit
from relu2snn.tracking import Record, Store, log_experiment, log_sweep


def all_runs(client, logged):
    return client.search_runs([logged["experiment_id"]], max_results=100)


def history(client, run_id, name):
    return [(point.step, point.value) for point in client.get_metric_history(run_id, name)]


def files(client, run_id, folder=None):
    return sorted(item.path for item in client.list_artifacts(run_id, folder))


def test_an_experiment_becomes_a_parent_and_a_child_per_stage(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_structure")
    fake_results(values)
    # What another configuration has left is not a result of this one.
    fake_results(config_slice(tmp_path, "fake_structure", "phase2.noise=0.01"), agreement=0.5)
    logged = track(values)
    assert client.get_experiment(logged["experiment_id"]).name == "relu2snn/fake_structure"
    assert list(logged["children"]) == ["train", "phase1", "phase2"]
    runs = {entry.info.run_id: entry for entry in all_runs(client, logged)}
    assert set(runs) == {logged["parent"], *logged["children"].values()}
    assert all(entry.info.status == "FINISHED" for entry in runs.values())
    assert runs[logged["parent"]].info.run_name == "fmnist_lenet (sample)"
    for name, run_id in logged["children"].items():
        assert runs[run_id].info.run_name == f"{name} fmnist_lenet (sample)"
        assert runs[run_id].data.tags["mlflow.parentRunId"] == logged["parent"]
    phase1 = runs[logged["children"]["phase1"]].info
    assert phase1.end_time - phase1.start_time == 8000


def test_metrics_have_layers_and_epochs_as_steps(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_metrics")
    fake_results(values)
    logged = track(values)
    train, phase1, phase2 = logged["children"].values()
    assert history(client, train, "training_loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert {"training_accuracy", "test_accuracy", "learning_rate"} < set(client.get_run(train).data.metrics)
    assert history(client, phase1, "layer_maximum") == [(1, 2.5), (2, 7.25)]
    assert history(client, phase1, "nonzero_fraction_test") == [(0, 0.4)]
    assert history(client, phase1, "layer_nonzero_fraction_calibration") == [(1, 0.25), (2, 0.75)]
    assert history(client, phase2, "layer_spiking_fraction") == [(1, 0.2), (2, 0.6)]
    # 375 operations and 30 + 40 of clocks, of 0.9 + 3 · 5 pJ; multiply-accumulates of 4.6 + 2 · 5 pJ.
    prices = {
        "synaptic_operations": 375.0,
        "dense_macs": 1000.0,
        "effective_macs": 375.0,
        "latency_steps": 12.5 * 256,
        "energy_spiking_nj": pytest.approx(445 * 15.9 / 1e3),
        "energy_relu_nj": pytest.approx(14.6),
        "energy_relu_sparse_nj": pytest.approx(375 * 14.6 / 1e3),
    }
    assert client.get_run(logged["parent"]).data.metrics == {
        "accuracy_original": 0.875,
        "accuracy_scaled": 0.875,
        "accuracy": 0.875,
        "agreement": 1.0,
        "latency": 12.5,
        "certified": 0.875,
        "early_spikes": 1.0,
        "exact": 0.0,
        "spiking_fraction": 0.4,
        "nonzero_fraction": 0.4,
        "images": 1000.0,
        "seconds_per_image": 0.03,
        **prices,
    }
    assert history(client, phase2, "layer_synaptic_operations") == [(1, 250.0), (2, 100.0), (3, 25.0)]
    assert history(client, phase2, "layer_forced_operations") == [(1, 250.0), (2, 300.0), (3, 75.0)]
    assert {name: client.get_run(phase2).data.metrics[name] for name in prices} == prices
    assert history(client, phase2, "layer_certified") == [(1, 0.75), (2, 1.0)]
    assert history(client, phase2, "simulated") == [(0, 2.0)]
    assert history(client, phase2, "layer_early_spikes") == [(1, 1.0), (2, 0.0)]
    assert history(client, phase2, "largest_deviation") == [(0, 0.5)]
    assert client.get_run(phase2).data.tags["exact"] == "false"


def test_other_prices_of_the_same_result_are_shown_by_its_run(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_prices")
    fake_results(values)
    logged = track(values)
    for mac in (2.0, 9.0, 2.0, 4.6):
        again = track(
            {**values, "energy": {**values["energy"], "float32": {**values["energy"]["float32"], "mac": mac}}}
        )
        assert again == logged
        for run_id in (logged["parent"], logged["children"]["phase2"]):
            # Also where it is less than before, although the result is as old as it was.
            shown = client.get_run(run_id).data.metrics
            assert shown["energy_relu_nj"] == pytest.approx(1000 * (mac + 10) / 1e3)
            assert shown["synaptic_operations"] == 375.0
        note = client.get_run(logged["parent"]).data.tags["mlflow.note.content"]
        assert f"float32 {mac:g} pJ for a multiply-accumulate" in note
        assert "| float32 and memory |" in note
    assert len(history(client, logged["parent"], "synaptic_operations")) == 1


def test_a_perturbed_configuration_logs_its_own_variant(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_headline", "phase2.noise=0.01")
    fake_results(values, agreement=0.25)
    fake_results(config_slice(tmp_path, "fake_headline"))
    logged = track(values)
    tags = client.get_run(logged["parent"]).data.tags
    assert (tags["variant"], tags["overrides"]) == ("noise=0.01", "phase2.noise=0.01")
    assert list(logged["children"]) == ["train", "phase1", "phase2"]
    assert history(client, logged["parent"], "agreement") == [(0, 0.25)]
    assert client.get_run(logged["children"]["phase2"]).data.params["phase2.noise"] == "0.01"


def test_params_are_the_config_and_each_stage_has_its_slice(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_params", "phase2.zeta=0.5")
    fake_results(values)
    logged = track(values)
    params = client.get_run(logged["parent"]).data.params
    assert params["experiment"] == "fmnist_lenet"
    assert params["phase2.zeta"] == "0.5"
    assert params["dataset.image_shape"] == "[28, 28, 1]"
    assert not [key for key in params if "directory" in key or key.startswith(("outputs", "suite", "tracking"))]
    assert client.get_run(logged["children"]["phase2"]).data.params["phase2.zeta"] == "0.5"
    assert "train.epochs" in client.get_run(logged["children"]["train"]).data.params
    assert "train.epochs" not in client.get_run(logged["children"]["phase1"]).data.params


def test_tags_tell_data_weights_and_commit(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_tags")
    fake_results(values, trained=False)
    logged = track(values)
    assert list(logged["children"]) == ["phase1", "phase2"]
    tags = client.get_run(logged["children"]["phase2"]).data.tags
    commit = git_commit(Path(__file__).parent)
    expected = {
        "suite": "fake_tags",
        "experiment": "fmnist_lenet",
        "data": "sample",
        "weights": "pretrained",
        "stage": "phase2",
        "variant": "base",
        "overrides": "",
    } | ({"git_commit": commit} if commit else {})
    assert {name: tags[name] for name in expected} == expected


def test_artifacts_are_config_results_and_figures(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_artifacts")
    fake_results(values)
    logged = track(values)
    assert files(client, logged["parent"]) == ["config.yaml", "data", "figures", "weights"]
    assert files(client, logged["parent"], "figures") == ["figures/data.npz", "figures/layer_maxima.png"]
    assert files(client, logged["children"]["train"]) == ["config.yaml", "history.json"]
    assert files(client, logged["children"]["phase1"]) == ["config.yaml", "predictions.npz", "result.json"]
    downloaded = client.download_artifacts(logged["children"]["phase2"], "result.json", str(tmp_path))
    assert read_json(downloaded)["latency"] == 12.5
    location = client.get_experiment(logged["experiment_id"]).artifact_location
    # Beside the database, wherever it is logged from.
    assert (
        location
        == Path(tracking["uri"].removeprefix("sqlite:///")).with_name("mlartifacts").as_uri() + "/fake_artifacts"
    )


def test_logging_again_updates_and_adds_nothing(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_again")
    fake_results(values)
    first = track(values)
    assert track(values) == first
    make_newer(values)
    assert track(values) == first
    assert len(all_runs(client, first)) == 4
    for entry in all_runs(client, first):
        for name in entry.data.metrics:
            steps = [step for step, _ in history(client, entry.info.run_id, name)]
            assert len(steps) == len(set(steps)), name


def test_a_corrected_result_updates_its_run(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_correction")
    fake_results(values)
    first = track(values)
    fake_results(values, agreement=0.5)
    make_newer(values)
    assert track(values) == first
    for run_id in (first["parent"], first["children"]["phase2"]):
        assert client.get_run(run_id).data.metrics["agreement"] == 0.5
    assert history(client, first["children"]["phase1"], "layer_maximum") == [(1, 2.5), (2, 7.25)]


def test_a_changed_config_makes_new_runs(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_change")
    fake_results(values)
    first = track(values)
    changed = config_slice(tmp_path, "fake_change", "phase1.upper=0.9")
    fake_results(changed)
    second = track(changed)
    assert second["experiment_id"] == first["experiment_id"]
    assert second["parent"] != first["parent"]
    assert not set(second["children"].values()) & set(first["children"].values())
    assert len(all_runs(client, first)) == 8
    assert client.get_run(first["parent"]).data.params["phase1.upper"] == "0.99"


@pytest.mark.parametrize(("change", "same"), [({"sha256": "others"}, False), ({"digest": "others"}, False), ({}, True)])
def test_other_weights_or_data_dropped_in_make_new_runs(tmp_path, tracking, change, same):
    values = config_slice(tmp_path, "fake_drop_in")
    fake_results(values, trained=False)
    first = track(values)
    fake_results(values, trained=False, **change)
    assert (track(values)["parent"] == first["parent"]) == same


def test_files_that_were_moved_update(tmp_path, tracking):
    values = config_slice(tmp_path, "quickstart")
    fake_results(values, trained=False, sha256="moved")
    first = track(values)
    moved = config_slice(tmp_path, "quickstart", "weights.root=elsewhere", "dataset.source.directory=elsewhere")
    fake_results(moved, trained=False, sha256="moved")
    assert track(moved) == first


def test_weights_trained_again_update(tmp_path, tracking):
    values = config_slice(tmp_path, "fake_retrained")
    fake_results(values)
    first = track(values)
    fake_results(values, sha256="another file, the same recipe")
    assert track(values) == first


def test_runs_deleted_in_the_ui_are_logged_anew(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_deletion")
    fake_results(values)
    first = track(values)
    client.delete_run(first["parent"])
    second = track(values)
    assert second["parent"] != first["parent"]
    assert second["children"] == first["children"]
    for run_id in second["children"].values():
        assert client.get_run(run_id).data.tags["mlflow.parentRunId"] == second["parent"]
    client.delete_experiment(first["experiment_id"])
    assert track(values)["experiment_id"] == first["experiment_id"]
    assert client.get_experiment(first["experiment_id"]).lifecycle_stage == "active"


def test_data_without_labels_logs_no_accuracy(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_unlabelled")
    fake_results(values, labelled=False)
    logged = track(values)
    shown = client.get_run(logged["parent"]).data
    assert {"agreement", "latency", "certified", "early_spikes"} < set(shown.metrics)
    assert not [name for name in shown.metrics if "accuracy" in name]
    assert "accuracy" not in shown.tags["mlflow.note.content"]


def test_more_points_and_params_than_mlflow_takes_at_once(tmp_path, shared, client):
    record = Record(
        name="fake_long",
        params={"group": {f"key_{number}": number for number in range(250)}},
        tags={"stage": "train"},
        metrics=[("training_loss", 1.0 / epoch, epoch) for epoch in range(1, 2501)],
        files=[],
        time=1e9,
        seconds=1.0,
    )
    logged = log_experiment(Store(**shared), "fake_long", {}, record, {})
    assert len(client.get_run(logged["parent"]).data.params) == 250
    assert len(history(client, logged["parent"], "training_loss")) == 2500


def start_stage(folder, experiment):
    """A process that logs a made-up experiment from the outputs/ of `folder`."""
    store = {"uri": "sqlite:///outputs/mlflow.db", "artifacts": None, "lock_timeout": 300, "wait": 0}
    values = config_slice("outputs", "fake_race", experiment=experiment)
    fake_results(values | {"outputs": str(folder / "outputs")})
    return subprocess.Popen(
        [sys.executable, "-m", "relu2snn.stages", "track", "--slice", json.dumps(values)],
        cwd=folder,
        env=os.environ | {"RELU2SNN_TRACKING": json.dumps({"": store})},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_a_store_survives_a_kill_at_its_creation_and_then_two_processes_at_once(tmp_path):
    from mlflow.tracking import MlflowClient

    killed = start_stage(tmp_path, "fmnist_fc")
    while not any(path.stat().st_size for path in (tmp_path / "outputs").glob(".partial-*-mlflow.db")):
        assert killed.poll() is None, "ended before the schema was begun"
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "outputs/mlflow.db").exists()

    processes = [start_stage(tmp_path, experiment) for experiment in ("fmnist_fc", "fmnist_lenet")]
    for process in processes:
        assert process.communicate() == (b"", b"")
        assert process.returncode == 0
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/outputs/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name LIKE 'relu2snn/%'")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in runs) == sorted(
        f"{child}{name} (sample)"
        for name in ("fmnist_fc", "fmnist_lenet")
        for child in ("", "train ", "phase1 ", "phase2 ")
    )
    assert experiment.artifact_location == (tmp_path / "outputs/mlartifacts/fake_race").as_uri()
    for name in ("fmnist_fc", "fmnist_lenet"):
        logged = read_json(tmp_path / f"outputs/fake_race/{name}/mlflow/base/mlflow.json")
        assert set(logged["children"]) == {"train", "phase1", "phase2"}


def test_logging_that_was_interrupted_is_completed(tmp_path, tracking, client):
    values = config_slice(tmp_path, "fake_interruption")
    paths = fake_results(values)
    first = track(values)
    # As a kill between two runs leaves it: the last run missing, the one before unfinished, no file of ids.
    last = first["children"].pop("phase2")
    client.delete_run(last)
    client.update_run(first["children"]["phase1"], status="RUNNING")
    Path(paths.tracked).unlink()
    second = track(values)
    assert second["parent"] == first["parent"]
    assert second["children"].pop("phase2") != last
    assert second["children"] == first["children"]
    assert [entry.info.status for entry in all_runs(client, second)] == ["FINISHED"] * 4


def empty_record():
    return Record(name="fake", params={}, tags={}, metrics=[], files=[], time=1e9, seconds=1.0)


@pytest.mark.parametrize("date", [0.0, -5e6])
def test_a_result_dated_by_a_clock_that_was_never_set_is_logged_all_the_same(shared, client, date):
    record = empty_record()
    record = replace(record, name=f"early {date}", metrics=[("m", 1.0, 0)], time=date, seconds=10.0)
    logged = log_experiment(Store(**shared), "dates", {}, record, {"stage": record})
    for run_id in (logged["parent"], logged["children"]["stage"]):
        info = client.get_run(run_id).info
        assert (info.status, info.end_time - info.start_time) == ("FINISHED", 10_000)
        assert info.start_time > 0


def failure(store):
    with pytest.raises(UserError) as caught:
        log_experiment(store, "fake", {}, empty_record(), {})
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_lock_held_too_long_is_one_clear_line(tmp_path):
    with FileLock(tmp_path / "mlflow.lock"):
        text = failure(Store(f"sqlite:///{tmp_path}/mlflow.db", f"{tmp_path}/mlartifacts", 0.1))
    assert text == (
        f"{tmp_path}/mlflow.lock: another process has held MLflow's lock for 0.1 s; "
        "wait until it is done, or raise tracking.lock_timeout=0.1"
    )
    assert not (tmp_path / "mlflow.db").exists()


def test_a_text_file_in_the_databases_place_is_one_clear_line(tmp_path):
    database = tmp_path / "mlflow.db"
    database.write_text("These are notes, not a database, and long enough not to look like an empty one.\n" * 20)
    before = database.read_bytes()
    text = failure(Store(f"sqlite:///{database}", f"{tmp_path}/mlartifacts", 10))
    assert text.startswith(f"sqlite:///{database}: MLflow cannot use this store (file is not a database); ")
    assert "tracking.uri" in text
    assert database.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "outputs").write_text("a file where the folder should be")
    text = failure(Store(f"sqlite:///{tmp_path}/outputs/mlflow.db", f"{tmp_path}/mlartifacts", 10))
    assert text.startswith(f"{tmp_path}/outputs/mlflow.lock: cannot be written (")


def test_a_plain_folder_as_store_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    text = failure(Store("sqlite:///unused.db", f"{tmp_path}/mlartifacts", 10))
    assert text.startswith(f"file://{tmp_path}/mlruns: MLflow cannot use this store (The filesystem tracking backend")


def test_an_absent_server_is_one_clear_line_without_its_password(tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    text = failure(Store("sqlite:///unused.db", None, 10, 0, str(tmp_path)))
    assert text.startswith(f"http://me:***@127.0.0.1:{port}: no answer from this MLflow store for 0 s (")
    assert "secret" not in text
    assert f"; the results are safe in {tmp_path}: when it is back, give the same call again" in text


def test_the_commit_tells_local_changes_and_is_absent_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None

    def git(*arguments):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    (tmp_path / "code.py").write_text("1\n")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "README.md").touch()
    git("add", "code.py", "outputs/README.md")
    git("commit", "-m", "first")
    head = git("rev-parse", "HEAD")
    assert git_commit(tmp_path) == head
    git("tag", "v1")
    shutil.rmtree(tmp_path / "outputs")
    assert git_commit(tmp_path) == head
    (tmp_path / "code.py").write_text("2\n")
    assert git_commit(tmp_path) == f"{head}-dirty"


def test_by_hand_the_store_is_the_one_of_the_config_and_its_overrides(tmp_path, tracking):
    values = config_slice(tmp_path, "quickstart")
    fake_results(values)
    overrides = [f"outputs={tmp_path}", "tracking.models=[]", f"tracking.uri=sqlite:///{tmp_path}/mine.db"]
    stage = [
        sys.executable,
        "-m",
        "relu2snn.stages",
        "track",
        "suite=quickstart",
        "experiment=fmnist_lenet",
        *overrides,
    ]
    # What the environment of another run says does not win over the user's own words.
    subprocess.run([*stage, f"tracking.artifacts={tmp_path}/artifacts"], cwd=tmp_path.parent, check=True)
    assert (tmp_path / "mine.db").exists()
    assert (tmp_path / "artifacts" / "quickstart").is_dir()
    assert (tmp_path / "mlflow.lock").exists()


def test_a_child_of_an_experiment_that_the_store_does_not_have_is_refused(shared):
    record = Record("a sweep", {}, {}, [], [], time=0.0, seconds=0.0)
    with pytest.raises(UserError, match=r"run 123 of some_suite is not in this MLflow store; log the experiment first"):
        log_sweep(Store(**shared), "some_suite", {"experiment_id": "0", "parent": "123"}, record, {})
