"""Places365: Caffe's weights and preprocessing against OpenCV's network and plain numpy; what is drawn and listed."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from smoke_data import PHOTOGRAPHS, caffe_rule, caffe_script, make, stage, the_line

from relu2snn.config import compose_experiment, compose_suite
from relu2snn.config.schema import Preprocess
from relu2snn.datasets import open_dataset
from relu2snn.datasets.manifest import read_manifest
from relu2snn.datasets.places365 import read_labels, sample_training
from relu2snn.errors import UserError
from relu2snn.made import load_text
from relu2snn.made.text_file import save_text, text_digest
from relu2snn.mapping import logits_model
from relu2snn.networks.build import build
from relu2snn.networks.weights import load_weights

CAFFE = caffe_script()
MEAN = np.array([104.00698793, 116.66876762, 122.67891434], np.float32)
CAFFEMODEL, PROTOTXT = "vgg16_places365.caffemodel", "deploy_vgg16_places365.prototxt"
RANGE = Preprocess(mean=0, std=1, low=-200, high=200)
PREPARED = Path("outputs", "smoke", "datasets", "places365_smoke", "base")
NPZ = Path("outputs", "smoke", "places365_vgg", "weights", "base", "places_vgg_relu_original.npz")
NO_ENGINE = "container.engine=none"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the stages before phase 1 have run, without a container."""
    folder = tmp_path_factory.mktemp("places365")
    make("places365", folder / "data" / "smoke" / "places365")
    for name in ("places365_sample", "places365_labels", "places365_part", "photographs", "places365_weights"):
        done = stage(name, "places365_vgg", folder, NO_ENGINE)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def files(run: Path, tmp_path: Path) -> Path:
    """A copy of the small files, to damage."""
    shutil.copytree(run / "data", tmp_path / "data")
    return tmp_path / "data" / "smoke" / "places365"


def network() -> keras.Model:
    config = compose_experiment("places365_vgg", compose_suite("smoke"))
    return build(config.model, config.dataset.image_shape, config.dataset.classes)


@pytest.mark.parametrize("path", PHOTOGRAPHS, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [(224, 224), (97, 301), (400, 350)])
def test_preprocessing_is_caffes_rule(path: Path, size: tuple[int, int]) -> None:
    found = CAFFE.preprocess(path, size, MEAN)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, caffe_rule(path, size, MEAN), atol=1e-3)


def test_grey_photographs_have_three_colours_and_orientation_is_not_applied(tmp_path: Path) -> None:
    from PIL import Image

    photograph = Image.open(PHOTOGRAPHS[0])
    exif = photograph.getexif()
    exif[0x0112] = 6
    photograph.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    photograph.save(tmp_path / "plain.jpg", quality=95)
    photograph.convert("L").save(tmp_path / "grey.jpg")
    turned, plain, grey = (CAFFE.preprocess(tmp_path / f"{n}.jpg", (50, 60), MEAN) for n in ("turned", "plain", "grey"))
    np.testing.assert_array_equal(turned, plain)
    np.testing.assert_allclose(grey + MEAN, (grey + MEAN)[..., :1].repeat(3, axis=-1), atol=1e-4)


def test_the_keras_network_computes_what_the_caffe_network_does(run: Path) -> None:
    model = network()
    load_weights(model, run / NPZ)
    folder = run / "data" / "smoke" / "places365"
    caffe = cv2.dnn.readNetFromCaffe(str(folder / PROTOTXT), str(folder / CAFFEMODEL))
    images = np.stack([CAFFE.preprocess(path, (224, 224), MEAN) for path in PHOTOGRAPHS])
    caffe.setInput(images.transpose(0, 3, 1, 2))
    expected = caffe.forward("fc8a")
    found = np.asarray(logits_model(model)(images.astype(np.float64)))
    scale = np.abs(expected).max()
    assert expected.std(axis=0).min() > 0.01 * scale, "the network's answers must depend on the photograph"
    np.testing.assert_allclose(found, expected, atol=1e-4 * scale)


