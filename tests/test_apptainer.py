"""Apptainer as engine: its definition file, its command lines, its image as a file; no real one is run here."""

import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from smoke_data import make, stage, the_line

from relu2snn.apptainer import definition, run_command, write_arguments
from relu2snn.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
PLACES365 = ROOT / "pipeline" / "places365"
PREPARED = Path("outputs", "smoke", "datasets", "places365_smoke", "base")
NPZ = Path("outputs", "smoke", "places365_vgg", "weights", "base", "places_vgg_relu_original.npz")
APPTAINER = "container.engine=apptainer"

STAND_IN = """#!/bin/sh
# A stand-in for Apptainer: it writes down how it is called, builds nothing, and runs the script without a container.
echo "$@" >> {folder}/calls
case $1 in
    build) cp * {folder}; {build} ;;
    run) while [ "${{1##*.}}" != sif ]; do shift; done; cat "$1" > {folder}/ran; shift; exec {python} {script} "$@" ;;
esac
"""


def stand_in(folder: Path, build: str = 'echo "an image" > $2') -> str:
    """The PATH of a machine with it."""
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "apptainer"
    script = shlex.quote(str(PLACES365 / "caffe.py"))
    program.write_text(STAND_IN.format(folder=folder, build=build, python=sys.executable, script=script))
    program.chmod(0o755)
    return f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"


def test_the_image_is_built_once_and_both_of_caffes_files_are_read_as_without_a_container(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        make("places365", folder / "data" / "smoke" / "places365")
    settings = {
        "PATH": stand_in(tmp_path / "engine"),
        "PIP_INDEX_URL": "https://user:secret@packages.invalid/simple",
    }
    for name in ("places365_sample", "places365_weights", "places365_part"):
        part = ["--part=3"] if name == "places365_part" else []
        for folder, engine in ((ours, "container.engine=none"), (theirs, APPTAINER)):
            done = stage(name, "places365_vgg", folder, engine, *part, **settings)
            assert done.returncode == 0, done.stderr
    with np.load(ours / NPZ) as expected, np.load(theirs / NPZ) as found:
        assert expected.files == found.files
        for name in expected.files:
            assert expected[name].tobytes() == found[name].tobytes(), name
    part = PREPARED / "parts" / "3.npy"
    assert (ours / part).read_bytes() == (theirs / part).read_bytes()

    calls = [line.split() for line in (tmp_path / "engine" / "calls").read_text().splitlines()]
    (built,) = [words for words in calls if words[0] == "build"]
    assert built[2] == "image.def"
    # The password is in a file of the folder that is built from, and in neither the call nor the definition.
    assert "secret" not in " ".join(built) + (tmp_path / "engine" / "image.def").read_text()
    assert "secret" in (tmp_path / "engine" / "arguments").read_text()
    weights, images = [words for words in calls if words[0] == "run"]
    image = theirs / "outputs" / "containers" / Path(built[1]).name
    assert image.read_text() == (tmp_path / "engine" / "ran").read_text() == "an image\n"
    isolation = {"--containall", "--cleanenv", "--no-home", "--net", "--network=none", f"--pwd={theirs}"}
    data = theirs / "data" / "smoke" / "places365"
    for words in (weights, images):
        flags = words[1 : words.index(f"outputs/containers/{image.name}")]
        assert isolation < set(flags)
        binds = [flag.removeprefix("--bind=") for flag in flags if flag.startswith("--bind=")]
        assert f"{data}:{data}:ro" in binds
        (writable,) = [each for each in binds if each.endswith(":rw")]
        assert "/.partial-" in writable
    assert not list(image.parent.glob(".partial-*"))


def test_what_goes_wrong_is_one_line_and_leaves_no_image(tmp_path: Path) -> None:
    path = stand_in(tmp_path / "engine", "echo half > $2; exit 9")
    line = the_line(stage("places365_image", "places365_vgg", tmp_path, APPTAINER, PATH=path))
    assert "apptainer build ended with status 9, see the lines above" in line
    assert not list(tmp_path.rglob("*.sif"))
    assert not list(tmp_path.rglob("container.json"))
    (tmp_path / "engine" / "bin" / "apptainer").write_text("#!/bin/sh\necho no user namespaces >&2; exit 1\n")
    line = the_line(stage("places365_image", "places365_vgg", tmp_path, APPTAINER, PATH=path))
    assert "container.engine=apptainer: no engine answers (no user namespaces); mend it, or choose" in line
    (tmp_path / "engine" / "bin" / "apptainer").unlink()
    line = the_line(stage("places365_image", "places365_vgg", tmp_path, APPTAINER, PATH=str(tmp_path)))
    assert "container.engine=apptainer: no such program on the path; install it, or choose container.engine" in line


@pytest.mark.parametrize("sign", [":", ","])
def test_a_path_that_its_command_line_cannot_have_is_named(sign: str) -> None:
    bad, good = Path(f"/a{sign}b"), Path("/c")
    with pytest.raises(UserError, match=rf"/a{sign}b: a path with '{sign}' cannot be given to .*=apptainer; move"):
        run_command(Path("i.sif"), good, [(bad, good, False)])


def test_where_nothing_of_its_folder_is_mounted_it_runs_in_no_folder() -> None:
    command = run_command(Path("i.sif"), Path("/work"), [(Path("/in"), Path("/in"), False)])
    assert not [word for word in command if word.startswith("--pwd")]


def test_the_definition_has_the_stages_files_and_program_of_the_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "caffe.py").touch()
    text = definition(PLACES365 / "Dockerfile", tmp_path)
    packages, final = text.split("\n\nBootstrap: docker\n")
    assert packages.startswith("Bootstrap: docker\nFrom: python:3.11-slim-bookworm\nStage: packages\n")
    assert "%files\n    requirements.txt /build/requirements.txt\n    arguments /arguments\n" in packages
    # There are no certificates here.
    assert ".pem /" not in packages
    for line in ("set -e", ". /arguments", "mkdir -p /build && cd /build"):
        assert f"\n    {line}\n" in packages
    assert "/opt/packages/bin/pip install" in packages
    assert "%files from packages\n    /opt/packages /opt/packages\n" in final
    assert "%files\n    caffe.py /opt/caffe.py\n" in final
    assert '%runscript\n    exec /opt/packages/bin/python /opt/caffe.py "$@"\n' in final
    write_arguments(tmp_path, {"PIP_INDEX_URL": "https://a b'c"})
    assert (tmp_path / "arguments").read_text() == """export PIP_INDEX_URL='https://a b'"'"'c'\n"""


@pytest.mark.parametrize(
    ("line", "message"),
    [("USER nobody", "line 2: USER can't"), ("RUN true\nCOPY a /a", "line 3: COPY"), ("ARG A", "line 2: ARG")],
)
def test_an_instruction_without_a_translation_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM a\n{line}\n")
    with pytest.raises(UserError, match=message):
        definition(tmp_path / "Dockerfile", tmp_path)
