"""The networks of an experiment that become MLflow models."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.config import Experiment, Paths, model_files
from relu2snn.config.schema import FOLDER_FORMATS, OWN_FORMAT
from relu2snn.datasets import open_data
from relu2snn.files import require_file
from relu2snn.made import Job
from relu2snn.presentation.described import sizes
from relu2snn.tracking import Model

_LOADER = "relu2snn.serving"
_MEGABYTE = 10**6


def networks(
    config: Experiment,
    work: Job,
    paths: Paths,
    data: Mapping[str, Any],
    phase1: Mapping[str, Any],
    phase2: Mapping[str, Any],
    tags: Mapping[str, str],
) -> list[Model]:
    """The networks of tracking.models; larger ones than tracking.model_megabytes are left out, with a line on stderr.

    Raises UserError when a file is missing, damaged, or contradicts what the job knows.
    """
    metrics = {
        "scaled": _numbers(phase1, ("accuracy_scaled", "agreement_scaled")),
        "spiking": _numbers(phase2, ("accuracy", "agreement", "latency", "exact")),
    }
    batches = {"scaled": config.phase1.batch, "spiking": config.phase2.batch}
    preprocess = config.dataset.preprocess
    example: NDArray[Any] | None = None
    found = []
    for network, name in model_files(config).items():
        file = Path(name)
        require_file(file)
        size = file.stat().st_size / _MEGABYTE
        if size > config.tracking.model_megabytes:
            print(
                f"track {config.name}: {file} has {size:.0f} MB, more than "
                f"tracking.model_megabytes={config.tracking.model_megabytes:g}; it is not logged as a model",
                file=sys.stderr,
            )
            continue
        work.read_model(file, "phase1", "reference", "convert")
        if example is None:
            example = np.asarray(open_data(work, paths.dataset).pixels("test", 0, 1))
        registered = config.tracking.register and network == "spiking"
        found.append(
            Model(
                name=f"{config.name}-{network}",
                file=file,
                loader=_LOADER,
                settings={"mean": preprocess.mean, "std": preprocess.std, "batch": batches[network]},
                example=example,
                classes=sizes(config, data)[0],
                tags={
                    **{key: tags[key] for key in ("suite", "experiment", "data", "weights", "variant", "exact")},
                    "network": network,
                    "input": _input(config, sizes(config, data)[1], example.dtype),
                },
                metrics=metrics[network],
                registered=f"relu2snn-{config.suite.name}-{config.name}" if registered else None,
            )
        )
    return found


def _input(config: Experiment, image_shape: list[int], dtype: np.dtype[Any]) -> str:
    """What the pixels that a model takes are."""
    shape = " x ".join(map(str, image_shape))
    if config.dataset.source.format == OWN_FORMAT:
        return f"images of {shape} as in dataset.file, {dtype}"
    if config.dataset.source.format not in FOLDER_FORMATS:
        return f"pixels of images of {shape}, 0 to 255, uint8"
    means = ", ".join(map(str, config.dataset.source.mean_bgr))
    return f"photographs resized to {shape}, blue, green, red from 0 to 255 minus {means}, float32"


def _numbers(result: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, float]:
    return {name: float(result[name]) for name in names if result[name] is not None}
