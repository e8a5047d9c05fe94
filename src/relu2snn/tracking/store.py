"""Where MLflow keeps its runs and their files: local databases for one process at a time, made whole."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from relu2snn.errors import UserError, machine_error
from relu2snn.files import atomic_path, writing
from relu2snn.secrecy import hidden
from relu2snn.tracking.failures import explained, unusable

_ARTIFACTS = "mlartifacts"
# Seconds for a database of another machine to answer; the number of a lock that all who open it take.
_PATIENCE = 15
_OPENING = 0x72656C75


@dataclass(frozen=True)
class Store:
    """Where runs are logged: MLflow's address, the place of artifacts, seconds to wait for the lock and for a server.

    The environment variable MLFLOW_TRACKING_URI wins over `uri`. `artifacts` is a folder or an address (s3://…) for
    a database that is used without a server; None is the folder mlartifacts beside a SQLite file, whoever logs to it.
    A server decides for itself. `results` is the folder of the files that are logged, which remembers that the server
    is away, so that jobs do not wait for it one after the other.
    """

    uri: str
    artifacts: str | None
    lock_timeout: float
    wait: float = 0.0
    results: str | None = None

    @property
    def address(self) -> str:
        return os.environ.get("MLFLOW_TRACKING_URI") or self.uri

    @property
    def served(self) -> bool:
        """Whether a server answers, instead of a database."""
        return self.address.startswith(("http://", "https://"))

    @property
    def database(self) -> Path | None:
        """The file of a local SQLite store, None for any other."""
        scheme, _, path = self.address.partition(":///")
        return Path(path.partition("?")[0]) if scheme.partition("+")[0] == "sqlite" and path else None

    @property
    def shown_address(self) -> str:
        """The address without secrets."""
        return hidden(self.address.rstrip("/"))

    @property
    def folder(self) -> Path | None:
        """The folder of artifacts, None where they are elsewhere."""
        if self.served or (self.artifacts and "://" in self.artifacts):
            return None
        if self.artifacts:
            return Path(os.path.abspath(self.artifacts))
        return None if self.database is None else Path(os.path.abspath(self.database)).with_name(_ARTIFACTS)

    def location(self, suite: str) -> str | None:
        """The address of a suite's artifacts, None where a server chooses it.

        Raises UserError for a database that has no place for them.
        """
        if self.served:
            return None
        if self.folder is not None:
            return (self.folder / suite).as_uri()
        if self.artifacts:
            return f"{self.artifacts.rstrip('/')}/{suite}"
        raise UserError(
            f"{self.shown_address}: a database without a server has no place for files; name one that all who log "
            "to it reach, as in tracking.artifacts=s3://bucket/relu2snn, or start a server (docs/mlflow.md)"
        )


def load_mlflow() -> None:
    """Import what logging needs, which takes seconds; raises ImportError where it is not installed."""
    import mlflow.models
    import mlflow.pyfunc
    import mlflow.store.db.db_types
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking
    import mlflow.types.schema  # noqa: F401


@contextlib.contextmanager
def open_client(store: Store) -> Iterator[Any]:
    """MLflow's client; a local database is for this process alone.

    Raises UserError when the store cannot be used, or stays locked for `store.lock_timeout` seconds, AwayError when
    it does not answer.
    """
    with writing(store.database or store.folder or store.shown_address), contextlib.ExitStack() as held:
        if store.database is not None:
            held.enter_context(_locked(store, store.database))
        require_database(store)
        with explained(store):
            from mlflow.store.db.db_types import DATABASE_ENGINES
            from mlflow.tracking import MlflowClient

            if store.database is not None:
                _create_database(store, store.database)
                follow_folder(store)
            elif store.address.partition(":")[0].partition("+")[0] in DATABASE_ENGINES:
                _open_database(store)
            yield MlflowClient(tracking_uri=store.address)


@contextlib.contextmanager
def _locked(store: Store, database: Path) -> Iterator[None]:
    """One process at a time: two that create the schema or an experiment at once fail (mlflow issue 4123)."""
    path = database.with_name("mlflow.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The lock is taken apart from the block, whose own OSErrors are not about the lock.
        lock = FileLock(path, timeout=store.lock_timeout)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"{path}: another process has held MLflow's lock for {store.lock_timeout:g} s; "
            f"wait until it is done, or raise tracking.lock_timeout={store.lock_timeout:g}"
        ) from None
    except OSError as error:
        if machine_error(error) is not None:
            raise
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); make its folder writable, or change tracking.uri"
        ) from None
    try:
        yield
    finally:
        lock.release()


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
        raise unusable(store, error) from None


def _create_database(store: Store, database: Path) -> None:
    """Make a missing SQLite file whole or not at all: MLflow cannot go on with a schema cut short by a kill."""
    if database.exists() and database.stat().st_size:
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with atomic_path(database.absolute()) as temporary:
        schema = SqlAlchemyStore(f"sqlite:///{temporary}", store.location("") or "")
        schema.engine.dispose()


def _open_database(store: Store) -> None:
    """Make MLflow open a database of another machine, which one process at a time may do: it creates the tables.

    MLflow would try for an hour where none answers, so it is asked before.
    """
    import sqlalchemy
    from mlflow.tracking import MlflowClient

    postgresql = store.address.startswith("postgres")
    engine = sqlalchemy.create_engine(
        store.address, connect_args={"connect_timeout": _PATIENCE} if postgresql else {}, poolclass=sqlalchemy.NullPool
    )
    with engine.connect() as connection:
        if postgresql:
            # It ends with the connection.
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({_OPENING})"))
        MlflowClient(tracking_uri=store.address).search_experiments(max_results=1)


# What holds absolute addresses of artifacts.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow_folder(store: Store) -> None:
    """Let a SQLite file that was moved or copied, with mlartifacts beside it, find its artifacts there.

    MLflow's addresses are absolute: without this, a copy would log into the folder of the original.
    """
    if store.database is None or store.artifacts is not None or not store.database.is_file():
        return
    assert store.folder is not None
    # MLflow makes what an empty file lacks.
    if not store.database.stat().st_size:
        return
    with contextlib.closing(sqlite3.connect(store.database, timeout=20)) as connection, connection:
        suites = connection.execute(
            "SELECT name, artifact_location FROM experiments WHERE name LIKE 'relu2snn/%' AND artifact_location != ''"
        )
        for name, location in suites.fetchall():
            suite = name.partition("/")[2]
            here = store.location(suite)
            if location == here or not location.endswith(f"/{suite}") or not (store.folder / suite).is_dir():
                continue
            for table, column in _ADDRESSES:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (here, len(location) + 1, len(location) + 1, f"{location}/"),
                )
            connection.execute("UPDATE experiments SET artifact_location = ? WHERE name = ?", (here, name))
