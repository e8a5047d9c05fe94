"""What the documentation says can be done: its commands run, its links lead somewhere, its site fetches nothing."""

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import check_links
import check_site
import keras
import numpy as np
import pytest
import yaml
from documents import CLASSES, ROOT, commands, known, lines, main
from keras import layers

import relu2snn
from relu2snn.config.selection import select
from relu2snn.datasets import SUPPORTED_FORMATS

COMMANDS = commands()


def test_every_command_of_the_documentation_is_tried_in_one_way() -> None:
    found = {each.key for each in COMMANDS}
    ways = Counter(
        [key for name in ("run", "dry", "waits", "tested") for key in CLASSES[name]]
        + [key for each in CLASSES["by_hand"] for key in each["commands"]]
    )
    assert found - set(ways) == set(), "give these a place in tests/commands.toml"
    assert set(ways) - found == set(), "these stand in no page any more"
    assert [key for key, count in ways.items() if count > 1] == []
    assert len(found) > 100


def test_tests_that_are_said_to_try_a_command_are_there() -> None:
    for test in CLASSES["tested"].values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(), test


def test_what_is_left_to_a_person_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr().out
    assert re.search(r"^  docker push registry\.example/relu2snn:1    \(docs/kubernetes\.md:\d+\)$", printed, re.M)


