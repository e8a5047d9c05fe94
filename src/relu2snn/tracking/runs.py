"""Runs that are found again: a tag holds the hash of what a run is, another the hash of what it shows."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from relu2snn.config.changes import flatten
from relu2snn.errors import UserError
from relu2snn.processes import Process
from relu2snn.secrecy import hidden
from relu2snn.tracking.claims import CONTENT_TAG, KEY_TAG, WRITER_TAG, Claims, Draft
from relu2snn.tracking.models import Prepared, log_model, prepare
from relu2snn.tracking.record import DataSet, Metric, Record
from relu2snn.tracking.store import Store
from relu2snn.tracking.views import VIEW_TAG, results_view
from relu2snn.tracking.waiting import patiently

_PARENT_TAG = "mlflow.parentRunId"
_NOTE_TAG = "mlflow.note.content"
# MLflow shows it in a column, and takes no more than 36 characters.
_DIGEST = 12
# What a call may hold: 1,000 in all, of which 100 params and 100 tags.
_METRICS, _PARAMS = 800, 100
_ATTEMPTS = 3

Item = TypeVar("Item")


def log_experiment(
    store: Store,
    suite: str,
    identity: Mapping[str, Any],
    parent: Record,
    children: Mapping[str, Record],
    about: str = "",
) -> dict[str, Any]:
    """Log one experiment as a parent run with child runs in the MLflow experiment `relu2snn/<suite>`.

    A run is found again by a tag, the hash of `identity`, its name and its params: equal ones update the run, other
    ones make a new run, and any number of processes and machines that log the same make one. What a run shows already
    is not sent again; what another process has left half-done is completed. `about` is the description of the MLflow
    experiment, in Markdown.
    Returns {"experiment_id", "parent": run id, "children": {name: run id}, "models": {name: model id}}.
    Raises UserError when the store cannot be used, stays locked for `store.lock_timeout` seconds, or does not answer
    for `store.wait` seconds.
    """
    prepared = [prepare(model) for model in parent.models]

    def log(client: Any) -> dict[str, Any]:
        experiment_id = _experiment(client, store, suite, about)
        family = _hash([identity, suite])
        parent_id, ids, models = _log_group(
            client, store, experiment_id, family, (identity, suite), parent, children, {}, prepared
        )
        return {"experiment_id": experiment_id, "parent": parent_id, "children": ids, "models": models}

    return patiently(store, log)


def log_sweep(
    store: Store, suite: str, experiment: Mapping[str, Any], sweep: Record, points: Mapping[str, Record]
) -> dict[str, Any]:
    """Log a sweep as a child run of an `experiment`, as `log_experiment` has returned it, and its points below it.

    A point that was logged before is the same run, whatever other points the sweep had then.
    Returns {"run": the sweep's id, "points": {name: run id}}.
    Raises UserError as `log_experiment` does, and when the store does not have the experiment's run.
    """
    experiment_id, parent = experiment["experiment_id"], experiment["parent"]

    def log(client: Any) -> dict[str, Any]:
        if not client.search_runs([experiment_id], f"attributes.run_id = '{parent}'"):
            raise UserError(f"run {parent} of {suite} is not in this MLflow store; log the experiment first")
        identity = {"parent": parent}
        family = _hash([identity, suite, sweep.tags.get("sweep")])
        run_id, ids, _ = _log_group(
            client, store, experiment_id, family, (identity, suite), sweep, points, {_PARENT_TAG: parent}, []
        )
        return {"run": run_id, "points": ids}

    return patiently(store, log)


def _experiment(client: Any, store: Store, suite: str, about: str) -> str:
    from mlflow.exceptions import MlflowException

    name = f"relu2snn/{suite}"
    # Without the first tag the UI asks what kind of experiment it is.
    tags = {"mlflow.experimentKind": "custom_model_development", VIEW_TAG: results_view()}
    tags |= {_NOTE_TAG: about} if about else {}
    experiment = client.get_experiment_by_name(name)
    location = store.location(suite)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException as error:
            # Somebody else on the same server was faster.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)
    if location not in (None, experiment.artifact_location):
        raise UserError(_misplaced(store, experiment, location))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    for tag, value in tags.items():
        if experiment.tags.get(tag) != value:
            client.set_experiment_tag(experiment.experiment_id, tag, value)
    return str(experiment.experiment_id)


def _misplaced(store: Store, experiment: Any, location: str | None) -> str:
    found = experiment.artifact_location
    return hidden(
        f"{store.shown_address}: the files of its experiment {experiment.name} are in {found}, not in {location}, and "
        "MLflow can't change that; move a database together with its folder mlartifacts, or name the folder, "
        f"tracking.artifacts={found.rpartition('/')[0].removeprefix('file://')}, or another store in tracking.uri"
    )


def _key(identity: Mapping[str, Any], suite: str, record: Record) -> str:
    # MLflow's params are immutable, so whatever becomes a param is part of the key.
    return _hash([identity, suite, record.name, record.params])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _content(record: Record, links: Mapping[str, str]) -> str:
    """The hash of all that a run shows, but for the time of its files, which a result made again changes."""
    files = [(path.name, folder, hashlib.sha256(path.read_bytes()).hexdigest()) for path, folder in record.files]
    note = record.note("") if record.note else ""
    data = [vars(each) for each in record.data]
    shown = [dict(record.tags), dict(links), list(record.metrics), record.seconds]
    return _hash([*shown, files, record.config, note, data])


def _ended(record: Record) -> float:
    """When the result was made, by the date of its file; MLflow has no dates before 1970, and takes 0 for none."""
    return max(record.time, record.seconds + 1)


def _log_group(
    client: Any,
    store: Store,
    experiment_id: str,
    family: str,
    identity: tuple[Mapping[str, Any], str],
    parent: Record,
    children: Mapping[str, Record],
    links: Mapping[str, str],
    prepared: Sequence[Prepared],
) -> tuple[str, dict[str, str], dict[str, str]]:
    """Log a parent, which is finished last, the children below it, and the parent's models; returns their ids."""
    claims = Claims(client, experiment_id, family, alone=store.database is not None)
    first = _draft(*identity, parent)
    parent_id = claims.settle(first)
    drafts = {name: _draft(*identity, child) for name, child in children.items()}
    records = {drafts[name].key: child for name, child in children.items()}
    ids = {}
    for key, run in claims.each(list(drafts.values())):
        ids[key] = _fill(client, run, records[key], key, {_PARENT_TAG: parent_id}, run.info.run_id in claims.made)
    models: dict[str, str] = {}

    def log_models() -> None:
        models.update(_log_models(client, experiment_id, parent_id, parent, prepared))

    for key, run in claims.each([first]):
        _fill(client, run, parent, key, links, run.info.run_id in claims.made, log_models)
    return parent_id, {name: ids[draft.key] for name, draft in drafts.items()}, models


def _draft(identity: Mapping[str, Any], suite: str, record: Record) -> Draft:
    return Draft(_key(identity, suite, record), record.name, int((_ended(record) - record.seconds) * 1000))


def _fill(
    client: Any,
    run: Any,
    record: Record,
    key: str,
    links: Mapping[str, str],
    new: bool,
    before_end: Callable[[], None] = lambda: None,
) -> str:
    """Let a run show its record, unless it does; `before_end` is called in any case, and before it is finished."""
    content = _content(record, links)
    run_id = str(run.info.run_id)
    if run.info.status == "FINISHED" and run.data.tags.get(CONTENT_TAG) == content:
        before_end()
        return run_id
    tags = {**record.tags, **links, KEY_TAG: key, WRITER_TAG: str(Process.this())}
    ended = int(_ended(record) * 1000)
    points, time = (record.metrics, ended) if new else _unlogged(client, run_id, record.metrics, ended)
    if new or run.info.status != "FINISHED":
        # Until it is finished, a run is not taken to show its content.
        tags[CONTENT_TAG] = content
    _send(client, run, record, tags, points, time)
    before_end()
    client.set_terminated(run_id, "FINISHED", end_time=run.info.start_time + int(record.seconds * 1000))
    if run.data.tags.get(CONTENT_TAG) != content and CONTENT_TAG not in tags:
        client.set_tag(run_id, CONTENT_TAG, content)
    return run_id


def _send(client: Any, run: Any, record: Record, tags: Mapping[str, str], metrics: Sequence[Metric], time: int) -> None:
    """Log all that a run shows; time: of the metrics, in milliseconds."""
    from mlflow.entities import Metric as Point
    from mlflow.entities import Param, RunTag

    run_id = run.info.run_id
    named = {**tags, **({_NOTE_TAG: record.note(run_id)} if record.note else {})}
    values = flatten(record.params)
    params = [Param(key, value if isinstance(value, str) else json.dumps(value)) for key, value in values]
    points = [Point(name, value, time, step) for name, value, step in metrics]
    # As few transactions as MLflow's limits allow: on SQLite each of them waits for the disk.
    client.log_batch(run_id, points[:_METRICS], params[:_PARAMS], [RunTag(*tag) for tag in named.items()])
    for more in _batches(params[_PARAMS:], _PARAMS):
        client.log_batch(run_id, params=more)
    for rest in _batches(points[_METRICS:], _METRICS):
        client.log_batch(run_id, metrics=rest)
    if record.data:
        _log_data(client, run_id, record.data)
    if record.config is not None:
        client.log_dict(run_id, dict(record.config), "config.yaml")
    for path, folder in record.files:
        client.log_artifact(run_id, str(path), folder)


def _log_models(
    client: Any, experiment_id: str, run_id: str, record: Record, prepared: Sequence[Prepared]
) -> dict[str, str]:
    return {each.model.name: log_model(client, experiment_id, run_id, each, _ended(record)) for each in prepared}


def _log_data(client: Any, run_id: str, data: Sequence[DataSet]) -> None:
    from mlflow.exceptions import MlflowException

    inputs = [_data_input(each) for each in data]
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            client.log_inputs(run_id, datasets=inputs)
            return
        except MlflowException:
            # A server fails when two clients bring it the same new data set at once; after that it has it.
            if attempt == _ATTEMPTS:
                raise


def _data_input(data: DataSet) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = {"images": data.images, "image_shape": list(data.shape), "sha256": data.digest}
    source = json.dumps({"uri": data.origin})
    entity = Dataset(data.name, data.digest[:_DIGEST], "local", source, profile=json.dumps(profile))
    return DatasetInput(entity, [InputTag("mlflow.data.context", data.context)])


def _unlogged(client: Any, run_id: str, metrics: Sequence[Metric], time: int) -> tuple[list[Metric], int]:
    """The points that the run does not show yet, and their time: a result made again, file time and all, adds none.

    Of points of one time MLflow shows the largest value. So the time is after that of all that it shows, also where the
    result is the old one and only the price of its operations is another.
    """
    shown: dict[tuple[str, int], float] = {}
    latest = 0
    for name in {name for name, _, _ in metrics}:
        for point in sorted(client.get_metric_history(run_id, name), key=lambda point: point.timestamp):
            shown[name, point.step] = point.value
            latest = max(latest, point.timestamp)
    changed = [(name, value, step) for name, value, step in metrics if shown.get((name, step)) != value]
    return changed, max(time, latest + 1)


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """`items` in pieces no longer than MLflow takes at once."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
