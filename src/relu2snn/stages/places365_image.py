"""Builds the container's image that reads Caffe's files."""

from relu2snn.config import Experiment, Paths
from relu2snn.config.places import engine_of
from relu2snn.containers import build
from relu2snn.files import write_json


def run(config: Experiment) -> None:
    """Write container.json, which names the engine and the image (null without an engine)."""
    paths = Paths.of(config)
    engine = engine_of(paths.dataset)
    write_json(paths.container, {"engine": engine, "image": build(engine, paths.images)})
