"""Opening a prepared data set, whatever its layout."""

from pathlib import Path

from relu2snn.datasets.arrays import ArrayDataset
from relu2snn.datasets.dataset import Dataset
from relu2snn.datasets.photographs import PhotographDataset
from relu2snn.made import Job, load_json

DATA_STAGES = ("data", "custom_data", "photographs")
"""The stages that leave a prepared data set."""


def open_dataset(folder: str | Path) -> Dataset:
    """The data set that an earlier stage has prepared in `folder`.

    Raises UserError when it is missing or damaged.
    """
    source, _ = load_json(Path(folder) / "source.json")
    return PhotographDataset(folder) if "layout" in source else ArrayDataset(folder)


def open_data(work: Job, folder: str) -> Dataset:
    """The prepared data set in `folder`.

    Raises UserError when it is missing or damaged, or contradicts what the job knows.
    """
    dataset = open_dataset(folder)
    work.accept(f"{folder}/source.json", dataset.stamp, DATA_STAGES)
    return dataset
