"""The folders of configurations: what names them, what shares them, and what jobs are told of their run."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import MISSING

from relu2snn.config import Experiment, Paths, compose_experiment, compose_suite, from_slice, stage_slice
from relu2snn.config import selection as selection_module
from relu2snn.config.changes import override_text
from relu2snn.config.places import engine_of, publish_places, tracking_of
from relu2snn.config.rules import slice_text
from relu2snn.config.schema import Run, schema_fields
from relu2snn.config.selection import select
from relu2snn.config.shaping import job_slice
from relu2snn.config.variants import FILES_VARIABLE, LONGEST, unmasked, variant_name
from relu2snn.datasets import SUPPORTED_FORMATS
from relu2snn.errors import UserError


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (FILES_VARIABLE, "RELU2SNN_TRACKING", "RELU2SNN_CONTAINER_ENGINE"):
        monkeypatch.setenv(name, "{}")


def composed(*overrides: str, name: str = "mnist_fc", suite: str = "paper", sweep: str = "") -> Experiment:
    return compose_experiment(name, compose_suite(suite), overrides, sweep)


NAMES: list[tuple[list[str], dict[str, str]]] = [
    ([], {"phase2": "base"}),
    (["phase2.zeta=0.30"], {"phase1": "base", "phase2": "zeta=0.3", "figures": "zeta=0.3"}),
    (["phase2.zeta=3e-1"], {"phase2": "zeta=0.3"}),
    (["phase2.zeta=0.5"], {"phase2": "base"}),
    (["phase2.zeta=1"], {"phase2": "zeta=1"}),
    (["phase2.zeta=0.1000000000000000055"], {"phase2": "zeta=0.1"}),
    (["phase2.noise=1e-9"], {"phase2": "noise=1e-09"}),
    (
        ["train.epochs=2", "phase2.zeta=0.3"],
        {
            "dataset": "base",
            "train": "train.epochs=2",
            "weights": "train.epochs=2",
            "phase2": "zeta=0.3__train.epochs=2",
        },
    ),
    (["phase2.zeta=0.3", "train.epochs=2"], {"phase2": "zeta=0.3__train.epochs=2"}),
    (["phase1.upper=0.5"], {"weights": "base", "phase1": "phase1.upper=0.5", "phase2": "phase1.upper=0.5"}),
    (["phase2.window=certified"], {"phase2": "window=certified", "points": "window=certified"}),
    (["figures.neurons=5"], {"phase2": "base", "figures": "figures.neurons=5"}),
    (["phase2.zeta=0.3", "figures.neurons=5"], {"phase2": "zeta=0.3", "figures": "zeta=0.3__figures.neurons=5"}),
    (["dataset.source.train_images=5"], {"dataset": "dataset.source.train_images=5"}),
    (["weights.source=imagenet", "train.epochs=2"], {"train": "", "phase2": "weights.source=imagenet"}),
    (["sweep.values=[0.1]"], {"points": "base", "phase2": "base"}),
    (["sweep.trials=3"], {"points": "sweep.trials=3", "sweep": "sweep.trials=3", "phase2": "base"}),
    (["dataset=fmnist_sample"], {"dataset": "base"}),
]


@pytest.mark.parametrize(("overrides", "expected"), NAMES, ids=[" ".join(overrides) for overrides, _ in NAMES])
def test_folders_are_named_by_what_differs_here_or_upstream(overrides: list[str], expected: dict[str, str]) -> None:
    run = composed(*overrides).run
    assert {stage: getattr(run, stage) for stage in expected} == expected


@pytest.mark.parametrize(
    "override",
    [
        "published.accuracy=0.5",
        "tracking.models=[]",
        "tracking.uri=sqlite:///elsewhere.db",
        "container.engine=none",
        "weights.by_hand=[]",
        "outputs=elsewhere",
    ],
)
@pytest.mark.parametrize(("name", "suite"), [("mnist_fc", "smoke"), ("places365_vgg", "paper")])
def test_what_changes_no_result_names_no_folder(override: str, name: str, suite: str) -> None:
    run = composed(override, name=name, suite=suite).run
    assert run == composed(name=name, suite=suite).run
    assert run.overrides == []


def test_the_swept_value_of_a_call_names_its_sweep_but_not_the_points() -> None:
    noise = composed("phase2.noise=0.1", "phase2.zeta=0.3", "sweep.values=[1,2]", sweep="noise").run
    assert noise.points == "zeta=0.3"
    assert re.fullmatch(r"zeta=0.3__noise=0.1__sweep.values~[0-9a-f]{8}", noise.sweep)
    assert noise.sweep_overrides == ["phase2.zeta=0.3", "phase2.noise=0.1", "sweep.values=[1.0,2.0]"]
    assert composed("phase2.zeta=0.3", sweep="zeta").run.points == "base"


def test_a_files_content_names_the_folder_and_its_path_does_not(tmp_path: Path) -> None:
    mine, copy = tmp_path / "mine.h5", tmp_path / "a copy.h5"
    mine.write_bytes(b"weights")
    copy.write_bytes(b"weights")
    before = composed(f"weights.file={mine}").run
    assert re.fullmatch(r"weights.file~[0-9a-f]{8}", before.phase2)
    assert before.phase2 == before.weights
    assert composed(f"weights.file='{copy}'").run.phase2 == before.phase2
    mine.write_bytes(b"other weights")
    assert composed(f"weights.file={mine}").run.phase2 != before.phase2
    with pytest.raises(UserError, match=r"weights.file=nowhere.h5: no such file; name one, or leave weights.file out"):
        composed("weights.file=nowhere.h5")
    with pytest.raises(UserError, match=r"weights.prototxt=.*: no such file"):
        composed(f"weights.prototxt={tmp_path}", name="places365_vgg")


def test_training_that_given_weights_make_needless_names_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.h5").write_bytes(b"weights")
    given = f"weights.file={tmp_path}/mine.h5"
    assert composed(given, "train.epochs=2", "train.seed=4").run == composed(given).run


def test_a_job_is_told_a_files_path_without_depending_on_it(tmp_path: Path) -> None:
    texts = []
    for name in ("mine.h5", "a 'copy'.h5"):
        (tmp_path / name).write_bytes(b"weights")
        config = composed("weights.file=" + override_text(str(tmp_path / name)))
        for stage in ("weights", "gather", "track"):
            text = slice_text(config, stage)
            assert str(tmp_path) not in text
            whole = unmasked(json.loads(text), check=stage == "weights")
            assert whole == job_slice(config, stage)
        texts.append(slice_text(config, "weights"))
    assert texts[0] == texts[1]
    (tmp_path / name).write_bytes(b"replaced while the workflow ran")
    with pytest.raises(UserError, match=r"weights.file=.*copy.*: changed while the workflow ran"):
        unmasked(json.loads(texts[1]), check=True)


def test_a_user_cannot_set_what_is_made_here() -> None:
    for override in ("run.phase2=x", "suite.name=x", "expected.a=1"):
        with pytest.raises(UserError, match=f"override '{override}': no such key"):
            composed(override)


# Properties of the names

KEYS = [key for key in schema_fields() if key.partition(".")[0] in ("phase2", "train", "model", "sweep")]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0 if value else 0.0),
    st.text(max_size=60),
    st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=5),
)
CHANGES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8)
# A dollar begins an interpolation, which is another value.
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="$"))


def kinds(changes: dict[str, Any]) -> dict[str, Any]:
    """A key's values have one type, so texts that look like numbers stand for no number."""
    return {key: (None if value is None else (type(value).__name__, value)) for key, value in changes.items()}


