"""Arrays in an .npz with a stamp, as the text of its member "made"; every other member is checked against it."""

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.errors import reading
from relu2snn.files import atomic_path, require_file
from relu2snn.made.json_file import WAY_OUT
from relu2snn.made.stamp import KEY, NO_STAMP, Stamp, parse

Arrays = dict[str, NDArray[Any]]

# More than any file of results holds; one that says so is damaged.
_LARGEST = 2**31


def arrays_digest(arrays: Mapping[str, Any]) -> str:
    """SHA-256 of arrays: their names, types, shapes and values."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype.str} {np.shape(arrays[name])}\n".encode())
        found.update(array.tobytes() if array.ndim == 0 or array.dtype.kind == "U" else array.data.cast("B"))
    return found.hexdigest()


def save_npz(path: str | Path, arrays: Mapping[str, Any], stamp: Stamp, compressed: bool = False) -> None:
    """Write arrays and their stamp."""
    members: dict[str, Any] = {**arrays, KEY: np.array(json.dumps(stamp.as_json()))}
    with atomic_path(path) as temporary:
        (np.savez_compressed if compressed else np.savez)(temporary, **members)


def load_npz(path: str | Path) -> tuple[Arrays, Stamp]:
    """The arrays that `save_npz` has written, and their stamp; every member is read to its end, and checked.

    Raises UserError when the file is missing, has no stamp, or is not what was written.
    """
    require_file(path)
    with reading(path, "result file", WAY_OUT), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > _LARGEST:
            raise ValueError("it says that it holds more than results do")
        arrays = {member.filename.removesuffix(".npy"): _array(archive.read(member)) for member in members}
        if KEY not in arrays:
            raise ValueError(NO_STAMP)
        stamp = parse(json.loads(str(arrays.pop(KEY))))
        if stamp.content != arrays_digest(arrays):
            raise ValueError("its arrays are not what its stamp says")
    return arrays, stamp


def _array(data: bytes) -> NDArray[Any]:
    """The array of a .npy file; a header that promises more than there is takes no memory."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = read(file)
    # Python's parser says so of brackets that are too deep; no memory is short.
    except MemoryError:
        raise ValueError("brackets without end in an array's header") from None
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError("an array's header does not fit its data")
    file.seek(0)
    array: NDArray[Any] = np.load(file, allow_pickle=False)
    return array
