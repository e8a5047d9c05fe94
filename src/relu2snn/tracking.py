"""MLflow as a view of the result files: logging the same result again updates its run.

This is the only module that imports mlflow, and it does so late, since that takes seconds.
"""

import contextlib
import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from relu2snn.errors import UserError
from relu2snn.files import atomic_path

KEY_TAG = "relu2snn.key"
_PARENT_TAG = "mlflow.parentRunId"

Item = TypeVar("Item")
Metric = tuple[str, float, int]


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
    def lock(self) -> Path:
        return (self.database or Path(self.artifacts)).with_name("mlflow.lock")


@dataclass(frozen=True)
class Record:
    """What one run shows.

    `params` are nested settings; a metric is (name, value, step); `files` are pairs of a file and the folder it takes
    in the run's artifacts; `time` is when the result was made (seconds since the epoch), `seconds` how long it took.
    """

    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    metrics: Sequence[Metric]
    files: Sequence[tuple[Path, str | None]]
    time: float
    seconds: float


def log_experiment(
    store: Store, suite: str, identity: Mapping[str, Any], parent: Record, children: Sequence[Record]
) -> dict[str, Any]:
    """Log one experiment as a parent run with child runs in the MLflow experiment `relu2snn/<suite>`.

    A run is found again by a tag, the hash of `identity`, its name and its params: equal ones update the run, other
    ones make a new run. Returns {"experiment_id", "parent": run id, "children": {name: run id}}.
    Raises UserError when the store cannot be reached or used, or stays locked for `store.lock_timeout` seconds.
    """
    with _client(store) as client:
        return _log(client, store, suite, identity, parent, children)


def log_child(store: Store, suite: str, experiment: Mapping[str, Any], child: Record) -> str:
    """Log one more child run of an `experiment`, as `log_experiment` has returned it; returns the child's id.

    Raises UserError as `log_experiment` does, and when the store does not have the experiment's run.
    """
    parent = experiment["parent"]
    with _client(store) as client:
        if not client.search_runs([experiment["experiment_id"]], f"attributes.run_id = '{parent}'"):
            raise UserError(f"run {parent} of {suite} is not in this MLflow store; log the experiment first")
        key = _key({"parent": parent}, suite, child)
        return _upsert(client, experiment["experiment_id"], child, key, {_PARENT_TAG: parent})


def _log(
    client: Any,
    store: Store,
    suite: str,
    identity: Mapping[str, Any],
    parent: Record,
    children: Sequence[Record],
) -> dict[str, Any]:
    experiment_id = _experiment(client, store, suite)
    parent_id = _upsert(client, experiment_id, parent, _key(identity, suite, parent), {})
    ids = {}
    for child in children:
        # In a chart over several experiments the name alone has to tell the runs apart.
        named = replace(child, name=f"{parent.name} {child.name}")
        key = _key(identity, suite, named)
        ids[child.name] = _upsert(client, experiment_id, named, key, {_PARENT_TAG: parent_id})
    return {"experiment_id": experiment_id, "parent": parent_id, "children": ids}


@contextlib.contextmanager
def _client(store: Store) -> Iterator[Any]:
    """MLflow's client, for this process alone."""
    with _locked(store):
        _require_database(store)
        with _explained(store):
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
        raise UserError(
            f"{store.lock}: cannot be written ({error.strerror}); make its folder writable, or change tracking.uri"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _explained(store: Store) -> Iterator[None]:
    """Turn what MLflow and its storage raise into one line, without the address's password."""
    _quiet_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        raise _unusable(store, error) from None


def _unusable(store: Store, error: Exception) -> UserError:
    address = store.address.rstrip("/")
    shown = re.sub(r"(://[^/:@]*):[^/]*@", r"\1:***@", address)
    # SQLAlchemy adds the whole statement.
    reason = " ".join(str(error).partition("[SQL:")[0].split()).replace(address, shown)
    return UserError(
        f"{shown}: MLflow cannot use this store ({reason}); start the server or mend the database, "
        "or name another store in MLFLOW_TRACKING_URI or tracking.uri"
    )


def _require_database(store: Store) -> None:
    """Raise at once for a file that is not a writable database: MLflow would retry for minutes."""
    if store.database is None or not store.database.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(store.database, timeout=20)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.Error as error:
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


def _experiment(client: Any, store: Store, suite: str) -> str:
    name = f"relu2snn/{suite}"
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = (Path(store.artifacts).absolute() / suite).as_uri() if store.database else None
        # Without this tag the UI asks what kind of experiment it is.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return str(client.create_experiment(name, artifact_location=location, tags=kind))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def _key(identity: Mapping[str, Any], suite: str, record: Record) -> str:
    # MLflow's params are immutable, so whatever becomes a param is part of the key.
    parts = [identity, suite, record.name, record.params]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _upsert(client: Any, experiment_id: str, record: Record, key: str, links: Mapping[str, str]) -> str:
    from mlflow.entities import Metric as Point
    from mlflow.entities import Param, RunTag

    tags = {**record.tags, **links, KEY_TAG: key}
    found = client.search_runs([experiment_id], filter_string=f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    start = int((record.time - record.seconds) * 1000)
    run = found[0] if found else client.create_run(experiment_id, start_time=start, tags=tags, run_name=record.name)
    run_id = str(run.info.run_id)
    client.log_batch(run_id, tags=[RunTag(*tag) for tag in tags.items()])
    for params in _batches([Param(*param) for param in _flatten(record.params)], 100):
        client.log_batch(run_id, params=params)
    time = int(record.time * 1000)
    points = [Point(name, value, time, step) for name, value, step in _unlogged(client, run_id, record.metrics)]
    for metrics in _batches(points, 1000):
        client.log_batch(run_id, metrics=metrics)
    client.log_dict(run_id, dict(record.params), "config.yaml")
    for path, folder in record.files:
        client.log_artifact(run_id, str(path), folder)
    client.set_terminated(run_id, "FINISHED", end_time=run.info.start_time + int(record.seconds * 1000))
    return run_id


def _unlogged(client: Any, run_id: str, metrics: Sequence[Metric]) -> list[Metric]:
    """The points that the run does not show yet: a result made again, file time and all, adds none."""
    shown: dict[tuple[str, int], float] = {}
    for name in {name for name, _, _ in metrics}:
        for point in sorted(client.get_metric_history(run_id, name), key=lambda point: point.timestamp):
            shown[name, point.step] = point.value
    return [(name, value, step) for name, value, step in metrics if shown.get((name, step)) != value]


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value if isinstance(value, str) else json.dumps(value)


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """`items` in pieces no longer than MLflow takes at once."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