@given(CHANGES)
def test_a_name_is_legal_short_and_does_not_depend_on_the_order(changes: dict[str, Any]) -> None:
    name = variant_name(changes, {})
    assert re.fullmatch(r"[A-Za-z0-9.=~+_-]+", name)
    assert len(name) <= LONGEST
    assert name == variant_name(dict(reversed(changes.items())), {})
    assert (name == "base") == (not changes)


@given(CHANGES, CHANGES, st.sampled_from(KEYS), VALUES, VALUES)
def test_two_configurations_have_two_names(one: dict, two: dict, key: str, first: Any, second: Any) -> None:
    same_type = first is None or second is None or type(first) is type(second)
    # And a pair that differs in one value alone.
    pairs = [(one, two), *([({**one, key: first}, {**one, key: second})] if same_type else [])]
    for left, right in pairs:
        typed = all(
            left[each] is None or right[each] is None or type(left[each]) is type(right[each])
            for each in set(left) & set(right)
        )
        if typed:
            assert (variant_name(left, {}) == variant_name(right, {})) == (kinds(left) == kinds(right))


@settings(max_examples=25)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "phase2.zeta": st.floats(-0.9, 1e6),
            "phase2.noise": st.floats(0, 1e3),
            "phase2.window": st.sampled_from(["margin", "certified"]),
            "train.epochs": st.integers(1, 10**5),
            "train.staircase": st.booleans(),
            "model.dense": st.lists(st.integers(1, 1000), min_size=1, max_size=3),
            "dataset.source.keras_name": st.none() | st.sampled_from(["mnist", "cifar100"]),
            "weights.stem": st.text(st.sampled_from("abcXYZ019 _-.,;&|#'ä"), min_size=1).map("n{}n".format),
        },
    )
)
def test_the_overrides_that_are_shown_make_the_run_again(values: dict[str, Any]) -> None:
    run = composed(*(f"{key}={override_text(value)}" for key, value in values.items())).run
    assert composed(*run.overrides).run == run
    assert {text.partition("=")[0] for text in run.overrides} <= set(values)


def test_what_figures_and_energies_are_shown_by_is_told_apart() -> None:
    given = ["figures.image=3", "energy.float32.mac=2.5"]
    run = composed("phase2.zeta=0.3", *given).run
    assert run.shown_overrides == given
    assert run.overrides == ["phase2.zeta=0.3"]
    assert composed(*given, "tracking.models=[]").run.phase2 == "base"


