"""What the stages say of exactness, and of numbers that are none: from the files of a small experiment."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import conv_network

from relu2snn.config import Experiment, Paths, compose_experiment, compose_suite
from relu2snn.datasets import Dataset
from relu2snn.datasets.arrays import ArraySet, prepare
from relu2snn.errors import UserError
from relu2snn.files import read_json, write_json
from relu2snn.stages import bounds, gather, phase1, phase2
from relu2snn.stages._models import load_model, save_model


def experiment(outputs: Path, *overrides: str) -> Experiment:
    values = [f"outputs={outputs}", "dataset.parts=2", "dataset.image_shape=[7,8,2]", *overrides]
    return compose_experiment("fmnist_lenet", compose_suite("paper"), values)


def folders(config: Experiment) -> Paths:
    return Paths(config.outputs, config.suite.name, config.name)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: Any) -> Path:
    """A prepared data set, a network of random weights, and phase 1."""
    root = tmp_path_factory.mktemp("evidence")
    config = experiment(root)
    paths = folders(config)
    draw = np.random.default_rng(0)
    pixels, labels = draw.integers(0, 256, (30, 7, 8, 2)).astype(np.uint8), draw.integers(0, 4, 30)
    arrays = ArraySet(pixels, labels, pixels, labels, "random", [])
    prepare(paths.dataset(config.dataset.name), config.dataset.name, "synthetic", arrays)
    save_model(conv_network(3, "after"), f"{paths.weights}/original.keras")
    phase1.run(config)
    return root


@pytest.mark.parametrize(
    ("zeta", "exact", "why"),
    [
        (60.0, True, None),
        (1e12, False, "rounding in float64 may change values of layer"),
        (-0.7, False, "spikes came before their window: "),
    ],
)
def test_result_json_follows_the_evidence_of_its_parts(outputs: Path, zeta: float, exact: bool, why: str) -> None:
    config = experiment(outputs, f"phase2.zeta={zeta}")
    phase2.run(config)
    paths = folders(config)
    (name,) = [file for file in Path(paths.phase2("*")).parent.glob("*/result.json") if read_json(file)["zeta"] == zeta]
    result = read_json(name)
    assert (result["exact"], bool(result["not_exact"])) == (exact, not exact)
    assert why is None or any(why in reason for reason in result["not_exact"])
    assert (result["rounding"]["total"] < 1e-6) == (zeta < 1e6)
    assert len(result["rounding"]["layers"]) == len(result["layers"])
    if zeta == -0.7:
        # The reason counts the early spikes of all parts.
        assert any(reason.startswith(f"{result['early_spikes']['total']} spikes") for reason in result["not_exact"])


def test_a_part_that_is_not_exact_makes_the_whole_not_exact(outputs: Path) -> None:
    config = experiment(outputs, "phase2.zeta=60.0")
    phase2.run(config)
    folder = next(Path(folders(config).phase2("*")).parent.glob("*/result.json")).parent
    file = next(folder.glob("parts/1.json"))
    part = read_json(file)
    write_json(file, {**part, "not_exact": {"outside": "1 images have pixels outside"}})
    gather.run(config)
    result = read_json(folder / "result.json")
    assert (result["exact"], result["not_exact"]) == (False, ["1 images have pixels outside"])


def test_pixels_and_weights_that_are_not_finite_are_one_line(outputs: Path, monkeypatch: Any) -> None:
    config = experiment(outputs, "phase2.zeta=60.0", "phase2.window=certified")
    whole = Dataset.batches

    def broken(self: Any, *given: Any, **options: Any) -> Any:
        for images, labels in whole(self, *given, **options):
            images = np.array(images, np.float64)
            images[min(2, len(images) - 1), 1, 2, 0] = np.nan
            yield images, labels

    phase2.run(config)
    monkeypatch.setattr(Dataset, "batches", broken)
    name = config.dataset.name
    for stage, split in ((phase1.run, "train images"), (bounds.run, "train images"), (phase2.run, "train images")):
        with pytest.raises(UserError, match=rf"^{name}, {split}.*image 2 is nan at \(1, 2, 0\)") as caught:
            stage(config)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=rf"^{name}, test images from 0 on: image 2 is nan"):
        phase2.simulate(config, 0)
    monkeypatch.undo()
    (file,) = Path(folders(config).phase2("*")).parent.glob("*certified*/spiking.keras")
    model = load_model(str(file))
    layer = model.layers[-1]
    layer.kernel.assign(np.full(layer.kernel.shape, np.inf))
    save_model(model, str(file))
    with pytest.raises(UserError, match=rf"spiking.keras: layer '{layer.name}': weight 'kernel' is inf at \(0, 0\)"):
        phase2.simulate(config, 0)
    original = f"{folders(config).weights}/original.keras"
    model = load_model(original)
    layer = model.layers[1]
    layer.kernel.assign(np.full(layer.kernel.shape, np.nan))
    save_model(model, original)
    with pytest.raises(UserError, match=rf"original.keras: layer '{layer.name}' .*weight 'kernel' is nan at"):
        phase1.run(config)
