"""What the stages say of exactness, and of numbers that are none: from the files of a small experiment."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import conv_network

from relu2snn.config import Experiment, Paths, compose_experiment, compose_suite
from relu2snn.datasets import Dataset
from relu2snn.datasets.arrays import ArraySet, prepare
from relu2snn.errors import UserError
from relu2snn.made import load_json
from relu2snn.made.json_file import save_json
from relu2snn.made.keras_file import members_digest, read_stamp, stamped
from relu2snn.made.stamp import content_digest
from relu2snn.saved.keras_files import load_model, save_model
from relu2snn.stages import bounds, gather, phase1, phase2
from relu2snn.stages._job import job


def experiment(outputs: Path, *overrides: str) -> Experiment:
    values = [f"outputs={outputs}", "dataset.parts=2", "dataset.image_shape=[7,8,2]", *overrides]
    return compose_experiment("fmnist_fc", compose_suite("paper"), values)


def spoil(path: str) -> str:
    """Put a number that is none into the last layer of a network with weights, its stamp and digests all right."""
    model, stamp = load_model(path, ""), read_stamp(path)
    layer = [each for each in model.layers if each.weights][-1]
    kernel = next(weight for weight in layer.weights if weight.name == "kernel")
    kernel.assign(np.full(kernel.shape, np.inf))
    save_model(
        model, path, describe=lambda folder, found: stamped(found, replace(stamp, content=members_digest(folder)))
    )
    return str(layer.name)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: Any) -> Path:
    """A prepared data set, a network of random weights, and phase 1."""
    root = tmp_path_factory.mktemp("evidence")
    config = experiment(root)
    paths = Paths.of(config)
    draw = np.random.default_rng(0)
    pixels, labels = draw.integers(0, 256, (30, 7, 8, 2)).astype(np.uint8), draw.integers(0, 4, 30)
    arrays = ArraySet(pixels, labels, pixels, labels, "random", [])
    prepare(paths.dataset, config.dataset.name, "synthetic", arrays, job=job(config, "data"))
    job(config, "weights").write_model(f"{paths.weights}/original.keras", conv_network(3, "after"))
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
    result, _ = load_json(f"{Paths.of(config).phase2}/result.json")
    assert result["zeta"] == zeta
    assert (result["exact"], bool(result["not_exact"])) == (exact, not exact)
    assert why is None or any(why in reason for reason in result["not_exact"])
    assert (result["rounding"]["total"] < 1e-6) == (zeta < 1e6)
    assert len(result["rounding"]["layers"]) == len(result["layers"])
    costs = result["costs"]
    parts = [load_json(f"{Paths.of(config).part(part)}.json")[0] for part in range(2)]
    sums = [part["costs"]["sums"]["operations"] for part in parts]
    assert all(sum(each) for each in sums)
    np.testing.assert_allclose(costs["operations"]["layers"], np.sum(sums, axis=0) / 30, rtol=1e-15)
    assert costs["segments"][:-1] == result["layers"]
    assert costs["spiking_neurons"] == sum(parts[0]["neurons"])
    assert costs["spikes"]["total"] / costs["spiking_neurons"] == pytest.approx(result["spiking_fraction"]["total"])
    whole = np.add(costs["operations"]["layers"], costs["forced"]["layers"])
    np.testing.assert_allclose(whole, costs["synapses"]["layers"])
    if zeta > 0:
        # Each activation that is not 0 is one spike.
        assert costs["operations"] == costs["effective_macs"]
    if zeta == -0.7:
        # The reason counts the early spikes of all parts.
        assert any(reason.startswith(f"{result['early_spikes']['total']} spikes") for reason in result["not_exact"])


def test_a_part_that_is_not_exact_makes_the_whole_not_exact(outputs: Path) -> None:
    config = experiment(outputs, "phase2.zeta=60.0")
    phase2.run(config)
    file = f"{Paths.of(config).part(1)}.json"
    part, stamp = load_json(file)
    part = {**part, "not_exact": {"outside": "1 images have pixels outside"}}
    save_json(file, part, replace(stamp, content=content_digest(part)))
    gather.run(config)
    result, _ = load_json(f"{Paths.of(config).phase2}/result.json")
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
    for path, run in (
        (f"{Paths.of(config).phase2}/spiking.keras", lambda: phase2.simulate(config, 0)),
        (f"{Paths.of(config).weights}/original.keras", lambda: phase1.run(config)),
    ):
        name = spoil(path)
        with pytest.raises(
            UserError, match=rf"{re.escape(path)}: layer {name} has a kernel that is not a finite"
        ) as caught:
            run()
        assert "\n" not in str(caught.value)
