"""What the documentation says is there: its commands run, its links lead somewhere, its tables are the code's."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import check_links
import check_site
import error_page
import keras
import layer_page
import numpy as np
import pytest
import yaml
from documents import CLASSES, ROOT, Command, commands, known, lines, main
from keras import layers

import relu2snn
from relu2snn.mapping import UnsupportedLayerError, read_keras
from relu2snn.mapping.keras_layers import HANDLERS, NOTHING, SIZING

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
    block = "make ui   # a page\nsnakemake --cores 2 \\\n    --config suite=smoke  # small\n# nothing\n\ncurl http://x/#y\n"
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
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
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


def tried(folder: Path, given: list[str]) -> list[dict[str, Any]]:
    """What came of commands, in their order."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RELU2SNN", "SNAKEMAKE"))}
    # As a user has them who has activated .venv.
    kept["PATH"] = f"{folder}/.venv/bin:{kept['PATH']}"
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "try_commands.py")],
        input=json.dumps(given), cwd=folder, env=kept | {"PYTHONPATH": f"{folder}/src"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return list(json.loads(run.stdout))


def of_class(name: str) -> list[str]:
    """The commands of a class as the pages have them, each once for a page, in their order."""
    ways = known()
    seen: dict[tuple[str, str], Command] = {}
    for each in COMMANDS:
        if ways.get(each.key) == name:
            seen.setdefault((each.page, each.key), each)
    return [each.text for each in seen.values()]


def test_commands_run_as_they_stand(checkout: Path) -> None:
    for each in tried(checkout, of_class("run")):
        assert each["status"] == 0, each
    table = (checkout / "predictions.csv").read_text().splitlines()
    assert len(table) == 3
    assert (checkout / "network.nir").stat().st_size > 1000


def test_long_commands_are_understood(checkout: Path) -> None:
    if not (checkout / "my-cluster").exists():
        shutil.copytree(checkout / "pipeline/profiles/slurm", checkout / "my-cluster")
    given = list(dict.fromkeys(of_class("dry")))
    dry = [re.sub(r"^(make|\S*snakemake)\b(?! -n)", r"\1 -n", each) for each in given]
    for each in tried(checkout, dry):
        assert each["status"] == 0, each
        assert each["output"].strip(), each


def test_rows_whose_files_are_fetched_by_hand_say_so(checkout: Path) -> None:
    dry = [f"{each} -n" for each in of_class("waits")]
    for each in tried(checkout, dry):
        assert each["status"] == 1, each
        assert re.search(r"^relu2snn: experiments=\w+: .*(no such|missing|not there|waits|fetch)", each["output"], re.M), each


def test_the_example_of_the_first_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those like it: the files that they name are there, and what they print says that it is exact."""
    monkeypatch.chdir(tmp_path)
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(3, 3, activation="relu"), layers.Flatten(), layers.Dense(4)])
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
    run = subprocess.run([sys.executable, str(ROOT / "scripts" / "check_links.py")], capture_output=True, text=True, check=False)
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


def test_the_page_of_layers_is_that_of_the_readers_tables() -> None:
    assert (ROOT / "docs" / "layers.md").read_text() == layer_page.text(), "make pages"


def accepted(part: str) -> set[str]:
    """The names in the last column of the first table of a section of the page."""
    page = (ROOT / "docs" / "layers.md").read_text().partition(f"\n## {part}\n")[2]
    rows = [line.split("|") for line in page.partition("\n\n**")[0].partition("\n\n`Constant`")[0].splitlines() if line[:1] == "|"]
    return {name for row in rows[2:] for name in re.findall(r"`(\w+)`", row[2])}


# What a layer needs that has no default, and images that fit it.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "Dense": {"units": 2}, "Activation": {"activation": "relu"}, "Reshape": {"target_shape": (-1,)}, "Rescaling": {"scale": 2.0},
    "RepeatVector": {"n": 2}, "Normalization": {"mean": 0.0, "variance": 1.0}, "Permute": {"dims": (2, 1, 3)},
    "Dropout": {"rate": 0.5}, "Resizing": {"height": 8, "width": 8}, "CenterCrop": {"height": 8, "width": 8},
    "RandomCrop": {"height": 8, "width": 8}, "RandomErasing": {}, "UnitNormalization": {},
}  # fmt: skip
JOINING = {"Add", "Subtract", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Dot"}


def small(kind: type, rank: int) -> keras.Model | None:
    """A network of one such layer on images of a rank, if it can be built."""
    inputs = keras.Input((8,) * rank + (3,) if rank else (3,))
    options = ARGUMENTS.get(kind.__name__, {})
    if re.search(r"Conv\dD", kind.__name__) and "LSTM" not in kind.__name__:
        options = {"kernel_size": 3} | ({} if kind.__name__.startswith("Depthwise") else {"filters": 2})
    elif re.fullmatch(r"(Max|Average)Pooling\dD", kind.__name__):
        options = {"pool_size": 2}
    elif re.search("Random|Gaussian|Dropout|Mix|Aug", kind.__name__) and not options:
        options = next((each for each in ({}, {"factor": 0.1}, {"rate": 0.1}, {"stddev": 0.1}, {"height_factor": 0.1}, {"max_rotation": 0.1}) if _makes(kind, each)), {})
    try:
        layer = kind(**options)
        given = [inputs, layers.Identity()(inputs)] if kind.__name__ in JOINING else inputs
        return keras.Model(inputs, layer(given))
    except Exception:
        return None


def _makes(kind: type, options: dict[str, Any]) -> bool:
    try:
        kind(**options)
    except Exception:
        return False
    return True


def test_the_reader_takes_the_layers_of_the_page_and_no_others() -> None:
    """Each layer of Keras in a network of its own, of the ranks on which it can be built."""
    page = accepted("Keras")
    assert page == {kind.__name__ for kind in HANDLERS}
    nothing = {kind.__name__ for kind in NOTHING} | {kind.__name__ for kind in SIZING}
    tried = Counter[str]()
    every = {each for each in vars(layers).values() if isinstance(each, type) and issubclass(each, layers.Layer)}
    for kind in sorted(every, key=lambda each: each.__name__):
        for rank in range(4):
            model = small(kind, rank)
            if model is None or kind is layers.InputLayer or (kind in SIZING and rank != 2):
                continue
            name = kind.__name__
            if name in page | nothing:
                assert read_keras(model) is not None, name
                tried["taken"] += 1
            else:
                with pytest.raises(UnsupportedLayerError, match=re.escape(f"({name})")):
                    read_keras(model)
                tried["refused"] += 1
                continue
            tried[name] += 1
    assert page - set(tried) == set(), "no network was built of these"
    assert len(nothing - set(tried)) < 8, nothing - set(tried)
    assert tried["refused"] > 20


def test_the_page_of_operators_names_those_that_are_read() -> None:
    assert accepted("ONNX") == set(layer_page.read_onnx_handlers())


def test_every_error_has_its_place_and_every_text_of_troubleshooting_stands_in_the_source() -> None:
    said = list(error_page.texts())
    assert len(said) > 400
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    headings = set(re.findall(r"^## (.+)$", page, re.M))
    assert {title for title, parts in error_page.SECTIONS.items() if any(each.part in parts for each in said)} <= headings
    quoted = re.findall(r"^\| `(.+?)` \|", page, re.M)
    assert len(quoted) > 60
    source = [re.sub(r"…+", "…", each.text) for each in said]
    files = [*(ROOT / "src" / "relu2snn").rglob("*.py"), ROOT / "scripts" / "install.sh"]
    others = "\n".join(path.read_text() for path in files)
    for text in quoted:
        pattern = ".*".join(re.escape(piece) for piece in text.replace("\\|", "|").split("…") if piece)
        assert any(re.search(pattern, each) for each in source) or re.search(pattern, others), text


def test_every_public_name_is_in_the_reference() -> None:
    for name in ("relu2snn", "relu2snn.mapping", "relu2snn.spiking", "relu2snn.figures"):
        package = __import__(name, fromlist=["__all__"])
        page = (ROOT / "docs" / "api" / f"{name.rpartition('.')[2]}.md").read_text()
        for each in package.__all__:
            assert re.search(rf"(:: |`){each}\b", page) or (name == "relu2snn.figures" and each == "Figure"), f"{name}.{each}"


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
        assert f"$(BIN)/{program.rpartition('/')[2]} {words[0] if words and not words[0].startswith('-') else ''}".strip() in lint
