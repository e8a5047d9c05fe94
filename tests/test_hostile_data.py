"""The small files of tests/hostile on which readers of data sets have failed: one line each."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from stamped import prepare

from relu2snn.config.schema import Source
from relu2snn.datasets import ArraySet, load_arrays, open_dataset
from relu2snn.datasets.cifar import LAYOUTS
from relu2snn.datasets.synthetic import batch, pickled
from relu2snn.errors import UserError

HOSTILE = Path(__file__).resolve().parent / "hostile"
TRAIN, TEST = 40, 8


def files(folder: str) -> list[Path]:
    found = sorted((HOSTILE / folder).iterdir())
    assert found
    return found


def the_line(call, where: Path) -> str:
    """What a call that cannot succeed says: one printable line with the file."""
    with pytest.raises(UserError) as caught:
        call()
    text = str(caught.value)
    assert text.isprintable()
    assert text.startswith(str(where))
    assert len(text) < 700
    return text


def load(folder: Path, format: str, shape: tuple[int, int, int]) -> ArraySet:
    source = Source(format=format, kind="real", directory=str(folder), train_images=TRAIN, test_images=TEST)
    return load_arrays(source, "tiny", shape, 100 if format == "cifar100" else 10)


@pytest.mark.parametrize("file", [*files("cifar10_tar"), *files("cifar100_tar")], ids=str)
def test_archives(tmp_path: Path, file: Path) -> None:
    format = file.parent.name.removesuffix("_tar")
    path = tmp_path / LAYOUTS[format].archive
    shutil.copy(file, path)
    text = the_line(lambda: load(tmp_path, format, (32, 32, 3)), path)
    assert "CRC check failed" in text or "its pickle asks for" in text


@pytest.mark.parametrize("file", [*files("cifar10_batch"), *files("cifar100_batch")], ids=str)
def test_batches(tmp_path: Path, file: Path) -> None:
    format = file.parent.name.removesuffix("_batch")
    layout = LAYOUTS[format]
    folder = tmp_path / layout.folder
    folder.mkdir()
    for name in layout.batches:
        (folder / name).write_bytes(pickled(batch(layout, np.zeros((TEST, 32, 32, 3), np.uint8), np.arange(TEST))))
    name = file.name.partition("__")[2]
    shutil.copy(file, folder / name)
    text = the_line(lambda: load(tmp_path, format, (32, 32, 3)), folder / name)
    assert "its pickle asks for num" in text


@pytest.mark.parametrize("file", [*files("npz"), *files("npz_stored")], ids=str)
def test_npz(tmp_path: Path, file: Path) -> None:
    shutil.copy(file, tmp_path / "mnist.npz")
    text = the_line(lambda: load(tmp_path, "idx", (28, 28, 1)), tmp_path / "mnist.npz")
    assert "its header says no type and shape" in text or "x_test: " in text


@pytest.mark.parametrize("file", files("prepared"), ids=str)
def test_prepared(tmp_path: Path, file: Path) -> None:
    arrays = [np.zeros((TEST, 28, 28, 1), np.uint8), np.zeros(TEST, np.int64)] * 2
    prepare(tmp_path, "tiny", "sample", ArraySet(*arrays, "here", []))
    names = ["source.json"] if file.suffix == ".json" else [f"{key}.npy" for key in ("train_images", "test_labels")]
    for name in names:
        kept = (tmp_path / name).read_bytes()
        shutil.copy(file, tmp_path / name)
        the_line(lambda: open_dataset(tmp_path), tmp_path / name)
        (tmp_path / name).write_bytes(kept)
    open_dataset(tmp_path)
