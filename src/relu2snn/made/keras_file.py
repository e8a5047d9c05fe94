"""Networks in a .keras with a stamp, under "made" in its metadata.json, which Keras does not read.

A member of its own would make Keras unpack the whole file for assets that it might hold.
"""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relu2snn.errors import reading
from relu2snn.files import atomic_path, require_file
from relu2snn.made.json_file import WAY_OUT
from relu2snn.made.stamp import KEY, Stamp, parse

_METADATA, _MEMBERS = "metadata.json", ("config.json", "model.weights.h5")
_PIECE = 2**22


def members_digest(folder: Path) -> str:
    """SHA-256 of an unpacked network: its architecture and weights."""
    found = hashlib.sha256()
    for name in _MEMBERS:
        with Path(folder, name).open("rb") as file:
            found.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return found.hexdigest()


def pack(folder: Path, path: str | Path, stamp: Stamp) -> None:
    """Make a .keras of an unpacked network, which Keras has saved in `folder`, and its stamp."""
    metadata = json.loads(Path(folder, _METADATA).read_text(encoding="utf-8"))
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_METADATA, json.dumps({**metadata, KEY: stamp.as_json()}))
        for name in _MEMBERS:
            archive.write(Path(folder, name), name)


@contextmanager
def unpacked(path: str | Path) -> Iterator[tuple[Path, Stamp]]:
    """A folder with the network of a .keras, for Keras to load from, and its stamp; the folder is gone afterwards.

    It stands beside the file, since Keras would read all of a packed one into memory. Every member is read to its end,
    and checked. Raises UserError when the file is missing, has no stamp, or is not what was written.
    """
    require_file(path)
    with reading(path, "Keras model", WAY_OUT):
        archive = zipfile.ZipFile(path)
    with archive, tempfile.TemporaryDirectory(prefix=".partial-", dir=Path(path).parent) as name:
        folder = Path(name)
        with reading(path, "Keras model", WAY_OUT):
            stamp = _stamp(archive)
            found = hashlib.sha256()
            for member in _MEMBERS:
                found.update(f"{member} {_extract(archive, member, folder)}\n".encode())
            # Keras asks for it, though it does not read it.
            Path(folder, _METADATA).write_bytes(archive.read(_METADATA))
            if stamp.content != found.hexdigest():
                raise ValueError("its network is not what its stamp says")
        yield folder, stamp


def _stamp(archive: zipfile.ZipFile) -> Stamp:
    members = archive.infolist()
    if sorted(member.filename for member in members) != sorted((_METADATA, *_MEMBERS)):
        raise ValueError(f"it does not hold just {_METADATA}, {', '.join(_MEMBERS)}")
    # Then it can hold no more than the file has bytes.
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is packed in another way than networks are here")
    metadata: Any = json.loads(archive.read(_METADATA).decode())
    return parse(metadata.get(KEY) if isinstance(metadata, dict) else None)


def _extract(archive: zipfile.ZipFile, member: str, folder: Path) -> str:
    """Unpack a member; returns its SHA-256."""
    found = hashlib.sha256()
    with archive.open(member) as source, Path(folder, member).open("wb") as target:
        while piece := source.read(_PIECE):
            found.update(piece)
            target.write(piece)
    return found.hexdigest()
