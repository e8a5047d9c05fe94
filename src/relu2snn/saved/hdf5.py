"""HDF5 files as trees of groups and arrays. The library itself only ever runs in a child (`hdf5_child`)."""

import errno
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Union

import numpy as np
from numpy.typing import NDArray

from relu2snn.saved.child import ChildError, child

_SCRIPT = Path(__file__).with_name("hdf5_child.py")
_LINE = 1 << 26
# Beside what the libraries take: HDF5's buffers and a slab. Reading itself takes a second for each GB.
_MEMORY = 1 << 29
_SECONDS, _SPEED = 2, 1 << 26
_WALL, _WALL_SPEED = 60, 1 << 22


@dataclass
class Group:
    """A group: its attributes that hold names (layer_names, weight_names) or a network (model_config), and its members.

    These are in the file's order.
    """

    names: dict[str, list[str]] = field(default_factory=dict)
    members: dict[str, Union["Group", NDArray[Any]]] = field(default_factory=dict)

    def group(self, path: str) -> "Group":
        """The group below at `path`; KeyError if there is none."""
        found = self.find(path)
        if not isinstance(found, Group):
            raise KeyError(f"{path} is no group")
        return found

    def array(self, path: str) -> NDArray[Any]:
        """The array below at `path`; KeyError if there is none."""
        found = self.find(path)
        if isinstance(found, Group):
            raise KeyError(f"{path} is no array")
        return found

    def find(self, path: str) -> Union["Group", NDArray[Any]]:
        """What is below at `path`; KeyError if there is nothing."""
        item: Group | NDArray[Any] = self
        for name in filter(None, path.split("/")):
            if not isinstance(item, Group) or name not in item.members:
                raise KeyError(f"no {path} in it")
            item = item.members[name]
        return item


def read_hdf5(path: str | Path, *, skip: Sequence[str] = ()) -> Group:
    """Read an HDF5 file, but for the groups `skip` of its root: numbers only, little-endian.

    A file that names other files (external links or storage, virtual arrays) or other objects (soft links), declares
    more than it has, hangs its parser or crashes it is refused, in memory and time bounded by the file's size.

    Raises ValueError, ChildError, KeyError or OSError: to be used within `relu2snn.errors.reading`.
    """
    root = Group()
    for place, item in hdf5_items(path, skip=skip):
        if not place:
            assert isinstance(item, Group)
            root = item
            continue
        above, _, name = place.rpartition("/")
        root.group(above).members[name] = item
    return root


def hdf5_items(
    path: str | Path, *, skip: Sequence[str] = (), start: int = 0, size: int | None = None
) -> Iterator[tuple[str, Group | NDArray[Any]]]:
    """The groups, each before what is in it, and arrays of `read_hdf5` one by one, with their places.

    They are those of the whole file, or of `size` bytes of it from `start` on.
    """
    path = Path(path)
    size = path.stat().st_size if size is None else size
    numbers = [start, size, _SECONDS + size // _SPEED, _MEMORY]
    arguments = [str(path.absolute()), *map(str, numbers), *skip]
    with child(_SCRIPT, arguments, _WALL + size / _WALL_SPEED) as output:
        while True:
            line = output.readline(_LINE)
            if not line.endswith(b"\n"):
                raise EOFError
            head = json.loads(line)
            if "end" in head:
                return
            if "error" in head:
                raise _error(head)
            yield head["path"], Group(head["names"]) if "names" in head else _array(output, head)
    # A child that fails has no last line.
    raise ChildError("its parser ended early")


def _array(output: IO[bytes], head: dict[str, Any]) -> NDArray[Any]:
    array = np.empty(head["shape"], head["dtype"])
    view = array.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        count = output.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        done += count
    return array


def _error(head: dict[str, Any]) -> Exception:
    number = head["number"]
    if number in (errno.EACCES, errno.EIO, errno.EMFILE, errno.ENFILE):
        return OSError(number, os.strerror(number))
    return ValueError(head["error"])
