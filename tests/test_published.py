"""Whose value may stand beside a run: only that of the very same experiment, told by the run's own config and files."""

import copy
import csv
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from stamped import write_json

from relu2snn.config import (
    Paths,
    compose,
    compose_experiment,
    compose_suite,
    from_slice,
    other_values,
    reported,
    stage_slice,
)
from relu2snn.config.changes import flatten
from relu2snn.config.published import VALUES
from relu2snn.config.values import plain
from relu2snn.presentation.report import compares
from relu2snn.stages import provenance, tables

ROWS = compose_suite("paper").experiments
GROUPS = ("dataset", "model", "train", "phase1", "phase2")
# What changes no result, on any row.
FREE = {"dataset.source.by_hand", "phase1.batch", "phase1.floor", "phase2.batch", "phase2.seed", "phase2.stretch"}


def config(name: str, *overrides: str, suite: str = "paper") -> dict[str, Any]:
    values = plain(compose_experiment(name, compose_suite(suite), overrides))
    assert isinstance(values, dict)
    return values


def trained(values: dict[str, Any]) -> bool:
    return values["weights"]["source"] == "train"


def files(values: dict[str, Any], **weights: Any) -> list[dict[str, Any]]:
    """source.json of images and weights, result.json of both phases, as a whole run of this config leaves them."""
    source = values["dataset"]["source"]
    train, test = source["train_images"], source["test_images"]
    origin = {"train": None, "caffe": values["weights"]["caffemodel"], "imagenet": None}[values["weights"]["source"]]
    return [
        {"kind": source["kind"], "train_images": train, "test_images": test},
        {"kind": "trained" if trained(values) else "pretrained", "file": origin, **weights},
        {"images": test, "calibration_images": train},
        {"images": test, **values["phase2"]},
    ]


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return {str: "another", list: [[7]], type(None): "something"}[type(value)]


