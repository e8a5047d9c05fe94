"""The job of a stage, with the values of its config that shape what it writes."""

from typing import Any, cast

from relu2snn.config import Experiment
from relu2snn.config.shaping import shaping
from relu2snn.config.values import plain
from relu2snn.made import Job


def job(config: Experiment, stage: str) -> Job:
    """A job that knows the values of `stage`'s slice of the config, and what files that it reads must be made with."""
    expected = cast(dict[str, Any], plain(config.expected))
    return Job(stage, shaping(config, stage), expected)
