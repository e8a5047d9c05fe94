"""The wheel, in an environment that has only what the library requires, and in a folder far from the repository."""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from email import message_from_bytes
from email.message import Message
from importlib.metadata import distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from runs import ROOT

import relu2snn

FOLDERS = ("conf", "pipeline/report/pages", "pipeline/places365")
BUILD = "import setuptools.build_meta as backend, sys; print(backend.build_sdist(sys.argv[1]))"
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
OFFLINE = ["--no-index", "--no-deps"]
# What the workflow needs, and a library does not.
EXTRAS = ("hydra", "omegaconf", "mlflow", "snakemake", "cv2", "matplotlib", "yaml", "jinja2", "filelock", "onnx", "nir")


def ran(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program that a user starts in `folder`, who has set no path of Python's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TF_", "RELU2SNN"))}
    return subprocess.run(command, cwd=folder, env=kept | environment, capture_output=True, text=True, check=False)


def done(command: list[str], folder: Path, **environment: str) -> str:
    run = ran(command, folder, **environment)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of an sdist, as from a registry; from a copy, since a build leaves its folders behind."""
    folder = tmp_path_factory.mktemp("build")
    copy = folder / "repository"
    kept = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", "conf", "pipeline"):
        shutil.copytree(ROOT / name, copy / name, ignore=kept)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    sdist = folder / done([sys.executable, "-c", BUILD, str(folder)], copy).splitlines()[-1]
    done([*PIP, "wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", str(folder), str(sdist)], folder)
    (built,) = folder.glob("*.whl")
    return built


def closure(texts: Iterable[str]) -> set[str]:
    """The distributions that requirements lead to, of those that are installed here."""
    found: dict[str, set[str]] = {}
    waiting = [(text, {""}) for text in texts]
    while waiting:
        text, extras = waiting.pop()
        each = Requirement(text)
        name = canonicalize_name(each.name)
        wanted = each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
        if wanted and not {"", *each.extras} <= found.get(name, set()):
            found.setdefault(name, set()).update({"", *each.extras})
            waiting += [(more, found[name]) for more in distribution(name).requires or ()]
    return set(found)


def named(texts: Iterable[str], extra: str) -> set[str]:
    """What requirements name for an extra, and for the extras that it takes in."""
    found = [each for each in map(Requirement, texts) if each.marker and each.marker.evaluate({"extra": extra})]
    more = {each for requirement in found if requirement.name == "relu2snn" for each in requirement.extras}
    return {canonicalize_name(each.name) for each in found}.union(*(named(texts, each) for each in more))


def share(names: set[str], folder: Path) -> None:
    """Link the files of these distributions into `folder`: folders of one or two levels, if all in them is theirs."""
    owners: dict[str, set[str]] = {}
    places: dict[str, Path] = {}
    for each in distributions():
        name, place = canonicalize_name(each.name), Path(str(each.locate_file("")))
        for line in (each.read_text("RECORD") or "").splitlines():
            words = line.split(",")[0].split("/")
            for start in ("/".join(words[:count]) for count in (1, 2)):
                owners.setdefault(start, set()).add(name)
                places.setdefault(start, place)
    for start in sorted(owners):
        if owners[start] <= names and not start.startswith(("..", "__pycache__")) and not (folder / start).exists():
            (folder / start).parent.mkdir(exist_ok=True)
            (folder / start).symlink_to(places[start] / start)


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of an environment with the wheel and what its metadata require without an extra, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    interpreter = str(folder / "bin" / "python")
    (site,) = folder.glob("lib/python*/site-packages")
    share(closure(metadata(wheel).get_all("Requires-Dist")), site)
    done([*PIP, "--python", interpreter, "install", *OFFLINE, str(wheel)], folder)
    return interpreter


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_a_wheel_has_the_folders_that_the_package_reads_as_they_stand_in_the_repository(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for folder in FOLDERS:
        there = [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert there
        for path in there:
            assert files[f"relu2snn/{path.relative_to(ROOT)}"] == path.read_bytes()
    assert "relu2snn/py.typed" in files
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.py")}
    data = tuple(f"relu2snn/{folder}/" for folder in FOLDERS)
    assert {name for name in files if name.endswith(".py") and not name.startswith(data)} == sources


def test_every_folder_that_is_asked_for_comes_with_the_package() -> None:
    texts = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    assert set(re.findall(r'shipped_folder\("(.*?)"\)', "".join(texts))) == set(FOLDERS)


def test_extras_bring_what_the_library_is_installed_without(wheel: Path) -> None:
    required = metadata(wheel).get_all("Requires-Dist")
    core = closure(required)
    assert {"tensorflow", "keras", "numpy", "numba", "h5py", "tqdm", "rich", "typer"} <= core
    workflow = {"hydra-core", "omegaconf", "mlflow", "snakemake", "opencv-python-headless", "matplotlib", "pyyaml"}
    assert not core & workflow
    for extra, brought in (("workflow", workflow), ("figures", {"matplotlib"}), ("onnx", {"onnx"}), ("nir", {"nir"})):
        assert brought <= named(required, extra), extra


SMALL = """
import pathlib, sys
import numpy as np
import relu2snn
import keras
assert pathlib.Path(sys.prefix) in pathlib.Path(relu2snn.__file__).parents, relu2snn.__file__
keras.utils.set_random_seed(0)
layers = keras.layers
model = keras.Sequential([
    keras.Input((6, 6, 1)), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(2), layers.Flatten(),
    layers.Dense(8, activation="relu"), layers.Dense(3, activation="softmax"),
])
images = np.random.default_rng(0).uniform(0, 1, (16, 6, 6, 1)).astype(np.float32)
spiking = relu2snn.convert(model, images, low=0.0, high=1.0)
verification = relu2snn.verify(model, spiking, images)
assert verification.exact, verification
spiking.save("spiking.keras")
np.savez("expected.npz", images=images, outputs=spiking.predict(images, verbose=0))
"""
AGAIN = """
import numpy as np
import relu2snn
import keras
expected = np.load("expected.npz")
outputs = keras.models.load_model("spiking.keras").predict(expected["images"], verbose=0)
assert np.array_equal(outputs, expected["outputs"])
assert np.ptp(outputs) > 0
"""


def test_a_network_is_converted_verified_saved_and_loaded_where_nothing_else_is_installed(
    python: str, tmp_path: Path
) -> None:
    found = f"import importlib.util as u; print(*[name for name in {EXTRAS!r} if u.find_spec(name)])"
    assert done([python, "-c", found], tmp_path).split() == []
    done([python, "-c", SMALL], tmp_path)
    done([python, "-c", AGAIN], tmp_path)


def test_importing_it_loads_neither_tensorflow_nor_keras_and_tells_the_version(python: str, tmp_path: Path) -> None:
    code = (
        "import sys, relu2snn; from importlib.metadata import version;"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules);"
        "print(relu2snn.__version__, version('relu2snn'))"
    )
    assert done([python, "-c", code], tmp_path).split() == [relu2snn.__version__] * 2


MISSING = [("config", "hydra", "workflow"), ("figures", "matplotlib", "figures")]


@pytest.mark.parametrize(("module", "missing", "extra"), MISSING)
def test_a_part_whose_packages_are_not_there_says_which_extra_brings_them(
    python: str, tmp_path: Path, module: str, missing: str, extra: str
) -> None:
    run = ran([python, "-c", f"import relu2snn.{module}"], tmp_path)
    last = run.stderr.splitlines()[-1]
    assert last == f"ModuleNotFoundError: {missing} is not installed; pip install 'relu2snn[{extra}]' brings it"


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder for PYTHONPATH: the wheel's package among all packages that are installed here."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return str(folder)


def test_a_stage_runs_from_the_wheel_in_another_folder(unpacked: str, tmp_path: Path) -> None:
    """It composes configs, fills templates, and takes no repository around it for its own."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    stage = [sys.executable, "-m", "relu2snn.stages", "provenance", "experiment=mnist_fc", "phase2.zeta=0.3"]
    done(stage, tmp_path, PYTHONPATH=unpacked)
    (page,) = tmp_path.glob("outputs/paper/mnist_fc/provenance/*/config.html")
    assert "zeta: 0.3" in page.read_text()
    assert '"commit": null' in (page.parent / "software.json").read_text()
    script = "from relu2snn.containers import image_name; print(image_name())"
    here = done([sys.executable, "-c", script], tmp_path, PYTHONPATH=str(ROOT / "src"))
    assert done([sys.executable, "-c", script], tmp_path, PYTHONPATH=unpacked) == here


def test_the_workflow_refuses_a_package_whose_conf_is_not_beside_it(unpacked: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1", "-n"]
    run = ran(command, tmp_path, PYTHONPATH=unpacked)
    assert run.returncode == 1
    (line,) = [line for line in run.stderr.splitlines() if line.strip()]
    assert line.startswith(f"relu2snn: {unpacked}/relu2snn: this package is a wheel's and has a conf/ of its own; ")
    assert line.endswith("pip install -e . in the folder of the Snakefile")


def test_a_folder_that_is_missing_is_named(unpacked: str, tmp_path: Path) -> None:
    shutil.copytree(Path(unpacked, "relu2snn"), tmp_path / "src" / "relu2snn", ignore=shutil.ignore_patterns("conf"))
    stage = [sys.executable, "-m", "relu2snn.stages", "provenance", "experiment=mnist_fc"]
    run = ran(stage, tmp_path, PYTHONPATH=str(tmp_path / "src"))
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        f"relu2snn provenance: {tmp_path}/conf: no such folder, but relu2snn reads it; "
        "install relu2snn or check it out again"
    ]
