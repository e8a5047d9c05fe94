"""The job of a stage, with the values of its config that shape what it writes."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from relu2snn.config import Experiment
from relu2snn.config.shaping import shaping
from relu2snn.config.values import plain
from relu2snn.datasets import Dataset, open_dataset
from relu2snn.files import digest_of, require_file
from relu2snn.made import Job, require

DATA_STAGES = ("data", "custom_data", "photographs")
"""The stages that leave a prepared data set."""


def job(config: Experiment, stage: str) -> Job:
    """A job that knows the values of `stage`'s slice of the config, and what files that it reads must be made with."""
    expected = cast(dict[str, Any], plain(config.expected))
    return Job(stage, shaping(config, stage), expected)


def open_data(work: Job, folder: str) -> Dataset:
    """The prepared data set in `folder`.

    Raises UserError when it is missing or damaged, or contradicts what the job knows.
    """
    dataset = open_dataset(folder)
    work.accept(f"{folder}/source.json", dataset.stamp, DATA_STAGES)
    return dataset


def file_digests(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files by their names: of pictures and tables, which have no place for a stamp."""
    return {path.name: digest_of(path) for path in files}


def check_files(path: str | Path, digests: Mapping[str, str], stage: str) -> None:
    """Raise UserError unless the files beside `path`, a file of `stage`, are those whose digests its stamp has."""
    folder = Path(path).parent
    for name, expected in digests.items():
        require_file(folder / name)
        require(folder / name, "SHA-256", file_digests([folder / name])[name], expected, stage)
