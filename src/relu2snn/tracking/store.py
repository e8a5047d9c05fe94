"""Where MLflow keeps its runs: one process at a time, a database made whole, failures in one line."""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from relu2snn.errors import UserError, machine_error
from relu2snn.files import atomic_path, writing


@dataclass(frozen=True)
class Store:
    """Where runs are logged: MLflow's address, the folder of artifacts, seconds to wait for the lock.

    The environment variable MLFLOW_TRACKING_URI wins over `uri`. The folder of artifacts is used with a local SQLite
    file; a server decides for itself.
    """

    uri: str
    artifacts: str
    lock_timeout: float

    @property
    def address(self) -> str:
        return os.environ.get("MLFLOW_TRACKING_URI") or self.uri

    @property
    def database(self) -> Path | None:
        """The file of a local SQLite store, None for any other."""
        scheme, _, path = self.address.partition(":///")
        return Path(path.partition("?")[0]) if scheme.partition("+")[0] == "sqlite" and path else None

    @property
    def shown_address(self) -> str:
        """The address without a password."""
        return re.sub(r"(://[^/:@]*):[^/]*@", r"\1:***@", self.address.rstrip("/"))

    @property
    def lock(self) -> Path:
        return (self.database or Path(self.artifacts)).with_name("mlflow.lock")


@contextlib.contextmanager
def open_client(store: Store) -> Iterator[Any]:
    """MLflow's client, for this process alone.

    Raises UserError when the store cannot be reached or used, or stays locked for `store.lock_timeout` seconds.
    """
    with writing(store.database or store.artifacts), _locked(store):
        require_database(store)
        with explained(store):
            from mlflow.tracking import MlflowClient

            _create_database(store)
            yield MlflowClient(tracking_uri=store.address)


@contextlib.contextmanager
def _locked(store: Store) -> Iterator[None]:
    """One process at a time: two that create the schema or an experiment at once fail (mlflow issue 4123)."""
    try:
        store.lock.parent.mkdir(parents=True, exist_ok=True)
        # The lock is taken apart from the block, whose own OSErrors are not about the lock.
        lock = FileLock(store.lock, timeout=store.lock_timeout)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"{store.lock}: another process has held MLflow's lock for {store.lock_timeout:g} s; "
            f"wait until it is done, or raise tracking.lock_timeout={store.lock_timeout:g}"
        ) from None
    except OSError as error:
        if machine_error(error) is not None:
            raise
        raise UserError(
            f"{store.lock}: cannot be written ({error.strerror}); make its folder writable, or change tracking.uri"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def explained(store: Store) -> Iterator[None]:
    """Turn what MLflow and its storage raise into one line, without the address's password."""
    _quiet_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        # A full disk is no fault of the store.
        if machine_error(error) is not None:
            raise
        raise _unusable(store, error) from None


def _unusable(store: Store, error: Exception) -> UserError:
    shown = store.shown_address
    # SQLAlchemy adds the whole statement.
    reason = " ".join(str(error).partition("[SQL:")[0].split()).replace(store.address.rstrip("/"), shown)
    return UserError(
        f"{shown}: MLflow cannot use this store ({reason}); start the server or mend the database, "
        "or name another store in MLFLOW_TRACKING_URI or tracking.uri"
    )


def require_database(store: Store) -> None:
    """Raise at once for a file that is not a writable database: MLflow would retry for minutes."""
    if store.database is None or not store.database.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(store.database, timeout=20)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.Error as error:
        if machine_error(error) is not None:
            raise
        raise _unusable(store, error) from None


def _create_database(store: Store) -> None:
    """Make a missing SQLite file whole or not at all: MLflow cannot go on with a schema cut short by a kill."""
    if store.database is None or (store.database.exists() and store.database.stat().st_size):
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with atomic_path(store.database.absolute()) as temporary:
        schema = SqlAlchemyStore(f"sqlite:///{temporary}", Path(store.artifacts).absolute().as_uri())
        schema.engine.dispose()


def _quiet_mlflow() -> None:
    """To be called before mlflow is imported; the user's own settings win."""
    # An absent server costs under a minute instead of many.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
    # MLflow logs every error that it also raises, with a traceback, and a server's address for every run.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
