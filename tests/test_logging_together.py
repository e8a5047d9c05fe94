"""Four jobs that log at the same time: nothing is lost, and no database is ever locked for them."""

import json
import multiprocessing
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from logging_jobs import LAYERS, SAME, SUITE, log_one, log_same
from mlflow_servers import mlflow, new_database

JOBS = 4


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Four processes that have imported MLflow after their first turn."""
    with ProcessPoolExecutor(JOBS, multiprocessing.get_context("spawn")) as processes:
        yield processes


def turns(
    pool: ProcessPoolExecutor,
    first: int,
    stop: int,
    address: str,
    file: Path,
    log: Callable[..., Any] = log_one,
    artifacts: Path | None = None,
) -> list[Any]:
    """Turns of four jobs at the same time; a failure of any of them is raised here."""
    logged = []
    for turn in range(first, stop):
        waiting = [pool.submit(log, address, artifacts and str(artifacts), str(file), turn, job) for job in range(JOBS)]
        logged += [each.result() for each in waiting]
    return logged


def check(address: str, logged: list[Any], turns: int) -> None:
    """Every run of every turn is there once, with all that was logged."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(address)
    (experiment,) = client.search_experiments(filter_string=f"name = 'relu2snn/{SUITE}'")
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id], max_results=1000)}
    jobs = [(turn, f"turn {turn} job {job}") for turn in range(turns) for job in range(JOBS)]
    names = [name for _, name in jobs] + [f"phase2 {name}" for turn, name in jobs if turn % 10 == 0]
    assert sorted(run.info.run_name for run in runs.values()) == sorted(names)
    assert len(logged) == turns * JOBS
    assert runs[logged[0]["children"]["phase2"]].data.tags["mlflow.parentRunId"] == logged[0]["parent"]
    for run_id, run in runs.items():
        assert run.info.status == "FINISHED"
        assert run.data.params == {"job": run.info.run_name, "phase2.zeta": "0.5", "phase2.noise": "0.0"}
        assert run.data.metrics == {"agreement": 1.0, "layer_certified": 1.0}
        assert run.data.tags["mlflow.note.content"] == f"{run.info.run_name} is {run_id}"
        assert [each.dataset.name for each in run.inputs.dataset_inputs] == ["fake test"]
    last = logged[-1]["parent"]
    assert len(client.get_metric_history(last, "layer_certified")) == LAYERS
    assert sorted(item.path for item in client.list_artifacts(last)) == ["config.yaml", "data"]
    assert [item.path for item in client.list_artifacts(last, "data")] == ["data/file.json"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.json"
    path.write_text("{}")
    return path


class Visitor(threading.Thread):
    """Somebody who looks at the runs all the time, and writes a note now and then."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address, self.done, self.seen, self.notes = address, threading.Event(), 0, 0

    def ask(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.address}/ajax-api/2.0/mlflow/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def look(self) -> list[Any]:
        found = self.ask("runs/search", experiment_ids=["1"], max_results=100).get("runs", [])
        self.seen = max(self.seen, len(found))
        return found

    def run(self) -> None:
        while not self.done.wait(0.2):
            if found := self.look():
                self.ask("runs/set-tag", run_id=found[0]["info"]["run_id"], key="seen", value=str(self.notes))
                self.notes += 1


def test_four_jobs_at_a_time_15_times_while_somebody_looks(
    tmp_path: Path, pool: ProcessPoolExecutor, file: Path
) -> None:
    """The default store, made by the first four at once, with the UI open from then on."""
    address = f"sqlite:///{tmp_path}/mlflow.db"
    logged = turns(pool, 0, 1, address, file)
    with mlflow(tmp_path, "ui", "--backend-store-uri", address, "--workers", "1") as ui:
        visitor = Visitor(ui)
        visitor.start()
        try:
            logged += turns(pool, 1, 15, address, file)
        finally:
            visitor.done.set()
            visitor.join()
        assert visitor.seen > len(logged) / 2
        visitor.look()
        # Two of the turns log children too.
        assert visitor.seen == len(logged) + 2 * JOBS
        assert visitor.notes > 1
    check(address, logged, 15)


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_four_machines_at_a_time_on_one_server(
    tmp_path: Path, pool: ProcessPoolExecutor, file: Path, backend: str, request: pytest.FixtureRequest
) -> None:
    """Machines share no lock file, so the server is asked by all at once, from the first turn on."""
    address = request.getfixturevalue(f"{backend}_server")
    check(address, turns(pool, 0, 3, address, file), 3)


def check_same(address: str, logged: list[Any], turns: int) -> None:
    """All clones have the same runs of what they have in common, each is there once, and whole."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(address)
    (experiment,) = client.search_experiments(filter_string=f"name = 'relu2snn/{SAME}'")
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id], max_results=1000)}
    names = [f"{head}same {turn}" for turn in range(turns) for head in ("", "phase1 ", "phase2 ")]
    names += [f"point {point} of same {turn}" for turn in range(turns) for point in range(3)]
    names += [f"sweep of {job} same {turn}" for turn in range(turns) for job in range(JOBS)]
    assert sorted(run.info.run_name for run in runs.values()) == sorted(names)
    for turn in range(turns):
        of_turn = logged[turn * JOBS : (turn + 1) * JOBS]
        for key in ("parent", "children", "points"):
            assert all(each[key] == of_turn[0][key] for each in of_turn), (turn, key)
        parent = of_turn[0]["parent"]
        for run_id in [*of_turn[0]["children"].values(), *(each["run"] for each in of_turn)]:
            assert runs[run_id].data.tags["mlflow.parentRunId"] == parent
        for run_id in of_turn[0]["points"].values():
            assert runs[run_id].data.tags["mlflow.parentRunId"] in {each["run"] for each in of_turn}
    for run_id, run in runs.items():
        assert run.info.status == "FINISHED"
        assert run.data.metrics == {"agreement": 1.0, "layer_certified": 1.0}
        assert len(client.get_metric_history(run_id, "layer_certified")) == LAYERS, run.info.run_name
        assert run.data.params == {"job": run.info.run_name, "phase2.zeta": "0.5", "phase2.noise": "0.0"}


@pytest.mark.parametrize("used", ["through a server", "without one"])
def test_four_clones_that_log_the_same_at_a_time_make_each_run_once(
    tmp_path: Path, pool: ProcessPoolExecutor, file: Path, used: str, request: pytest.FixtureRequest
) -> None:
    """What no lock of one clone sees: all search, find nothing, and make the run; and the tables of a new database."""
    if used == "through a server":
        address, artifacts, count = request.getfixturevalue("postgresql_server"), None, 2
    else:
        address, artifacts, count = new_database(request.getfixturevalue("database"), "bare"), tmp_path / "files", 1
    check_same(address, turns(pool, 0, count, address, file, log_same, artifacts), count)
