"""Settings and networks that several tests share."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from mlflow_servers import postgresql, tracking_server

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# How long an example takes says nothing about the code on a busy machine.
settings.register_profile("relu2snn", deadline=None)
settings.load_profile("relu2snn")


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server that keeps its runs in SQLite."""
    folder = tmp_path_factory.mktemp("sqlite_server")
    with tracking_server(folder, f"sqlite:///{folder}/mlflow.db") as address:
        yield address


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server that keeps its runs in PostgreSQL."""
    with postgresql() as database, tracking_server(tmp_path_factory.mktemp("postgresql_server"), database) as address:
        yield address
