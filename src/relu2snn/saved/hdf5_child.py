"""The child in which HDF5 is parsed: `hdf5.read_hdf5` runs this file, which writes what it finds to its output.

Each object of the file is a line of JSON: {"path", "names"} for a group, names being its attributes that hold names, or
a network, and {"path", "dtype", "shape"}, then the bytes, for an array. {"end"} is the last line, {"error"} one that
says why there are no more. It imports nothing of the package, and only what it needs: a child starts for each file.
"""

import contextlib
import io
import json
import math
import os
import re
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

import h5py
import numpy as np

_NAMES = re.compile(r"(layer_names|weight_names)\d*|model_config")
_DEPTH, _OBJECTS, _NAME_BYTES = 32, 100_000, 1 << 24
# A file of weights does not get much smaller by compression; one that does declares more than it has.
_EXPANSION, _SMALL = 20, 1 << 20
_SLAB = 1 << 24


def limit(seconds: int, memory: int) -> None:
    """Bound what this process takes from now on: seconds of processor time, bytes of memory; no core dumps."""
    _bound(resource.RLIMIT_CORE, 0)
    _bound(resource.RLIMIT_CPU, seconds + math.ceil(time.process_time()))
    # Elsewhere than on Linux the address space is no limit that a system keeps.
    with contextlib.suppress(FileNotFoundError), open("/proc/self/statm") as file:
        _bound(resource.RLIMIT_AS, memory + int(file.read().split()[0]) * resource.getpagesize())


def _bound(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def send(file: h5py.File, skip: set[str], output: BinaryIO) -> None:
    """Write every group and array but the groups `skip` of the root.

    Raises ValueError, naming the object, for one that is not plain numbers in this file.
    """
    size = file.id.get_filesize()
    for path, item in _walk(file, skip):
        if isinstance(item, h5py.Group):
            _line(output, {"path": path, "names": _names(item, path)})
            continue
        _require_plain(item, path, size)
        _line(output, {"path": path, "dtype": item.dtype.newbyteorder("<").str, "shape": item.shape})
        for slab in _slabs(item):
            output.write(np.ascontiguousarray(slab, item.dtype.newbyteorder("<")).tobytes())


def _walk(file: h5py.File, skip: set[str]) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    pending = [("", file["/"])]
    while pending:
        path, item = pending.pop()
        yield path, item
        if not isinstance(item, h5py.Group):
            continue
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise ValueError(f"the group /{path} is there twice")
        seen.add(address)
        if len(seen) + len(item) + len(pending) > _OBJECTS or path.count("/") > _DEPTH:
            raise ValueError(f"too many groups, or too deep ones, at /{path}")
        found = []
        for name in item:
            below = f"{path}/{name}" if path else name
            if below in skip:
                continue
            link = item.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
                raise ValueError(f"/{below} is {kind}, which may name any file or object; only plain arrays are read")
            each = item[name]
            if not isinstance(each, h5py.Group | h5py.Dataset):
                raise ValueError(f"/{below} is neither a group nor an array")
            found.append((below, each))
        # The order of the file, from a stack.
        pending += reversed(found)


def _names(group: h5py.Group, path: str) -> dict[str, list[str]]:
    found = {}
    for key in group.attrs:
        if not _NAMES.fullmatch(key):
            continue
        attribute = h5py.h5a.open(group.id, key.encode())
        if int(np.prod(attribute.shape)) * attribute.dtype.itemsize > _NAME_BYTES:
            raise ValueError(f"the attribute {key} of /{path} is larger than {_NAME_BYTES} bytes")
        value = np.asarray(group.attrs[key]).ravel().tolist()
        found[key] = [each.decode() if isinstance(each, bytes) else str(each) for each in value]
    return found


def _require_plain(item: h5py.Dataset, path: str, file_size: int) -> None:
    if item.external:
        raise ValueError(f"/{path} keeps its numbers in another file, {item.external[0][0]!r}; that is not read")
    if item.is_virtual:
        raise ValueError(f"/{path} is a virtual array of other files; these are not read")
    if item.dtype.kind not in "fiub" or item.dtype.subdtype or item.shape is None:
        raise ValueError(f"/{path} is not an array of numbers, but of {item.dtype}")
    stored = item.id.get_storage_size()
    if stored > file_size or (item.nbytes > stored and not item.chunks):
        raise ValueError(f"/{path} declares {item.shape} {item.dtype}, but the file has {min(stored, file_size)} bytes")
    if item.chunks:
        whole = int(np.prod([-(-side // chunk) for side, chunk in zip(item.shape, item.chunks, strict=True)]))
        if item.nbytes > _EXPANSION * stored + _SMALL or item.id.get_num_chunks() != whole:
            raise ValueError(f"/{path} declares {item.shape} {item.dtype}, but the file has {stored} bytes of it")


def _slabs(item: h5py.Dataset) -> Iterator[Any]:
    if not item.shape or item.nbytes <= _SLAB:
        yield item[()]
        return
    rows = max(1, _SLAB * item.shape[0] // item.nbytes)
    for start in range(0, item.shape[0], rows):
        yield item[start : start + rows]


def _line(output: BinaryIO, value: dict[str, Any]) -> None:
    output.write(json.dumps(value).encode() + b"\n")


class Window(io.RawIOBase):
    """A part of a file, as a file: HDF5 in an archive that stores it as it is."""

    def __init__(self, path: str, start: int, size: int) -> None:
        super().__init__()
        self._file = os.open(path, os.O_RDONLY)
        self._start, self._size, self._place = start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(0, self._size - self._place)]
        count = os.preadv(self._file, [view], self._start + self._place) if len(view) else 0
        self._place += count
        return count


def main() -> None:
    path, start, size, seconds, memory, *skip = sys.argv[1:]
    limit(int(seconds), int(memory))
    output = sys.stdout.buffer
    try:
        with Window(path, int(start), int(size)) as window, h5py.File(window, "r") as file:
            send(file, set(skip), output)
        _line(output, {"end": True})
    except Exception as error:
        _line(output, {"error": f"{error}" or type(error).__name__, "number": getattr(error, "errno", None)})
    output.flush()


if __name__ == "__main__":
    main()