def test_commands_are_told_from_comments_and_go_on_after_a_backslash() -> None:
    block = (
        "make ui   # a page\nsnakemake --cores 2 \\\n    --config suite=smoke  # small\n# nothing\n\ncurl http://x/#y\n"
    )
    assert list(lines(block)) == [
        (0, "make ui"),
        (1, "snakemake --cores 2 --config suite=smoke"),
        (5, "curl http://x/#y"),
    ]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a checkout has, with the files that the pages name."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("src", "conf", "pipeline", "data/sample", "benchmarks", "scripts"):
        # With what numba has compiled.
        shutil.copytree(ROOT / name, folder / name)
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    for name in ("Snakefile", "Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    draw = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    for shape, names in (((28, 28, 1), ("mnist", "my", "mine", "my model")), ((32, 32, 3), ("resnet",))):
        model = keras.Sequential([
            keras.Input(shape), layers.Conv2D(2, 5, strides=3, activation="relu"), layers.Flatten(),
            layers.Dense(8, activation="relu"), layers.Dense(10, activation="softmax"),
        ])  # fmt: skip
        for name in names:
            model.save(folder / f"{name}.keras")
        if "mnist" in names:
            model.save(folder / "mnist.h5")
    grey, labels = draw.uniform(0, 1, (40, 28, 28, 1)).astype(np.float32), np.arange(40) % 10
    for name in ("mnist", "my", "mine", "Bilder ä, neu"):
        np.savez(folder / f"{name}.npz", x_train=grey, x_test=grey[:20], y_test=labels[:20])
    colours = draw.uniform(0, 1, (10, 32, 32, 3)).astype(np.float32)
    np.savez(folder / "x.npz", colours)
    np.save(folder / "x.npy", colours)
    # What the exporters of PyTorch take, channels first.
    shutil.copy(ROOT / "tests" / "networks_of_torch" / "residual_dynamo.onnx", folder / "model.onnx")
    shape = next(iter(relu2snn.load_onnx(folder / "model.onnx").inputs.values()))
    np.savez(folder / "images.npz", draw.uniform(0, 1, (10, *shape)).astype(np.float32))
    shutil.copy(ROOT / "data/sample/fmnist/train-images-idx3-ubyte.gz", folder)
    (folder / "photos").mkdir()
    for name in ("chelsea", "coffee"):
        shutil.copy(ROOT / "data" / "sample" / "photographs" / f"{name}.jpg", folder / "photos")
    return folder


def of_class(name: str) -> list[tuple[str, str]]:
    """The page and the text of the commands of a class, each once for a page, in their order."""
    ways = known()
    return list(dict.fromkeys((each.page, each.text) for each in COMMANDS if ways.get(each.key) == name))


def dry(command: str) -> str:
    """A call of Snakemake or make that only says what it would do."""
    command = command.removeprefix(".venv/bin/")
    return command if " -n " in command else re.sub(r"^(make|snakemake)\b", r"\1 -n", command)


def kind(command: str) -> tuple[str, ...]:
    """A call without the names of its experiments and sweeps, and the values of its overrides."""
    words = shlex.split(command)
    return tuple(sorted(re.sub(r"^(experiments|sweep|overrides)=.*", r"\1", word, flags=re.S) for word in words))


def one_of_each_kind() -> list[str]:
    """Calls that are run with -n: of those that differ only in what they select, the first."""
    return list({kind(each): each for each in reversed(calls())}.values())


def calls() -> list[str]:
    return list(dict.fromkeys(dry(text) for _, text in of_class("dry")))


@pytest.fixture(scope="module")
def outcomes(checkout: Path) -> dict[str, list[dict[str, Any]]]:
    """What came of the commands of each class, all in one call, since a start of Python takes seconds."""
    given = {"run": [text for _, text in of_class("run")]}
    # A page's commands may need what one before them has made.
    given |= {"waits": list(dict.fromkeys(dry(text) for _, text in of_class("waits"))), "dry": one_of_each_kind()}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RELU2SNN", "SNAKEMAKE"))}
    # As a user has them who has activated .venv.
    kept["PATH"] = f"{checkout}/.venv/bin:{kept['PATH']}"
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "try_commands.py")],
        input=json.dumps(list(itertools.chain(*given.values()))),
        cwd=checkout,
        env=kept | {"PYTHONPATH": f"{checkout}/src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = iter(json.loads(run.stdout))
    return {name: list(itertools.islice(found, len(own))) for name, own in given.items()}


@pytest.mark.workflow
def test_commands_run_as_they_stand(outcomes: dict[str, list[dict[str, Any]]], checkout: Path) -> None:
    for each in outcomes["run"]:
        assert each["status"] == 0, each
    table = (checkout / "predictions.csv").read_text().splitlines()
    assert len(table) == 3
    assert (checkout / "network.nir").stat().st_size > 1000


@pytest.mark.workflow
def test_long_commands_are_understood(outcomes: dict[str, list[dict[str, Any]]]) -> None:
    for each in outcomes["dry"]:
        assert each["status"] == 0, each
        assert each["output"].strip(), each


def test_what_calls_of_the_same_kind_select_is_there(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    others = set(calls()) - set(one_of_each_kind())
    assert len(others) > 15
    for command in others:
        words = shlex.split(command)
        options = dict(word.split("=", 1) for word in words[words.index("--config") + 1 :])
        assert select(options, SUPPORTED_FORMATS).runs, command


@pytest.mark.workflow
def test_rows_whose_files_are_fetched_by_hand_say_so(outcomes: dict[str, list[dict[str, Any]]]) -> None:
    for each in outcomes["waits"]:
        assert each["status"] == 1, each
        assert re.search(r"^relu2snn: experiments=\w+: .* missing .*get it from ", each["output"], re.M), each


def test_the_example_of_the_first_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those like it: the files that they name are there, and what they print says that it is exact."""
    monkeypatch.chdir(tmp_path)
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), layers.Conv2D(3, 3, activation="relu"), layers.Flatten(), layers.Dense(4)]
    )
    model.save("resnet.keras")
    shutil.copy(ROOT / "tests" / "networks_of_torch" / "plain_dynamo.onnx", "resnet.onnx")
    draw = np.random.default_rng(0)
    grey = draw.uniform(0, 1, (20, 6, 6, 1))
    onnx = draw.uniform(-1, 1, (20, *next(iter(relu2snn.load_onnx("resnet.onnx").inputs.values()))))
    for page, first, images in (
        ("README.md", "import relu2snn", grey),
        ("docs/own_network.md", "import relu2snn", grey),
        ("docs/onnx.md", "import relu2snn", onnx),
    ):
        (block,) = (each.text for each in COMMANDS if each.key == f"{page}: {first}")
        names = {"calibration_images": images, "images": images, "test_images": images[:3]}
        exec(block, names)
        assert relu2snn.verify(names["model"], names["spiking"], images[:3]).exact
        Path("spiking.keras").unlink()
    (block,) = (each.text for each in COMMANDS if each.page == "docs/export.md" and "export_events" in each.text)
    exec(block, {"relu2snn": relu2snn, "spiking": names["spiking"], "images": onnx})
    assert {"network.npz", "network.h5", "network.nir", "spikes.csv"} <= {path.name for path in tmp_path.iterdir()}


def test_links_and_names_of_files_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "there.md").write_text("# A heading: of `x`\n\n# Twice\n\n# Twice\n")
    (tmp_path / "page.md").write_text(
        "[a](docs/there.md#a-heading-of-x) [b](docs/there.md#twice-1) [c](docs/there.md#no) ![d](gone.png) [e](https://x.y)\n"
        "[f](../page.md) `conf/there.yaml` `conf/gone.yaml` `there.yaml` `outputs/x.json` `conf/<name>.yaml`\n"
    )
    files = frozenset({"page.md", "docs/there.md", "conf/there.yaml"})
    found = list(check_links.faults(tmp_path, ["page.md"], files))
    assert [each.split(": ")[1] for each in found] == ["docs/there.md#no", "gone.png", "../page.md", "`conf/gone.yaml`"]


def test_links_and_names_of_files_lead_somewhere() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "check_links.py")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<img src="https://x.y/z.png">'),
        ("a.html", '<script src="//x.y/z.js"></script>'),
        ("a.html", '<link rel="stylesheet" href="https://x.y/z.css">'),
        ("a.html", '<link rel="preconnect" href="https://x.y">'),
        ("a.html", "<style>@import 'https://x.y/z.css';</style>"),
        ("a.html", '<p style="background: url(https://x.y/z.png)"></p>'),
        ("a.html", "<script>fetch('https://x.y/z.json')</script>"),
        ("a.css", '@font-face { src: url("https://x.y/z.woff2") }'),
        ("a.js", 'import("https://x.y/z.js")'),
    ],
)
def test_what_a_page_would_load_is_found(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert [each.startswith(("https://x.y", "//x.y")) for each in check_site.loaded(tmp_path / name)] == [True]


def test_what_a_reader_follows_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="https://x.y">z</a> <link rel="next" href="https://x.y"> <img src="z.png"> <svg xmlns="http://www.w3.org/2000/svg"/>'
    )
    assert list(check_site.loaded(tmp_path / "a.html")) == []


def test_what_runs_elsewhere_is_what_runs_here() -> None:
    """GitHub's workflow calls .ci/run, and pre-commit's hooks are programs of the lock."""
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [each["repo"] for each in hooks] == ["local"]
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    for hook in hooks[0]["hooks"]:
        assert hook["language"] == "system"
        program, *words = hook["entry"].split()
        assert program.startswith(".venv/bin/")
        assert (
            f"$(BIN)/{program.rpartition('/')[2]} {words[0] if words and not words[0].startswith('-') else ''}".strip()
            in lint
        )
