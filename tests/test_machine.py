"""What a row needs of the machine, looked at before any job: a suite leaves the row out, a named one ends in a line."""

import subprocess
import time
from pathlib import Path

import pytest
from runs import ROOT, command, drop_images, jobs, without_engines

from relu2snn import containers
from relu2snn.config import Paths, compose_experiment, compose_suite
from relu2snn.config.missing import needs_container
from relu2snn.config.schema import Experiment
from relu2snn.config.selection import select
from relu2snn.containers import require_engine
from relu2snn.datasets import SUPPORTED_FORMATS
from relu2snn.errors import UserError
from relu2snn.files import require_writable

# Container engines


def engine(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "podman").write_text(text)
    (folder / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


ENGINES = [
    ("#!/bin/sh\nexit 0\n", None),
    ("#!/bin/sh\necho cannot connect >&2\nexit 125\n", r"podman: no engine answers \(cannot connect\); start it"),
    ("#!/bin/sh\nexec /bin/sleep 60\n", r"podman: no answer after 0.5 s; start it, or choose"),
    (
        "#!/nowhere/sh\n",
        r"podman: can't be run \(.*\); start it, or choose container.engine=podman, docker, apptainer or none",
    ),
]


@pytest.mark.parametrize(("text", "message"), ENGINES)
def test_an_engine_must_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str | None) -> None:
    engine(tmp_path, text, monkeypatch)
    monkeypatch.setattr(containers, "_PATIENCE", 0.5)
    started = time.monotonic()
    if message is None:
        require_engine("podman")
    else:
        with pytest.raises(UserError, match=message) as caught:
            require_engine("podman")
        assert "\n" not in str(caught.value)
    # It does not wait for what never answers.
    assert time.monotonic() - started < 50
    with pytest.raises(UserError, match=r"container.engine=docker: no such program on the path"):
        require_engine("docker")


def test_without_a_container_this_environment_must_have_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    require_engine("none")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"container.engine=none: this environment has no OpenCV .*podman, docker or apptainer"
    ):
        require_engine("none")


def places365(folder: Path, *overrides: str) -> Experiment:
    return compose_experiment("places365_vgg", compose_suite("smoke"), [f"outputs={folder}", *overrides])


def test_an_engine_is_needed_until_caffes_files_are_converted(tmp_path: Path) -> None:
    config = places365(tmp_path)
    paths = Paths.of(config)
    files = [paths.container, f"{paths.weights}/{config.weights.stem}.npz"]
    files += [f"{paths.dataset}/parts/{part}.npy" for part in range(4)]
    for file in files:
        assert needs_container(config), file
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    assert not needs_container(config)
    # Other images are other files, and are not converted yet.
    assert needs_container(places365(tmp_path, "dataset.source.mean_bgr=[1,2,3]"))


def test_weights_that_are_given_need_no_engine_but_the_images_do(tmp_path: Path) -> None:
    given = tmp_path / "models" / "PLACES365" / "VGG" / "places_vgg_relu_original.h5"
    given.parent.mkdir(parents=True)
    given.touch()
    config = places365(tmp_path, f"weights.root={tmp_path}/models")
    paths = Paths.of(config)
    assert needs_container(config)
    for file in (paths.container, *(f"{paths.dataset}/parts/{part}.npy" for part in range(4))):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    assert not needs_container(config)
    for name in ("mnist_fc", "pass_vgg"):
        assert not needs_container(compose_experiment(name, compose_suite("smoke")))


# Folders for results


def test_a_folder_for_results_must_take_files(tmp_path: Path) -> None:
    require_writable(tmp_path / "not" / "yet" / "there")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for wrong in ("file", "dangling"):
        with pytest.raises(UserError, match=rf"{wrong}: no results can be written here \(.+\); choose another folder"):
            require_writable(tmp_path / wrong / "paper" / "mnist_fc")
    if Path("/proc/self").exists():
        # Not even for root.
        with pytest.raises(UserError, match=r"/proc: no results can be written here"):
            require_writable("/proc/outputs")


# Rows


def refuse(*names: str) -> list:
    def check(config: Experiment) -> None:
        if config.name in names:
            raise UserError(f"{config.name} has no place here")

    return [check]


