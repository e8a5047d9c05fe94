"""Runs of the stages: whatever file of another run is put in a file's place, what is reported is of one run."""

import contextlib
import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu2snn.stages._tensorflow  # noqa: F401
from relu2snn.config import Paths, compose_experiment, compose_suite, from_slice, sweep_point
from relu2snn.config.shaping import job_slice
from relu2snn.datasets.arrays import ArraySet, prepare
from relu2snn.errors import UserError
from relu2snn.made import Job, load_json
from relu2snn.made.keras_file import copy, read_stamp
from relu2snn.networks.written import load_spiking
from relu2snn.stages._job import job
from relu2snn.stages._table import STAGES

IMAGES = 24
VALUES = [
    "dataset=fmnist_sample",
    f"dataset.source.train_images={IMAGES}",
    f"dataset.source.test_images={IMAGES}",
    "dataset.parts=2",
    "model.width=0.01",
    "train.epochs=1",
    "figures.neurons=5",
    "sweep.values=[0.0,0.01]",
    "sweep.trials=2",
]
# One run with other values, and one with the same values and other images.
OTHERS = {
    "values": ["phase2.zeta=0.3", "phase1.upper=0.5", "train.seed=1", "dataset.source.kind=synthetic"],
    "images": [],
}
CHAIN = (
    *("train", "weights", "phase1", "bounds", "reference", "convert", "phase2", "gather"),
    *("figures", "track", "results"),
)
SWEEP = ("sweep_point", "sweep_gather", "track_sweep", "sweep_results")


