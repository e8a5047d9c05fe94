"""The jobs of a call of the workflow, and what each waits for, without asking Snakemake: what `make plan` adds up.

It says of each rule what pipeline/*.smk say; a test holds the two against each other.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from relu2snn.config.demand import Demand, demand
from relu2snn.config.paths import Paths
from relu2snn.config.schema import OWN_FORMAT, Experiment, Weights
from relu2snn.config.selection import Selection, made_weights, weights_input
from relu2snn.config.sweeps import sweep_values

FindWeights = Callable[[Weights], Path | None]


@dataclass(frozen=True)
class Job:
    """A job by the last file that it writes, of those that others wait for; `needs`: such files of others."""

    rule: str
    file: str
    config: Experiment
    needs: tuple[str, ...] = ()

    @property
    def demand(self) -> Demand:
        return demand(self.rule, self.config)

    @property
    def is_made(self) -> bool:
        return Path(self.file).exists()


def jobs_of(selection: Selection, find: FindWeights) -> list[Job]:
    """All jobs of a call on an empty outputs folder, each after those that it waits for.

    find: the user's file of weights for a network (`relu2snn.networks.weights.find_weights`), if any.
    """
    found: dict[str, Job] = {}
    for config in selection.runs:
        for job in (*_data(config), *_network(config, find), *_results(config)):
            found.setdefault(job.file, job)
    for config in selection.sweeps:
        for job in _sweep(config):
            found.setdefault(job.file, job)
    for job in _tables(selection):
        found.setdefault(job.file, job)
    return list(found.values())


def _source(config: Experiment) -> str:
    return f"{Paths.of(config).dataset}/source.json"


def _data(config: Experiment) -> Iterator[Job]:
    folder, source, parts = Paths.of(config).dataset, _source(config), range(config.dataset.parts + 1)
    match config.dataset.source.format:
        case "places365":
            made = _made_data(config, "places365")
            yield from made
            before = tuple(job.file for job in made)
            yield Job("places365_sample", f"{folder}/train.tsv", config, before)
            yield Job("places365_labels", f"{folder}/test.tsv", config, before)
            yield Job("places365_image", Paths.of(config).container, config)
            for part in parts:
                listed = f"{folder}/{'train' if part == config.dataset.parts else 'test'}.tsv"
                needs = (Paths.of(config).container, listed)
                yield Job("places365_part", f"{folder}/parts/{part}.json", config, needs)
            yield Job("places365", source, config, tuple(f"{folder}/parts/{part}.json" for part in parts))
        case "pass":
            made = _made_data(config, "pass")
            yield from made
            yield Job("pass_order", f"{folder}/order.tsv", config, tuple(job.file for job in made))
            for part in parts:
                yield Job("pass_part", f"{folder}/parts/{part}.json", config, (f"{folder}/order.tsv",))
            yield Job("pass_images", source, config, tuple(f"{folder}/parts/{part}.json" for part in parts))
        case name:
            yield Job("custom_data" if name == OWN_FORMAT else "data", source, config)


def _made_data(config: Experiment, name: str) -> list[Job]:
    """The small synthetic files of suite=smoke (pipeline/smoke.smk)."""
    last = {"places365": "deploy_vgg16_places365.prototxt", "pass": "vgg16_weights.h5"}[name]
    made = f"data/smoke/{name}"
    directory = config.dataset.source.directory
    return [Job(f"smoke_{name}", f"{made}/{last}", config)] if directory == made else []


def _network(config: Experiment, find: FindWeights) -> Iterator[Job]:
    paths = Paths.of(config)
    source, original = _source(config), f"{paths.weights}/original.keras"
    made = made_weights(config)
    needs: tuple[str, ...] = ()
    if config.weights.file is None and weights_input(config, find) == made:
        if config.weights.source == "train":
            needs = (f"{paths.train}/trained.keras",)
            yield Job("train", needs[0], config, (source,))
        elif config.weights.source == "caffe":
            needs = (f"{paths.weights}/{config.weights.stem}.npz",)
            made_from = tuple(job.file for job in _made_data(config, "places365"))
            yield Job("places365_weights", needs[0], config, made_from)
    elif config.dataset.source.format == "pass":
        needs = tuple(job.file for job in _made_data(config, "pass"))
    yield Job("weights", original, config, needs)
    yield Job("phase1", f"{paths.phase1}/result.json", config, (source, original))
    first = (f"{paths.phase1}/result.json",)
    if paths.scaled.endswith("reference.keras"):
        yield Job("reference", f"{paths.phase1}/reference.json", config, first)
    elif paths.maxima.endswith("bounds.json"):
        yield Job("bounds", paths.maxima, config, (source, *first))


def _results(config: Experiment) -> Iterator[Job]:
    paths = Paths.of(config)
    spiking, result = f"{paths.phase2}/spiking.keras", f"{paths.phase2}/result.json"
    yield Job("convert", spiking, config, (paths.maxima,))
    parts = tuple(f"{paths.part(part)}.json" for part in range(config.dataset.parts))
    for part in parts:
        yield Job("phase2", part, config, (spiking,))
    yield Job("gather", result, config, parts)
    yield Job("figures", f"{paths.figures}/data.npz", config, (result,))
    yield Job("track", paths.tracked, config, (f"{paths.figures}/data.npz",))
    yield Job("provenance", f"{paths.provenance}/config.yaml", config, (result,))


def _sweep(config: Experiment) -> Iterator[Job]:
    paths = Paths.of(config)
    points = tuple(f"{paths.point(value)}.json" for value in sweep_values(config))
    for point in points:
        yield Job("sweep_point", point, config, (paths.maxima,))
    yield Job("sweep_gather", f"{paths.sweep}/result.json", config, points)
    yield Job("track_sweep", paths.tracked_sweep, config, (f"{paths.sweep}/result.json", paths.tracked))


def _tables(selection: Selection) -> Iterator[Job]:
    """The rules over all rows, and over all sweeps."""
    paths, config = Paths(selection.outputs, selection.suite.name), selection.runs[0]
    results = tuple(f"{Paths.of(each).phase2}/result.json" for each in selection.runs)
    sweeps = tuple(f"{Paths.of(each).sweep}/result.json" for each in selection.sweeps)
    yield Job("results", paths.results, config, results)
    shown: Sequence[str] = [f"{Paths.of(each).provenance}/config.yaml" for each in selection.runs]
    yield Job("report_results", paths.page("results"), config, (paths.results, *shown))
    pages = [paths.page("results")]
    if sweeps:
        yield Job("sweep_results", paths.sweeps, config, sweeps)
        yield Job("report_sweeps", paths.page("sweeps"), config, (paths.sweeps,))
        pages.append(paths.page("sweeps"))
        for each in {each.name: each for each in selection.sweeps}.values():
            own = tuple(f"{Paths.of(one).sweep}/result.json" for one in selection.sweeps if one.name == each.name)
            yield Job("tradeoffs", f"{Paths.of(each).tradeoffs}.csv", each, own)
    drawn = [f"{Paths.of(each).figures}/data.npz" for each in selection.runs]
    yield Job("report_runtimes", paths.page("runtimes"), config, (*pages, *drawn))
