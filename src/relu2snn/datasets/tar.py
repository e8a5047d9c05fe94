"""Reading a .tar.gz to its last byte, in one pass and in bounded memory; nothing is written to disk.

Python's `tarfile` stops at the mark of the archive's end, so that the CRC of the gzip is never compared, takes a
damaged header further on for that end, and keeps what extended headers hold, and all members, in memory.
"""

import gzip
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

_BLOCK = 512
_CHUNK = 1 << 20
_MOST_MEMBERS = 1000
_LONGEST_EXTENSION = 1 << 16
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
# What an extended header may say of the next member that changes what it is.
_CHANGES = (b" path=", b" size=", b" GNU.sparse")


class Member:
    """One member of an archive: its name, whether it is an ordinary file, and its size in bytes."""

    def __init__(self, stream: BinaryIO, info: tarfile.TarInfo) -> None:
        self.name, self.size = info.name, info.size
        self.regular = info.type in _REGULAR
        self._stream, self._left = stream, -(-info.size // _BLOCK) * _BLOCK

    def read(self) -> bytes:
        """The whole contents; to be called before the next member is asked for, and once."""
        content = self._stream.read(self._left)
        if len(content) != self._left:
            raise EOFError(f"ends within {self.name}")
        self._left = 0
        return content[: self.size]

    def skip(self) -> None:
        """Leave out what has not been read."""
        while self._left:
            chunk = self._stream.read(min(_CHUNK, self._left))
            if not chunk:
                raise EOFError(f"ends within {self.name}")
            self._left -= len(chunk)


def members(path: Path, largest: int) -> Iterator[Member]:
    """The members in their order. Only when the iterator has ended, is the archive known to be whole.

    Raises OSError, EOFError, zlib.error, tarfile.TarError or ValueError for an archive that is damaged, goes on after
    its end, or unpacks to more than `largest` bytes or 1000 members.
    """
    with gzip.open(path) as stream:
        file = cast(BinaryIO, stream)
        unpacked = 0
        for _ in range(_MOST_MEMBERS):
            block = file.read(_BLOCK)
            if len(block) < _BLOCK:
                raise EOFError("ends without the mark of its end")
            if not block.strip(b"\0"):
                _require_zeros(file, largest - unpacked)
                return
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            unpacked += _BLOCK + max(0, info.size)
            if info.size < 0 or unpacked > largest:
                raise ValueError(f"{info.name} is said to have {info.size} bytes")
            member = Member(file, info)
            if info.type in _EXTENSIONS:
                _read_extension(member, info)
            else:
                if info.size and not member.regular:
                    raise ValueError(f"{info.name} is no file, but has contents")
                yield member
            member.skip()
        raise ValueError(f"more than {_MOST_MEMBERS} members")


def _read_extension(member: Member, info: tarfile.TarInfo) -> None:
    """Refuse an extended header that is large, or that gives the next member another name or size.

    A long name needs no attention: cut to its first 100 characters, it is no shorter name.
    """
    if info.size > _LONGEST_EXTENSION:
        raise ValueError(f"an extended header of {info.size} bytes")
    content = member.read()
    if info.type not in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        for change in _CHANGES:
            if change in content:
                raise ValueError(f"an extended header with{change.decode()}")


def _require_zeros(file: BinaryIO, largest: int) -> None:
    """Read to the end of the gzip, which compares its CRC; only zeros may follow the mark of the archive's end."""
    while chunk := file.read(_CHUNK):
        largest -= len(chunk)
        if chunk.strip(b"\0") or largest < 0:
            raise ValueError("goes on after the mark of its end")
