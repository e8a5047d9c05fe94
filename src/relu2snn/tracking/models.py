"""Networks as MLflow models: found again by their content, logged once, registered once."""

import hashlib
import importlib.metadata
import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import relu2snn
from relu2snn.errors import reading
from relu2snn.files import temporary_folder, writing
from relu2snn.processes import Process
from relu2snn.tracking.claims import CONTENT_TAG, WRITER_TAG
from relu2snn.tracking.record import Model

# What a model needs beside this package, which no index offers: an index may hold something else by its name.
_REQUIREMENTS = ("tensorflow", "keras", "numpy", "numba", "h5py")
_CHUNK = 1 << 20
_VERSIONS_TAG = "mlflow.modelVersions"
_HOUR = 3600.0


@dataclass(frozen=True)
class Prepared:
    """A model with the hash of its parameters and settings, which takes seconds for a large one."""

    model: Model
    content: str


def prepare(model: Model) -> Prepared:
    """Read a model's file; no store is needed for that.

    Raises UserError when it is missing or damaged.
    """
    digest = hashlib.sha256()
    with reading(model.file, "Keras model", "delete it and run again"), zipfile.ZipFile(model.file) as archive:
        # Keras writes the date into metadata.json.
        for name in sorted(set(archive.namelist()) - {"metadata.json"}):
            digest.update(name.encode())
            with archive.open(name) as member:
                while chunk := member.read(_CHUNK):
                    digest.update(chunk)
    shown = [model.loader, dict(model.settings), list(model.example.shape), str(model.example.dtype)]
    digest.update(json.dumps(shown, sort_keys=True).encode())
    return Prepared(model, digest.hexdigest())


def log_model(client: Any, experiment_id: str, run_id: str, prepared: Prepared, time: float) -> str:
    """Log a run's model unless the run has it already; returns its id.

    A model of the same name and other content is superseded: it is deleted, unless it is a registered version, or
    another process may still be logging it.
    """
    model = prepared.model
    query = f"name = '{model.name}' AND source_run_id = '{run_id}'"
    kept = None
    # In one order, so that of equal ones all keep the same.
    for each in sorted(client.search_logged_models([experiment_id], filter_string=query), key=_age):
        ready = str(each.status) == "READY"
        if each.tags.get(CONTENT_TAG) == prepared.content and ready and kept is None:
            kept = str(each.model_id)
        elif _VERSIONS_TAG not in each.tags and (ready or _abandoned(each)):
            client.delete_logged_model(each.model_id)
    model_id = kept or _create(client, experiment_id, run_id, prepared)
    _log_metrics(client, run_id, model_id, model, time)
    if model.registered:
        _register(client, run_id, model_id, prepared)
    return model_id


def _age(logged: Any) -> tuple[int, str]:
    return logged.creation_timestamp, str(logged.model_id)


def _abandoned(logged: Any) -> bool:
    """Whether nobody completes a model: its process is gone or, of another machine, has had an hour."""
    writer = Process.parse(logged.tags.get(WRITER_TAG, "none"))
    lives = writer is not None and writer != Process.this() and writer.lives()
    return not lives if lives is not None else time.time() - logged.creation_timestamp / 1000 > _HOUR


def _create(client: Any, experiment_id: str, run_id: str, prepared: Prepared) -> str:
    import mlflow.pyfunc
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model as Description

    model = prepared.model
    tags = {**model.tags, CONTENT_TAG: prepared.content, WRITER_TAG: str(Process.this())}
    logged = client.create_logged_model(experiment_id, model.name, run_id, tags, _params(model))
    with temporary_folder(model.file) as temporary:
        folder = temporary / "model"
        with writing(temporary):
            mlflow.pyfunc.save_model(
                folder,
                loader_module=model.loader,
                data_path=str(model.file),
                model_config=dict(model.settings),
                mlflow_model=Description(logged.artifact_location, run_id, model_id=logged.model_id),
                signature=_signature(model),
                input_example=model.example,
                pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _REQUIREMENTS],
                metadata={**model.tags, "relu2snn": relu2snn.__version__},
            )
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    return str(logged.model_id)


def _params(model: Model) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in model.settings.items()}


def _signature(model: Model) -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    inputs = [TensorSpec(model.example.dtype, (-1, *model.example.shape[1:]))]
    outputs = [
        TensorSpec(np.dtype("int64"), (-1,), "label"),
        TensorSpec(np.dtype("float64"), (-1, model.classes), "logits"),
    ]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _log_metrics(client: Any, run_id: str, model_id: str, model: Model, time: float) -> None:
    """What the tab of models can be sorted by."""
    from mlflow.entities import Metric

    shown = {metric.key: metric.value for metric in client.get_logged_model(model_id).metrics or []}
    fresh = {name: value for name, value in model.metrics.items() if shown.get(name) != value}
    if fresh:
        points = [Metric(name, value, int(time * 1000), 0, model_id=model_id) for name, value in fresh.items()]
        client.log_batch(run_id, metrics=points)


def _register(client: Any, run_id: str, model_id: str, prepared: Prepared) -> None:
    from mlflow.exceptions import MlflowException

    name = prepared.model.registered
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    if not _versions(client, prepared):
        tags = {**prepared.model.tags, CONTENT_TAG: prepared.content}
        # MLflow looks an address models:/<id> up in the process's own store instead of this one.
        source = client.get_logged_model(model_id).artifact_location
        version = client.create_model_version(name, source, run_id, tags, model_id=model_id)
        # The store numbers versions, so of two processes that did not see each other one sees the other now.
        if _versions(client, prepared)[0] == int(version.version):
            _link(client, model_id, {"name": name, "version": version.version})
        else:
            client.delete_model_version(name, version.version)


def _versions(client: Any, prepared: Prepared) -> list[int]:
    """The versions of a registered model that are this network."""
    found = client.search_model_versions(f"name = '{prepared.model.registered}'")
    return sorted(int(each.version) for each in found if each.tags.get(CONTENT_TAG) == prepared.content)


def _link(client: Any, model_id: str, version: Mapping[str, Any]) -> None:
    """Tell the model of its version: a server does, a local store does not."""
    known = json.loads(client.get_logged_model(model_id).tags.get(_VERSIONS_TAG, "[]"))
    if not any(str(each["version"]) == str(version["version"]) and each["name"] == version["name"] for each in known):
        client.set_logged_model_tags(model_id, {_VERSIONS_TAG: json.dumps([*known, dict(version)])})
