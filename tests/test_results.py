"""The table of results, from made-up result folders."""

import csv
import io
import re
import sys

import pytest
from stamped import write_json

from relu2snn.config import Paths, from_slice
from relu2snn.errors import UserError
from relu2snn.presentation.results import COLUMNS, COST_COLUMNS, collect, energy_models, print_table
from relu2snn.stages.tables import results as run

SUITE = "fake_suite"


FOLDERS = {"dataset": "base", "train": "base", "weights": "base", "phase1": "base"}


def paths_of(outputs, name, variant="base"):
    names = {"outputs": str(outputs), "suite": {"name": SUITE}, "name": name, "dataset": {"name": "fake_data"}}
    return Paths.of(from_slice({**names, "run": {**FOLDERS, "phase2": variant}}))


COSTS = {
    "synapses": 100,
    "operations": 25.0,
    "forced": 75.0,
    "reference": 4,
    "start": 6,
    "dense_macs": 100,
    "effective_macs": 24.5,
    "integration": 12.0,
}
ENERGY = {
    "resolution": 0.25,
    "mac_accesses": 2.0,
    "accumulate_accesses": 3.0,
    "float32": {"mac": 4.0, "accumulate": 1.0, "access": 2.0},
    "int8": {"mac": 0.25, "accumulate": 0.125, "access": 0.5},
}


def fake_experiment(outputs, name, variants=("base",), **changes):
    """Result files of an experiment that never ran."""
    values = {"accuracy": 0.9862, "agreement": 1.0, "kind": "sample", "weights": "trained"} | changes
    paths = paths_of(outputs, name)
    write_json(f"{paths.dataset}/source.json", {"kind": values["kind"]})
    write_json(f"{paths.weights}/source.json", {"kind": values["weights"]})
    write_json(
        f"{paths.phase1}/result.json",
        {
            "accuracy_original": values["accuracy"],
            "accuracy_scaled": values["accuracy"],
            "nonzero_fraction": {
                "calibration": {"total": 0.5, "layers": [0.5]},
                "test": {"total": 0.25, "layers": [0.25]},
            },
        },
    )
    for variant in variants:
        write_json(
            f"{paths_of(outputs, name, variant).phase2}/result.json",
            {
                "experiment": name,
                "overrides": [] if variant == "base" else [f"phase2.{variant}"],
                "run": {**FOLDERS, "phase2": variant},
                "variant": variant,
                "dataset": "fake_data",
                "images": 1000,
                "accuracy": values["accuracy"],
                "agreement": values["agreement"],
                "latency": 1 / 3,
                "spiking_fraction": {"total": 0.125, "layers": [0.125]},
                "exact": False,
                "certified": {"total": 0.875, "layers": [0.875]},
                "simulated": {"total": 2, "layers": [2]},
                "early_spikes": {"total": 1, "layers": [1]},
                "largest_deviation": {"total": 0.5, "layers": [0.5]},
                **({} if values.get("uncounted") else {"costs": FAKE_COSTS}),
            },
        )
    return paths


FAKE_COSTS = {"segments": ["dense"], "spiking_neurons": 5}
FAKE_COSTS |= {key: {"total": value, "layers": [value]} for key, value in COSTS.items()}


