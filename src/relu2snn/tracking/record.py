"""What is logged, as plain values: runs, data sets and models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Metric = tuple[str, float, int]
"""Name, value, step."""


@dataclass(frozen=True)
class DataSet:
    """The images that a run used: a split of a data set, with the digest of the whole of it.

    `context` is what they were used for, "training", "calibration" or "test"; `origin` is where the files stood;
    `images` how many; `shape` is (h, w, c).
    """

    name: str
    digest: str
    context: str
    origin: str
    images: int
    shape: Sequence[int]


@dataclass(frozen=True)
class Model:
    """A network of the run, to be loaded or served from MLflow.

    `file` is a `.keras` file that `loader`, a module with MLflow's `_load_pyfunc`, can load together with `settings`;
    `example` (1, …) are pixels, whose shape and type every input has; it has `classes` logits. `registered` is the
    name under which it becomes a version, None for a model that is only logged.
    """

    name: str
    file: Path
    loader: str
    settings: Mapping[str, Any]
    example: Any
    classes: int
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    registered: str | None = None


@dataclass(frozen=True)
class Record:
    """What one run shows.

    `params` are nested settings; a metric is (name, value, step); `files` are pairs of a file and the folder it takes
    in the run's artifacts; `time` is when the result was made (seconds since the epoch), `seconds` how long it took.
    `config` is kept as config.yaml. `note` gives the run's description in Markdown, for the run's id.
    """

    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    metrics: Sequence[Metric]
    files: Sequence[tuple[Path, str | None]]
    time: float
    seconds: float
    config: Mapping[str, Any] | None = None
    note: Callable[[str], str] | None = None
    data: Sequence[DataSet] = field(default=())
    models: Sequence[Model] = field(default=())
