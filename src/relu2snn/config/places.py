"""Where each run's results are viewed and what computes them: known to jobs without being what re-runs them.

The environment holds, by the folder of a stage, the MLflow store and the container engine that its run names.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast

from omegaconf import OmegaConf

from relu2snn.config.paths import Paths
from relu2snn.config.schema import Experiment, Tracking
from relu2snn.config.values import plain
from relu2snn.errors import UserError

TRACKING_VARIABLE = "RELU2SNN_TRACKING"
ENGINE_VARIABLE = "RELU2SNN_CONTAINER_ENGINE"


def publish_places(runs: Iterable[Experiment]) -> None:
    """Name each run's MLflow store and container engine in the environment; of runs that share a folder the first's."""
    stores: dict[str, str] = {}
    engines: dict[str, str] = {}
    for run in runs:
        paths = Paths.of(run)
        store = plain(run.tracking)
        stores.setdefault(paths.tracked, json.dumps(store, sort_keys=True))
        for folder in (paths.dataset, paths.weights):
            engines.setdefault(folder, json.dumps(run.container.engine))
    os.environ[TRACKING_VARIABLE] = _packed(stores)
    os.environ[ENGINE_VARIABLE] = _packed(engines)


def tracking_of(config: Experiment) -> Tracking:
    """The MLflow store of the run that a slice is of.

    Raises UserError outside a call of the workflow or of a stage.
    """
    values = _found(TRACKING_VARIABLE, Paths.of(config).tracked)
    return cast(Tracking, OmegaConf.merge(OmegaConf.structured(Tracking), values))


def engine_of(folder: str) -> str:
    """The container engine of the run whose data set or weights stand in `folder`.

    Raises UserError outside a call of the workflow or of a stage.
    """
    return str(_found(ENGINE_VARIABLE, folder))


def _packed(values: Mapping[str, str]) -> str:
    """What most folders have, once, under no name, and beside it what the others have: an environment is small."""
    ((common, _),) = Counter(values.values()).most_common(1)
    rest = {name: value for name, value in values.items() if value != common}
    return json.dumps({name: json.loads(value) for name, value in {"": common, **rest}.items()})


def _found(variable: str, folder: str) -> Any:
    values: dict[str, Any] = json.loads(os.environ.get(variable, "{}"))
    if not values:
        raise UserError(f"{variable}: not set; run this stage by snakemake, or by hand with experiment=NAME")
    return values.get(folder, values[""])
