"""One store for several clones: each logs to it, files belong to the store, and no clone is needed by another."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from logging_jobs import record

from relu2snn.errors import UserError
from relu2snn.tracking import Store, log_experiment

SUITE = "shared"
WITHOUT_BOTO3 = """
import sys
from pathlib import Path
sys.modules["boto3"] = None
from logging_jobs import record
from relu2snn.errors import UserError
from relu2snn.tracking import Store, log_experiment
try:
    log_experiment(Store(sys.argv[1], "s3://runs", 60), "bare", {}, record("a run", Path(__file__)), {})
except UserError as error:
    print(error)
"""


def client_of(folder: Path) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{folder}/mlflow.db")


def clone(folder: Path, name: str) -> Path:
    """A clone's working folder, with a result of its own."""
    path = folder / name
    (path / "outputs").mkdir(parents=True)
    (path / "result.json").write_text(f'"{name}"')
    return path


def own(clone: Path) -> str:
    return f"sqlite:///{clone}/outputs/mlflow.db"


def log(clone: Path, address: str, artifacts: str | None = None, name: str = "") -> str:
    store = Store(address, artifacts, lock_timeout=60)
    logged = log_experiment(store, SUITE, {}, record(name or clone.name, clone / "result.json"), {})
    return str(logged["parent"])


def log_anew(clone: Path, name: str) -> str:
    """`log` in a process of its own, as a job is: MLflow remembers where the files of a run are."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        return processes.submit(log, clone, own(clone), None, name).result()


def file_of(client: Any, run_id: str) -> str:
    folder = urllib.request.url2pathname(urllib.parse.urlsplit(client.get_run(run_id).info.artifact_uri).path)
    return Path(folder, "data", "result.json").read_text()


def test_files_stay_reachable_when_the_clone_that_came_first_is_removed(tmp_path: Path) -> None:
    first, second = clone(tmp_path, "first"), clone(tmp_path, "second")
    address = f"sqlite:///{tmp_path}/shared/mlflow.db"
    runs = {each: log(each, address) for each in (first, second)}
    assert {path.name for path in (tmp_path / "shared").iterdir()} == {"mlflow.db", "mlflow.lock", "mlartifacts"}
    assert not list(first.rglob("mlartifacts")) + list(second.rglob("mlartifacts"))
    shutil.rmtree(first)
    client = client_of(tmp_path / "shared")
    for each, run_id in runs.items():
        assert file_of(client, run_id) == f'"{each.name}"'
    # And the one that is left goes on.
    (second / "result.json").write_text('"anew"')
    assert log(second, address) == runs[second]
    assert file_of(client, runs[second]) == '"anew"'


def test_a_clone_that_was_moved_or_copied_finds_its_files_and_leaves_those_of_others(tmp_path: Path) -> None:
    original = clone(tmp_path, "original")
    run_id = log(original, own(original))
    copy = tmp_path / "a copy"
    shutil.copytree(original, copy)
    (copy / "result.json").write_text('"of the copy"')
    # The same run, since its key is of what was run and not of where.
    assert log_anew(copy, "original") == run_id
    assert file_of(client_of(original / "outputs"), run_id) == '"original"'
    assert file_of(client_of(copy / "outputs"), run_id) == '"of the copy"'
    moved = tmp_path / "moved"
    shutil.move(original, moved)
    log_anew(moved, "another")
    assert not original.exists()
    assert len(client_of(moved / "outputs").search_runs(["1"])) == 2
    assert file_of(client_of(moved / "outputs"), run_id) == '"original"'


def test_a_database_without_its_folder_is_one_line_and_nothing_is_logged(tmp_path: Path) -> None:
    original, other = clone(tmp_path, "original"), clone(tmp_path, "other")
    log(original, own(original))
    shutil.copy(original / "outputs" / "mlflow.db", other / "outputs")
    with pytest.raises(UserError) as caught:
        log(other, own(other))
    line = str(caught.value)
    assert line.startswith(
        f"{own(other)}: the files of its experiment relu2snn/shared are in file://{original}/outputs/"
    )
    assert f"tracking.artifacts={original}/outputs/mlartifacts" in line
    assert len(client_of(other / "outputs").search_runs(["1"])) == 1
    # As the line says.
    log(other, own(other), artifacts=f"{original}/outputs/mlartifacts")
    assert len(client_of(other / "outputs").search_runs(["1"])) == 2


def test_a_bare_database_names_a_place_for_files(tmp_path: Path, database: str) -> None:
    (tmp_path / "file.json").write_text("{}")
    with pytest.raises(UserError, match=r"no place for files; name one .* tracking.artifacts=s3://bucket/relu2snn"):
        log_experiment(Store(database, None, 60), SUITE, {}, record("a run", tmp_path / "file.json"), {})


def test_without_the_package_for_a_storage_one_line_says_which(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(WITHOUT_BOTO3)
    address = f"sqlite:///{tmp_path}/mlflow.db"
    path = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, str(script), address], capture_output=True, text=True, check=True, env=path)
    reason = "boto3 is not installed; pip install 'relu2snn[cluster]' brings it"
    assert done.stdout.startswith(f"{address}: MLflow cannot use this store ({reason});")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