def test_the_parts_hold_every_image_in_order(run: Path) -> None:
    data = open_dataset(run / PREPARED)
    folder = run / "data" / "smoke" / "places365"
    listed = [line.split() for line in (folder / "places365_val.txt").read_text().splitlines()]
    expected = np.stack([CAFFE.preprocess(folder / "val_256" / name, (224, 224), MEAN) for name, _ in listed])
    assert (data.count("test"), data.count("train"), data.kind) == (7, 12, "synthetic")
    batches = list(data.batches("test", 4, RANGE, 1, 7))
    assert [len(images) for images, _ in batches] == [4, 2]
    np.testing.assert_array_equal(np.concatenate([images for images, _ in batches]), expected[1:])
    labels = data.labels("test")
    assert labels is not None
    assert labels.tolist() == [int(label) for _, label in listed]
    sample = read_manifest(run / PREPARED / "train.tsv").paths
    (images, nothing) = next(data.batches("train", 12, RANGE))
    assert nothing is None
    np.testing.assert_array_equal(images[5], CAFFE.preprocess(folder / sample[5], (224, 224), MEAN))


def test_the_sample_takes_up_to_so_many_of_every_class_of_both_depths(tmp_path: Path) -> None:
    folder = make("places365", tmp_path, classes=5, per_class=4)
    (folder / "train" / "b" / "scene_1" / "00000002.jpg").unlink()
    chosen = sample_training(folder, 5 * 4 - 1, 4, seed=0).paths
    assert len(set(chosen)) == len(chosen) == 19
    assert all((folder / path).is_file() for path in chosen)
    two = sample_training(folder, 10, 2, seed=0).paths
    counts = {
        name: sum(path.rpartition("/")[0] == name for path in two) for name in {p.rpartition("/")[0] for p in two}
    }
    assert set(counts.values()) == {2}
    assert {"train/a/scene_0/indoor", "train/b/scene_1"} <= set(counts)
    assert two == sample_training(folder, 10, 2, seed=0).paths
    assert two != sample_training(folder, 10, 2, seed=1).paths
    # What one class holds does not change what is drawn of the others.
    for path in (folder / "train" / "c" / "scene_2" / "indoor").iterdir():
        shutil.copy(path, path.with_stem(f"{path.stem}_more"))
    more = sample_training(folder, 10, 2, seed=0).paths
    assert [path for path in more if "scene_2" not in path] == [path for path in two if "scene_2" not in path]


def test_an_incomplete_training_tree_is_named(tmp_path: Path) -> None:
    folder = make("places365", tmp_path, classes=3, per_class=2)
    with pytest.raises(UserError, match=r"train: 6 images drawn from 3 classes, .* override .*train_images=6"):
        sample_training(folder, 8, 2, seed=0)
    shutil.rmtree(folder / "train" / "b" / "scene_1")
    (folder / "train" / "b" / "scene_1").mkdir()
    with pytest.raises(UserError, match=r"train/b/scene_1: a class without images"):
        sample_training(folder, 6, 2, seed=0)
    with pytest.raises(UserError, match=r"nowhere/train: can't be read"):
        sample_training(folder / "nowhere", 6, 2, seed=0)


LABEL_MISTAKES = [
    (lambda lines: [*lines[:3], *lines[4:]], 7, r"places365_val.txt, line 4: Places365_val_00000005.jpg where .*4.jpg"),
    (lambda lines: [*lines[:2], "Places365_val_00000003.jpg", *lines[3:]], 7, r"line 3: .* is not 'name label'"),
    (lambda lines: [lines[0][:-1] + "6", *lines[1:]], 7, r"line 1: label 6 is not in 0..5"),
    (lambda lines: lines[:6], 7, r"places365_val.txt: 6 labels, but dataset.source.test_images is 7"),
    (lambda lines: [*lines, "Places365_val_00000008.jpg 0"], 8, r"val_256/Places365_val_00000008.jpg: no such image"),
]


@pytest.mark.parametrize(("change", "count", "message"), LABEL_MISTAKES, ids=[m for _, _, m in LABEL_MISTAKES])
def test_a_wrong_label_file_is_one_line(files: Path, change, count: int, message: str) -> None:
    file = files / "places365_val.txt"
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")
    with pytest.raises(UserError, match=message) as caught:
        read_labels(files, count, 6)
    assert "\n" not in str(caught.value)


