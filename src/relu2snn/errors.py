"""The one exception that a user is meant to see, and how everything else becomes it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST = 300
_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN}
)
"""The system's errors that are no fault of a file that is read: no space, no memory, no descriptors."""


class UserError(Exception):
    """A mistake in what the user gave: one line that names what, where and the way out.

    Command-line entry points print its text without a traceback and exit with status 1.
    """


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
    if isinstance(error, MemoryError):
        return f"not enough memory ({one_line(error)}); use a smaller batch, or a machine with more memory"
    if isinstance(error, OSError) and error.errno in _MACHINE:
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        return f"{where}{os.strerror(error.errno)} (errno {error.errno})"
    return None


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
    text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(value)[: longest + 1])
    return text if len(text) <= longest else text[: longest - 1] + "…"
