"""Opening a prepared data set, whatever its layout."""

from pathlib import Path

from relu2snn.datasets.arrays import ArrayDataset
from relu2snn.datasets.dataset import Dataset
from relu2snn.datasets.photographs import PhotographDataset
from relu2snn.errors import UserError
from relu2snn.files import read_json


def open_dataset(folder: str | Path) -> Dataset:
    """The data set that an earlier stage has prepared in `folder`.

    Raises UserError when it is missing or damaged.
    """
    path = Path(folder) / "source.json"
    source = read_json(path)
    if not isinstance(source, dict):
        raise UserError(f"{path}: not the description of a prepared data set; run the data stage again")
    return PhotographDataset(folder) if "layout" in source else ArrayDataset(folder)