WEIGHT_MISTAKES = [
    (lambda folder: (folder / CAFFEMODEL).unlink(), "vgg16_places365.caffemodel: no such file"),
    (lambda folder: truncate(folder / CAFFEMODEL), "damaged, or not a Caffe network"),
    (lambda folder: (folder / PROTOTXT).write_text("layer {"), "damaged, or not a Caffe network"),
    (
        lambda folder: replace(folder / PROTOTXT, "num_output: 8 ", "num_output: 9 "),
        "its weights do not fit the layers",
    ),
    (lambda folder: replace(folder / PROTOTXT, '"fc8a"', '"fc8"'), "no weights for the layer fc8"),
]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100_000])


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(("damage", "message"), WEIGHT_MISTAKES, ids=[m for _, m in WEIGHT_MISTAKES])
def test_wrong_caffe_files_are_one_line_and_leave_nothing(files: Path, damage, message: str) -> None:
    damage(files)
    folder = files.parents[2]
    assert message in the_line(stage("places365_weights", "places365_vgg", folder, NO_ENGINE))
    assert not list((folder / "outputs").rglob("*.npz"))
    assert not list((folder / "outputs").rglob(".partial-*"))


def test_another_network_with_caffes_weights_is_refused(run: Path, tmp_path: Path) -> None:
    make("places365", tmp_path / "data" / "smoke" / "places365", width=0.125)
    assert stage("places365_weights", "places365_vgg", tmp_path, NO_ENGINE).returncode == 0
    line = the_line(stage("weights", "places365_vgg", tmp_path))
    assert "layer conv1_1 has weights of the shapes (3, 3, 3, 8) (8,)" in line
    assert "needs (3, 3, 3, 4) (4,)" in line
    (tmp_path / NPZ).write_bytes((run / NPZ).read_bytes()[:1000])
    assert "not a readable dictionary of Caffe's weights (" in the_line(stage("weights", "places365_vgg", tmp_path))
    assert not list((tmp_path / "outputs").rglob("original.keras"))


def test_an_unreadable_photograph_is_named_and_its_part_is_not_made(run: Path, files: Path) -> None:
    folder = files.parents[2]
    shutil.copytree(run / "outputs", folder / "outputs")
    (files / "val_256" / "Places365_val_00000005.jpg").write_text("no image")
    for path in (folder / PREPARED / "parts").glob("*"):
        path.unlink()
    done = [stage("places365_part", "places365_vgg", folder, NO_ENGINE, f"--part={part}") for part in (0, 1)]
    assert done[0].returncode == 0
    assert "val_256/Places365_val_00000005.jpg: not a readable image" in the_line(done[1])
    assert sorted(path.name for path in (folder / PREPARED / "parts").iterdir()) == ["0.json", "0.npy"]
    line = the_line(stage("photographs", "places365_vgg", folder))
    assert "parts/1.json: no such file" in line
    assert not (folder / PREPARED / "source.json").exists()


