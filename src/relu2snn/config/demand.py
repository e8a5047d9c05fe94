"""What a job takes, from its network, its images and its batch: seconds, threads, memory; by conf/costs.yaml."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil, prod
from pathlib import Path
from typing import cast

from omegaconf import OmegaConf

from relu2snn.config.compose import composing, conf
from relu2snn.config.schema import Experiment, Model
from relu2snn.config.sizes import Size, network_size
from relu2snn.config.validate import check_ranges

# What is known of a network of the user's own before it is read is the size of its file, mostly numbers of four bytes.
_BYTES = 4
# How often a weight of such a network is used, at most: once for each pixel, but layers are smaller than images.
_USES = 200
_SPIKING = ("phase2", "sweep_point", "figures")
# The images of a data set of the user's own, which are counted when it is read.
_UNKNOWN = 10_000


@dataclass
class Memory:
    """MB of a rule's jobs: of the process, by image, by output of a layer in a batch, by weight."""

    base: float
    image: float = 0.0
    value: float = 0.0
    weight: float = 0.0


@dataclass
class Cost:
    """CPU seconds of a rule's jobs on one thread: to start, by image, by multiply-accumulate, layer output, weight."""

    memory: Memory
    start: float
    image: float = 0.0
    mac: float = 0.0
    value: float = 0.0
    weight: float = 0.0


@dataclass
class Costs:
    """conf/costs.yaml."""

    gain: float
    seconds_per_thread: float
    most_threads: int
    margin: dict[str, float]
    least: dict[str, float]
    growth: float
    disturbed: float
    reference: float
    rules: dict[str, Cost]
    storage: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Demand:
    """What one job takes: CPU seconds on one thread, the part of them that more threads do not share, threads, MB."""

    seconds: float
    alone: float
    threads: int
    memory: float

    def elapsed(self, threads: int) -> float:
        """Seconds with `threads` of its threads."""
        speed = 1 + costs().gain * (min(threads, self.threads) - 1)
        return self.alone + (self.seconds - self.alone) / speed

    def runtime(self, attempt: int = 1) -> int:
        """Minutes to ask for, with a margin; more at each attempt, since time may have stopped the last."""
        # A cluster may give a job fewer threads than it asks for here: --max-threads.
        expected = costs().margin["runtime"] * self.elapsed(min(self.threads, 2)) / 60
        return ceil(max(costs().least["runtime"], expected) * costs().growth ** (attempt - 1))

    def mem_mb(self, attempt: int = 1) -> int:
        """MB to ask for, with a margin; more at each attempt."""
        expected = costs().margin["memory"] * self.memory
        return ceil(max(costs().least["memory"], expected) * costs().growth ** (attempt - 1))


@functools.cache
def costs() -> Costs:
    """The measured numbers of conf/costs.yaml.

    Raises UserError when the file is wrong.
    """
    return _read(conf() / "costs.yaml")


def _read(path: Path) -> Costs:
    with composing("conf/costs.yaml"):
        found = OmegaConf.merge(OmegaConf.structured(Costs), OmegaConf.load(path))
        check_ranges(found, where="conf/costs.yaml: ")
        return cast(Costs, OmegaConf.to_object(found))


def demand(rule: str, config: Experiment) -> Demand:
    """What a job of `rule` takes for this config; of rules that have no entry in conf/costs.yaml, what `other` says."""
    known = costs()
    cost = known.rules.get(rule, known.rules["other"])
    size = _size_of(config) if cost.mac or cost.value or cost.weight or cost.memory.weight else Size(0, 0, 0)
    images = _IMAGES[rule](config) if rule in _IMAGES else 0
    each = cost.image + cost.mac * size.macs + cost.value * size.values
    alone = cost.start + cost.weight * size.weights
    shared = images * each * _harder(rule, config, known)
    memory = cost.memory.base + cost.memory.weight * size.weights + cost.memory.image * images
    memory += _batch(rule, config) * cost.memory.value * size.values
    threads = min(known.most_threads, 1 + int(shared / known.seconds_per_thread))
    return Demand(alone + shared, alone, threads, memory)


