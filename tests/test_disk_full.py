"""A full disk in any stage: one line with path and error number, no half-written file, and the next call goes on."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from runs import drop_images
from smoke_data import make

from relu2snn.config import compose_experiment, compose_suite, from_slice
from relu2snn.config.shaping import job_slice
from relu2snn.config.workflow import publish_places
from relu2snn.errors import UserError, machine_error
from relu2snn.stages import _table

NETWORK = [
    "dataset.source.train_images=300",
    "dataset.source.test_images=60",
    "dataset.parts=2",
    "model.dense=[30]",
    "train=quickstart",
    "train.epochs=2",
    "phase2.window=certified",
    "phase2.batch=30",
    "sweep.trials=2",
    "sweep.values=[0.01]",
]
ROWS = {
    "fmnist_fc": ("paper", NETWORK, "noise"),
    "places365_vgg": ("smoke", ["container.engine=none"], ""),
    "pass_vgg": ("smoke", [], ""),
}
# In the order in which they need each other: experiment, stage, part, overrides.
STAGES: list[tuple[str, str, int | None, tuple[str, ...]]] = [
    ("fmnist_fc", "data", None, ()),
    ("fmnist_fc", "train", None, ()),
    ("fmnist_fc", "weights", None, ()),
    ("fmnist_fc", "phase1", None, ()),
    ("fmnist_fc", "bounds", None, ()),
    ("fmnist_fc", "reference", None, ()),
    ("fmnist_fc", "convert", None, ()),
    ("fmnist_fc", "phase2", 0, ()),
    ("fmnist_fc", "phase2", 1, ()),
    ("fmnist_fc", "gather", None, ()),
    ("fmnist_fc", "figures", None, ()),
    ("fmnist_fc", "provenance", None, ()),
    ("fmnist_fc", "results", None, ()),
    ("fmnist_fc", "report_results", None, ()),
    ("fmnist_fc", "report_runtimes", None, ()),
    ("fmnist_fc", "track", None, ()),
    ("fmnist_fc", "sweep_point", None, ("phase2.noise=0.01",)),
    ("fmnist_fc", "sweep_gather", None, ()),
    ("fmnist_fc", "sweep_results", None, ()),
    ("fmnist_fc", "tradeoffs", None, ()),
    ("fmnist_fc", "report_sweeps", None, ()),
    ("fmnist_fc", "track_sweep", None, ()),
    ("places365_vgg", "places365_sample", None, ()),
    ("places365_vgg", "places365_labels", None, ()),
    ("places365_vgg", "places365_image", None, ()),
    ("places365_vgg", "places365_part", 0, ()),
    ("places365_vgg", "places365_part", 1, ()),
    ("places365_vgg", "places365_part", 2, ()),
    ("places365_vgg", "places365_part", 3, ()),
    ("places365_vgg", "photographs", None, ()),
    ("places365_vgg", "places365_weights", None, ()),
    ("pass_vgg", "pass_order", None, ()),
    ("pass_vgg", "pass_part", 0, ()),
    ("pass_vgg", "weights", None, ()),
]
NAMES = [f"{experiment}-{stage}-{part}" for experiment, stage, part, _ in STAGES]
ROOM = 64 << 20
LINE = f"{os.strerror(errno.ENOSPC)} (errno {errno.ENOSPC}); make space there and give the same command again"


@dataclass
class Made:
    """A folder in which every stage has run, and for each of them the files that were there before it, and then."""

    folder: Path
    before: list[set[str]] = field(default_factory=list)
    after: list[set[str]] = field(default_factory=list)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in (folder / "outputs").rglob("*") if path.is_file()}


def call(number: int, folder: Path) -> None:
    """Run a stage in this process, which is in `folder`."""
    experiment, stage, part, overrides = STAGES[number]
    suite, ours, sweep = ROWS[experiment]
    store = [f"tracking.uri=sqlite:///{folder}/outputs/mlflow.db", f"tracking.artifacts={folder}/outputs/mlartifacts"]
    whole = compose_experiment(experiment, compose_suite(suite), [*ours, *store, *overrides], sweep)
    publish_places([whole])
    _table.STAGES[stage].run(from_slice(job_slice(whole, stage)), part)


def inputs(folder: Path) -> None:
    drop_images(folder / "data" / "raw" / "fmnist")
    make("places365", folder / "data" / "smoke" / "places365")
    make("pass", folder / "data" / "smoke" / "pass")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("made")
    inputs(folder)
    found = Made(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for number in range(len(STAGES)):
            found.before.append(files(folder))
            call(number, folder)
            found.after.append(files(folder))
        yield found


class Disk:
    """A file system of its own, of which all but some bytes can be taken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def leave(self, free: int) -> None:
        """Take all space but `free` bytes."""
        while True:
            self.clear()
            # Others may write here, too.
            with contextlib.suppress(OSError), self._filler.open("wb") as file:
                space = os.statvfs(self.folder)
                os.posix_fallocate(file.fileno(), 0, max(1, space.f_bavail * space.f_frsize - free))
                return

    def clear(self) -> None:
        self._filler.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def prepare(disk: Disk, made: Made, number: int) -> None:
    """Put what a stage finds on the disk; what it only reads stays where it is."""
    (disk.folder / "data").symlink_to(made.folder / "data")
    (disk.folder / "outputs").mkdir()
    for name in made.before[number]:
        target = disk.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(made.folder / name, target)


