"""Data sets: found or downloaded, checked, prepared and read in batches that fit into memory."""

from relu2snn.datasets.arrays import ArrayDataset, ArraySet, prepare
from relu2snn.datasets.dataset import Dataset, Split, part_range
from relu2snn.datasets.load import load_arrays
from relu2snn.datasets.locate import ARRAY_FORMATS, SUPPORTED_FORMATS, source_files
from relu2snn.datasets.open import DATA_STAGES, open_data, open_dataset
from relu2snn.datasets.photographs import PhotographDataset, prepare_photographs
from relu2snn.formats.idx import read_idx, write_idx

__all__ = [
    "ARRAY_FORMATS",
    "DATA_STAGES",
    "SUPPORTED_FORMATS",
    "ArrayDataset",
    "ArraySet",
    "Dataset",
    "PhotographDataset",
    "Split",
    "load_arrays",
    "open_data",
    "open_dataset",
    "part_range",
    "prepare",
    "prepare_photographs",
    "read_idx",
    "source_files",
    "write_idx",
]
