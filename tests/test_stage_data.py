"""The data stage on the sample that ships with the repository, and the script that made the sample."""

import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from relu2snn.datasets import ArrayDataset, read_idx

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample" / "fmnist"
FULL = Path("/usr/share/datasets/fashion-mnist")


def run_stage(outputs, *overrides):
    command = [sys.executable, "-m", "relu2snn.stages", "data", "experiment=fmnist_fc", "suite=quickstart"]
    return subprocess.run(
        [*command, f"outputs={outputs}", *overrides], cwd=ROOT, capture_output=True, text=True, check=False
    )


def copy_sample(folder):
    for path in SAMPLE.glob("*.gz"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_stage_prepares_the_shipped_sample(tmp_path):
    done = run_stage(tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "quickstart" / "datasets" / "fmnist_sample" / "base"
    data = ArrayDataset(folder)
    assert data.kind == "sample"
    assert data.images("train").shape == (5000, 28, 28, 1)
    assert data.images("test").shape == (1000, 28, 28, 1)
    np.testing.assert_array_equal(np.bincount(data.labels("train")), [500] * 10)
    np.testing.assert_array_equal(np.bincount(data.labels("test")), [100] * 10)
    source = json.loads((folder / "source.json").read_text())
    assert source["origin"] == "folder data/sample/fmnist"
    assert done.stdout.startswith("fmnist_sample: 5000 training and 1000 test images from the folder ")


def test_corrupt_gzip_is_one_line_and_leaves_nothing(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    path = copy_sample(raw) / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1000])
    done = run_stage(tmp_path / "outputs", f"dataset.source.directory={raw}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"relu2snn data: {path}: not a readable idx file: truncated or corrupt gzip (")
    assert done.stderr.count("\n") == 1
    assert not [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]


def test_wrong_number_of_images_names_the_key_to_override(tmp_path):
    done = run_stage(tmp_path / "outputs", "dataset.source.train_images=60000")
    assert done.returncode == 1
    assert done.stderr.endswith("or override dataset.source.train_images=5000\n")
    assert done.stderr.count("\n") == 1
    assert not [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def made_again(tmp_path_factory):
    if not FULL.is_dir():
        pytest.skip(f"the full Fashion-MNIST is not installed in {FULL}")
    folder = tmp_path_factory.mktemp("sample")
    subprocess.run([sys.executable, "scripts/make_sample.py", FULL, "--output", folder], cwd=ROOT, check=True)
    return folder


@pytest.mark.skipif(".zlib-ng" in zlib.ZLIB_RUNTIME_VERSION, reason="zlib-ng compresses to other bytes than zlib")
def test_sample_script_makes_the_shipped_files_byte_for_byte(made_again):
    shipped = sorted(path.name for path in SAMPLE.glob("*.gz"))
    assert sorted(path.name for path in made_again.iterdir()) == shipped
    assert len(shipped) == 4
    for name in shipped:
        assert (made_again / name).read_bytes() == (SAMPLE / name).read_bytes(), name


def test_sample_images_are_of_the_full_data_set_with_their_labels(made_again):
    for split, count in (("train", 5000), ("t10k", 1000)):
        full = {
            (image.tobytes(), label)
            for image, label in zip(
                read_idx(FULL / f"{split}-images-idx3-ubyte.gz", 3),
                read_idx(FULL / f"{split}-labels-idx1-ubyte.gz", 1),
                strict=True,
            )
        }
        images = read_idx(SAMPLE / f"{split}-images-idx3-ubyte.gz", 3)
        labels = read_idx(SAMPLE / f"{split}-labels-idx1-ubyte.gz", 1)
        sample = {(image.tobytes(), label) for image, label in zip(images, labels, strict=True)}
        assert sample <= full
        # Fashion-MNIST holds a few images twice, a sample drawn with replacement would hold hundreds.
        assert len(sample) >= count - 5


def test_sample_script_names_what_is_wrong(tmp_path):
    command = [sys.executable, "scripts/make_sample.py", SAMPLE, "--output", tmp_path / "out"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "5000 images, but dataset.source.train_images is 60000" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
