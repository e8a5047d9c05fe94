"""The examples in docstrings of public functions are run, and say what they show."""

import doctest
import importlib
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from runs import ROOT

import relu2snn
from relu2snn import figures, mapping, spiking

PACKAGES = ("relu2snn", "relu2snn.mapping", "relu2snn.spiking", "relu2snn.figures")
# Data that others make, for looking at, and what has no arguments to show.
WITHOUT = {
    "Comparison", "Costs", "Curve", "Decoding", "Evidence", "Figure", "Measurement", "MembranePotential",
    "OutputPotentials", "Raster", "SegmentCosts", "Spread", "SpikeHistogram", "SpikeRecorder", "SpikingNetwork",
    "UnsupportedLayerError", "Verification", "largest_values", "network_of", "relu_network", "segment_sums",
    "spike_kinds", "spiking_model",
}  # fmt: skip


def public() -> dict[str, Any]:
    """Functions and classes of the public packages, by name, each once."""
    found = {}
    for package in map(importlib.import_module, PACKAGES):
        found |= {name: each for name in package.__all__ if callable(each := getattr(package, name))}
    return found


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the examples take as given; docs/api/index.md says so."""
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(1)
    model = keras.Sequential([
        keras.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu", name="conv"), layers.Flatten(),
        layers.Dense(10, activation="relu", name="dense"), layers.Dense(3, activation="softmax", name="classes"),
    ])  # fmt: skip
    draw = np.random.default_rng(0)
    calibration = draw.uniform(0, 1, (40, 8, 8, 1))
    shutil.copy(ROOT / "tests" / "networks_of_torch" / "residual_dynamo.onnx", "resnet.onnx")
    given = {each: getattr(package, each) for package in (mapping, spiking, figures) for each in package.__all__}
    given |= {"relu2snn": relu2snn, "mapping": mapping, "np": np, "keras": keras, "Path": Path}
    given |= {"model": model, "calibration": calibration, "images": calibration[:20]}
    return given | {"spiking": relu2snn.convert(model, calibration)}


def test_public_functions_have_examples() -> None:
    finder = doctest.DocTestFinder(recurse=False)
    bare = {name for name, each in public().items() if not any(test.examples for test in finder.find(each, name))}
    assert bare == WITHOUT


def test_the_examples_of_docstrings_run(names: dict[str, Any]) -> None:
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(verbose=False)
    said: list[str] = []
    for name, each in {**public(), "relu2snn": relu2snn}.items():
        for test in finder.find(each, name, globs=dict(names)):
            runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)
    assert runner.tries > 60
