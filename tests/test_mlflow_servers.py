"""The workflow against real MLflow servers, and its networks as models that are loaded, served and registered."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow_servers import mlflow, new_database, tracking_server
from runs import OVERRIDES, ROOT, SAMPLE, jobs, paths

from relu2snn.datasets import read_idx
from relu2snn.files import read_json, write_json

pytestmark = pytest.mark.workflow
IMAGES = 60
REGISTERED = "relu2snn-paper-fmnist_lenet"


def snakemake(folder: Path, server: str, *arguments: str, overrides: str = "") -> subprocess.CompletedProcess[str]:
    run = attempt(folder, server, *arguments, overrides=overrides)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-3000:]
    return run


def attempt(folder: Path, server: str, *arguments: str, overrides: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", "--nocolor"]
    options = ["experiments=fmnist_lenet", f"overrides={OVERRIDES} {overrides}"]
    return subprocess.run(
        [*command, *arguments, "--config", *options],
        cwd=folder,
        env=os.environ | {"MLFLOW_TRACKING_URI": server},
        capture_output=True,
        text=True,
        check=False,
    )


def log_again(folder: Path, server: str, *overrides: str) -> None:
    """Log the run in a folder, as the workflow's job does."""
    command = [sys.executable, "-m", "relu2snn.stages", "track", "experiment=fmnist_lenet", *OVERRIDES.split()]
    environment = os.environ | {"MLFLOW_TRACKING_URI": server}
    run = subprocess.run(
        [*command, *overrides], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, finished: Path, sqlite_server: str) -> Path:
    """A folder in which the workflow has run LeNet5 on a few images, with a server for its runs."""
    folder = tmp_path_factory.mktemp("logged") / "copy"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("mlflow*", "mlartifacts"))
    run = snakemake(folder, sqlite_server)
    assert jobs(run.stdout + run.stderr)["track"] == 1
    write_json(folder / "first.json", tracked(folder))
    return folder


def tracked(folder: Path) -> Any:
    return read_json(paths(folder, "fmnist_lenet").tracked)


def check(server: str, folder: Path) -> None:
    """The server has the runs of the workflow, their files, data sets and models, each once."""
    from mlflow.tracking import MlflowClient

    client, ids = MlflowClient(server), tracked(folder)
    assert client.get_experiment(ids["experiment_id"]).name == "relu2snn/paper"
    runs = client.search_runs([ids["experiment_id"]], "tags.experiment = 'fmnist_lenet'")
    assert {run.info.run_id for run in runs} == {ids["parent"], *ids["children"].values()}
    assert {run.info.status for run in runs} == {"FINISHED"}
    parent = client.get_run(ids["parent"])
    assert (parent.data.metrics["agreement"], parent.data.metrics["exact"]) == (1.0, 1.0)
    assert {each.dataset.name for each in parent.inputs.dataset_inputs} == {"fmnist train", "fmnist test"}
    picture = Path(paths(folder, "fmnist_lenet").figures, "layer_maxima.png")
    place = client.download_artifacts(ids["parent"], f"figures/{picture.name}", str(folder))
    assert Path(place).read_bytes() == picture.read_bytes()
    # The address in the run's description is one that the server answers.
    note = parent.data.tags["mlflow.note.content"]
    (shown,) = [part.partition(")")[0] for part in note.split("](") if "layer_maxima.png" in part]
    with urllib.request.urlopen(f"{server}/{shown}", timeout=60) as answer:
        assert answer.headers.get_content_type() == "image/png"
        assert answer.read() == picture.read_bytes()
    models = client.search_logged_models([ids["experiment_id"]])
    assert {(model.name, model.model_id) for model in models} == set(ids["models"].items())
    assert {model.name for model in models} == {"fmnist_lenet-scaled", "fmnist_lenet-spiking"}
    assert {model.source_run_id for model in models} == {ids["parent"]}


def images() -> Any:
    return read_idx(SAMPLE / "t10k-images-idx3-ubyte.gz", 3)[:IMAGES, ..., np.newaxis]


