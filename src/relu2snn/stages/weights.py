"""Weights: the original network of an experiment, from the user's file or, without one, as `weights.source` says."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from relu2snn.config import Experiment, Paths
from relu2snn.errors import UserError
from relu2snn.files import digest_of, watched
from relu2snn.made import Job
from relu2snn.networks.weights import find_weights, load_imagenet, load_weights
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Write outputs/<suite>/<experiment>/weights/original.keras and source.json."""
    paths = Paths.of(config)
    weights, folder = config.weights, Path(paths.weights)
    target = folder / "original.keras"
    given = find_weights(weights)
    kind, file = weights.kind, given
    work = job(config, "weights")
    if config.model.family == "custom":
        digest, origin = _take(config, given, target, work), str(given)
    elif given:
        digest, origin = _given(config, given, target, work), str(given)
    elif weights.source == "imagenet":
        digest, origin = _convert(config, None, target, work), "keras.applications"
    elif weights.source == "caffe":
        dictionary, file = folder / f"{weights.stem}.npz", Path(str(weights.caffemodel))
        digest, origin = _given(config, dictionary, target, work), str(file)
    else:
        trained = Path(paths.train) / "trained.keras"
        if not trained.is_file():
            raise UserError(
                f"{trained}: no such file; run the train stage first, or drop trained weights into data/models/"
            )
        kind, digest, origin = "trained", work.copy_model(trained, target, "train"), str(trained)
    work.write_json(folder / "source.json", {"kind": kind, "file": str(file) if file else None, "sha256": digest})
    print(f"{config.name}: {'those trained here' if kind == 'trained' else f'{kind} weights from {origin}'}")


def _take(config: Experiment, given: Path | None, target: Path, work: Job) -> str:
    """Take the user's own network as it is; returns the SHA-256 of its file."""
    if given is None:
        raise UserError("weights.file is not set; name your own network, as in weights.file=my.keras")
    import relu2snn.stages._tensorflow  # noqa: F401

    # isort: split
    from relu2snn.networks.own import load_own, require_sizes

    require_unchanged = watched([given])
    model, digest = load_own(given), digest_of(given)
    require_unchanged()
    require_sizes(model, given, config.dataset.image_shape, config.dataset.classes)
    work.write_model(target, model)
    return digest


def _given(config: Experiment, file: Path, target: Path, work: Job) -> str:
    """Put the weights of a file into the experiment's network; returns the SHA-256 of the file."""
    require_unchanged = watched([file])
    digest = digest_of(file)
    _convert(config, file, target, work, require_unchanged)
    return digest


def _convert(
    config: Experiment, source: Path | None, target: Path, work: Job, before: Callable[[], None] = lambda: None
) -> str:
    """Put the weights of a file, or (None) of ImageNet, into the experiment's network; returns their SHA-256.

    before: what is called when they are read, before the network is written.
    """
    import relu2snn.stages._tensorflow  # noqa: F401

    # isort: split
    from relu2snn.networks.build import build

    model = build(config.model, config.dataset.image_shape, config.dataset.classes)
    if source:
        load_weights(model, source)
    else:
        load_imagenet(model, config.weights)
    before()
    work.write_model(target, model)
    return hashlib.sha256(b"".join(array.tobytes() for array in model.get_weights())).hexdigest()
