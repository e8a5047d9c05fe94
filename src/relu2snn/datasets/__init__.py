"""Data sets: found or downloaded, checked, prepared as memory-mapped arrays and read in batches."""

from relu2snn.datasets.arrays import ArrayDataset, ArraySet, Split, part_range, prepare
from relu2snn.datasets.idx import read_idx, write_idx
from relu2snn.datasets.load import load_arrays
from relu2snn.datasets.locate import SUPPORTED_FORMATS, source_files

__all__ = [
    "SUPPORTED_FORMATS",
    "ArrayDataset",
    "ArraySet",
    "Split",
    "load_arrays",
    "part_range",
    "prepare",
    "read_idx",
    "source_files",
    "write_idx",
]
