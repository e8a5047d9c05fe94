"""Reads the weights of a Caffe network: caffemodel and prototxt to weights/<stem>.npz, by layer name."""

from pathlib import Path

from relu2snn.config import Experiment, Paths
from relu2snn.config.places import engine_of
from relu2snn.config.schema import known
from relu2snn.containers import run_script
from relu2snn.files import temporary_folder, watched


def run(config: Experiment) -> None:
    """Write the dictionary of one experiment's weights."""
    paths = Paths.of(config)
    target = Path(paths.weights, f"{config.weights.stem}.npz")
    prototxt, caffemodel = Path(str(config.weights.prototxt)), Path(str(config.weights.caffemodel))
    height, width, _ = known(config.dataset.image_shape)
    require_unchanged = watched([prototxt, caffemodel])
    with temporary_folder(target) as folder:
        output = folder / target.name
        files = [f"--prototxt={prototxt}", f"--caffemodel={caffemodel}", f"--output={output}"]
        arguments = ["weights", *files, "--size", str(height), str(width)]
        # Folders rather than files: an engine makes a folder of a file that it does not find.
        run_script(
            engine_of(paths.weights),
            arguments,
            {prototxt.parent, caffemodel.parent},
            output.parent,
            images=paths.images,
        )
        require_unchanged()
        output.replace(target)
