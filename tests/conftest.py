"""Settings and networks that several tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from runs import EXPERIMENTS, ROOT, drop_images, snakemake, sweep

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# How long an example takes says nothing about the code on a busy machine.
settings.register_profile("relu2snn", deadline=None)
settings.load_profile("relu2snn")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the workflow has run FC and LeNet5."""
    folder = tmp_path_factory.mktemp("run")
    drop_images(folder / "data" / "raw" / "fmnist")
    run = snakemake(folder, experiments=EXPERIMENTS)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a small network on small CIFAR files has been trained, mapped and swept."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "data").mkdir()
    (folder / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    run = sweep(folder, "[0.0,0.05]")
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-3000:]
    return folder
