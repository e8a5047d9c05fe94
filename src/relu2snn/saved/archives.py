"""Members of zip archives (.keras, .npz), whose declared sizes are believed only as far as the archive reaches."""

import struct
import zipfile

# Numbers of networks do not get much smaller by compression.
_EXPANSION, _SMALL = 20, 1 << 20
_PIECE = 1 << 20


def members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The archive's members by name.

    Raises ValueError for a name that is there twice, an encrypted member, and one that declares far more than it has.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename in found:
            raise ValueError(f"{info.filename} is in it twice")
        if info.flag_bits & 1:
            raise ValueError(f"{info.filename} is encrypted")
        if info.file_size > _EXPANSION * info.compress_size + _SMALL:
            raise ValueError(
                f"{info.filename} declares {info.file_size} bytes, of which {info.compress_size} are there"
            )
        found[info.filename] = info
    if sum(info.compress_size for info in found.values()) > _size(archive):
        raise ValueError("its members are larger than the file")
    return found


def member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    """A whole member of at most `largest` bytes; raises ValueError if it is missing or larger, or damaged."""
    info = members(archive).get(name)
    if info is None:
        raise ValueError(f"no {name} in it")
    if info.file_size > largest:
        raise ValueError(f"{name} has {info.file_size} bytes, more than {largest}")
    return archive.read(info)


def stored(archive: zipfile.ZipFile, name: str) -> tuple[int, int]:
    """Where in the archive's file a member that is not compressed starts, and its bytes; its checksum is checked.

    Raises ValueError if there is no such member, or it is compressed; zipfile.BadZipFile if it is damaged.
    """
    info = members(archive).get(name)
    if info is None:
        raise ValueError(f"no {name} in it")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed, which Keras never does")
    with archive.open(info) as file:
        while file.read(_PIECE):
            pass
    assert archive.fp is not None
    # The local header: 30 bytes, the last four of which are the lengths of the name and of what else precedes the data.
    archive.fp.seek(info.header_offset)
    lengths = struct.unpack("<HH", archive.fp.read(30)[26:])
    return info.header_offset + 30 + sum(lengths), info.file_size


def _size(archive: zipfile.ZipFile) -> int:
    assert archive.fp is not None
    archive.fp.seek(0, 2)
    return archive.fp.tell()
