"""`python -m relu2snn.config`: each value of a configuration as it is typed, and where it comes from."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from runs import ROOT, environment

from relu2snn.config import compose_experiment, compose_suite
from relu2snn.config.__main__ import main
from relu2snn.config.changes import override_text
from relu2snn.config.compose import known
from relu2snn.config.overrides import key_types
from relu2snn.config.schema import schema_fields
from relu2snn.config.sources import COMMAND_LINE, DEFAULT, leaves_in, sourced
from relu2snn.config.values import plain, value_of

CALLS = [
    *(("paper", name, "", ()) for name in known("experiment")),
    *(
        (suite, name, "", ())
        for suite in ("quickstart", "smoke", "reference")
        for name in compose_suite(suite).experiments
    ),
    ("smoke", "cifar10_vgg", "noise", ("sweep.trials=3", "train={epochs:2,augmentation:{flip:true}}", "outputs=a b")),
    ("paper", "mnist_fc", "", ("model=lenet5", "dataset=fmnist_sample", "phase2.zeta=0.3", "tracking.wait=5")),
]


def said_by(file: Path) -> dict[str, Any]:
    """The values that stand in a file of conf/, by dotted key."""
    group = file.parent.name
    values = OmegaConf.to_container(OmegaConf.load(ROOT / file))
    return dict(leaves_in(values, "" if group in ("conf", "experiment") else f"{group}."))


@pytest.mark.parametrize(("suite", "name", "sweep", "overrides"), CALLS)
def test_each_value_stands_where_it_is_said_to(suite: str, name: str, sweep: str, overrides: tuple[str, ...]) -> None:
    files, values = sourced(name, compose_suite(suite), overrides, sweep)
    config = compose_experiment(name, compose_suite(suite), overrides, sweep)
    read = compose_suite(suite)
    of_suite = [*read.overrides, *read.per_experiment.get(name, []), *read.per_sweep.get(sweep, [])]
    for key, value, source in values:
        assert value == plain(value_of(config, key)), key
        if source == DEFAULT:
            entry = schema_fields()[key]
            assert value in (entry.default, [], {}), key
        elif source in (COMMAND_LINE, f"conf/suite/{suite}.yaml"):
            texts = overrides if source == COMMAND_LINE else of_suite
            assert any(
                key == text.partition("=")[0] or key.startswith(f"{text.partition('=')[0]}.") for text in texts
            ), key
        else:
            said = said_by(Path(source))[key]
            assert said == value or "${" in str(said) or override_text(said) == override_text(value), key
    for group, chosen, source in files:
        assert (ROOT / "conf" / group / f"{chosen}.yaml").is_file()
        if source not in (COMMAND_LINE, f"conf/suite/{suite}.yaml"):
            assert re.search(rf"/?{group}: {chosen}\b", (ROOT / source).read_text()), group


def test_the_last_of_several_is_named() -> None:
    suite = compose_suite("smoke")
    found = {
        key: (value, source) for key, value, source in sourced("cifar10_vgg", suite, ("train.epochs=3",), "zeta")[1]
    }
    assert found["train.epochs"] == (3, COMMAND_LINE)
    assert found["train.batch"] == (16, "conf/suite/smoke.yaml")
    assert found["train.activity_l1"] == (0.0, "conf/train/quickstart.yaml")
    assert found["phase2.zeta"] == (0.5, "conf/phase2/default.yaml")
    assert found["phase2.batch"] == (50, "conf/suite/smoke.yaml")
    assert found["weights.directory"] == ("CIFAR10/VGG", "conf/experiment/cifar10_vgg.yaml")
    assert found["weights.kind"] == ("pretrained", "conf/config.yaml")
    assert found["sweep.values"] == ([-0.7, -0.3, 0.5], "conf/suite/smoke.yaml")
    assert found["sweep.images"] == (None, "conf/sweep/zeta.yaml")
    assert found["dataset.source.check"] == ("published", DEFAULT)


def show(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    main(words)
    return capsys.readouterr().out


@pytest.mark.parametrize("name", ["mnist_fc", "places365_vgg", "custom"])
def test_what_is_printed_fits_and_gives_the_same_configuration_again(capsys, name: str) -> None:
    text = show(capsys, f"experiment={name}", "phase2.zeta=0.3", "outputs=my results ä")
    assert max(map(len, text.splitlines())) <= 100
    assert re.search(r"^phase2\.zeta=0\.3 +command line$", text, re.M)
    assert re.search(r"^outputs='my results ä' +command line$", text, re.M)
    assert re.search(r"^dataset=\w+ +conf/experiment/\w+\.yaml$", text, re.M)
    # What stands alone on its lines is as long as it is, and has its source below.
    words = dict(re.findall(r"^([\w.]+)=(.*?)(?:  +(?:conf/|command|default).*)?$", text, re.M))
    typed = [
        f"{key}={words[key]}"
        for key, kind in key_types().items()
        if key in words and key != "sweep" and not re.search("dict|ByHand", str(kind))
    ]
    again = compose_experiment(name, compose_suite("paper"), [each for each in typed if not each.endswith(",")])
    first = compose_experiment(name, compose_suite("paper"), ["phase2.zeta=0.3", "outputs=my results ä"])
    assert len(typed) > 90
    again.run = first.run
    assert plain(again) == plain(first)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "no experiment given; add experiment=NAME; choose from cifar100_vgg, "),
        (["experiment=mnist_fcc"], "experiment=mnist_fcc: no such experiment; did you mean mnist_fc? choose from "),
        (["experiment=mnist_fc", "experiment=mnist_vgg"], "experiment=mnist_vgg: experiment is set twice"),
        (["experiment=mnist_fc", "zeta=1"], "override 'zeta=1': no such key 'zeta'; did you mean 'phase2.zeta'?"),
        (["experiment=mnist_fc", "experiments=x"], "no such key 'experiments'; it is an option of the call"),
        (["experiment=mnist_fc", "suite=x"], "suite=x: no such suite; choose from graphs, paper"),
        (["experiment=mnist_fc", "sweep=x"], "sweep=x: no such sweep; choose from alpha_noise"),
        (["experiment=mnist_fc", "weights.file=no.keras"], "weights.file=no.keras: no such file"),
        (["experiment=mnist_fc", "--wide"], "unrecognized arguments: --wide"),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str], line: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("relu2snn config: ")
    assert line in shown.err
    assert shown.err.count("\n") == 1


def test_it_is_a_command_that_writes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "relu2snn.config", "experiment=fmnist_fc", "suite=quickstart"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment())
    assert re.search(r"^suite=quickstart +command line\n", ran.stdout, re.M)
    assert re.search(r"^weights\.root=data/models/quickstart +conf/suite/quickstart\.yaml$", ran.stdout, re.M)
    assert ran.stderr == ""
    assert list(tmp_path.iterdir()) == []