def test_a_part_killed_half_way_is_not_taken_for_done(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    parts = tmp_path / PREPARED / "parts"
    shutil.rmtree(parts)
    listing = tmp_path / PREPARED / "train.tsv"
    kept = listing.read_text()
    text, stamp = load_text(listing)
    save_text(listing, text * 200, dataclasses.replace(stamp, content=text_digest(text * 200)))
    command = [sys.executable, "-m", "relu2snn.stages", "places365_part", "experiment=places365_vgg", "suite=smoke"]
    process = subprocess.Popen(
        [*command, NO_ENGINE, "--part=3"], cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not list(parts.glob(".partial-*/images.npy")):
        assert process.poll() is None, "the part was done before it could be killed"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert [path.name[:9] for path in parts.iterdir()] == [".partial-"]
    listing.write_text(kept)
    assert stage("places365_part", "places365_vgg", tmp_path, NO_ENGINE, "--part=3").returncode == 0
    np.testing.assert_array_equal(np.load(parts / "3.npy"), np.load(run / PREPARED / "parts" / "3.npy"))
    assert sorted(path.name for path in parts.iterdir()) == ["3.json", "3.npy"]


def test_a_truncated_part_is_named(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / PREPARED, tmp_path, dirs_exist_ok=True)
    truncate(tmp_path / "parts" / "1.npy")
    data = open_dataset(tmp_path)
    next(data.batches("test", 3, RANGE))
    with pytest.raises(UserError, match=r"parts/1.npy: not a readable .npy file .* delete it and run again"):
        next(data.batches("test", 4, RANGE))


def fake_engine(folder: Path, text: str) -> str:
    folder.mkdir()
    (folder / "podman").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "podman").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_without_an_engine_one_line_says_so(run: Path, tmp_path: Path) -> None:
    path = fake_engine(tmp_path / "bin", "echo warning >&2; echo 'Cannot connect to Podman' >&2; exit 125")
    line = the_line(stage("places365_image", "places365_vgg", tmp_path, "container.engine=podman", PATH=path))
    assert "container.engine=podman: no engine answers (Cannot connect to Podman); start it, or choose" in line
    line = the_line(stage("places365_weights", "places365_vgg", run, "container.engine=docker", PATH=str(tmp_path)))
    assert "container.engine=docker: no such program on the path" in line
    path = fake_engine(
        tmp_path / "bin2", "case $1 in version) exit 0;; image) exit 1;; *) echo broken >&2; exit 9;; esac"
    )
    line = the_line(stage("places365_image", "places365_vgg", tmp_path, "container.engine=podman", PATH=path))
    assert "podman build ended with status 9, see the lines above" in line
    assert not list(tmp_path.rglob("container.json"))


def test_a_container_that_cannot_run_is_one_line_and_leaves_nothing(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "data", tmp_path / "data")
    path = fake_engine(tmp_path / "bin", "[ $1 = run ] && exit 125; exit 0")
    line = the_line(stage("places365_weights", "places365_vgg", tmp_path, "container.engine=podman", PATH=path))
    assert "caffe.py: ended with status 125 (container.engine=podman), see above" in line
    assert not [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]


def test_the_image_is_built_with_pips_own_settings(tmp_path: Path) -> None:
    """They go by the environment, where no list of processes shows a password, and the certificates by a file."""
    script = f"""case $1 in
    image) exit 1;;
    build) for last; do :; done
        echo "$@" > {tmp_path}/arguments; cp "$last"/* {tmp_path}; printenv PIP_INDEX_URL > {tmp_path}/index;;
    esac"""
    (tmp_path / "bundle").write_text("certificates")
    settings = {
        "PATH": fake_engine(tmp_path / "bin", script),
        "PIP_INDEX_URL": "https://user:secret@packages.invalid/simple",
        "PIP_EXTRA_INDEX_URL": "file:///nowhere",
        "PIP_CERT": str(tmp_path / "bundle"),
    }
    done = stage("places365_image", "places365_vgg", tmp_path, "container.engine=podman", **settings)
    assert done.returncode == 0, done.stderr
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments[:2] == ["build", "--network=host"]
    assert "--build-arg=PIP_INDEX_URL" in arguments
    assert not [each for each in arguments if "secret" in each or "EXTRA" in each]
    assert (tmp_path / "index").read_text().strip() == settings["PIP_INDEX_URL"]
    assert (tmp_path / "certificates.pem").read_text() == "certificates"
    assert (tmp_path / "Dockerfile").exists()


def require_docker() -> None:
    """Skip where no engine answers, but not in CI, which starts one."""
    found = shutil.which("docker")
    if found and subprocess.run([found, "version"], capture_output=True, check=False).returncode == 0:
        return
    if os.environ.get("CI"):
        pytest.fail("no docker engine answers, and CI must have one")
    pytest.skip("no docker engine answers")


def test_the_container_makes_what_this_environment_makes_bit_for_bit(run: Path, tmp_path: Path) -> None:
    require_docker()
    shutil.copytree(run / "data", tmp_path / "data")
    # A folder that is a link leads out of the folder that the container sees.
    (tmp_path / "data" / "smoke" / "places365" / "train").rename(tmp_path / "elsewhere")
    (tmp_path / "data" / "smoke" / "places365" / "train").symlink_to(tmp_path / "elsewhere")
    shutil.copytree(run / "outputs", tmp_path / "outputs")
    shutil.rmtree(tmp_path / PREPARED / "parts")
    (tmp_path / NPZ).unlink()
    for name in ("places365_image", "places365_weights", "places365_part"):
        done = stage(name, "places365_vgg", tmp_path, "container.engine=docker")
        assert done.returncode == 0, done.stderr
    with np.load(run / NPZ) as expected, np.load(tmp_path / NPZ) as found:
        assert expected.files == found.files
        assert len(found.files) == 32
        for name in expected.files:
            assert expected[name].tobytes() == found[name].tobytes(), name
    for part in range(4):
        ours, theirs = (each / PREPARED / "parts" / f"{part}.npy" for each in (run, tmp_path))
        assert ours.read_bytes() == theirs.read_bytes()
    truncate(tmp_path / "data" / "smoke" / "places365" / CAFFEMODEL)
    line = the_line(stage("places365_weights", "places365_vgg", tmp_path, "container.engine=docker"))
    assert "data/smoke/places365/vgg16_places365.caffemodel" in line