class Run:
    """The files of one configuration, and its stages."""

    def __init__(self, outputs: Path, *overrides: str, images: int = 0) -> None:
        self.overrides, self.images = list(overrides), images
        self.at(outputs)

    def at(self, outputs: Path) -> "Run":
        self.outputs = outputs
        ours = [f"outputs={outputs}", *VALUES, *self.overrides]
        self.config = compose_experiment("fmnist_fc", compose_suite("quickstart"), ours, "noise")
        self.paths = Paths.of(self.config)
        return self

    def copy(self, outputs: Path) -> "Run":
        shutil.copytree(self.outputs, outputs)
        return Run(outputs, *self.overrides, images=self.images)

    def slice(self, stage: str, config: Any = None) -> Any:
        return from_slice(job_slice(config or self.config, stage))

    def make(self, *stages: str) -> None:
        for stage in stages:
            if stage == "data":
                draw = np.random.default_rng(self.images)
                pixels = draw.integers(0, 256, (2, IMAGES, 28, 28, 1)).astype(np.uint8)
                labels = np.arange(IMAGES) % 10
                arrays = ArraySet(pixels[0], labels, pixels[1], labels, "random", [])
                kind = self.config.dataset.source.kind
                work = job(self.slice("data"), "data")
                prepare(self.paths.dataset, "fmnist_sample", kind, arrays, job=work)
                continue
            run = STAGES[stage].run
            if stage == "sweep_point":
                for value in (0.0, 0.01):
                    run(self.slice(stage, sweep_point(self.config, value)))
            elif stage == "phase2":
                for part in range(2):
                    run(self.slice(stage), part)
            else:
                run(self.slice(stage))

    def row(self) -> dict[str, str]:
        with open(self.paths.results, newline="") as file:
            (row,) = csv.DictReader(file)
        return row

    def files(self) -> dict[str, Path]:
        paths = self.paths
        folders = {
            "data": paths.dataset,
            "train": paths.train,
            "weights": paths.weights,
            "phase1": paths.phase1,
            "phase2": paths.phase2,
            "figures": paths.figures,
            "points": paths.points,
            "sweep": paths.sweep,
            "track": Path(paths.tracked).parent,
        }
        return {name: Path(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, shared: dict[str, Any]) -> Iterator[dict[str, Run]]:
    folder = tmp_path_factory.mktemp("runs")
    made = {"own": Run(folder / "own")}
    made |= {name: Run(folder / name, *values, images=name == "images") for name, values in OTHERS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELU2SNN_TRACKING", json.dumps({"": shared}))
        for run in made.values():
            run.make("data", *CHAIN, *SWEEP)
        yield made


# Every file, by its folder and name, and the stages that read it.
READERS = {
    ("data", "source.json"): "train phase1 bounds phase2 figures track results sweep_point track_sweep sweep_results",
    ("data", "train_images.npy"): "train phase1 bounds phase2 figures track sweep_point",
    ("data", "test_images.npy"): "train phase1 phase2 sweep_point",
    ("train", "trained.keras"): "weights",
    ("train", "history.json"): "track",
    ("weights", "original.keras"): "phase1",
    ("weights", "source.json"): "track results track_sweep sweep_results",
    ("phase1", "channel_maxima.npz"): "reference",
    ("phase1", "scaled.keras"): "bounds reference convert figures track sweep_point",
    ("phase1", "predictions.npz"): "phase2 figures track sweep_point",
    ("phase1", "result.json"): "reference convert figures track results sweep_point sweep_results",
    ("phase2", "spiking.keras"): "phase2 figures track",
    ("phase2", "parts/0.npz"): "gather",
    ("phase2", "parts/1.npz"): "gather",
    ("phase2", "parts/0.json"): "gather",
    ("phase2", "parts/1.json"): "gather",
    ("phase2", "result.json"): "figures track results",
    ("phase2", "predictions.npz"): "figures track",
    ("figures", "data.npz"): "track",
    ("figures", "exactness.png"): "track",
    ("figures", "raster.svg"): "track",
    ("track", "mlflow.json"): "track_sweep",
    ("points", "0.0.json"): "sweep_gather",
    ("points", "0.01.json"): "sweep_gather",
    ("sweep", "result.json"): "track_sweep sweep_results",
    ("sweep", "noise.png"): "track_sweep",
    ("sweep", "table.csv"): "track_sweep",
}
# Each stage against a run with other values, and each file once against one with other images, at a reader in turn.
PAIRS = [(file, stage, "values") for file, stages in READERS.items() for stage in stages.split()]
PAIRS += [
    (file, stages.split()[place % len(stages.split())], "images")
    for place, (file, stages) in enumerate(READERS.items())
]


def refused(run: Run, *stages: str) -> str:
    """The one line with which one of the stages ends; none of them may get through to a table."""
    with pytest.raises(UserError) as error:
        run.make(*stages)
    text = str(error.value)
    assert text.isprintable(), text
    return text


@pytest.mark.parametrize(
    ("file", "stage", "other"), PAIRS, ids=["-".join((*file, stage, other)) for file, stage, other in PAIRS]
)
def test_a_file_of_another_run_is_refused_by_every_stage_that_reads_it(
    runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str], file: Any, stage: str, other: str
) -> None:
    folder, name = file
    run = runs["own"].copy(tmp_path / "outputs")
    target = run.files()[folder] / name
    swapped = (runs[other].files()[folder] / name).read_bytes()
    if target.read_bytes() == swapped:
        pytest.skip("both runs have the same file")
    target.write_bytes(swapped)
    chain = SWEEP if stage in SWEEP else CHAIN
    after = chain[chain.index(stage) :] if other == "images" else [stage]
    if stage in ("results", "sweep_results"):
        with contextlib.suppress(UserError):
            run.make(stage)
        (line,) = capsys.readouterr().err.splitlines()
        assert "left out of the table; " in line
        return
    text = refused(run, *after)
    assert text.endswith(")") or "again" in text, text


def test_a_network_with_other_scales_is_refused_where_it_is_read(runs: dict[str, Run], tmp_path: Path) -> None:
    run = Run(tmp_path / "outputs", "phase2.mapping=reference")
    shutil.copytree(runs["own"].outputs, run.outputs)
    run.make("convert", "phase2", "gather", "figures")
    for file, stages in (
        ("reference.keras", ("convert", "sweep_point", "figures", "track")),
        ("reference.json", ("convert", "sweep_point", "gather")),
    ):
        own = run.files()["phase1"] / file
        kept = own.read_bytes()
        shutil.copy(runs["values"].files()["phase1"] / file, own)
        for stage in stages:
            assert "phase1.upper=0.5" in refused(run, stage)
        own.write_bytes(kept)


def test_windows_of_the_mapping_with_a_reference_are_said_by_its_results(runs: dict[str, Run], tmp_path: Path) -> None:
    for values in ([], ["phase2.window=guaranteed"]):
        run = Run(tmp_path / "outputs", "phase2.mapping=reference", *values)
        shutil.copytree(runs["own"].outputs, run.outputs, dirs_exist_ok=True)
        run.make("convert", "phase2", "gather", *(() if values else ("figures", "track")))
        result, _ = load_json(run.files()["phase2"] / "result.json")
        assert (result["mapping"], result["exact"], result["constructed"]["total"]) == ("reference", True, 1.0)
        assert set(result["layer_maxima"]) == {1.0}
        lengths = np.diff(result["windows"])
        if values:
            assert (lengths > 1.5).all()
            continue
        assert (lengths == 1.5).all()
        with np.load(run.files()["figures"] / "data.npz") as numbers:
            np.testing.assert_array_equal(numbers["layer_maxima.maxima"], 1.0)
            assert numbers["exactness.largest"].max() < 1e-9


def test_what_is_reported_is_what_the_network_is(runs: dict[str, Run]) -> None:
    for name, zeta in (("own", 0.5), ("values", 0.3), ("images", 0.5)):
        run = runs[name]
        folder = run.files()["phase2"]
        result, stamp = load_json(folder / "result.json")
        model = load_spiking(Job("test", {}), str(folder / "spiking.keras"))
        from relu2snn.spiking import latency

        assert result["latency"] == latency(model) == float(run.row()["latency"])
        assert result["zeta"] == zeta == stamp.values["phase2.zeta"]
        measured = load_json(run.files()["phase1"] / "result.json")[0]
        maxima = measured["layer_maxima"]
        assert model.layer_maxima == dict(zip(measured["layers"], maxima, strict=True))
        windows = [node.window for node in model.network.firing]
        np.testing.assert_allclose(windows, (1 + zeta) * np.array(maxima), rtol=1e-12)
        assert {"phase2.seed", "phase2.noise", "phase2.window", "phase2.precision"} <= set(stamp.values)
        assert stamp.values["train.seed"] == (name == "values")
        assert set(stamp.inputs) == {
            "data/source.json",
            "train/trained.keras",
            "weights/original.keras",
            "phase1/scaled.keras",
            "phase1/channel_maxima.npz",
            "phase1/predictions.npz",
            "phase1/result.json",
            "convert/spiking.keras",
            "phase2/parts",
            "gather/predictions.npz",
        }


def test_the_readmes_line_and_then_an_ordinary_run_never_mix(
    runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Phase 2 by hand at another ζ has a folder of its own; even copied into the other's, nothing takes its files."""
    run = runs["own"].copy(tmp_path / "outputs")
    before = run.row()
    by_hand = Run(run.outputs, "phase2.zeta=0.3")
    STAGES["phase2"].run(by_hand.slice("phase2"))
    run.make("gather", "figures", "results")
    with open(run.paths.results, newline="") as file:
        rows = {row["overrides"]: row for row in csv.DictReader(file)}
    assert len(rows) == 2
    assert rows[before["overrides"]] == before
    assert rows[f"phase2.zeta=0.3 {before['overrides']}"]["latency"] != before["latency"]
    shutil.copytree(by_hand.paths.phase2, run.paths.phase2, dirs_exist_ok=True)
    for stage in ("phase2", "gather", "figures", "track"):
        text = refused(run, stage)
        assert "made with phase2.zeta=0.3, but this run has phase2.zeta=0.5" in text
        assert "run the stage " in text
    capsys.readouterr()
    run.make("results")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{run.paths.phase2}/result.json: left out of the table; ")
    shutil.rmtree(by_hand.paths.phase2)
    run.make("convert", "phase2", "gather", "results")
    assert run.row() == before


def test_making_a_file_again_alike_disturbs_nothing(runs: dict[str, Run], tmp_path: Path) -> None:
    run = runs["own"].copy(tmp_path / "outputs")
    before = run.row()
    run.make("weights", "phase1")
    run.make("figures", "results", "sweep_results")
    assert run.row() == before


def edit(path: Path, values: dict[str, Any], of: dict[str, Any]) -> None:
    """Say other things in a network's stamp, as a whole stamp with the right digests."""
    stamp = read_stamp(path)
    changed = type(stamp)(stamp.stage, {**stamp.of, **of}, {**stamp.values, **values}, stamp.inputs, stamp.content)
    copy(path, path, changed)


STAMPS = {
    "zeta": {"phase2.zeta": 0.3},
    "noise": {"phase2.noise": 0.01},
    "alpha_noise": {"phase2.alpha_noise": 0.01},
    "seed": {"phase2.seed": 5},
    "precision": {"phase2.precision": "float32"},
    "words": {"phase2.zeta": "half"},
}


@pytest.mark.parametrize("values", STAMPS.values(), ids=STAMPS)
def test_a_network_that_is_not_what_its_stamp_says_is_refused(
    runs: dict[str, Run], tmp_path: Path, values: dict[str, Any]
) -> None:
    run = runs["own"].copy(tmp_path / "outputs")
    path = run.files()["phase2"] / "spiking.keras"
    edit(path, values, {})
    with pytest.raises(UserError) as error:
        load_spiking(Job("test", {}), str(path))
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert text.isprintable()
    assert "run the stage convert again" in text
    assert not list(path.parent.glob(".*"))


@pytest.mark.parametrize("maxima", [{"{name}": 1.0}, {}, {"{name}": 1.0, "other": 2.0}, [1.0], {"{name}": "one"}])
def test_a_network_with_other_windows_than_its_maxima_is_refused(
    runs: dict[str, Run], tmp_path: Path, maxima: Any
) -> None:
    run = runs["own"].copy(tmp_path / "outputs")
    path = run.files()["phase2"] / "spiking.keras"
    (name,) = load_json(run.files()["phase1"] / "result.json")[0]["layers"]
    named = {key.format(name=name): each for key, each in maxima.items()} if isinstance(maxima, dict) else maxima
    edit(path, {}, {"layer_maxima": named})
    with pytest.raises(UserError, match="run the stage convert again"):
        load_spiking(Job("test", {}), str(path))
