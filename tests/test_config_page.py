"""docs/config.md and the comments in conf/: every key has one meaning, and the page is what the program goes by."""

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from runs import ROOT

from relu2snn.config import STAGES, Experiment, Suite, compose_experiment, compose_suite
from relu2snn.config import page as config_page
from relu2snn.config.comments import comments_of
from relu2snn.config.compose import conf
from relu2snn.config.jobs import jobs_of
from relu2snn.config.overrides import key_types
from relu2snn.config.ranges import legal
from relu2snn.config.reruns import first_stages, stage_order
from relu2snn.config.schema import ByHand, schema_fields
from relu2snn.config.selection import Selection
from relu2snn.config.together import RULES
from relu2snn.errors import UserError

FILES = sorted(conf().rglob("*.yaml"))
GROUPS = {"suite": Suite, "": Experiment, "experiment": Experiment}
# Their keys are those of other files, which are commented there, but for the first.
REPEATED = {"published.yaml": 1}


def wanted(node: Any, kind: Any, prefix: str = "") -> list[str]:
    """The keys of a node of YAML that need a comment: not names, as those of digests, nor what stands in braces."""
    if isinstance(node, yaml.SequenceNode) and kind == list[ByHand]:
        return [key for item in node.value[:1] for key in wanted(item, ByHand, prefix)]
    if not isinstance(node, yaml.MappingNode) or node.flow_style or str(kind).startswith("dict"):
        return []
    types = {entry.name: entry.type for entry in fields(kind)} if is_dataclass(kind) else {}
    found = []
    for key, value in node.value:
        found += [prefix + key.value, *wanted(value, types.get(key.value), f"{prefix}{key.value}.")]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(conf())))
def test_every_key_of_conf_has_a_comment(file: Path) -> None:
    group = file.parent.name if file.parent != conf() else ""
    kind = GROUPS[group] if group in GROUPS else key_types().get(group)
    keys = wanted(yaml.compose(file.read_text()), kind)
    deepest = REPEATED.get(file.name)
    comments = comments_of(file)
    assert keys
    assert [key for key in keys if not comments.keys[key] and (deepest is None or key.count(".") < deepest)] == []
    assert comments.head


def test_a_comment_is_read_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "# @package _global_\n# What it is. And more.\n"
        "a: 'x # y'  # of a\nb: 1\n# above, in\n# two lines\nc:\n  # of d\n  d: {e: 1, f: [2, 3]}\n\n"
        "  # apart\n\n  g: 'z # z'\n"
        "h:\n  - i: 1  # first\n    j: 2\n  - i: 3\n"
    )
    found = comments_of(file)
    assert found.head == "What it is. And more."
    assert found.keys == {
        "a": "of a", "b": "", "c": "above, in two lines", "c.d": "of d", "c.g": "", "h": "", "h.i": "first", "h.j": "",
    }  # fmt: skip


def test_a_key_means_the_same_in_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in schema_fields():
        if key in key_types() and not is_dataclass(key_types()[key]):
            assert config_page.meaning(key)
    said = {"conf/a.yaml": {"train.seed": "of all"}, "conf/b.yaml": {"train.seed": "of all; here 3"}}
    monkeypatch.setattr(config_page, "_comments", lambda: said)
    assert config_page.meaning("train.seed") == "of all"
    said["conf/c.yaml"] = {"train.seed": "of some"}
    with pytest.raises(UserError, match=r"train.seed: 'of .*' is not what other files say"):
        config_page.meaning("train.seed")
    with pytest.raises(UserError, match=r"no comment on train\.epochs"):
        config_page.meaning("train.epochs")


def test_the_page_in_the_repository_is_what_the_program_writes() -> None:
    """If not: python -m relu2snn.config.page, and look at what it has changed."""
    assert (ROOT / "docs" / "config.md").read_text() == config_page.page()


def test_the_page_has_every_key_choice_and_rule() -> None:
    text = config_page.page()
    rows = re.findall(r"^\| `([\w.]+)` \|", text, re.M)
    leaves = [key for key, kind in key_types().items() if not is_dataclass(kind)]
    # The name of an experiment is chosen, and that of a suite stands among its keys.
    assert {key: rows.count(key) for key in leaves} == dict.fromkeys(leaves, 1)
    for file in conf().glob("*/*.yaml"):
        assert f"`{file.stem}`" in text or f"`conf/{file.relative_to(conf())}`" in text, file
    for rule in RULES:
        assert f"- `{rule.key}`: {rule.says}" in " ".join(text.split())
    assert "???" not in text


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("train.epochs", "a whole number, 1 to 100,000"),
        ("phase2.zeta", "a number, greater than -1 and at most 1e15"),
        ("phase2.stretch", "a number, 0.001 to 1000, or null"),
        ("phase2.mapping", "one of published, reference"),
        ("train.staircase", "true or false"),
        ("weights.file", "a path, or null"),
        ("dataset.image_shape", "a list of 3 whole numbers, 1 to 10000, or null"),
        ("model.blocks", "a list of up to 100 lists of whole numbers, 1 to 1,000,000"),
        ("tracking.models", "a list of up to 2 of scaled, spiking"),
        ("dataset.source.by_hand", "a list of up to 100 groups of path, what, origin"),
        ("dataset.source.published.digests", "a text by name"),
        ("suite.per_experiment", "lists of texts by name"),
        ("sweep.values", "a list of 1 to 1000 numbers"),
    ],
)
def test_what_a_value_may_be_is_said_in_words(key: str, words: str) -> None:
    entry = schema_fields()[key]
    assert legal(entry.type, entry.metadata) == words


