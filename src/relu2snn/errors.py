"""The one exception that a user is meant to see, and how everything else becomes it."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relu2snn.secrecy import hidden

_LONGEST = 300
_MOST = 100_000
_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_MACHINE = _SPACE | {errno.EFBIG, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EIO}
"""The system's errors that are no fault of a file that is read: no space, no memory, no descriptors."""

# Libraries that lose the system's number: SQLite, and what wraps it; numpy, whose array was cut short; HDF5.
_WORDS = (
    (re.compile(r"database or disk is full|^\d+ requested and \d+ written$"), errno.ENOSPC),
    (re.compile(r"disk I/O error"), errno.EIO),
)
_HDF5 = re.compile(r"\berrno = (\d+), error message = ")
# What parsers raise for damage may quote a file that has such words in it.
_PARSERS = (ValueError, LookupError, TypeError, AssertionError, SyntaxError)


class UserError(Exception):
    """A mistake in what the user gave: one line that names what, where and the way out.

    Command-line entry points print its text without a traceback and exit with status 1. Passwords and tokens in it
    are stars.
    """

    def __init__(self, text: str) -> None:
        super().__init__(hidden(text))


@contextmanager
def reading(path: str | Path, kind: str, way_out: str = "replace it") -> Iterator[None]:
    """Turn whatever goes wrong while `path` is read into "<path>: not a readable <kind> (<reason>); <way_out>".

    Parsers answer damage with as many exceptions as they have authors, so every Exception counts as damage, except
    UserError, which is passed on, and an error of the machine (a full disk, no memory to unpack into), which is no
    fault of the file and is passed on, too, for `machine_error` to say.

    Example:
        with reading(path, "CIFAR10 batch", "download it again"):
            return parse(path.read_bytes())
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) != Path(path):
            raise
        raise UserError(f"{path}: no such file; {way_out}") from None
    except Exception as error:
        if machine_error(error) is not None:
            raise
        raise UserError(f"{path}: not a readable {kind} ({one_line(error)}); {way_out}") from None


def machine_error(error: BaseException) -> str | None:
    """One line for an error of the machine that is no fault of a file read: no space, no memory; None for others."""
    found = machine_fault(error)
    if found is None:
        return None
    number, where = found
    if number == errno.ENOMEM:
        return f"not enough memory ({one_line(error)}); use a smaller batch, or a machine with more memory"
    way_out = "; make space there and give the same command again" if number in _SPACE else ""
    return f"{f'{where}: ' if where else ''}{os.strerror(number)} (errno {number}){way_out}"


def machine_fault(error: BaseException) -> tuple[int, str | None] | None:
    """The system's number of an error of the machine, and the file it names, if any; None for other errors.

    Libraries wrap such an error, or stumble over it while they tidy up, so whatever caused an error, or was being
    handled when it was raised, counts as well.
    """
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        number = _number(each)
        if number is not None:
            return number, _file(each)
        seen.append(each)
        each = each.__cause__ or each.__context__
    return None


def _number(error: BaseException) -> int | None:
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    number = error.errno if isinstance(error, OSError) else None
    if number is None and not isinstance(error, _PARSERS):
        text = str(error)
        # TensorFlow says so of its tensors.
        if type(error).__name__ == "ResourceExhaustedError" and "OOM" in text:
            return errno.ENOMEM
        hdf5 = _HDF5.search(text)
        number = int(hdf5[1]) if hdf5 else next((each for words, each in _WORDS if words.search(text)), None)
    return number if number in _MACHINE else None


def _file(error: BaseException) -> str | None:
    if not isinstance(error, OSError):
        return None
    # A failed copy names what it read first and what it could not write second.
    name = error.filename if error.filename2 is None else error.filename2
    return None if name is None or isinstance(name, int) else os.fsdecode(name)


def one_line(error: BaseException) -> str:
    """What an exception says, as one line of printable characters, cut where it gets long; its type if it is silent."""
    return shown(printable(str(error)) or type(error).__name__, _LONGEST)


def printable(text: str) -> str:
    """`text` on one line: runs of blanks, line ends and characters that do not print are one blank each."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def shown(value: object, longest: int = 80) -> str:
    """A value as messages show it: strings as they are, what does not print as escapes, cut where it gets long."""
    if isinstance(value, int) and abs(value).bit_length() > 10_000:
        # Python refuses to write out integers of thousands of digits.
        return f"an integer of {abs(value).bit_length()} bits"
    # Before it is cut: half a password is one, too.
    whole = hidden(str(value)[:_MOST])
    text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in whole[: longest + 1])
    return text if len(text) <= longest else text[: longest - 1] + "…"
