"""Builds the container's image that reads Caffe's files."""

import os

from relu2snn.config import Experiment, Paths
from relu2snn.config.workflow import ENGINE_VARIABLE
from relu2snn.containers import build
from relu2snn.files import write_json
from relu2snn.stages._app import stage_app


def run(config: Experiment, part: int | None) -> None:
    """Write container.json, which names the engine and the image (null without an engine); `part` is not used."""
    engine = os.environ[ENGINE_VARIABLE]
    write_json(Paths(config.outputs, config.suite.name).container, {"engine": engine, "image": build(engine)})


if __name__ == "__main__":
    stage_app("places365_image", run)