def labels(folder: Path) -> Any:
    """What phase 2 has predicted."""
    with np.load(Path(paths(folder, "fmnist_lenet").phase2, "predictions.npz")) as file:
        return file["labels"]


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_the_workflow_logs_to_a_server_and_registers_on_request(
    logged: Path, backend: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import pyfunc
    from mlflow.tracking import MlflowClient

    server = request.getfixturevalue(f"{backend}_server")
    if backend == "postgresql":
        log_again(logged, server)
    check(server, logged)
    first = tracked(logged)
    client = MlflowClient(server)
    assert not client.search_registered_models(f"name = '{REGISTERED}'")
    # Asking for a version makes nothing again but the logging, which adds nothing else.
    if backend == "sqlite":
        run = snakemake(logged, server, overrides="tracking.register=true")
        assert jobs(run.stdout + run.stderr) == {"track": 1}
    else:
        log_again(logged, server, "tracking.register=true")
    log_again(logged, server, "tracking.register=true")
    assert tracked(logged) == first
    check(server, logged)
    (version,) = client.search_model_versions(f"name = '{REGISTERED}'")
    logged_model = client.get_logged_model(first["models"]["fmnist_lenet-spiking"])
    assert version.source == logged_model.artifact_location
    assert len(json.loads(logged_model.tags["mlflow.modelVersions"])) == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    model = pyfunc.load_model(f"models:/{REGISTERED}/{version.version}")
    np.testing.assert_array_equal(model.predict(images())["label"], labels(logged))
    assert not list(logged.rglob("mlflow.db"))
    assert not (logged / "outputs" / "mlartifacts").exists()


@pytest.mark.parametrize("proxied", [True, False], ids=["through the server", "past the server"])
def test_files_and_models_in_a_storage_of_the_s3_protocol(
    logged: Path, database: str, storage: dict[str, str], proxied: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the server does not pass files on, its clients bring them to the storage, and know its address and keys."""
    from mlflow import pyfunc
    from mlflow.tracking import MlflowClient

    places = ("--artifacts-destination",) if proxied else ("--no-serve-artifacts", "--default-artifact-root")
    place = f"s3://runs/{'proxied' if proxied else 'direct'}"
    with tracking_server(tmp_path, new_database(database, place[10:]), *places, place, **storage) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
        for name, value in storage.items():
            # Through the server, the client knows nothing of the storage.
            monkeypatch.delenv(name, raising=False) if proxied else monkeypatch.setenv(name, value)
        log_again(logged, server)
        check(server, logged)
        ids = tracked(logged)
        found = MlflowClient(server).get_run(ids["parent"]).info.artifact_uri
        assert found.startswith("mlflow-artifacts:/" if proxied else f"{place}/")
        model = pyfunc.load_model(f"models:/{ids['models']['fmnist_lenet-spiking']}")
        np.testing.assert_array_equal(model.predict(images())["label"], labels(logged))


def test_a_model_is_loaded_and_predicts_what_phase_2_predicts(
    logged: Path, sqlite_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import pyfunc

    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_server)
    models = read_json(logged / "first.json")["models"]
    spiking, scaled = (pyfunc.load_model(f"models:/{models[f'fmnist_lenet-{name}']}") for name in ("spiking", "scaled"))
    found = spiking.predict(images())
    np.testing.assert_array_equal(found["label"], labels(logged))
    assert found["label"].dtype == np.int64
    # The scaled network gives the same logits: the mapping is exact.
    np.testing.assert_allclose(scaled.predict(images())["logits"], found["logits"], rtol=1e-9, atol=1e-9)
    assert spiking.metadata.signature.inputs.inputs[0].shape == (-1, 28, 28, 1)
    assert spiking.input_example.dtype == np.uint8
    np.testing.assert_array_equal(spiking.input_example, images()[:1])
    assert spiking.metadata.metadata["input"] == "pixels of images of 28 x 28 x 1, 0 to 255, uint8"
    raw = spiking.get_raw_model()
    np.testing.assert_allclose(raw(images()[:4] / 255.0).numpy(), found["logits"][:4], rtol=1e-9, atol=1e-9)
    with pytest.raises(Exception, match="float64"):
        spiking.predict(images() / 255.0)


def test_a_model_is_served_and_predicts_what_phase_2_predicts(logged: Path, sqlite_server: str, tmp_path: Path) -> None:
    model = read_json(logged / "first.json")["models"]["fmnist_lenet-spiking"]
    serve = ["models", "serve", "--model-uri", f"models:/{model}", "--env-manager", "local", "--workers", "1"]
    # As in an activated environment: MLflow calls uvicorn by its name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with mlflow(tmp_path, *serve, ready="/ping", MLFLOW_TRACKING_URI=sqlite_server, PATH=path) as address:
        body = json.dumps({"inputs": images().tolist()}).encode()
        request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            found = json.load(answer)["predictions"]
    assert found["label"] == labels(logged).tolist()
    assert np.argmax(found["logits"], axis=-1).tolist() == found["label"]


SECRETS = {"password": "grauer-Esel-77", "token": "tok-5f0c81bd", "key": "aws+Schluessel/42"}


def leaks(folder: Path, said: str) -> list[str]:
    """Where one of the secrets stands: in what was said, in a file, in a file's name."""
    found = [f"{name} in the output" for name, secret in SECRETS.items() if secret in said]
    for path in filter(Path.is_file, folder.rglob("*")):
        content = path.read_bytes()
        found += [f"{name} in {path}" for name, secret in SECRETS.items() if secret.encode() in content]
        found += [f"{name} in the name {path}" for name, secret in SECRETS.items() if secret in str(path)]
    return found


def test_no_secret_of_a_store_is_shown_or_written(
    logged: Path, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg2

    folder = tmp_path / "clone"
    shutil.copytree(logged, folder)
    for name, secret in (("MLFLOW_TRACKING_TOKEN", "token"), ("AWS_SECRET_ACCESS_KEY", "key")):
        monkeypatch.setenv(name, SECRETS[secret])
    bare = new_database(database, "secrets")
    address = bare.replace("://mlflow@", f"://mlflow:{SECRETS['password']}@")
    run = snakemake(folder, address, "--forcerun", "phase1", overrides=f"tracking.artifacts={tmp_path}/files")
    assert {"phase1", "phase2", "figures", "track", "provenance", "report_results"} <= set(
        jobs(run.stdout + run.stderr)
    )
    assert not leaks(tmp_path, run.stdout + run.stderr)
    with contextlib.closing(psycopg2.connect(bare)) as connection, connection.cursor() as cursor:
        cursor.execute("select table_name from information_schema.tables where table_schema = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        assert {"runs", "tags", "params", "experiments", "logged_models"} <= set(tables)
        for name in tables:
            cursor.execute(f'select t::text from "{name}" t')
            rows = cursor.fetchall()
            assert not [row for row in rows for secret in SECRETS.values() if secret in row[0]], name
        cursor.execute("select count(*) from runs where status = 'FINISHED'")
        assert cursor.fetchall() == [(4,)]
    # A server that is away, and one that turns the password down, are lines of a log.
    away = f"http://me:{SECRETS['password']}@127.0.0.1:9"
    run = attempt(folder, away, "--forcerun", "track", overrides="tracking.wait=0")
    assert run.returncode == 1
    assert "http://me:***@127.0.0.1:9: no answer from this MLflow store" in run.stderr
    assert not leaks(tmp_path, run.stdout + run.stderr)
    # In an override a password has been typed already; but no log and no script of a job repeats it.
    for value in (f"postgresql://me:{SECRETS['password']}@db/x", f"https://me.org/mlflow?token={SECRETS['token']}"):
        run = attempt(folder, "", overrides=f"tracking.uri={value}")
        assert run.returncode == 1
        (line,) = run.stderr.splitlines()
        assert line.startswith("relu2snn: tracking.uri=")
        assert ": holds a password or token" in line
        assert "MLFLOW_TRACKING_PASSWORD" in line
        assert not leaks(tmp_path, run.stdout + run.stderr)
