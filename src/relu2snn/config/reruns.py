"""What runs again when a value changes: by slices of stages, names of their folders, and what waits for what."""

from functools import cache
from typing import NamedTuple

from relu2snn.config.compose import compose_experiment, compose_suite, known
from relu2snn.config.jobs import Job, jobs_of
from relu2snn.config.paths import Paths
from relu2snn.config.schema import Suite
from relu2snn.config.selection import Selection
from relu2snn.config.slices import STAGES
from relu2snn.config.variants import GROUPS, matters, stages_of

# Rules that are called otherwise than the stage that they run.
_STAGE_OF = {"places365": "photographs", "pass_images": "photographs"}
# Runs of one experiment that have different stages.
_KINDS = ((), ("phase2.mapping=reference",), ("phase2.window=certified",))
# Stages that write down whole configurations, with values that shape nothing in some experiments.
_RECORDS = {"track", "provenance"}


class _Place(NamedTuple):
    """Where a stage stands in a run: the stages before it, and those whose values name its folder."""

    before: set[str]
    naming: tuple[str, ...]


def first_stages(key: str) -> tuple[str, ...]:
    """The stages that run again when `key` changes, but for those that do so since a stage before them does.

    Of several, an experiment has one or some. The stages that only write the value down are left out where there are
    others.
    """
    first: set[str] = set()
    for run in _runs():
        again = {stage for stage, place in run.items() if _runs_again(key, stage, place)}
        first |= {stage for stage in again if not again & run[stage].before}
    chosen = first - _RECORDS or first
    return tuple(stage for stage in stage_order() if stage in chosen)


def _runs_again(key: str, stage: str, place: _Place) -> bool:
    named = key.partition(".")[0] in GROUPS and matters(key, place.naming)
    return named or matters(key, (stage,))


def everywhere(key: str) -> bool:
    """Whether every stage reads the key, or its group."""
    return all(matters(key, (stage,)) for stage in STAGES)


@cache
def stage_order() -> list[str]:
    """All stages, each after those whose files it needs, else in the order of STAGES."""
    order: list[str] = []
    while len(order) < len(STAGES):
        ready = (stage for stage in STAGES if stage not in order and _before(stage) <= set(order))
        order.append(next(ready))
    return order


def _before(stage: str) -> set[str]:
    return {each for run in _runs() if stage in run for each in run[stage].before}


@cache
def _runs() -> list[dict[str, _Place]]:
    """The stages of each experiment, and of each kind of run of it."""
    suite = compose_suite("paper")
    return [_places(suite, name, overrides) for name in known("experiment") for overrides in _KINDS]


def _places(suite: Suite, name: str, overrides: tuple[str, ...]) -> dict[str, _Place]:
    selection = Selection(suite)
    selection.add(compose_experiment(name, suite, overrides))
    selection.add(compose_experiment(name, suite, overrides, "zeta"), sweep=True)
    by_file: dict[str, str] = {}
    found: dict[str, _Place] = {}
    # Jobs are listed after what they wait for.
    for job in jobs_of(selection, lambda weights: None):
        stage = _STAGE_OF.get(job.rule, job.rule)
        by_file[job.file] = stage
        place = found.setdefault(stage, _Place(set(), _naming(job)))
        for each in (by_file[file] for file in job.needs if file in by_file):
            place.before.update({each, *found[each].before})
    return {stage: place for stage, place in found.items() if stage in STAGES}


def _naming(job: Job) -> tuple[str, ...]:
    paths = Paths.of(job.config)
    folders = (folder for folder in stages_of(job.config) if job.file.startswith(f"{getattr(paths, folder)}/"))
    return next((stages_of(job.config)[folder] for folder in folders), ())
