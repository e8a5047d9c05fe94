"""What each stage writes, and so locks: its folder, or less where jobs of one workflow write side by side in it.

And what it reads of other stages, where it takes long before it reads it.
"""

from collections.abc import Callable

from relu2snn.config.paths import Paths
from relu2snn.config.schema import Experiment
from relu2snn.config.sweeps import point_value, sweep_point


def written(stage: str, config: Experiment, part: int | None) -> list[str]:
    """The files and folders that a stage writes and that no other job may write meanwhile.

    config: the stage's slice. part: the part that it runs; None for all of them.

    Raises KeyError for an unknown stage.
    """
    paths = Paths.of(config)
    if stage in _PARTS:
        return _PARTS[stage](paths, config, part)
    return [_WRITTEN[stage](paths, config)]


def read(stage: str, config: Experiment, part: int | None) -> list[str]:
    """The files of other stages that a stage can't do without, as far as it takes seconds before it looks for them.

    config, part: as in `written`.
    """
    return _READ[stage](Paths.of(config), config, part) if stage in _READ else []


def _read_by_phase2(paths: Paths, config: Experiment, part: int | None) -> list[str]:
    # By hand, without a part, it converts the network, too.
    network = f"{paths.phase1}/scaled.keras" if part is None else f"{paths.phase2}/spiking.keras"
    return [f"{paths.dataset}/source.json", network, f"{paths.phase1}/predictions.npz"]


def _read_by_figures(paths: Paths, config: Experiment, part: int | None) -> list[str]:
    made = {paths.phase1: ("result.json", "predictions.npz"), paths.phase2: ("result.json", "predictions.npz")}
    found = [f"{folder}/{name}" for folder, names in made.items() for name in names]
    return [f"{paths.dataset}/source.json", *found, f"{paths.phase2}/spiking.keras"]


def _read_by_point(paths: Paths, config: Experiment, part: int | None) -> list[str]:
    # Its own value may ask for other windows.
    own = Paths.of(sweep_point(config, point_value(config)))
    return [f"{paths.dataset}/source.json", f"{paths.phase1}/predictions.npz", own.maxima, own.scaled]


_READ: dict[str, Callable[[Paths, Experiment, int | None], list[str]]] = {
    "train": lambda paths, config, part: [f"{paths.dataset}/source.json"],
    "phase1": lambda paths, config, part: [f"{paths.dataset}/source.json", f"{paths.weights}/original.keras"],
    "bounds": lambda paths, config, part: [f"{paths.dataset}/source.json", f"{paths.phase1}/scaled.keras"],
    "reference": lambda paths, config, part: [
        f"{paths.phase1}/{name}" for name in ("scaled.keras", "channel_maxima.npz", "result.json")
    ],
    "convert": lambda paths, config, part: [paths.maxima, paths.scaled],
    "phase2": _read_by_phase2,
    "figures": _read_by_figures,
    "sweep_point": _read_by_point,
}


def _prepared_parts(paths: Paths, config: Experiment, part: int | None) -> list[str]:
    # After the parts of the test images, the calibration images.
    parts = range(config.dataset.parts + 1) if part is None else [part]
    return [f"{paths.dataset}/parts/{each}" for each in parts]


def _phase2(paths: Paths, config: Experiment, part: int | None) -> list[str]:
    if part is not None:
        return [paths.part(part)]
    # By hand: everything up to the gathered result.
    if config.phase2.mapping == "reference":
        before = [paths.scaled]
    else:
        before = [paths.phase1] if config.phase2.window == "certified" else []
    return [*before, paths.phase2, *(paths.part(each) for each in range(config.dataset.parts))]


_PARTS: dict[str, Callable[[Paths, Experiment, int | None], list[str]]] = {
    "places365_part": _prepared_parts,
    "pass_part": _prepared_parts,
    "phase2": _phase2,
}

_WRITTEN: dict[str, Callable[[Paths, Experiment], str]] = {
    "data": lambda paths, config: paths.dataset,
    "custom_data": lambda paths, config: paths.dataset,
    "places365_sample": lambda paths, config: f"{paths.dataset}/train.tsv",
    "places365_labels": lambda paths, config: f"{paths.dataset}/test.tsv",
    "places365_image": lambda paths, config: paths.container,
    "places365_weights": lambda paths, config: paths.weights,
    "pass_order": lambda paths, config: f"{paths.dataset}/order.tsv",
    "photographs": lambda paths, config: f"{paths.dataset}/source.json",
    "train": lambda paths, config: paths.train,
    "weights": lambda paths, config: paths.weights,
    "phase1": lambda paths, config: paths.phase1,
    "bounds": lambda paths, config: paths.phase1,
    "reference": lambda paths, config: f"{paths.phase1}/reference.keras",
    "convert": lambda paths, config: paths.phase2,
    "gather": lambda paths, config: paths.phase2,
    "figures": lambda paths, config: paths.figures,
    "track": lambda paths, config: paths.tracked,
    "provenance": lambda paths, config: paths.provenance,
    "results": lambda paths, config: paths.results,
    "report_results": lambda paths, config: paths.page("results"),
    "report_sweeps": lambda paths, config: paths.page("sweeps"),
    "report_runtimes": lambda paths, config: paths.page("runtimes"),
    "sweep_point": lambda paths, config: paths.point(point_value(config)),
    "sweep_gather": lambda paths, config: paths.sweep,
    "track_sweep": lambda paths, config: paths.tracked_sweep,
    "sweep_results": lambda paths, config: paths.sweeps,
    "tradeoffs": lambda paths, config: paths.tradeoffs,
}
