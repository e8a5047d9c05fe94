"""Changing a file at random: bits, bytes, lengths, blocks, numbers, brackets, and what a container holds."""

import gzip
import io
import re
import zipfile
from collections.abc import Callable
from random import Random

_EXTREMES = (0, 1, -1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1)
_NUMBERS = (b"0", b"-1", b"1e999", b"NaN", b"-Infinity", b"9" * 20, b"9" * 400, b"9" * 5000, b"1.5", b"0x10", b"true")
_TEXTS = (
    b"[" * 5000,
    b"{" * 300,
    b"(" * 300,
    b"-" * 5000,
    b"\x00",
    b"\n",
    b"\x1b[31m\r",
    b"\xff\xfe",
    "\u2028\U0001f9e0".encode(),
    b"\\ud800",
    b"../../",
    b"null",
    b'"',
    b",",
    b"\t",
)
_NUMBER = re.compile(rb"-?\d[\d.eE+-]*")


def mutate(content: bytes, random: Random) -> bytes:
    """`content` with one to four changes."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        random.choice(_CHANGES)(changed, random)
    return bytes(changed)


def mutate_inside(content: bytes, random: Random) -> bytes:
    """A gzip or a zip whose contents are changed, packed anew with good checksums; other files as by `mutate`."""
    if content[:2] == b"\x1f\x8b":
        return gzip.compress(mutate(gzip.decompress(content), random), 1, mtime=0)
    if content[:2] == b"PK":
        return _zip_with_change(content, random)
    return mutate(content, random)


def _zip_with_change(content: bytes, random: Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    chosen = random.randrange(len(members))
    name, inside = members[chosen]
    match random.randrange(12):
        case 0:
            del members[chosen]
        case 1:
            members.append((name, inside))
        case 2:
            members[chosen] = (mutate(name.encode(), random).decode("latin1"), inside)
        case _:
            members[chosen] = (name, mutate(inside, random))
    method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, inside in members:
            archive.writestr(zipfile.ZipInfo(name), inside, method)
    return buffer.getvalue()


def _place(changed: bytearray, random: Random) -> int:
    """A place in the file, as often as not near one of its ends, where headers and directories are."""
    size = len(changed)
    near = min(size, 256)
    return random.choice((random.randrange(size + 1), random.randrange(near + 1), size - random.randrange(near + 1)))


def _flip(changed: bytearray, random: Random) -> None:
    if changed:
        changed[min(_place(changed, random), len(changed) - 1)] ^= 1 << random.randrange(8)


def _set(changed: bytearray, random: Random) -> None:
    if changed:
        value = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        changed[min(_place(changed, random), len(changed) - 1)] = value


def _cut(changed: bytearray, random: Random) -> None:
    del changed[_place(changed, random) :]


def _remove(changed: bytearray, random: Random) -> None:
    start = _place(changed, random)
    del changed[start : start + random.choice((1, 2, 8, 64, 512, random.randrange(len(changed) + 1)))]


def _insert(changed: bytearray, random: Random) -> None:
    start = _place(changed, random)
    changed[start:start] = random.choice((random.randbytes(random.choice((1, 4, 100))), bytes(512), *_TEXTS))


def _append(changed: bytearray, random: Random) -> None:
    changed += random.choice((b"\x00", bytes(1024), random.randbytes(20), bytes(changed[:4096]), *_TEXTS))


def _copy(changed: bytearray, random: Random) -> None:
    """A block over another place, or in between."""
    start, target, size = _place(changed, random), _place(changed, random), random.choice((1, 4, 16, 100, 512, 4000))
    block = changed[start : start + size]
    changed[target : target + random.choice((0, len(block)))] = block


def _extreme(changed: bytearray, random: Random) -> None:
    """A number of a header, little-endian or big-endian."""
    size = random.choice((1, 2, 4, 8))
    value = random.choice(_EXTREMES) & (1 << 8 * size) - 1
    start = _place(changed, random)
    if random.random() < 0.5:
        start -= start % size
    changed[start : start + size] = value.to_bytes(size, random.choice(("little", "big")))


def _number(changed: bytearray, random: Random) -> None:
    """A number that is text."""
    found = list(_NUMBER.finditer(changed, 0, 1 << 16))
    if found:
        chosen = random.choice(found)
        changed[chosen.start() : chosen.end()] = random.choice(_NUMBERS)


def _swap(changed: bytearray, random: Random) -> None:
    """Two neighbouring blocks, of any size."""
    first, second, third = sorted(_place(changed, random) for _ in range(3))
    changed[first:third] = changed[second:third] + changed[first:second]


def _clear(changed: bytearray, random: Random) -> None:
    if random.random() < 0.2:
        changed.clear()


_CHANGES: tuple[Callable[[bytearray, Random], None], ...] = (
    _flip,
    _flip,
    _set,
    _set,
    _cut,
    _remove,
    _insert,
    _append,
    _copy,
    _extreme,
    _extreme,
    _number,
    _swap,
    _clear,
)
