"""A cut of `make fuzz`, and that its harness finds what it looks for."""

import ctypes
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from fuzz.mutate import mutate, mutate_inside
from fuzz.reader import Reader, digest
from fuzz.server import (
    CRASH,
    HANG,
    MEMORY,
    MESSAGE,
    OTHER,
    READ,
    REFUSED,
    SILENT,
    TRACEBACK,
    Outcome,
    make_template,
    run,
)

from relu2snn.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(("readers", "count"), [("files", 2000), ("networks", 70)])
def test_a_cut(tmp_path: Path, readers: str, count: int) -> None:
    command = [
        sys.executable,
        "-m",
        "fuzz",
        "--count",
        str(count),
        "--seed",
        "1",
        "--failures",
        str(tmp_path / "failures"),
    ]
    path = os.pathsep.join([str(ROOT / "tests"), *sys.path])
    done = subprocess.run(
        [*command, "--only", readers],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert ", 0 failures" in done.stdout


def outcomes(folder: Path, read: Callable[[Path], str], checksum: bool = False, seconds: float = 60) -> list[Outcome]:
    """What comes of eight changed files of a reader."""

    def make(place: Path) -> None:
        (place / "file").write_bytes(b"valid")

    reader = Reader("tiny", make, read, checksum=checksum, seconds=seconds)
    template = make_template(reader, folder / "valid")
    return list(run([template], {"tiny": 8}, 0, 2, folder, 1 << 28))


def unless_valid(folder: Path, act: Callable[[Path], object]) -> str:
    path = folder / "file"
    if path.read_bytes() == b"valid":
        return "valid"
    return str(act(path))


def refuse(text: str) -> Callable[[Path], object]:
    def act(path: Path) -> None:
        raise UserError(text.format(path))

    return act


ACTS: dict[str, tuple[Callable[[Path], object], bool]] = {
    READ: (lambda path: "valid", True),
    OTHER: (lambda path: "other", False),
    SILENT: (lambda path: "other", True),
    REFUSED: (refuse("{}: damaged"), True),
    MESSAGE: (refuse("{}: two\nlines"), True),
    TRACEBACK: (lambda path: 1 // 0, True),
    MEMORY: (lambda path: bytearray(1 << 30), True),
    CRASH: (lambda path: ctypes.string_at(0), True),
}


@pytest.mark.parametrize("kind", ACTS)
def test_every_outcome_is_told_apart_and_none_is_lost(tmp_path: Path, kind: str) -> None:
    act, checksum = ACTS[kind]
    found = outcomes(tmp_path, lambda folder: unless_valid(folder, act), checksum)
    assert sorted(outcome.number for outcome in found) == list(range(8))
    kinds = Counter(outcome.kind for outcome in found)
    # A change may leave a file as it was.
    assert kinds[kind] >= 6
    assert kinds[kind] + kinds[READ] >= 8
    assert {outcome.file for outcome in found} == {"file"}


def test_a_message_that_does_not_name_the_file_is_a_failure(tmp_path: Path) -> None:
    found = outcomes(tmp_path, lambda folder: unless_valid(folder, refuse("damaged")))
    assert MESSAGE in {outcome.kind for outcome in found}


def test_a_hang_is_ended_and_the_next_file_read(tmp_path: Path) -> None:
    def read(folder: Path) -> str:
        return unless_valid(folder, lambda path: time.sleep(600) if len(path.read_bytes()) < 5 else "other")

    found = outcomes(tmp_path, read, seconds=1)
    assert len(found) == 8
    assert {HANG, OTHER} <= {outcome.kind for outcome in found}


def test_a_reader_that_refuses_its_own_files_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="tiny: its own valid files are not read"):
        outcomes(tmp_path, lambda folder: refuse("no")(folder) or "")


def test_the_same_seed_makes_the_same_files_and_changes_most() -> None:
    content = bytes(range(256)) * 4
    for change in (mutate, mutate_inside):
        made = [change(content, Random(f"0 {number}")) for number in range(300)]
        assert made == [change(content, Random(f"0 {number}")) for number in range(300)]
        assert len(set(made)) > 280
        assert sum(each != content for each in made) > 290


def test_a_digest_tells_types_shapes_and_values_apart() -> None:
    import numpy as np

    values = [np.zeros(4), np.zeros((2, 2)), np.zeros(4, np.float32), np.ones(4), None, 0, 0.0, [0]]
    assert len({digest(value) for value in values}) == len(values)