def results(outputs):
    run(from_slice({"outputs": str(outputs), "suite": {"name": SUITE}, "energy": ENERGY}))
    with open(outputs / SUITE / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_one_row_per_experiment_and_variant_in_order_with_every_bit(tmp_path):
    fake_experiment(tmp_path, "mnist_lenet", accuracy=0.1 + 0.2)
    fake_experiment(tmp_path, "mnist_fc", variants=("zeta=0.3", "base"), kind="real", weights="pretrained")
    rows = results(tmp_path)
    assert [(row["experiment"], row["variant"]) for row in rows] == [
        ("mnist_fc", "base"),
        ("mnist_fc", "zeta=0.3"),
        ("mnist_lenet", "base"),
    ]
    assert rows[2] == {
        "experiment": "mnist_lenet",
        "overrides": "",
        "images": "1000",
        "accuracy_original": "0.30000000000000004",
        "accuracy_scaled": "0.30000000000000004",
        "accuracy": "0.30000000000000004",
        "agreement": "1.0",
        "exact": "False",
        "certified": "0.875",
        "early_spikes": "1",
        "latency": repr(1 / 3),
        "nonzero_fraction": "0.25",
        "spiking_fraction": "0.125",
        "data": "real",
        "weights": "trained",
        "variant": "base",
        "synaptic_operations": "25.0",
        "dense_macs": "100",
        "effective_macs": "24.5",
        "latency_steps": repr(1 / 3 / 0.25),
        # 25 operations and 6 + 5 of clocks, of 1 + 3 · 2 pJ; multiply-accumulates of 4 + 2 · 2 pJ.
        "energy_spiking_nj": repr(36 * 7 / 1e3),
        "energy_relu_nj": "0.8",
        "energy_relu_sparse_nj": "0.196",
    }
    assert [row["overrides"] for row in rows] == ["", "phase2.zeta=0.3", ""]
    assert rows[0]["weights"] == "pretrained"


def test_a_result_from_before_costs_were_counted_has_none(tmp_path):
    fake_experiment(tmp_path, "mnist_fc", uncounted=True)
    (row,) = results(tmp_path)
    assert {row[name] for name in COST_COLUMNS} == {""}
    assert row["agreement"] == "1.0"


def test_every_model_of_the_hardware_has_its_constants():
    models = energy_models(from_slice({"energy": ENERGY}).energy)
    assert list(models) == ["float32", "float32 and memory", "int8", "int8 and memory"]
    pairs = {name: (each.per_mac, each.per_accumulate) for name, each in models.items()}
    assert pairs == {
        "float32": (4.0, 1.0),
        "float32 and memory": (8.0, 7.0),
        "int8": (0.25, 0.125),
        "int8 and memory": (1.25, 1.625),
    }
    assert {each.resolution for each in models.values()} == {0.25}


def test_other_suites_and_data_sets_are_not_read(tmp_path):
    fake_experiment(tmp_path, "mnist_fc")
    write_json(tmp_path / "other_suite/mnist_vgg/phase2/base/result.json", {})
    write_json(tmp_path / SUITE / "datasets/phase2/base/result.json", {})
    write_json(tmp_path / SUITE / "mnist_fc/phase2/base/parts/0.json", {})
    assert [row["experiment"] for row in results(tmp_path)] == ["mnist_fc"]


def test_data_without_labels_has_empty_accuracies(tmp_path, capsys):
    fake_experiment(tmp_path, "pass_vgg", accuracy=None, agreement=0.5)
    (row,) = results(tmp_path)
    assert (row["accuracy_original"], row["accuracy_scaled"], row["accuracy"]) == ("", "", "")
    assert row["agreement"] == "0.5"
    assert "None" not in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["phase1/base/result.json", "weights/base/source.json"])
def test_a_row_whose_files_are_gone_is_skipped_aloud(tmp_path, capsys, missing):
    fake_experiment(tmp_path, "mnist_fc")
    fake_experiment(tmp_path, "mnist_lenet")
    (tmp_path / SUITE / "mnist_lenet" / missing).unlink()
    assert [row["experiment"] for row in results(tmp_path)] == ["mnist_fc"]
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{SUITE}/mnist_lenet/{missing}: no such file" in line
    assert "run the stage that makes it first" in line


def test_no_results_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=rf"{SUITE}: no results of phase 2 here; run snakemake"):
        results(tmp_path)
    assert not (tmp_path / SUITE).exists()


@pytest.mark.parametrize(
    ("agreement", "shown"),
    [
        (1.0, "1.0"),
        (0.99999, "0.9999"),
        (36499 / 36500, "0.9999"),
        (0.99984, "0.9998"),
        (0.5, "0.5000"),
        (0.00001, "0.0000"),
        (0.0, "0.0"),
    ],
)
def test_agreement_is_shown_as_one_only_when_it_is_one(tmp_path, agreement, shown):
    fake_experiment(tmp_path, "mnist_fc", agreement=agreement)
    output = io.StringIO()
    print_table(collect(str(tmp_path), SUITE), output)
    cells = [cell.strip() for cell in output.getvalue().splitlines()[3].split("│")[1:-1]]
    assert cells[COLUMNS.index("agreement")] == shown


def test_table_is_whole_when_it_is_not_printed_to_a_terminal(tmp_path, monkeypatch):
    name = "an_experiment_with_quite_a_long_name"
    variant = "noise=0.0005__alpha_noise=0.00001__train.epochs=16"
    fake_experiment(tmp_path, name, variants=(variant,))
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setenv("COLUMNS", "40")
    print_table(collect(str(tmp_path), SUITE))
    text = output.getvalue()
    assert name in text
    assert variant in text
    assert "…" not in text
    assert re.findall(r"accuracy original|nonzero fraction", text) == ["accuracy original", "nonzero fraction"]


def test_main_columns_fit_a_hundred_characters_and_lose_nothing(tmp_path, monkeypatch):
    name = "an_experiment_with_quite_a_long_name"
    fake_experiment(tmp_path, name, variants=("noise=0.0005__alpha_noise=0.00001__train.epochs=16",))
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    results(tmp_path)
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines[1].split("┃")) == 6 + 2
    folded = "".join(line.split("│")[1].strip() for line in lines if line.startswith("│"))
    assert folded.replace(" ", "") == f"{name}phase2.noise=0.0005__alpha_noise=0.00001__train.epochs=16"
