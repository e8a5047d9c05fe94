"""Networks in a .keras with a stamp, under "made" in its metadata.json, which Keras does not read.

A member of its own would make Keras unpack the whole file for assets that it might hold.
"""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

from relu2snn.errors import reading
from relu2snn.files import atomic_path, require_file
from relu2snn.made.json_file import WAY_OUT
from relu2snn.made.stamp import KEY, Stamp, parse
from relu2snn.saved.archives import member, members

_METADATA, _MEMBERS = "metadata.json", ("config.json", "model.weights.h5")
_METADATA_BYTES = 1 << 26
_PIECE = 2**22


def members_digest(folder: Path) -> str:
    """SHA-256 of an unpacked network: its architecture and weights."""
    found = hashlib.sha256()
    for name in _MEMBERS:
        with Path(folder, name).open("rb") as file:
            found.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return found.hexdigest()


def read_stamp(path: str | Path) -> Stamp:
    """The stamp of a .keras; every member is read to its end, and checked.

    Raises UserError when the file is missing, has no stamp, or is not what was written.
    """
    require_file(path)
    with reading(path, "Keras model", WAY_OUT), zipfile.ZipFile(path) as archive:
        stamp = _stamp(archive)
        found = "".join(f"{name} {_digest(archive, name)}\n" for name in _MEMBERS)
        if stamp.content != hashlib.sha256(found.encode()).hexdigest():
            raise ValueError("its network is not what its stamp says")
    return stamp


def copy(source: str | Path, target: str | Path, stamp: Stamp) -> None:
    """Make a .keras of the network in another, with a stamp of its own.

    Raises UserError when the source cannot be read.
    """
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as archive, zipfile.ZipFile(source) as given:
        metadata = json.loads(given.read(_METADATA))
        archive.writestr(_METADATA, json.dumps(stamped(metadata, stamp)))
        for name in _MEMBERS:
            with given.open(name) as old, archive.open(name, "w", force_zip64=True) as new:
                while piece := old.read(_PIECE):
                    new.write(piece)


def stamped(metadata: Any, stamp: Stamp) -> dict[str, Any]:
    """What metadata.json holds of a network that Keras has saved with `metadata`."""
    return {**metadata, KEY: stamp.as_json()}


def _stamp(archive: zipfile.ZipFile) -> Stamp:
    found = members(archive)
    if sorted(found) != sorted((_METADATA, *_MEMBERS)):
        raise ValueError(f"it does not hold just {_METADATA}, {', '.join(_MEMBERS)}")
    # Then it can hold no more than the file has bytes.
    if any(info.compress_type != zipfile.ZIP_STORED for info in found.values()):
        raise ValueError("it is packed in another way than networks are here")
    metadata: Any = json.loads(member(archive, _METADATA, _METADATA_BYTES).decode())
    return parse(metadata.get(KEY) if isinstance(metadata, dict) else None)


def _digest(archive: zipfile.ZipFile, name: str) -> str:
    found = hashlib.sha256()
    with archive.open(name) as source:
        while piece := source.read(_PIECE):
            found.update(piece)
    return found.hexdigest()