def test_a_row_that_can_t_run_waits_with_the_others_of_its_suite() -> None:
    selection = select({"suite": "quickstart"}, SUPPORTED_FORMATS, refuse("fmnist_lenet"))
    # Each with both mappings.
    assert [each.name for each in selection.runs] == ["fmnist_fc", "fmnist_fc", "fmnist_vgg", "fmnist_vgg"]
    assert [(each.experiment, each.what, each.path) for each in selection.missing] == [
        ("fmnist_lenet", "fmnist_lenet has no place here", "")
    ]
    with pytest.raises(UserError, match=r"^experiments=fmnist_lenet: fmnist_lenet has no place here$"):
        select(
            {"suite": "quickstart", "experiments": "fmnist_fc,fmnist_lenet"}, SUPPORTED_FORMATS, refuse("fmnist_lenet")
        )
    with pytest.raises(UserError, match=r"^suite=quickstart: no experiment can run; fmnist_fc: fmnist_fc has no place"):
        select({"suite": "quickstart"}, SUPPORTED_FORMATS, refuse("fmnist_fc", "fmnist_lenet", "fmnist_vgg"))
    swept = select({"suite": "smoke"}, SUPPORTED_FORMATS, refuse("cifar10_vgg"))
    assert swept.sweeps == []


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder with the files of MNIST, Fashion-MNIST and Places365 on a machine without a container engine."""
    folder = tmp_path / "work"
    for name in ("mnist", "fmnist"):
        drop_images(folder / "data" / "raw" / name)
    for name in ("train", "val_256"):
        (folder / "data" / "raw" / "places365" / name).mkdir(parents=True)
    for name in ("places365_val.txt", "vgg16_places365.caffemodel", "deploy_vgg16_places365.prototxt"):
        (folder / "data" / "raw" / "places365" / name).touch()
    return folder, without_engines(tmp_path / "bin")


def call(machine: tuple[Path, dict[str, str]], *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    words = command(*arguments, **{"overrides": "", **options})
    return subprocess.run(words, cwd=machine[0], env=machine[1], capture_output=True, text=True, check=False)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert "Traceback" not in done.stderr
    return line


@pytest.mark.workflow
def test_without_an_engine_a_row_waits_and_the_others_run(machine: tuple[Path, dict[str, str]]) -> None:
    done = call(machine, "-n")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stderr.replace("│", " ").split())
    assert "places365_vgg" in text
    assert "container.engine=docker: no such program on the path" in text
    # All rows but places365_vgg, and pass_vgg, which has no images.
    assert jobs(done.stdout + done.stderr)["phase1"] == 8
    line = one_line(call(machine, experiments="places365_vgg"))
    assert "relu2snn: experiments=places365_vgg: container.engine=docker: no such program on the path" in line
    assert not (machine[0] / "outputs").exists()
    other = call(machine, "-n", experiments="places365_vgg", overrides="container.engine=none")
    assert other.returncode == 0, other.stderr
    assert "places365_weights" in jobs(other.stdout + other.stderr)


@pytest.mark.workflow
def test_two_files_of_weights_and_half_a_data_set_keep_back_their_rows_alone(
    machine: tuple[Path, dict[str, str]],
) -> None:
    models = machine[0] / "data" / "models" / "MNIST" / "FC"
    models.mkdir(parents=True)
    for suffix in (".h5", ".keras"):
        (models / f"mnist_fc_relu_original{suffix}").touch()
    (machine[0] / "data" / "raw" / "fmnist" / "t10k-labels-idx1-ubyte").unlink()
    done = call(machine, "-n")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stderr.replace("│", " ").split())
    for part in ("2 files of weights", "t10k-labels-idx1-ubyte"):
        assert part in text
    assert jobs(done.stdout + done.stderr)["phase1"] == 6


@pytest.mark.workflow
def test_a_folder_that_takes_no_results_ends_in_one_line(machine: tuple[Path, dict[str, str]]) -> None:
    (machine[0] / "outputs").touch()
    for options in ({"experiments": "mnist_fc"}, {}):
        line = one_line(call(machine, **options))
        assert line.startswith("relu2snn: outputs=outputs: ")
        assert line.endswith("is no folder; name another place for the results")


@pytest.mark.workflow
def test_every_row_of_the_smoke_suite_is_planned_on_a_machine_without_an_engine(tmp_path: Path) -> None:
    """That they run there, test_pass.py shows of the one that reads Caffe's files, and `make smoke` of all."""
    folder, environment = tmp_path / "work", without_engines(tmp_path / "bin")
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    machine = (folder, environment)
    every = call(machine, "-n", suite="smoke")
    assert every.returncode == 0, every.stderr
    assert "Not run" not in every.stderr
    assert jobs(every.stdout + every.stderr)["phase1"] == 10
