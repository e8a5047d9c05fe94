"""Weights: the original network of an experiment, from the user's file or, without one, as trained here."""

import hashlib
import shutil
from pathlib import Path

from relu2snn.config import Experiment, Paths
from relu2snn.errors import UserError
from relu2snn.files import atomic_path, write_json
from relu2snn.networks.weights import find_weights, load_weights
from relu2snn.stages._app import stage_app


def run(config: Experiment, part: int | None) -> None:
    """Write outputs/<suite>/<experiment>/weights/original.keras and source.json."""
    paths = Paths(config.outputs, config.suite.name, config.name)
    folder = Path(paths.weights)
    given = find_weights(config.weights)
    source = given or Path(paths.train) / "trained.keras"
    if given:
        _convert(config, given, folder / "original.keras")
    elif source.is_file():
        with atomic_path(folder / "original.keras") as temporary:
            shutil.copyfile(source, temporary)
    else:
        raise UserError(f"{source}: no such file; run the train stage first, or drop trained weights into data/models/")
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kind = "pretrained" if given else "trained"
    write_json(folder / "source.json", {"kind": kind, "file": str(given) if given else None, "sha256": digest})
    print(f"{config.name}: {kind} weights from {source}")


def _convert(config: Experiment, given: Path, target: Path) -> None:
    import relu2snn.stages._tensorflow  # noqa: F401

    # isort: split
    from relu2snn.networks.build import build

    model = build(config.model, config.dataset.image_shape, config.dataset.classes)
    load_weights(model, given)
    with atomic_path(target) as temporary:
        model.save(temporary)


def main() -> None:
    stage_app("weights", run)


if __name__ == "__main__":
    main()
