"""A server that goes away while results are logged: nothing is lost, nothing is there twice, and a line says so."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_results import config_slice, fake_results, paths_of, track
from logging_jobs import record
from mlflow_servers import free_port, tracking_server

from relu2snn.errors import UserError
from relu2snn.tracking import Store, log_experiment

SUITE = "away"


class Server:
    """An MLflow server that can be stopped and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port, self._running = folder, free_port(), contextlib.ExitStack()
        self.address = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        database = f"sqlite:///{self._folder}/mlflow.db"
        self._running.enter_context(tracking_server(self._folder, database, port=self._port))

    def stop(self) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("server"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def runs(server: Server, suite: str) -> dict[str, str]:
    """Name and state of each run of a suite."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(server.address)
    experiment = client.get_experiment_by_name(f"relu2snn/{suite}")
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run.info.status for run in found}


def test_a_server_that_is_started_again_in_time_gets_all(tmp_path: Path, server: Server, capfd) -> None:
    """It dies between two calls of one job, and leaves a half run, which the same job completes."""
    (tmp_path / "file.json").write_text("{}")
    half = threading.Event()

    def note(run_id: str) -> str:
        # What is asked for when the run is there, and empty.
        if run_id and not half.is_set():
            assert runs(server, SUITE) == {"parent": "RUNNING", "child": "RUNNING"}
            server.stop()
            half.set()
        return "a note"

    def start_again() -> None:
        assert half.wait(120)
        time.sleep(2)
        server.start()

    child = replace(record("child", tmp_path / "file.json"), note=note)
    helper = threading.Thread(target=start_again)
    helper.start()
    store = Store(server.address, None, lock_timeout=60, wait=120, results=str(tmp_path))
    logged = log_experiment(store, SUITE, {}, record("parent", tmp_path / "file.json"), {"phase2": child})
    helper.join()
    assert runs(server, SUITE) == {"parent": "FINISHED", "child": "FINISHED"}
    said = capfd.readouterr().err
    assert said.startswith(f"{server.address}: no answer from this MLflow store (")
    assert said.endswith("; trying again for up to 120 s\n")
    assert log_experiment(store, SUITE, {}, record("parent", tmp_path / "file.json"), {"phase2": child}) == logged
    assert not list(tmp_path.glob(".mlflow-away-*"))


def test_a_server_that_stays_away_is_waited_for_once_and_later_gets_all(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [config_slice(tmp_path, "away_for_long", experiment=name) for name in ("fmnist_fc", "fmnist_lenet")]
    store = {"uri": server.address, "artifacts": None, "lock_timeout": 60, "wait": 3}
    monkeypatch.setenv("RELU2SNN_TRACKING", json.dumps({"": store}))
    for each in values:
        fake_results(each)
    server.stop()
    seconds = []
    for each in values:
        start = time.monotonic()
        with pytest.raises(UserError) as caught:
            track(each)
        seconds.append(time.monotonic() - start)
        line = str(caught.value)
        assert line.startswith(f"{server.address}: no answer from this MLflow store for ")
        assert f"the results are safe in {tmp_path}: when it is back, give the same call again" in line
        assert line.endswith("tracking.wait=3")
        assert "\n" not in line
        assert not Path(paths_of(each).tracked).exists()
    # The second job knows how long the first has waited.
    assert seconds[0] >= 3 > seconds[1]
    server.start()
    logged = [track(each) for each in values]
    assert set(runs(server, "away_for_long").values()) == {"FINISHED"}
    assert len(runs(server, "away_for_long")) == sum(1 + len(each["children"]) for each in logged) == 8
    assert not list(tmp_path.glob(".mlflow-away-*"))


def test_a_server_that_refuses_is_not_waited_for(tmp_path: Path, server: Server) -> None:
    """It is there, but serves something else at this address."""
    store = Store(f"{server.address}/elsewhere", None, lock_timeout=60, wait=600, results=str(tmp_path))
    with pytest.raises(UserError, match="MLflow cannot use this store"):
        log_experiment(store, SUITE, {}, record("parent", tmp_path), {})