def _size_of(config: Experiment) -> Size:
    dataset, model = config.dataset, config.model
    if model.family != "custom" and dataset.image_shape is not None and dataset.classes is not None:
        plan = tuple(tuple(block) for block in model.blocks), tuple(model.dense)
        return _family_size(model.name, model.family, *plan, model.width, tuple(dataset.image_shape), dataset.classes)
    file = Path(config.weights.file or "")
    weights = file.stat().st_size // _BYTES if file.is_file() else 0
    return Size(weights, _USES * weights, weights)


@functools.lru_cache(1000)
def _family_size(
    name: str,
    family: str,
    blocks: tuple[tuple[int, ...], ...],
    dense: tuple[int, ...],
    width: float,
    shape: tuple[int, ...],
    classes: int,
) -> Size:
    model = Model(name=name, family=family, blocks=[list(each) for each in blocks], dense=list(dense), width=width)
    return network_size(model, shape, classes)


def _harder(rule: str, config: Experiment, known: Costs) -> float:
    """How much more, or less, of its time the kind of spiking network takes than the published one without noise."""
    if walks_events(rule, config):
        return known.disturbed
    return known.reference if rule in _SPIKING and config.phase2.mapping == "reference" else 1.0


def walks_events(rule: str, config: Experiment) -> bool:
    """Whether a job runs a network with noise on its spike times, for which nothing can be proved."""
    swept = rule == "sweep_point" and config.sweep.name in ("noise", "reference_noise")
    return rule in _SPIKING and bool(swept or config.phase2.noise or config.phase2.reference_noise)


def _batch(rule: str, config: Experiment) -> int:
    batches = {
        "train": config.train.batch,
        "phase1": config.phase1.batch,
        "bounds": config.phase1.batch,
        "figures": config.figures.batch,
    }
    return batches.get(rule, config.phase2.batch)


def image_count(config: Experiment, split: str) -> int:
    """How many images a split of the data set has, as far as it is known before it is read."""
    source = config.dataset.source
    count = source.train_images if split == "train" else source.test_images
    return _UNKNOWN if count is None else count


def part_images(config: Experiment) -> int:
    """The images of the largest part of the test images."""
    dataset = config.dataset
    return dataset.part_images or ceil(image_count(config, "test") / dataset.parts)


def _swept_images(config: Experiment) -> int:
    images = min(config.sweep.images or image_count(config, "test"), image_count(config, "test"))
    alone = config.sweep.name == "zeta" and not (
        config.phase2.noise or config.phase2.alpha_noise or config.phase2.reference_noise
    )
    return images * (1 if alone else config.sweep.trials)


def _photographs(config: Experiment) -> int:
    # The last part are the calibration images.
    return max(part_images(config), image_count(config, "train"))


def _all_images(config: Experiment) -> int:
    return image_count(config, "train") + image_count(config, "test")


_IMAGES: dict[str, Callable[[Experiment], int]] = {
    "data": _all_images,
    "custom_data": _all_images,
    "places365_part": _photographs,
    "pass_part": _photographs,
    "train": lambda config: image_count(config, "train") * config.train.epochs,
    "phase1": lambda config: image_count(config, "train") + 2 * image_count(config, "test"),
    "bounds": lambda config: image_count(config, "train"),
    "phase2": part_images,
    "sweep_point": _swept_images,
    "figures": lambda config: config.figures.images or image_count(config, "test"),
}


def stored(config: Experiment) -> Mapping[str, float]:
    """Bytes that stay on disk: of the prepared data set, and of the run."""
    pixels = prod(config.dataset.image_shape or [0])
    images = _all_images(config)
    # PASS keeps a list of its photographs, which are decoded when they are used; Places365 keeps float32 pixels.
    each = {"pass": 100, "places365": 4 * pixels}.get(config.dataset.source.format, pixels)
    run = costs().storage["run"] + costs().storage["weight"] * _size_of(config).weights
    return {"dataset": float(images * each), "run": run}
