"""Reads the weights of a Caffe network: caffemodel and prototxt to weights/<stem>.npz, by layer name."""

import tempfile
from pathlib import Path

from relu2snn.config import Experiment, Paths
from relu2snn.config.places import engine_of
from relu2snn.containers import run_script
from relu2snn.stages._app import stage_app


def run(config: Experiment, part: int | None) -> None:
    """Write the dictionary of one experiment's weights; `part` is not used."""
    paths = Paths.of(config)
    target = Path(paths.weights, f"{config.weights.stem}.npz")
    target.parent.mkdir(parents=True, exist_ok=True)
    prototxt, caffemodel = Path(str(config.weights.prototxt)), Path(str(config.weights.caffemodel))
    height, width, _ = config.dataset.image_shape
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as name:
        output = Path(name, target.name)
        files = [f"--prototxt={prototxt}", f"--caffemodel={caffemodel}", f"--output={output}"]
        arguments = ["weights", *files, "--size", str(height), str(width)]
        # Folders rather than files: an engine makes a folder of a file that it does not find.
        run_script(engine_of(paths.weights), arguments, {prototxt.parent, caffemodel.parent}, output.parent)
        output.replace(target)


if __name__ == "__main__":
    stage_app("places365_weights", run)
