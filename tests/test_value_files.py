"""Values in files of conf/, and arguments of make, the scripts, the UI and containers: one line each, nothing run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from runs import ROOT

from relu2snn.config import compose, compose_experiment, compose_suite, compose_tracking
from relu2snn.errors import UserError

BROKEN = [
    ("experiment/mnist_fc.yaml", "phase2:\n\tzeta: 1\n", "conf/experiment/mnist_fc.yaml: "),
    ("experiment/mnist_fc.yaml", "phase2: [1, {\n", "conf/experiment/mnist_fc.yaml: "),
    ("experiment/mnist_fc.yaml", "# @package _global_\nname: mnist_fc\nnope: 1\n", "mnist_fc.yaml: Key 'nope' not in"),
    ("experiment/mnist_fc.yaml", "# @package _global_\nphase2:\n  zeta: wide\n", "mnist_fc.yaml: Value 'wide' of type"),
    ("experiment/mnist_fc.yaml", "- a\n- b\n", "conf/experiment/mnist_fc.yaml: not keys and values"),
    ("experiment/mnist_fc.yaml", "a: &a [*a]\n", "conf/experiment/mnist_fc.yaml: "),
    ("experiment/mnist_fc.yaml", "phase2: 1\nphase2: 2\n", "conf/experiment/mnist_fc.yaml: "),
    (
        "experiment/mnist_fc.yaml",
        "# @package _global_\ndefaults:\n  - override /model: nope\n",
        "conf/experiment/mnist_fc",
    ),
    (
        "experiment/mnist_fc.yaml",
        "# @package _global_\nname: other\n",
        "name=other: an experiment's name is its file's",
    ),
    ("train/mnist.yaml", "epochs: many\n", "conf/train/mnist.yaml: Value 'many'"),
    ("train/mnist.yaml", "\x00\n", "conf/train/mnist.yaml: "),
    ("train/mnist.yaml", "epochs: 0\n", "train."),
    ("train/mnist.yaml", "epochs: ${oc.env:NOPE}\n", "NOPE"),
    ("train/mnist.yaml", b"\xff\xfe\x00a: 1\n", "conf/train/mnist.yaml: "),
    ("suite/paper.yaml", "name: paper\n\texperiments: []\n", "conf/suite/paper.yaml: "),
    ("suite/paper.yaml", "name: other\nexperiments: [mnist_fc]\nclosed: false\n", "conf/suite/paper.yaml: name=other"),
    (
        "suite/paper.yaml",
        "name: paper\nexperiments: [mnist_fcc]\nclosed: false\n",
        "paper.yaml: experiments names mnist_fcc",
    ),
    ("suite/paper.yaml", "name: paper\nexperiments: []\nclosed: false\n", "paper.yaml: experiments=[]: has 0 entries"),
    ("suite/paper.yaml", "name: paper\nexperiments: mnist_fc\nclosed: false\n", "conf/suite/paper.yaml: "),
    ("suite/paper.yaml", "name: paper\n", "conf/suite/paper.yaml: experiments: no value"),
    (
        "suite/paper.yaml",
        "name: paper\nexperiments: [mnist_fc]\nclosed: false\noverrides: [train.epoch=1]\n",
        "conf/suite/paper.yaml: override 'train.epoch=1': no such key 'train.epoch'; did you mean 'train.epochs'?",
    ),
    (
        "suite/paper.yaml",
        "name: paper\nexperiments: [mnist_fc]\nclosed: false\nper_experiment: {mnist_fcc: [train.epochs=1]}\n",
        "paper.yaml: per_experiment names mnist_fcc",
    ),
]


@pytest.mark.parametrize(("name", "text", "message"), BROKEN)
def test_a_broken_file_of_conf_is_named(
    tmp_path: Path, monkeypatch, name: str, text: str | bytes, message: str
) -> None:
    monkeypatch.delenv("NOPE", raising=False)
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    monkeypatch.setattr(compose, "conf", lambda: conf)
    with pytest.raises(UserError) as caught:
        compose_experiment("mnist_fc", compose_suite("paper"))
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_file_of_conf_has_a_legal_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    shutil.copy(conf / "experiment" / "mnist_fc.yaml", conf / "experiment" / "x$(touch y).yaml")
    shutil.copy(conf / "model" / "fc.yaml", conf / "model" / "flach_ä.yaml")
    monkeypatch.setattr(compose, "conf", lambda: conf)
    with pytest.raises(UserError, match=r"x\$\(touch y\).yaml: a file's name must be"):
        compose_experiment("x$(touch y)", compose_suite("paper"))
    assert compose_experiment("mnist_fc", compose_suite("paper"), ["model=flach_ä"]).model.name == "fc"


def test_a_broken_store_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / "tracking" / "mlflow.yaml").write_text("uri: ''\nartifacts: x\nlock_timeout: 1\nmodels: []\n")
    monkeypatch.setattr(compose, "conf", lambda: conf)
    with pytest.raises(UserError, match=r"conf/tracking/mlflow.yaml: tracking.uri=: must not be empty"):
        compose_tracking()


def made(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Make's recipes with programs that only print their arguments, one of them in angle brackets each."""
    shutil.copy(ROOT / "Makefile", folder)
    for name in (".venv/bin/python", ".venv/bin/snakemake", "scripts/install.sh"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('#!/bin/sh\nprintf "<%s>" "$PYTHON" "$@"\necho\n')
        (folder / name).chmod(0o755)
    for name in ("requirements/runtime.txt", "requirements/uv.txt", "pyproject.toml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHON", "PORT", "SUITE", "MAKEFLAGS")}
    return subprocess.run(
        ["make", "-s", *words], cwd=folder, capture_output=True, text=True, check=False, env={**clean, **environment}
    )


