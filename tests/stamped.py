"""Files of runs that never ran, with the stamps that stages would give them but for values and inputs."""

from pathlib import Path
from typing import Any

import relu2snn.datasets
from relu2snn.made import Job

# By a part of the path.
STAGES = {
    "/datasets/": "data",
    "/weights/": "weights",
    "/train/": "train",
    "/phase1/": "phase1",
    "/points/": "sweep_point",
    "/sweep/": "sweep_gather",
    "/phase2/": "gather",
    "/figures/": "figures",
}


def job(path: str | Path, **values: Any) -> Job:
    """A job of the stage that writes such a file."""
    stage = next((stage for part, stage in STAGES.items() if part in str(path)), "track")
    return Job(stage, values)


def write_json(path: str | Path, value: Any, **of: Any) -> None:
    """As a stage writes it; a stamp that `value` has from the file that it was read from is made anew."""
    job(path).write_json(path, {key: each for key, each in value.items() if key != "made"}, **of)


def write_npz(path: str | Path, arrays: dict[str, Any], **of: Any) -> None:
    """As a stage writes it."""
    job(path).write_npz(path, arrays, **of)


def prepare(folder: str | Path, name: str, kind: str, arrays: Any) -> None:
    """A prepared data set, as the data stage leaves it."""
    relu2snn.datasets.prepare(folder, name, kind, arrays, job=Job("data", {}))
