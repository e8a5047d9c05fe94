"""Images in files of arrays: .npy, .npz, idx; told apart by their first bytes, fitted to what the network takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.command.models import Shape
from relu2snn.errors import UserError, printable, reading, shown
from relu2snn.formats.idx import read_idx
from relu2snn.formats.npy import map_array, read_header
from relu2snn.formats.npz import npz_names, read_npz

_NPY, _ZIP, _GZIP, _IDX = b"\x93NUMPY", b"PK", b"\x1f\x8b", b"\0\0"


@dataclass(frozen=True)
class StoredArray:
    """Images (n, *shape) of a file, as they are; `where` names them, and `note` says how they were fitted, if so."""

    array: NDArray[Any]
    shape: Shape
    where: str
    note: str

    def __len__(self) -> int:
        return len(self.array)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The images from `start` to `stop`, of the file's own type."""
        return np.asarray(self.array[start:stop]).reshape(-1, *self.shape)


def open_array(path: Path, start: bytes, shape: Shape, *, key: str | None, keys: Sequence[str]) -> StoredArray:
    """The images of a file that starts with the bytes `start`; key: the array of an .npz, or the first of `keys` there.

    Raises UserError for a file that is damaged, of another kind, or whose images the network does not take, before
    memory is taken for them.
    """
    if not start.startswith(_ZIP) and key is not None:
        raise UserError(f"{path}: not an .npz, so it has no array {shown(key)}; leave --key out")

    def check(found: Shape, dtype: Any = None) -> None:
        fitted(found, shape, where)

    if start.startswith(_ZIP):
        name = _chosen(path, key, keys)
        where = f"{path}, {shown(printable(name))}"
        (array,) = read_npz(path, {name: check})
    elif start.startswith(_NPY):
        where = f"{path}"
        with reading(path, ".npy file", "save it again, with numpy.save"):
            with path.open("rb") as file:
                check(read_header(file).shape)
            array = map_array(path)
    elif start.startswith((_GZIP, _IDX)):
        where = f"{path}"
        array = read_idx(path, 3, check=check)
    else:
        raise UserError(f"{path}: neither .npy, .npz, idx nor a picture; give images as one of these, or a folder")
    return StoredArray(array, shape, where, fitted(array.shape, shape, where))


def fitted(found: Shape, wanted: Shape, where: str) -> str:
    """How images (n, …) of the shape `found` become those that the network takes, for people; empty as they are.

    Raises UserError where they do not.
    """
    if len(found) and not found[0]:
        raise UserError(f"{where}: has no images; give at least one")
    image = found[1:]
    if image == wanted and found:
        return ""
    if found and image in (wanted[:-1] if wanted[-1] == 1 else None, wanted[1:] if wanted[0] == 1 else None):
        return "one channel"
    if len(wanted) == 1 and len(image) > 1 and int(np.prod(image)) == wanted[0]:
        return f"images of {_size(image)} row by row"
    hint = ""
    if len(image) == len(wanted) == 3 and (*image[1:], image[0]) == wanted:
        hint = " (channels last: numpy.moveaxis(images, 1, -1))"
    elif len(image) == len(wanted) == 3 and (image[-1], *image[:-1]) == wanted:
        hint = " (channels first: numpy.moveaxis(images, -1, 1))"
    elif found == wanted:
        hint = " (one image without their number: images[None])"
    raise UserError(
        f"{where}: of shape {found}, but the network takes images of {_size(wanted)}; give (n, "
        f"{', '.join(map(str, wanted))}), the number of images first{hint}"
    )


def _chosen(path: Path, key: str | None, keys: Sequence[str]) -> str:
    names = npz_names(path)
    listed = ", ".join(shown(printable(name)) for name in names) or "nothing"
    if key is not None:
        if key not in names:
            raise UserError(f"{path}: no array {shown(key)}, only {listed}; give one of them as --key")
        return key
    if len(names) == 1:
        return names[0]
    found = next((name for name in keys if name in names), None)
    if found is None:
        raise UserError(f"{path}: none of {', '.join(keys)}, but {listed}; name the array of the images with --key")
    return found


def _size(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "one number"
