"""Small files in the formats of Places365 and PASS, made by the script that suite=smoke uses."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PHOTOGRAPHS = sorted((ROOT / "data" / "sample" / "photographs").glob("*.jpg"))


def make(name: str, folder: Path, **options: Any) -> Path:
    """Run scripts/make_smoke_data.py."""
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    script = ROOT / "scripts" / "make_smoke_data.py"
    subprocess.run([sys.executable, script, name, folder, *flags], check=True)
    return folder


def caffe_script() -> ModuleType:
    """pipeline/places365/caffe.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("caffe_script", ROOT / "pipeline" / "places365" / "caffe.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def caffe_rule(path: Path, size: tuple[int, int], mean: Any) -> Any:
    """Caffe's preprocessing in plain numpy, in float64: each output pixel's centre at (i + 1/2) in/out - 1/2."""
    image = np.asarray(Image.open(path), np.float64)
    for axis, length in enumerate(size):
        place = np.clip((np.arange(length) + 0.5) * image.shape[axis] / length - 0.5, 0, image.shape[axis] - 1)
        lower = np.floor(place).astype(int)
        upper = np.minimum(lower + 1, image.shape[axis] - 1)
        share = (place - lower).reshape([-1 if each == axis else 1 for each in range(3)])
        image = np.take(image, lower, axis) * (1 - share) + np.take(image, upper, axis) * share
    return image[..., ::-1] - mean


def stage(name: str, experiment: str, folder: Path, *overrides: str, **environment: str) -> Any:
    """Run a stage of suite=smoke by hand in `folder`."""
    command = [sys.executable, "-m", "relu2snn.stages", name, f"experiment={experiment}", "suite=smoke", *overrides]
    settings = {**os.environ, **environment}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=settings)


def the_line(run: Any) -> str:
    """The one line of a stage that has ended with a mistake."""
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("relu2snn ")]
    return line
