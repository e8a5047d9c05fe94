"""Settings and networks that several tests share."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from mlflow_servers import new_database, postgresql, s3, tracking_server
from runs import EXPERIMENTS, OVERRIDES, ROOT, drop_images, make_report, snakemake, sweep

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# How long an example takes says nothing about the code on a busy machine.
settings.register_profile("relu2snn", deadline=None)
settings.load_profile("relu2snn")
# For who only wants to know whether a test fails, not on what least input.
settings.register_profile("noticed", deadline=None, phases=[Phase.explicit, Phase.generate])


# Files that look at one run of the workflow, which takes minutes, by the fixture that makes it.
SHARED = {
    **{f"test_{name}.py": "finished" for name in ("mlflow_servers", "report", "report_page", "ui", "workflow")},
    **{f"test_{name}.py": "swept" for name in ("report_sweeps", "side_by_side", "sweeps", "trials", "kills_random")},
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Side by side, a file's tests stay together, and so do files that share a run."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return SHARED.get(Path(file).name, file)

    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that nothing is waited for at the end."""
    workflow = {item.path.name for item in items if item.get_closest_marker("workflow")}
    items.sort(key=lambda item: (SHARED.get(item.path.name, "then"), item.path.name not in workflow))


@pytest.fixture(autouse=True)
def _no_server_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def eager() -> Iterator[None]:
    """For many small networks: a graph for each would cost more than all of its events."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One store for all, since creating its schema takes seconds; tests keep apart by their suites."""
    folder = tmp_path_factory.mktemp("store")
    return {"uri": f"sqlite:///{folder}/mlflow.db", "artifacts": None, "lock_timeout": 60.0, "wait": 0.0}


@pytest.fixture
def tracking(shared: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The shared store, as stages find it."""
    monkeypatch.setenv("RELU2SNN_TRACKING", json.dumps({"": shared}))
    return shared


@pytest.fixture
def client(shared: dict[str, Any]) -> Any:
    """MLflow's client for the shared store."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=shared["uri"])


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server that keeps its runs in SQLite."""
    folder = tmp_path_factory.mktemp("sqlite_server")
    with tracking_server(folder, f"sqlite:///{folder}/mlflow.db") as address:
        yield address


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The address of a PostgreSQL database, to make others beside it."""
    with postgresql() as address:
        yield address


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[str]:
    """The address of an MLflow server that keeps its runs in PostgreSQL."""
    with tracking_server(tmp_path_factory.mktemp("postgresql_server"), new_database(database, "server")) as address:
        yield address


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of users of a storage of the S3 protocol."""
    with s3(tmp_path_factory.mktemp("s3")) as environment:
        yield environment


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the workflow has run FC and LeNet5."""
    folder = tmp_path_factory.mktemp("run")
    drop_images(folder / "data" / "raw" / "fmnist")
    run = snakemake(folder, experiments=EXPERIMENTS)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def report_file(finished: Path) -> Path:
    """The report on that run."""
    file = finished / "report.html"
    run = make_report(finished, file, OVERRIDES, experiments=EXPERIMENTS)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Missing metadata" not in run.stderr
    return file


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a small network on small CIFAR files has been trained, mapped and swept."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "data").mkdir()
    (folder / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    run = sweep(folder, "[0.0,0.05]")
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-3000:]
    return folder