def in_a_store(name: str) -> bool:
    return name.startswith(("outputs/mlflow", "outputs/mlartifacts"))


def require_whole(path: Path) -> None:
    """Raise unless a file is readable to its end."""
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix in (".npz", ".keras"):
        assert zipfile.ZipFile(path).testzip() is None
    elif path.suffix == ".npy":
        np.load(path)
    else:
        assert path.stat().st_size


@pytest.mark.parametrize("number", range(len(STAGES)), ids=NAMES)
def test_a_full_disk_is_one_line_and_the_stage_goes_on_afterwards(
    made: Made, disk: Disk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int
) -> None:
    prepare(disk, made, number)
    monkeypatch.chdir(disk.folder)
    new = made.after[number] - made.before[number]
    size = sum((made.folder / name).stat().st_size for name in new if not in_a_store(name))
    lines = []
    for share in (0, 0.4, 0.9):
        disk.leave(int(share * size))
        capfd.readouterr()
        try:
            call(number, disk.folder)
            continue
        except SystemExit:
            # The script that reads Caffe's files has said so itself.
            (line,) = [each for each in capfd.readouterr().err.splitlines() if each.startswith("relu2snn ")]
            line = line.removeprefix("relu2snn places365: ")
        except UserError as error:
            line = str(error)
        except Exception as error:
            line = machine_error(error) or f"{type(error).__name__}, which is no line: {error}"
        lines.append(line)
        assert line.endswith(LINE), line
        assert ".partial-" not in line
        assert line.removeprefix(f"{disk.folder}/").startswith("outputs"), line
        left = files(disk.folder)
        assert not [name for name in left if ".partial-" in name]
        for name in left - made.before[number]:
            kept = any(each in name for each in ("/checkpoint-", "/trials-"))
            assert name in new or kept or in_a_store(name), name
            if not in_a_store(name):
                require_whole(disk.folder / name)
    assert lines, "the stage has written nothing"
    disk.clear()
    call(number, disk.folder)
    found = {name for name in files(disk.folder) if not in_a_store(name)}
    assert found == {name for name in made.after[number] if not in_a_store(name)}
    for name in new:
        if not in_a_store(name):
            require_whole(disk.folder / name)


def run_alone(number: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """A stage as a user would call it by hand."""
    experiment, stage, part, overrides = STAGES[number]
    suite, ours, sweep = ROWS[experiment]
    words = [f"experiment={experiment}", f"suite={suite}", *([f"sweep={sweep}"] if sweep else []), *ours, *overrides]
    command = [sys.executable, "-m", "relu2snn.stages", stage, *words]
    command += [] if part is None else [f"--part={part}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["fmnist_fc-train-None", "fmnist_fc-convert-None", "fmnist_fc-track-None"])
def test_a_process_on_a_full_disk_ends_with_one_line_and_no_crash(made: Made, disk: Disk, name: str) -> None:
    number = NAMES.index(name)
    prepare(disk, made, number)
    disk.leave(40_000)
    done = run_alone(number, disk.folder)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("relu2snn ")]
    assert line.endswith(LINE)