BREAKING = {
    "sweep.values": "sweep.values=[0.1,0.1]",
    "phase2.reference_noise": "phase2.reference_noise=0.1",
    "phase2.stretch": "phase2.stretch=1",
    "phase2.window": "phase2.window=guaranteed",
    "train.momentum": "train.momentum=0.9",
    "dataset.source.kind": "dataset.source.made_from=x",
    "dataset.source.published.digests": "dataset.source.published.digests={a:xyz}",
    "dataset.preprocess.low": "dataset.preprocess.low=5",
    "tracking.register": "tracking.register=true tracking.models=[]",
    "dataset.file": "dataset.file=x.npz",
    "dataset.classes": "dataset.classes=null",
    "dataset.parts": "dataset.parts=9999 dataset.source.test_images=2",
    "dataset.part_images": "dataset.part_images=10",
    "dataset.source.seed": "dataset=pass dataset.source.seed=null",
    "dataset.source.images_per_class": "dataset=places365 dataset.source.images_per_class=null",
    "dataset.source.part_stride": "dataset=pass dataset.source.part_stride=1",
    "dataset.source.mean_bgr": "dataset=pass dataset.source.mean_bgr=[]",
    "dataset.image_shape": "dataset=pass dataset.image_shape=[8,8,1]",
    "weights.source": "dataset=pass weights.source=train",
    "weights.caffemodel": "weights.source=caffe",
    "model.blocks": "model.blocks=[[1]]",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
def test_every_rule_of_the_page_is_checked(rule: Any) -> None:
    assert all(key in key_types() for key in re.findall(r"`([a-z_0-9]+\.[\w.]+)", rule.says))
    with pytest.raises(UserError) as caught:
        compose_experiment("mnist_fc", compose_suite("paper"), BREAKING[rule.key].split())
    groups = {key.rpartition(".")[0] for key in (rule.key, *re.findall(r"`([a-z_0-9]+\.[\w.]+)", rule.says))}
    assert any(group in str(caught.value) for group in groups)
    assert str(caught.value).isprintable()


def test_every_stage_has_its_place_in_the_order() -> None:
    order = stage_order()
    assert set(order) == set(STAGES)
    chain = ["data", "train", "weights", "phase1", "convert", "phase2", "gather", "figures", "track"]
    assert [stage for stage in order if stage in chain] == chain


CHANGES = [
    "phase2.zeta=0.3",
    "phase2.batch=16",
    "phase1.lower=-5",
    "phase1.batch=5",
    "train.epochs=7",
    "model.width=0.5",
    "dataset.preprocess.std=127.5",
    "dataset.source.seed=5",
    "dataset.parts=2",
    "figures.seed=1",
    "sweep.trials=3",
    "sweep.values=[0.01]",
    "weights.stem=other",
]
EXPERIMENTS = ("mnist_fc", "custom", "places365_vgg", "pass_vgg")


def jobs(name: str, *overrides: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """By file, the stage of each job of an experiment and a sweep, and what it waits for."""
    suite = compose_suite("paper")
    selection = Selection(suite)
    selection.add(compose_experiment(name, suite, overrides))
    selection.add(compose_experiment(name, suite, overrides, "noise"), sweep=True)
    named = {"places365": "photographs", "pass_images": "photographs"}
    return {job.file: (named.get(job.rule, job.rule), job.needs) for job in jobs_of(selection, lambda weights: None)}


@pytest.mark.parametrize("override", CHANGES)
def test_what_runs_again_is_what_has_new_folders(override: str) -> None:
    """By the files of a call with another value, of which none is there yet."""
    first, stages = set(), set()
    for name in EXPERIMENTS:
        before = jobs(name)
        try:
            after = jobs(name, override)
        except UserError:
            # Of photographs, parts must fit the number of images.
            continue
        new = {file: after[file] for file in after if file not in before}
        first |= {stage for stage, needs in new.values() if not set(needs) & set(new)}
        stages |= {stage for stage, _ in after.values()}
    assert first
    assert first == set(first_stages(override.partition("=")[0])) & stages
