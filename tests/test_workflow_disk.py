"""The workflow on disks that are full, or fill up while it runs: lines, no traceback, and the same call goes on."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kill_runs import comparable, result_files, wait_for
from runs import command, drop_images, environment, paths, snakemake
from test_disk_full import Disk

pytestmark = pytest.mark.workflow

TINY = "dataset.source.train_images=300 dataset.source.test_images=60 model.width=0.05 train.epochs=2 dataset.parts=1"
MEGABYTE = 1 << 20


@contextlib.contextmanager
def mounted(folder: Path, size: int) -> Iterator[Disk]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def results(folder: Path) -> dict[str, Any]:
    return {name: comparable(path) for name, path in result_files(folder / "outputs" / "paper")}


def test_a_disk_that_fills_up_ends_the_run_and_the_same_call_goes_on(tmp_path: Path) -> None:
    options = {"experiments": "fmnist_fc", "overrides": TINY}
    words = ["--keep-going", "--until", "gather"]
    drop_images(tmp_path / "data" / "raw" / "fmnist")
    undisturbed = snakemake(tmp_path, *words, **options)
    assert undisturbed.returncode == 0, undisturbed.stderr[-3000:]
    with mounted(tmp_path / "disk", 64 * MEGABYTE) as disk:
        drop_images(disk.folder / "data" / "raw" / "fmnist")
        source = Path(paths(disk.folder, "fmnist_fc", TINY).dataset, "source.json")
        run = subprocess.Popen(
            command(*words, **options),
            cwd=disk.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_for(lambda: run.poll() is not None or source.exists(), "the data are ready")
        disk.leave(0)
        said, _ = run.communicate()
        assert run.returncode == 1
        assert os.strerror(errno.ENOSPC) in said
        assert "Traceback" not in said, said[-6000:]

        refused = snakemake(disk.folder, *words, **options)
        assert refused.returncode == 1
        assert refused.stderr.startswith("relu2snn: outputs/paper: 0.0 MB are free here, and a run needs 17 MB")
        assert refused.stderr.count("\n") == 1

        disk.clear()
        done = snakemake(disk.folder, *words, **options)
        assert done.returncode == 0, done.stderr[-3000:]
        found, expected = results(disk.folder), results(tmp_path)
        # Names alone: what differs may be megabytes.
        assert sorted(found) == sorted(expected)
        assert not [name for name in found if found[name] != expected[name]]
        left = [path for pattern in (".partial-*", ".locks/*") for path in disk.folder.rglob(pattern)]
        assert not left + list(disk.folder.glob(".snakemake/incomplete/*"))


def test_no_space_for_temporary_files_is_one_line_before_any_job(tmp_path: Path) -> None:
    drop_images(tmp_path / "data" / "raw" / "fmnist")
    words = command("--until", "data", experiments="fmnist_fc")
    with mounted(tmp_path / "temporary", MEGABYTE) as disk:
        variables = environment() | {"TMPDIR": str(disk.folder)}
        refused = subprocess.run(words, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"relu2snn: {disk.folder}: 1.0 MB are free here, and a run needs 17 MB")
    assert refused.stderr.count("\n") == 1
