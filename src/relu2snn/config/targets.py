"""What each stage writes, and so locks: its folder, or less where jobs of one workflow write side by side in it."""

from collections.abc import Callable

from relu2snn.config.paths import Paths, variant_name
from relu2snn.config.schema import Experiment
from relu2snn.config.slices import STAGES
from relu2snn.config.sweeps import point_value

Part = int | None


def written(stage: str, config: Experiment, part: Part) -> list[str]:
    """The files and folders that a stage writes and that no other job may write meanwhile.

    config: the stage's slice. part: the part that it runs; None for all of them.

    Raises KeyError for an unknown stage.
    """
    # Stages of a data set or a suite know of no experiment.
    name = [config.name] if "name" in STAGES[stage] else []
    return _WRITTEN[stage](Paths(config.outputs, config.suite.name, *name), config, part)


def _prepared(*names: str) -> Callable[[Paths, Experiment, Part], list[str]]:
    return lambda paths, config, part: ["/".join([paths.dataset(config.dataset.name), *names])]


def _prepared_parts(paths: Paths, config: Experiment, part: Part) -> list[str]:
    # After the parts of the test images, the calibration images.
    parts = range(config.dataset.parts + 1) if part is None else [part]
    return [f"{paths.dataset(config.dataset.name)}/parts/{each}" for each in parts]


def _variant(paths: Paths, config: Experiment, part: Part) -> list[str]:
    return [paths.phase2(variant_name(config.phase2))]


def _phase2(paths: Paths, config: Experiment, part: Part) -> list[str]:
    variant = variant_name(config.phase2)
    if part is not None:
        return [paths.part(variant, part)]
    # By hand: everything up to the gathered result.
    bounds = [paths.phase1] if config.phase2.window == "certified" else []
    return [*bounds, paths.phase2(variant), *(paths.part(variant, each) for each in range(config.dataset.parts))]


_WRITTEN: dict[str, Callable[[Paths, Experiment, Part], list[str]]] = {
    "data": _prepared(),
    "places365_sample": _prepared("train.tsv"),
    "places365_labels": _prepared("test.tsv"),
    "places365_image": lambda paths, config, part: [paths.container],
    "places365_part": _prepared_parts,
    "places365_weights": lambda paths, config, part: [paths.weights],
    "pass_order": _prepared("order.tsv"),
    "pass_part": _prepared_parts,
    "photographs": _prepared("source.json"),
    "train": lambda paths, config, part: [paths.train],
    "weights": lambda paths, config, part: [paths.weights],
    "phase1": lambda paths, config, part: [paths.phase1],
    "bounds": lambda paths, config, part: [paths.phase1],
    "convert": _variant,
    "phase2": _phase2,
    "gather": _variant,
    "figures": lambda paths, config, part: [paths.figures],
    "track": lambda paths, config, part: [paths.tracked],
    "provenance": lambda paths, config, part: [paths.provenance],
    "results": lambda paths, config, part: [paths.results],
    "report_results": lambda paths, config, part: [paths.page("results")],
    "report_sweeps": lambda paths, config, part: [paths.page("sweeps")],
    "report_runtimes": lambda paths, config, part: [paths.page("runtimes")],
    "sweep_point": lambda paths, config, part: [paths.point(config.sweep.name, point_value(config))],
    "sweep_gather": lambda paths, config, part: [paths.sweep(config.sweep.name)],
    "track_sweep": lambda paths, config, part: [paths.sweep(config.sweep.name)],
    "sweep_results": lambda paths, config, part: [paths.sweeps],
}
