"""Named arrays to an .npz or an HDF5 file, one after the other, so that no more than one is held at a time."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from relu2snn.files import atomic_path

NPZ, HDF5 = (".npz",), (".h5", ".hdf5")
_LEVEL = 4


def write_arrays(path: Path, named: Iterable[tuple[str, Any]]) -> None:
    """Write arrays and texts by name: members of an .npz, datasets of an HDF5 file, in groups as their names have them.

    Nothing is left where one of them fails to be made. Raises OSError as `atomic_path` does.
    """
    with atomic_path(path) as temporary:
        (_write_npz if path.suffix in NPZ else _write_hdf5)(temporary, named)


def _write_npz(path: Path, named: Iterable[tuple[str, Any]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name, value in named:
            # Its size is not known to the archive before it is written.
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)


def _write_hdf5(path: Path, named: Iterable[tuple[str, Any]]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, value in named:
            if isinstance(value, str | list):
                file.create_dataset(name, data=value, dtype=h5py.string_dtype())
                continue
            array = np.asarray(value)
            options = {"compression": "gzip", "compression_opts": _LEVEL} if array.size > 1 else {}
            file.create_dataset(name, data=array, **options)
