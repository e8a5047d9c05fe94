"""The workflow on disks that are full, or fill up while it runs: lines, no traceback, and the same call goes on."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kill_runs import comparable, wait_for
from runs import command, drop_images, environment, paths, snakemake
from test_disk_full import Disk

pytestmark = pytest.mark.workflow

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


def test_a_disk_that_fills_up_ends_the_run_and_the_same_call_goes_on(finished: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 400 * MEGABYTE) as disk:
        drop_images(disk.folder / "data" / "raw" / "fmnist")
        made = paths(disk.folder, "fmnist_fc")
        run = subprocess.Popen(
            command("--keep-going", experiments="fmnist_fc"),
            cwd=disk.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_for(lambda: run.poll() is not None or Path(made.dataset, "source.json").exists(), "the data are ready")
        disk.leave(0)
        said, _ = run.communicate()
        assert run.returncode == 1
        assert os.strerror(28) in said
        assert "Traceback" not in said, said[-6000:]

        refused = snakemake(disk.folder, "--keep-going", experiments="fmnist_fc")
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert " MB are free here, and a run needs 17 MB to begin with; make space there" in refused.stderr

        disk.clear()
        done = snakemake(disk.folder, "--keep-going", experiments="fmnist_fc")
        assert done.returncode == 0, done.stderr[-3000:]
        for folder in (made.dataset, *(getattr(made, stage) for stage in ("train", "weights", "phase1", "phase2"))):
            found = {path.name: path for path in Path(folder).rglob("*") if path.is_file()}
            assert found
            for path in found.values():
                expected = finished / path.relative_to(disk.folder)
                assert comparable(path) == comparable(expected), path
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
