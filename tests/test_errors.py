"""Whatever goes wrong while a file is read is one line; what is the machine's fault is never the file's."""

import errno
import os
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
    assert machine_error(caught.value) == f"/elsewhere: {os.strerror(number)} (errno {number})"


def test_a_users_error_passes_unchanged() -> None:
    with pytest.raises(UserError, match=r"^as it is$"), reading("a.bin", "array"):
        raise UserError("as it is")


def test_long_reasons_are_cut() -> None:
    assert len(one_line(ValueError("x" * 10_000))) <= 300
    assert one_line(ValueError("\n \t")) == "ValueError"
