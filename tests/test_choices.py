"""A wrong name or value is answered with the legal ones: all of them if they are few, else the nearest."""

import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from runs import ROOT

from relu2snn.config import compose, compose_experiment, compose_suite
from relu2snn.config.compose import known
from relu2snn.config.nearest import choose_from, key_hint
from relu2snn.config.overrides import key_types
from relu2snn.config.schema import Experiment, schema_fields
from relu2snn.config.selection import select
from relu2snn.errors import UserError

FORMATS = ("idx", "cifar10", "cifar100", "places365", "pass", "npz")
GROUPS = sorted({path.name for path in (ROOT / "conf").iterdir() if path.is_dir()} & {*key_types()} - {"sweep"})
LEAVES = [key for key, kind in key_types().items() if not is_dataclass(kind)]


def refusal(**options: Any) -> str:
    with pytest.raises(UserError) as caught:
        select({"experiments": "mnist_fc", **options}, FORMATS)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize(("option", "group"), [("suite", "suite"), ("experiments", "experiment"), ("sweep", "sweep")])
def test_options_name_what_there_is(option: str, group: str) -> None:
    line = refusal(**{option: "xyz"})
    assert all(name in line.partition("choose from ")[2].split(", ") for name in known(group))


@pytest.mark.parametrize("group", GROUPS)
def test_groups_name_their_files(group: str) -> None:
    line = refusal(overrides=f"{group}=xyz")
    assert line == f"override '{group}=xyz': no such {group}; choose from {', '.join(known(group))}"


@pytest.mark.parametrize("key", [key for key in LEAVES if schema_fields()[key].metadata.get("choices")])
def test_choices_are_named(key: str) -> None:
    assert f"{key}=xyz: must be one of {', '.join(schema_fields()[key].metadata['choices'])}" in refusal(
        overrides=f"{key}=xyz"
    )


@pytest.mark.parametrize(
    "key", [key for key in LEAVES if str(key_types()[key]).startswith(("<class 'int", "<class 'float", "<class 'bool"))]
)
def test_what_is_no_number_is_told_what_may_be_given(key: str) -> None:
    from relu2snn.config.ranges import legal

    entry = schema_fields()[key]
    for value in ("xyz", "null", "[1]"):
        assert f"; give {legal(entry.type, entry.metadata)}" in refusal(overrides=f"{key}={value}")


KEYS = [
    ("zeta", "; did you mean 'phase2.zeta'?"),
    ("epochs", "; did you mean 'train.epochs'?"),
    ("seed", "; did you mean 'dataset.source.seed', 'train.seed', 'phase2.seed' or 'figures.seed'?"),
    ("phase1.zeta", "; did you mean 'phase2.zeta'?"),
    ("train.epoch", "; did you mean 'train.epochs'?"),
    ("learning_rte", "; did you mean 'train.learning_rate'?"),
    ("phase1.xyz", "; phase1 has lower, upper, batch, floor"),
    ("xyz", "; docs/config.md has all keys"),
    ("suite", "; it is an option of the call, beside overrides"),
    ("suite.name", "; "),
]


@pytest.mark.parametrize(("key", "hint"), KEYS)
def test_a_wrong_key_is_answered_with_the_nearest(key: str, hint: str) -> None:
    assert f"override '{key}=1': no such key '{key}'{hint}" in refusal(overrides=f"{key}=1")


def test_every_key_is_found_by_its_last_word_alone() -> None:
    for key in LEAVES:
        last = key.rpartition(".")[2]
        if last not in key_types():
            hint = key_hint(last, key_types())
            assert f"'{key}'" in hint or sum(each.endswith(f".{last}") for each in key_types()) > 5


def test_a_group_is_told_what_is_in_it() -> None:
    assert "set the values in it, as in train.dropout.first=…" in refusal(overrides="train.dropout=3")
    assert "set the values in it, as in weights.root=…" in refusal(overrides="weights=3")


def test_many_names_are_not_all_listed() -> None:
    names = [f"name_{number}" for number in range(200)]
    line = choose_from("name_17x", names, "conf/model/")
    assert line.startswith("choose from name_17, ")
    assert line.endswith("and the others in conf/model/")
    assert choose_from("äöü", names, "conf/model/") == "choose one of the 200 in conf/model/"


def test_no_sweep_and_a_sweep_are_not_both_to_be_had() -> None:
    assert refusal(sweep="none,zeta") == "sweep=none,zeta: none leaves out all sweeps; name it alone, or leave it out"


FILES = [
    (
        "experiment/mnist_fc.yaml",
        "phase2:\n  zetaa: 1\n",
        "mnist_fc.yaml: Key 'zetaa' not in 'Phase2'; did you mean 'phase2.zeta'?",
    ),
    ("experiment/mnist_fc.yaml", "phase3: 1\n", "Key 'phase3' not in 'Experiment'; did you mean 'phase"),
    (
        "train/mnist.yaml",
        "epoch: 1\n",
        "conf/train/mnist.yaml: Key 'epoch' not in 'Train'; did you mean 'train.epochs'?",
    ),
    ("phase1/default.yaml", "xyz: 1\n", "Key 'xyz' not in 'Phase1'; phase1 has lower, upper, batch, floor"),
    (
        "suite/paper.yaml",
        "xyz: 1\n",
        "conf/suite/paper.yaml: Key 'xyz' not in 'Suite'; it has name, experiments, closed",
    ),
    ("suite/paper.yaml", "sweep: 1\n", "Key 'sweep' not in 'Suite'; did you mean 'sweeps'?"),
    (
        "suite/paper.yaml",
        "name: paper\nexperiments: [mnist_fc]\nclosed: false\nsweeps: {mnist_fc: [zetaa]}\n",
        "sweeps names zetaa, which is no sweep of conf/sweep/; choose from alpha_noise, noise, reference_noise, zeta",
    ),
    (
        "suite/paper.yaml",
        "name: paper\nexperiments: [mnist_fcc]\nclosed: false\n",
        "experiments names mnist_fcc, which is no experiment of conf/experiment/; choose from cifar100_vgg, ",
    ),
    (
        "experiment/mnist_fc.yaml",
        "defaults:\n  - override /model: xyz\nname: mnist_fc\n",
        "mnist_fc.yaml: In 'config': Could not find 'model/xyz' Available options in 'model': "
        + " ".join(known("model"))
        + "; mend it, or the files that it names",
    ),
]


@pytest.mark.parametrize(("name", "text", "message"), FILES, ids=[message[:60] for *_, message in FILES])
def test_a_wrong_name_in_a_file_is_answered_alike(
    tmp_path: Path, monkeypatch, name: str, text: str, message: str
) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    head = "# @package _global_\n" if name.startswith("experiment") else ""
    (conf / name).write_text(head + text)
    monkeypatch.setattr(compose, "conf", lambda: conf)
    with pytest.raises(UserError) as caught:
        compose_experiment("mnist_fc", compose_suite("paper"))
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_every_group_of_the_schema_can_say_what_it_has() -> None:
    for entry in fields(Experiment):
        if is_dataclass(entry.type) and entry.name in key_types():
            assert f"; {entry.name} has " in key_hint(f"{entry.name}.äöü", key_types())