NASTY = """a b"; touch s1; $(touch s2) `touch s3` $(shell touch s4) 'x"""


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_runs_nothing_that_stands_in_its_variables(tmp_path: Path) -> None:
    for given in ({"words": (f"PORT={NASTY}",)}, {"PORT": NASTY}):
        run = made(tmp_path, "ui", *given.pop("words", ()), **given)
        assert f"<--port><{NASTY}>" in run.stdout
    (tmp_path / ".venv" / "runtime").unlink()
    assert f"<{NASTY}><runtime>" in made(tmp_path, "ui", f"PYTHON={NASTY}").stdout
    run = made(tmp_path, "report", f"SUITE={NASTY}")
    assert run.returncode != 0
    assert f"outputs/{NASTY}: no finished run here" in run.stderr
    (tmp_path / "outputs" / "a b" / "report").mkdir(parents=True)
    (tmp_path / "outputs" / "a b" / "report" / "results.html").touch()
    assert "<suite=a b>" in made(tmp_path, "report", "SUITE=a b").stdout
    assert not list(tmp_path.glob("s[1-4]"))


SCRIPTS = [
    ("make_smoke_data.py", ("places365", "{folder}", "--classes", "0"), "0 is not a whole number from 1 to 10000"),
    ("make_smoke_data.py", ("places365", "{folder}", "--images", "-1"), "-1 is not a whole number"),
    ("make_smoke_data.py", ("pass", "{folder}", "--per-folder", "9" * 5000), "is not a whole number"),
    ("make_smoke_data.py", ("pass", "{folder}", "--width", "nan"), "nan is not a number above 0"),
    ("make_smoke_data.py", ("pass", "{folder}", "--width", "1e-320000"), "is not a number above 0"),
    ("make_smoke_data.py", ("pass", "{folder}", "--seed", "4294967296"), "is not a whole number from 0 to 4294967295"),
    ("make_smoke_data.py", ("mnist", "{folder}"), "invalid choice"),
    ("make_smoke_data.py", ("pass", "{file}"), "not a folder"),
    ("make_smoke_data.py", (), "required"),
    ("make_sample.py", ("{folder}", "--seed", "x"), "x is not a whole number"),
    ("make_sample.py", ("{folder}/nowhere",), "nowhere"),
    ("make_photographs.py", (), "required"),
]


@pytest.mark.parametrize(("script", "words", "message"), SCRIPTS, ids=[message for *_, message in SCRIPTS])
def test_a_script_refuses_in_one_line(tmp_path: Path, script: str, words: tuple[str, ...], message: str) -> None:
    (tmp_path / "file").touch()
    given = [word.format(folder=tmp_path / "new", file=tmp_path / "file") for word in words]
    command = [sys.executable, str(ROOT / "scripts" / script), *given]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert line.startswith(script.removesuffix(".py"))
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("words", [("--port", "9" * 5000), ("--port", "x\n"), ("--port", "0"), ("--nope",), ("x",)])
def test_the_ui_refuses_in_one_line(words: tuple[str, ...], tmp_path: Path, monkeypatch, capsys) -> None:
    from relu2snn import ui

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ui", *words])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "mlflow.db").touch()
    with pytest.raises(SystemExit):
        ui.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("relu2snn ui: ")
    assert len(line) < 300


def test_a_path_that_an_engine_would_cut_is_named() -> None:
    from relu2snn.containers import _volume

    assert _volume("docker", Path("/a b"), Path("/c"), ":ro") == "--volume=/a b:/c:ro"
    with pytest.raises(UserError, match=r"/a:b: a path with ':' cannot be given to container.engine=podman"):
        _volume("podman", Path("/c"), Path("/a:b"))