def put(values: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(values)
    place, rest = result, key
    # Names of files have dots of their own.
    while rest not in place:
        group, _, rest = rest.partition(".")
        place = place[group]
    place[rest] = value
    return result


@pytest.mark.parametrize("name", ROWS)
def test_the_published_run_stands_beside_its_value(name: str) -> None:
    """So conf/ still is what was published, for every row of the paper."""
    values = config(name)
    found = reported(values, *files(values))
    assert found.reason == ""
    assert found.values == {key: values["published"][key] for key in VALUES}
    assert found.source == values["published"]["source"]


@pytest.mark.parametrize("name", ROWS)
def test_any_one_other_value_leaves_it_out_and_is_named(name: str) -> None:
    values = config(name)
    keys = [key for group in GROUPS for key, _ in flatten(values[group], f"{group}.") if key not in FREE]
    if values["dataset"]["source"]["format"] not in ("places365", "pass"):
        keys = [key for key in keys if key not in ("dataset.parts", "dataset.part_images")]
    if not trained(values):
        # Weights that are not trained here know no recipe.
        keys = [key for key in keys if not key.startswith("train.")]
    before = dict(flatten(values))
    assert len(keys) > 25
    for key in keys:
        other = put(values, key, changed(before[key]))
        # Whether the files follow the config or not.
        for made in (files(values), files(other)):
            found = reported(other, *made)
            assert set(found.values.values()) == {None}, key
            assert found.source is None
            assert f"{key}=" in found.reason


@pytest.mark.parametrize("name", ["mnist_fc", "pass_vgg"])
def test_what_changes_no_result_changes_nothing_here(name: str) -> None:
    values = config(name)
    for key in (
        "phase1.batch",
        "phase1.floor",
        "phase2.batch",
        "phase2.seed",
        "phase2.stretch",
        "figures.seed",
        "container.engine",
        "outputs",
        "name",
    ):
        other = put(values, key, changed(dict(flatten(values))[key]))
        assert reported(other, *files(values)).reason == ""


FILES = [
    (0, "kind", "sample", "kind of the images: sample instead of real"),
    (0, "kind", "synthetic", "kind of the images: synthetic instead of real"),
    (0, "train_images", 8000, "training images: 8000 instead of 60000"),
    (0, "test_images", 100, "test images: 100 instead of 10000"),
    (1, "kind", "synthetic", "kind of the weights: synthetic instead of pretrained"),
    (2, "images", 8000, "images of phase 1: 8000 instead of 10000"),
    (2, "calibration_images", 8000, "calibration images of phase 1: 8000 instead of 60000"),
    (3, "images", 8000, "images of phase 2: 8000 instead of 10000"),
    (3, "zeta", 0.3, "zeta of phase 2: 0.3 instead of 0.5"),
    (3, "noise", 0.01, "noise of phase 2: 0.01 instead of 0.0"),
    (3, "alpha_noise", 0.01, "alpha_noise of phase 2: 0.01 instead of 0.0"),
    (3, "mapping", "reference", "mapping of phase 2: reference instead of published"),
    (3, "window", "certified", "window of phase 2: certified instead of margin"),
    (3, "precision", "float32", "precision of phase 2: float32 instead of float64"),
]


@pytest.mark.parametrize(("file", "key", "value", "reason"), FILES, ids=[reason for *_, reason in FILES])
def test_what_the_files_say_counts_whatever_the_config_says(file: int, key: str, value: Any, reason: str) -> None:
    values = config("mnist_fc")
    made = files(values)
    made[file][key] = value
    assert reported(values, *made).reason == reason
    del made[file][key]
    assert "null instead of " in reported(values, *made).reason


WEIGHTS = [
    ("mnist_fc", "data/models/MNIST/FC/mnist_fc_relu_original.h5", True),
    ("mnist_fc", "elsewhere/MNIST/FC/mnist_fc_relu_original.weights.h5", True),
    ("mnist_fc", "data/models/MNIST/FC/mnist_fc_relu_original.keras", True),
    ("mnist_fc", "data/models/MNIST/FC/mine.h5", False),
    ("mnist_fc", "data/models/fMNIST/FC/mnist_fc_relu_original.h5", False),
    ("mnist_fc", "mnist_fc_relu_original.h5", False),
    ("mnist_fc", "data/models/MNIST/FC/mnist_fc_l1_relu_original.h5", False),
    ("mnist_fc_l1", "data/models/MNIST/FC/mnist_fc_relu_original.h5", False),
    ("mnist_fc", None, False),
    ("pass_vgg", "data/models/PASS/VGG/vgg16_weights_tf_dim_ordering_tf_kernels.h5", True),
    ("pass_vgg", "data/smoke/pass/vgg16_weights.h5", False),
    ("places365_vgg", "data/models/PLACES365/VGG/places_vgg_relu_original.npz", True),
    ("places365_vgg", "data/raw/places365/other.caffemodel", False),
]


@pytest.mark.parametrize(("name", "file", "same"), WEIGHTS)
def test_weights_under_the_published_name_stand_for_the_recipe(name: str, file: str | None, same: bool) -> None:
    # A recipe that was not used doesn't matter.
    values = config(name, "train.epochs=3")
    found = reported(values, *files(values, kind="pretrained", file=file))
    assert (found.reason == "") == same
    assert (found.source is not None) == same
    if not same:
        assert str(file or values["weights"]["source"]) in found.reason


def test_weights_trained_here_are_never_those_published_without_a_recipe() -> None:
    values = config("pass_vgg")
    found = reported(values, *files(values, kind="trained"))
    assert found.reason.startswith("weights: trained here instead of imagenet or ")


def test_an_experiment_of_ones_own_with_a_copied_value_is_compared_by_what_it_is() -> None:
    """A name decides nothing: neither a copy under another name, nor another experiment under a published one."""
    values = config("mnist_fc")
    copied = {**values, "name": "mine"}
    assert reported(copied, *files(copied)).values["accuracy"] == 0.9862
    other = {**config("fmnist_fc"), "name": "mnist_fc", "published": values["published"]}
    assert "dataset.name=fmnist instead of mnist" in reported(other, *files(other)).reason


def test_the_issues_own_case_says_why() -> None:
    values = config("mnist_fc", "dataset.source.train_images=8000", "train.epochs=3", "phase2.noise=0.01")
    reason = reported(values, *files(values)).reason
    assert reason == (
        "dataset.source.train_images=8000 instead of 60000, train.epochs=3 instead of 100, "
        "phase2.noise=0.01 instead of 0.0"
    )
    many = config("mnist_fc", "train=quickstart")
    assert reported(many, *files(many)).reason.endswith(" more")
    unknown = config("mnist_fc", "published.model=none")
    assert reported(unknown, *files(unknown)).reason == "published.model=none is none of conf/published.yaml"


@pytest.mark.parametrize("suite", ["quickstart", "smoke"])
def test_suites_of_other_data_compare_nothing(suite: str) -> None:
    for name in compose_suite(suite).experiments:
        values = config(name, suite=suite)
        assert other_values(values)
        assert set(reported(values, *files(values)).values.values()) == {None}


# The pages, over result files of runs that never ran


def run_of(folder: Path, name: str, *overrides: str, suite: str = "paper", **changes: Any) -> None:
    """The result files of a run, and its provenance as its stage writes it."""
    whole = compose_experiment(name, compose_suite(suite), [f"outputs={folder}", *overrides])
    values = plain(whole)
    assert isinstance(values, dict)
    paths = Paths.of(whole)
    images, weights, phase1, phase2 = files(values)
    write_json(f"{paths.dataset}/source.json", images)
    write_json(f"{paths.weights}/source.json", weights)
    accuracies = {"accuracy_original": 0.9861, "accuracy_scaled": 0.9861, "agreement_scaled": 1.0}
    nothing = {"total": 0, "layers": [0]}
    write_json(f"{paths.phase1}/result.json", {**phase1, **accuracies, "nonzero_fraction": {"test": nothing}})
    result = {"experiment": name, "dataset": values["dataset"]["name"], "variant": values["run"]["phase2"]}
    result |= {"overrides": values["run"]["overrides"], "run": values["run"], "accuracy": 0.9861, "agreement": 1.0}
    result |= {"exact": True, "latency": 5.0}
    result |= dict.fromkeys(("certified", "early_spikes", "spiking_fraction"), nothing)
    write_json(f"{paths.phase2}/result.json", {**phase2, **result, **changes})
    provenance.run(from_slice(stage_slice(whole, "provenance")))


def pages(folder: Path, suite: str = "paper") -> tuple[str, str]:
    """The page of results and the first page's table."""
    whole = compose_experiment("fmnist_fc", compose_suite(suite), [f"outputs={folder}"])
    tables.report_results(from_slice(stage_slice(whole, "report_results")))
    return tuple((folder / suite / "report" / name).read_text() for name in ("results.html", "summary.csv"))  # type: ignore


def test_the_page_has_the_value_beside_the_published_run_alone(tmp_path: Path) -> None:
    run_of(tmp_path, "mnist_fc")
    run_of(tmp_path, "mnist_fc", "phase2.zeta=0.3")
    run_of(tmp_path, "mnist_fc", "dataset.source.train_images=8000", "train.epochs=3")
    run_of(tmp_path, "fmnist_fc")
    page, table = pages(tmp_path)
    assert page.count("0.9862") == 2  # the number, and all of its digits
    rows = {row["experiment"]: row for row in csv.DictReader(table.splitlines())}
    assert {name for name, row in rows.items() if row["published"]} == {"mnist_fc"}
    reasons = {name: row["not compared, since"] for name, row in rows.items() if row["not compared, since"]}
    assert set(reasons.values()) == {
        "phase2.zeta=0.3 instead of 0.5",
        "dataset.source.train_images=8000 instead of 60000, train.epochs=3 instead of 100",
    }
    assert all(reason in page for reason in reasons.values())


def test_a_page_of_other_runs_alone_has_no_value_and_says_why(tmp_path: Path) -> None:
    """The config says all of the images; the files say how many were really run."""
    run_of(tmp_path, "mnist_fc", images=8000)
    page, table = pages(tmp_path)
    assert "0.9862" not in page + table
    assert "images of phase 2: 8000 instead of 10000" in page
    assert "images of phase 2: 8000 instead of 10000" in table
    assert not compares(tmp_path / "paper" / "report" / "results.html")


@pytest.mark.parametrize("overrides", [[], ["phase2.zeta=0.3"]])
def test_a_suite_that_compares_nothing_has_no_word_of_it(tmp_path: Path, overrides: list[str]) -> None:
    for name in ("fmnist_fc", "fmnist_vgg"):
        run_of(tmp_path, name, *overrides, suite="quickstart")
    page, table = pages(tmp_path, suite="quickstart")
    (config_page,) = (tmp_path / "quickstart" / "fmnist_vgg" / "provenance").glob("*/config.html")
    # The keys of conf/ that say what the files of a data set are compared with, and the name of the mapping.
    shown = re.sub(r"check: published|published:|mapping: published", "", config_page.read_text())
    for text in (page, table, shown):
        for word in ("publish", "paper", "compared", "2212.12522"):
            assert word not in text.lower()


def test_a_recipe_edited_in_conf_is_another_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever edits conf/train/mnist.yaml has changed every run of it, and what is published stays what it is."""
    shutil.copytree(compose.conf(), tmp_path / "conf")
    recipe = tmp_path / "conf" / "train" / "mnist.yaml"
    recipe.write_text(recipe.read_text().replace("epochs: 100", "epochs: 3"))
    monkeypatch.setattr(compose, "conf", lambda: tmp_path / "conf")
    run_of(tmp_path / "outputs", "mnist_vgg")
    page, _ = pages(tmp_path / "outputs")
    assert "train.epochs=3 instead of 100" in page
    assert not compares(tmp_path / "outputs" / "paper" / "report" / "results.html")
