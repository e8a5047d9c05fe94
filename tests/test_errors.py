"""Whatever goes wrong while a file is read is one line; what is the machine's fault is never the file's."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from relu2snn.errors import UserError, machine_error, one_line, reading


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), ZeroDivisionError("a\nb\x1b[31m"), OSError("bad")])
def test_any_exception_of_a_parser_is_one_line_that_names_the_file(error: Exception) -> None:
    with (
        pytest.raises(UserError, match=r"^a\.bin: not a readable array \(.+\); get another$") as caught,
        reading("a.bin", "array", "get another"),
    ):
        raise error
    assert str(caught.value).isprintable()


def test_a_missing_file_is_called_missing(tmp_path: Path) -> None:
    path = tmp_path / "none"
    with pytest.raises(UserError, match="none: no such file; make it"), reading(path, "array", "make it"):
        path.read_bytes()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM])
def test_an_error_of_the_machine_is_not_an_error_of_the_file(number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as caught, reading("a.bin", "array"):
        raise OSError(number, os.strerror(number), "/elsewhere")
    line = machine_error(caught.value)
    assert line is not None
    if number == errno.ENOMEM:
        assert line.startswith(f"not enough memory ([Errno {number}] ")
    else:
        assert line.startswith(f"/elsewhere: {os.strerror(number)} (errno {number})")


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def wrapped(outer: Exception, inner: Exception) -> Exception:
    """`outer` as it is raised while `inner` is handled."""
    try:
        try:
            raise inner
        except Exception:
            raise outer  # noqa: B904
    except Exception as error:
        return error


SPACE = f"No space left on device (errno {errno.ENOSPC}); make space there and give the same command again"
HDF5 = "Can't decrement id ref count (file write failed: time = x, filename = 'a', errno = {}, error message = 'y', z)"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (full(), SPACE),
        (wrapped(ValueError("Can't close the ZIP file while there is an open writing handle on it"), full()), SPACE),
        (sqlite3.OperationalError("database or disk is full"), SPACE),
        (wrapped(RuntimeError("(sqlite3.OperationalError) database or disk is full"), ValueError("x")), SPACE),
        (sqlite3.OperationalError("disk I/O error"), f"Input/output error (errno {errno.EIO})"),
        (OSError("100000 requested and 38384 written"), SPACE),
        (RuntimeError(HDF5.format(errno.ENOSPC)), SPACE),
        (MemoryError(), "not enough memory (MemoryError); use a smaller batch, or a machine with more memory"),
        (OSError(errno.EDQUOT, "x", "source", None, "copy"), f"copy: {SPACE}".replace(
            SPACE[: SPACE.index(";")], f"{os.strerror(errno.EDQUOT)} (errno {errno.EDQUOT})")),
    ],
)  # fmt: skip
def test_what_libraries_make_of_the_machines_errors_is_one_line(error: Exception, line: str) -> None:
    assert machine_error(error) == line


@pytest.mark.parametrize(
    "error",
    [
        ValueError("database or disk is full"),
        KeyError("database or disk is full"),
        RuntimeError(HDF5.format(errno.EBADF)),
        OSError(errno.ENOENT, "no"),
        wrapped(ValueError("a"), KeyError("b")),
    ],
)
def test_damage_is_no_error_of_the_machine(error: Exception) -> None:
    assert machine_error(error) is None


def test_a_users_error_passes_unchanged() -> None:
    with pytest.raises(UserError, match=r"^as it is$"), reading("a.bin", "array"):
        raise UserError("as it is")


def test_long_reasons_are_cut() -> None:
    assert len(one_line(ValueError("x" * 10_000))) <= 300
    assert one_line(ValueError("\n \t")) == "ValueError"