# What a call runs


def with_variants(monkeypatch: pytest.MonkeyPatch, **variants: list[list[str]]) -> None:
    suite = compose_suite("quickstart")
    suite.variants = variants
    monkeypatch.setattr(selection_module, "compose_suite", lambda name: suite)


def test_a_suite_can_hold_several_variants_of_an_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    with_variants(monkeypatch, fmnist_fc=[["phase2.zeta=0.3"], ["phase2.window=certified", "train.epochs=1"]])
    chosen = select({"suite": "quickstart"}, SUPPORTED_FORMATS)
    rows = [(run.name, run.run.phase2) for run in chosen.runs]
    assert rows[:3] == [
        ("fmnist_fc", "base"),
        ("fmnist_fc", "zeta=0.3"),
        ("fmnist_fc", "window=certified__train.epochs=1"),
    ]
    assert len(rows) == 5
    pattern = Paths("outputs", "quickstart").phase2
    for run in chosen.runs:
        assert chosen.at(pattern, {"experiment": run.name, "variant": run.run.phase2}) is run
    # What the user overrides holds for each of them, and two that it makes alike are one.
    both = {"suite": "quickstart", "experiments": "fmnist_fc", "overrides": "phase2.zeta=0.3"}
    alike = [run.run.phase2 for run in select(both, SUPPORTED_FORMATS).runs]
    assert alike == ["zeta=0.3", "window=certified__zeta=0.3__train.epochs=1"]


def test_wrong_variants_of_a_suite_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from relu2snn.config import compose

    conf = tmp_path / "conf"
    for folder in ("suite", "experiment"):
        (conf / folder).mkdir(parents=True)
    (conf / "experiment" / "mnist_fc.yaml").touch()
    monkeypatch.setattr(compose, "conf", lambda: conf)
    for variants, message in (
        (
            "{mnist_fcc: [[phase2.zeta=0.3]]}",
            r"mine.yaml: variants names mnist_fcc, which is no experiment of conf/",
        ),
        ("{mnist_fc: [phase2.zeta=0.3]}", r"mine.yaml: .*"),
        ("{mnist_fc: [[]]}", r"mine.yaml: variants.mnist_fc: \[\] makes no run of its own"),
        ("{mnist_fc: [[outputs=x]]}", r"mine.yaml: variants.mnist_fc: outputs=x makes no run of its own"),
    ):
        (conf / "suite" / "mine.yaml").write_text(
            f"name: mine\nexperiments: [mnist_fc]\nclosed: false\nvariants: {variants}\n"
        )
        with pytest.raises(UserError, match=message) as caught:
            compose_suite("mine")
        assert "\n" not in str(caught.value)


def test_each_run_has_its_own_engine_and_store_whatever_the_first_has() -> None:
    chosen = select({"suite": "smoke"}, SUPPORTED_FORMATS)
    runs = {run.name: run for run in chosen.runs}
    assert chosen.runs[0].container.engine == "docker"
    runs["pass_vgg"].tracking.uri = "sqlite:///elsewhere.db"
    publish_places(chosen.runs)
    places = Paths.of(runs["places365_vgg"])
    assert engine_of(places.weights) == engine_of(places.dataset) == "none"
    assert engine_of(Paths.of(runs["mnist_fc"]).weights) == "docker"
    stores = {name: tracking_of(from_slice(stage_slice(run, "track"))).uri for name, run in runs.items()}
    assert stores.pop("pass_vgg") == "sqlite:///elsewhere.db"
    assert set(stores.values()) == {"sqlite:///outputs/mlflow.db"}


def test_results_of_other_calls_are_no_jobs_of_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = select({"suite": "quickstart", "experiments": "fmnist_fc,fmnist_lenet"}, SUPPORTED_FORMATS)
    paths = Paths(chosen.outputs, chosen.suite.name)
    own = [f"{Paths.of(run).phase2}/result.json" for run in chosen.runs]
    others = [
        "outputs/quickstart/fmnist_fc/phase2/zeta=0.3/result.json",
        "outputs/quickstart/fmnist_vgg/phase2/base/result.json",
    ]
    for path in [*others, own[0], "outputs/quickstart/datasets/phase2/base/result.json"]:
        Path(path).parent.mkdir(parents=True)
        Path(path).touch()
    assert chosen.finished(f"{paths.phase2}/result.json", own) == sorted([*own, *others])
    pattern = paths.phase2.format(experiment=f"(?P<experiment>{chosen.own(paths.phase2)})", variant="[^/]+")
    fitting = [path for path in [*own, *others] if re.fullmatch(f"{pattern}/result.json", path)]
    assert fitting == own
    assert len(own) == 4


def test_every_folder_of_a_run_is_named() -> None:
    run = composed().run
    assert [entry.name for entry in fields(Run) if getattr(run, entry.name) == MISSING] == []
