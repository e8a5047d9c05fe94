"""What a call leaves for its jobs, which compose nothing again; that configs are composed as Hydra composes them."""

import copy
import os
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from relu2snn.config import Paths, compose, compose_experiment, compose_suite
from relu2snn.config import workflow as entry
from relu2snn.config.compose import conf, known
from relu2snn.config.overrides import hydra_overrides
from relu2snn.config.rules import slice_text
from relu2snn.config.typed import typed
from relu2snn.config.validate import plain_values
from relu2snn.config.values import plain
from relu2snn.config.workflow import select_or_exit
from relu2snn.datasets import SUPPORTED_FORMATS

OPTIONS = {"suite": "quickstart", "overrides": "phase2.zeta=0.3 figures.neurons=5"}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").symlink_to(Path(__file__).parents[1] / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELU2SNN_FILES", "{}")


class ComposedError(BaseException):
    """No mistake of a user's, which would end the process."""


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ComposedError

    monkeypatch.setattr(entry, "select", refuse)


def test_a_job_has_the_selection_of_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("w.h5").write_bytes(b"weights")
    options = {"suite": "paper", "experiments": "mnist_fc", "overrides": "weights.file=w.h5"}
    first = select_or_exit(options, SUPPORTED_FORMATS)
    known_files = os.environ["RELU2SNN_FILES"]
    forbid(monkeypatch)
    monkeypatch.setenv("RELU2SNN_FILES", "{}")
    again = select_or_exit(options, SUPPORTED_FORMATS, checks=None)
    assert os.environ["RELU2SNN_FILES"] == known_files
    assert [plain(each) for each in again.runs] == [plain(each) for each in first.runs]
    for stage in ("weights", "phase1", "phase2", "track"):
        assert slice_text(again.runs[0], stage) == slice_text(first.runs[0], stage)
    pattern = Paths(again.outputs, "paper").phase2
    wildcards = {"experiment": "mnist_fc", "variant": again.runs[0].run.phase2}
    assert again.at(pattern, wildcards) is again.runs[0]
    assert not list(Path(".snakemake").rglob(".partial-*"))


@pytest.mark.parametrize("changed", ["options", "conf", "damaged", "gone"])
def test_a_job_composes_what_is_not_of_its_call(monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    options = dict(OPTIONS)
    select_or_exit(options, SUPPORTED_FORMATS)
    (left,) = Path(".snakemake", "relu2snn").iterdir()
    if changed == "options":
        options["overrides"] = "phase2.zeta=0.4"
    if changed == "conf":
        stamp = conf() / "costs.yaml"
        status = stamp.stat()
        os.utime(stamp, (status.st_atime, status.st_mtime + 1))
    if changed == "damaged":
        left.write_bytes(left.read_bytes()[:100])
    if changed == "gone":
        left.unlink()
    try:
        found = select_or_exit(options, SUPPORTED_FORMATS, checks=None)
        assert found.runs[0].phase2.zeta == (0.4 if changed == "options" else 0.3)
        forbid(monkeypatch)
        with pytest.raises(ComposedError):
            select_or_exit(options, SUPPORTED_FORMATS, checks=None)
    finally:
        if changed == "conf":
            os.utime(stamp, (status.st_atime, status.st_mtime))


def test_what_old_calls_left_is_removed() -> None:
    select_or_exit(OPTIONS, SUPPORTED_FORMATS)
    (old,) = Path(".snakemake", "relu2snn").iterdir()
    os.utime(old, (0, 1e9))
    select_or_exit({"suite": "quickstart"}, SUPPORTED_FORMATS)
    (new,) = Path(".snakemake", "relu2snn").iterdir()
    assert new != old


GIVEN = [
    [],
    ["phase2.zeta=1", "train.epochs=3", "phase2.stretch=null"],
    ["train.augmentation={shift:0.1,rotation:15,flip:true}", "outputs='a b'", "figures.images=7"],
    ["dataset=cifar10", "model=resnet20", "dataset.image_shape=[32,32,3]", "model.blocks=[[4],[8]]"],
    ["tracking.models=[]", "tracking.artifacts=${outputs}/here", "dataset.source.directory=data//raw/mnist/"],
]


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: " ".join(given) or "nothing")
def test_configs_are_those_that_hydra_composes(given: list[str]) -> None:
    suites = [compose_suite(name) for name in known("suite")]
    for suite in suites:
        for name in suite.experiments:
            fitting = [] if suite.closed and any(text.startswith(("dataset", "model")) for text in given) else given
            groups = {path.name: known(path.name) for path in conf().iterdir() if path.is_dir()}
            of_suite = [
                hydra_overrides([text], groups)[0] for text in (*suite.overrides, *suite.per_experiment.get(name, []))
            ]
            words = [f"experiment={name}", *of_suite, *hydra_overrides(fitting, groups)]
            with initialize_config_dir(config_dir=str(conf()), version_base="1.3"):
                expected = OmegaConf.to_container(typed(plain_values(hydra_compose("config", overrides=words))))
            found = plain(compose_experiment(name, suite, fitting))
            for made in ("suite", "run"):
                del expected[made], found[made]
            assert repr(found) == repr(expected)


def test_a_composed_config_is_nobody_elses() -> None:
    first = compose_experiment("mnist_fc", compose_suite("paper"))
    before = copy.deepcopy(first)
    first.phase2.zeta = 7.0
    first.dataset.source.by_hand.append("x")
    first.model.dense.append(3)
    assert plain(compose_experiment("mnist_fc", compose_suite("paper"))) == plain(before)
    assert compose.conf() == conf()
