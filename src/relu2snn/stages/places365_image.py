"""Builds the container's image that reads Caffe's files."""

from relu2snn.config import Experiment, Paths
from relu2snn.config.places import engine_of
from relu2snn.containers import build
from relu2snn.files import write_json
from relu2snn.stages._app import stage_app


def run(config: Experiment, part: int | None) -> None:
    """Write container.json, which names the engine and the image (null without an engine); `part` is not used."""
    paths = Paths.of(config)
    engine = engine_of(paths.dataset)
    write_json(paths.container, {"engine": engine, "image": build(engine, paths.images)})


if __name__ == "__main__":
    stage_app("places365_image", run)
