"""PASS: the shared order, parts of readable RGB images decoded when used, weights as published; then the workflow."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image
from runs import without_engines
from smoke_data import PHOTOGRAPHS, ROOT, caffe_rule, make, stage, the_line
from stamped import write_json

from relu2snn.config import compose_experiment, compose_suite
from relu2snn.config.schema import Preprocess, Weights
from relu2snn.datasets import open_dataset
from relu2snn.datasets.images import NOT_RGB, UNREADABLE, decode_rgb
from relu2snn.datasets.manifest import Manifest, read_manifest, write_manifest
from relu2snn.datasets.pass_images import FOLDERS, shuffled, take
from relu2snn.errors import UserError
from relu2snn.networks.build import build
from relu2snn.networks.weights import find_weights, load_weights

PREPARED = Path("outputs", "smoke", "datasets", "pass_smoke", "base")
RANGE = Preprocess(mean=0, std=1, low=-200, high=200)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the stages before phase 1 have run."""
    folder = tmp_path_factory.mktemp("pass")
    make("pass", folder / "data" / "smoke" / "pass")
    for name in ("pass_order", "pass_part", "photographs"):
        done = stage(name, "pass_vgg", folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_the_order_holds_every_file_once_and_depends_on_the_seed(run: Path) -> None:
    folder = run / "data" / "smoke" / "pass"
    order = shuffled(folder, 0).paths
    assert sorted(order) == sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("*/*"))
    assert order == shuffled(folder, 0).paths == read_manifest(run / PREPARED / "order.tsv").paths
    assert order != shuffled(folder, 1).paths != sorted(order)


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    for name in FOLDERS[:-1]:
        (tmp_path / name).mkdir()
        shutil.copy(PHOTOGRAPHS[0], tmp_path / name)
    with pytest.raises(UserError, match=r"19: can't be read \(No such file or directory\); unpack all 20 folders"):
        shuffled(tmp_path, 0)
    (tmp_path / "19").mkdir()
    with pytest.raises(UserError, match=r"19: an empty folder"):
        shuffled(tmp_path, 0)
    (tmp_path / "19" / "a\tb.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"has a character that does not print; rename the file"):
        shuffled(tmp_path, 0)


def test_what_is_no_readable_rgb_image_is_skipped_and_counted(tmp_path: Path) -> None:
    photograph = Image.open(PHOTOGRAPHS[0])
    for mode in ("L", "CMYK"):
        photograph.convert(mode).save(tmp_path / f"{mode}.jpg")
    photograph.convert("P").save(tmp_path / "P.png")
    photograph.convert("RGBA").save(tmp_path / "RGBA.png")
    (tmp_path / "half.jpg").write_bytes(PHOTOGRAPHS[0].read_bytes()[:9000])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no image")
    shutil.copy(PHOTOGRAPHS[0], tmp_path / "good.jpg")
    names = ["L.jpg", "CMYK.jpg", "P.png", "RGBA.png", "half.jpg", "empty.jpg", "text.jpg", "gone.jpg"]
    assert [decode_rgb(tmp_path / name)[1] for name in names] == [NOT_RGB] * 4 + [UNREADABLE] * 4
    taken = take(tmp_path, [*names, "good.jpg", "text.jpg"], 1, "here")
    assert (taken.manifest.paths, taken.unreadable, taken.not_rgb) == (["good.jpg"], 4, 4)
    with pytest.raises(UserError, match=r"1 readable RGB images instead of 2 in here \(5 unreadable, 4 not RGB\)"):
        take(tmp_path, [*names, "good.jpg", "text.jpg"], 2, "here")


def test_every_part_starts_at_its_place_of_the_order(run: Path) -> None:
    folder = run / "data" / "smoke" / "pass"
    order = read_manifest(run / PREPARED / "order.tsv").paths
    source = json.loads((run / PREPARED / "source.json").read_text())
    skipped = {"unreadable": 0, "not_rgb": 0}
    for part, (start, count) in enumerate([(0, 3), (12, 3), (24, 8)]):
        paths = read_manifest(run / PREPARED / "parts" / f"{part}.tsv").paths
        places = [order.index(path) for path in paths]
        assert places == sorted(places)
        good = [path for path in order[start : places[-1] + 1] if decode_rgb(folder / path)[0] is not None]
        assert (paths, len(paths)) == (good, count)
        for key, value in source["parts"][part]["skipped"].items():
            skipped[key] += value
        assert sum(source["parts"][part]["skipped"].values()) == places[-1] + 1 - start - count
    assert min(skipped.values()) > 0, "the small files must have something to skip"


def test_images_are_decoded_as_they_are_used(run: Path) -> None:
    data = open_dataset(run / PREPARED)
    assert (data.count("test"), data.count("train"), data.kind) == (6, 8, "synthetic")
    assert data.labels("test") is None
    paths = [path for part in (0, 1) for path in read_manifest(run / PREPARED / "parts" / f"{part}.tsv").paths]
    back = Path.cwd()
    os.chdir(run)
    try:
        images, labels = next(data.batches("test", 3, RANGE, 2))
    finally:
        os.chdir(back)
    assert labels is None
    for image, path in zip(images, paths[2:5], strict=True):
        file = run / "data" / "smoke" / "pass" / path
        np.testing.assert_allclose(image, caffe_rule(file, (224, 224), [103.939, 116.779, 123.68]), atol=1e-3)
        # Keras' own functions, whose resize is as good as its places in float32.
        resized = keras.ops.image.resize(np.asarray(Image.open(file), np.float32), (224, 224))
        expected = keras.applications.vgg16.preprocess_input(np.array(resized))
        np.testing.assert_allclose(image, expected, atol=5e-3)


def test_too_few_readable_images_end_the_part(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / PREPARED / "parts")
    larger = ["dataset.part_images=12", "dataset.source.test_images=24"]
    assert stage("pass_order", "pass_vgg", tmp_path, *larger).returncode == 0
    line = the_line(stage("pass_part", "pass_vgg", tmp_path, *larger, "--part=1"))
    assert "instead of 12 in pass_smoke, part 1: positions 12 to 23 of" in line
    assert not list((tmp_path / PREPARED).parent.glob("*/parts"))


def test_an_image_that_was_damaged_after_it_was_listed_is_named(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    source = json.loads((tmp_path / PREPARED / "source.json").read_text())
    source["decode"]["root"] = str(tmp_path / "data" / "smoke" / "pass")
    write_json(tmp_path / PREPARED / "source.json", source)
    path = Path(source["decode"]["root"], read_manifest(tmp_path / PREPARED / "parts" / "1.tsv").paths[2])
    path.write_bytes(b"")
    with pytest.raises(UserError, match=rf"{path.name}: not a readable image now, but not when it was listed"):
        list(open_dataset(tmp_path / PREPARED).batches("test", 2, RANGE))


def test_manifests_are_read_back_and_damage_is_named(tmp_path: Path) -> None:
    for manifest in (Manifest(["a b.jpg", "c.jpg"]), Manifest(["a.jpg", "b.jpg"], [3, 0])):
        write_manifest(tmp_path / "list.tsv", manifest)
        assert read_manifest(tmp_path / "list.tsv") == manifest
    for text in ("", "a\t1\nb\n", "a\t1\t2\n", "a\tb\n"):
        (tmp_path / "list.tsv").write_text(text)
        with pytest.raises(UserError, match=r"list.tsv: not a readable manifest"):
            read_manifest(tmp_path / "list.tsv")


def test_weights_are_found_under_the_name_of_keras_applications_and_go_to_their_layers(
    run: Path, tmp_path: Path
) -> None:
    config = compose_experiment("pass_vgg", compose_suite("paper"))
    name = "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    place = tmp_path / "PASS" / "VGG" / name
    place.parent.mkdir(parents=True)
    shutil.copy(run / "data" / "smoke" / "pass" / "vgg16_weights.h5", place)
    weights = Weights(
        root=str(tmp_path), directory="PASS/VGG", stem=config.weights.stem, other_names=list(config.weights.other_names)
    )
    assert find_weights(weights) == place
    small = compose_experiment("pass_vgg", compose_suite("smoke"))
    model = build(small.model, small.dataset.image_shape, small.dataset.classes)
    load_weights(model, place)
    with h5py.File(place) as file:
        np.testing.assert_array_equal(model.get_layer("conv2d").kernel, file["block1_conv1/block1_conv1/kernel:0"])
        np.testing.assert_array_equal(model.get_layer("dense_2").bias, file["predictions/predictions/bias:0"])
    place.with_name(f"{weights.stem}.h5").write_bytes(b"")
    with pytest.raises(UserError, match="2 files of weights for one network"):
        find_weights(weights)
    with pytest.raises(UserError, match=r"weights.file=nowhere.h5: no such file"):
        find_weights(Weights(file="nowhere.h5"))


def test_our_vgg16_is_keras_applications_vgg16() -> None:
    theirs = keras.applications.VGG16(weights=None)
    config = compose_experiment("pass_vgg", compose_suite("paper"))
    ours = build(config.model, config.dataset.image_shape, config.dataset.classes)
    assert [weight.shape for weight in ours.weights] == [weight.shape for weight in theirs.weights]


def test_a_failed_download_says_where_to_put_the_file(tmp_path: Path) -> None:
    unreachable = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")} | {"no_proxy": ""}
    line = the_line(
        stage("weights", "pass_vgg", tmp_path, "weights.file=null", KERAS_HOME=str(tmp_path / "keras"), **unreachable)
    )
    assert "the download of VGG16's ImageNet weights by keras.applications failed (" in line
    assert "data/smoke/models/PASS/VGG, as pass_vgg_relu_original.h5 or vgg16_weights_tf_dim" in line
    assert not list(tmp_path.rglob("original.keras"))


def snakemake(folder: Path, *arguments: str, path: str = "", only_path: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", "--nocolor"]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    environment["PATH"] = only_path or f"{path}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        [*command, *arguments], cwd=folder, capture_output=True, text=True, check=False, env=environment
    )


def rules(run: subprocess.CompletedProcess[str]) -> set[str]:
    lines = [line.split() for line in (run.stdout + run.stderr).splitlines()]
    return {words[1].removesuffix(":") for words in lines if words[:1] in (["rule"], ["localrule"])} - {"all"}


@pytest.mark.workflow
def test_both_rows_run_to_the_table_though_one_first_lacks_its_engine(tmp_path: Path) -> None:
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "podman").write_text("#!/bin/sh\necho 'Cannot connect to Podman' >&2\nexit 125\n")
    (broken / "podman").chmod(0o755)
    both = ["--config", "suite=smoke", "experiments=places365_vgg,pass_vgg"]
    podman = "overrides=container.engine=podman"
    refused = snakemake(tmp_path, "--keep-going", *both, podman, path=str(broken))
    assert refused.returncode != 0
    (line,) = [line for line in (refused.stdout + refused.stderr).splitlines() if line.startswith("relu2snn: ")]
    assert "container.engine=podman: no engine answers (Cannot connect to Podman)" in line
    assert "Traceback" not in refused.stdout + refused.stderr
    assert not rules(refused)
    # The other row needs no engine, and it is not run again with another one.
    run = snakemake(tmp_path, "--config", "suite=smoke", "experiments=pass_vgg", podman, path=str(broken))
    assert run.returncode == 0, run.stderr[-3000:]
    suite = tmp_path / "outputs" / "smoke"
    alone = json.loads((suite / "pass_vgg" / "phase2" / "base" / "result.json").read_text())
    assert (alone["images"], alone["accuracy"], alone["agreement"]) == (6, None, 1.0)
    assert (suite / "pass_vgg" / "mlflow" / "base" / "mlflow.json").exists()
    assert not list(suite.glob("places365_vgg/weights/*/*"))

    own = snakemake(tmp_path, "-n", "--config", "suite=smoke", "experiments=places365_vgg")
    assert own.returncode == 0, own.stderr
    assert {"places365_image", "places365_weights", "places365_part", "phase2"} <= rules(own)
    assert not {name for name in rules(own) if "pass" in name or name in ("data", "train")}

    # On a machine without an engine; the first of the call, pass_vgg, has another than the one that needs none.
    reverse = ["--config", "suite=smoke", "experiments=pass_vgg,places365_vgg"]
    run = snakemake(tmp_path, *reverse, only_path=without_engines(tmp_path / "no engines")["PATH"])
    assert run.returncode == 0, run.stderr[-3000:]
    assert not {name for name in rules(run) if "pass" in name}
    with (suite / "results.csv").open() as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"places365_vgg", "pass_vgg"}
    for row in rows.values():
        assert (row["agreement"], row["data"], row["weights"]) == ("1.0", "synthetic", "synthetic")
        assert row["exact"] == "True"
        assert 0.9 < float(row["certified"]) <= 1
        assert 0.2 < float(row["nonzero_fraction"]) < 0.8, "the network must be alive"
    accuracies = [rows["pass_vgg"][key] for key in ("accuracy_original", "accuracy_scaled", "accuracy")]
    assert accuracies == ["", "", ""]
    places = rows["places365_vgg"]
    assert places["accuracy_original"] == places["accuracy_scaled"] == places["accuracy"] != ""
    assert (places["images"], rows["pass_vgg"]["images"]) == ("7", "6")
    sizes = [json.loads((suite / f"places365_vgg/phase2/base/parts/{part}.json").read_text()) for part in range(3)]
    assert [part["images"] for part in sizes] == [3, 3, 1]

    again = snakemake(tmp_path, *both, "overrides=container.engine=docker")
    assert "Nothing to be done" in again.stdout + again.stderr
    images = {"places365_sample", "places365_labels", "places365_image", "places365_part"}
    changes = {
        # Prepared images have a folder for what is not as before; weights, which do not depend on them, have theirs.
        "dataset.source.seed=1": images,
        "dataset.source.mean_bgr=[100,110,120]": images,
        "weights.prototxt=data/smoke/places365/deploy_vgg16_places365.prototxt": set(),
        "weights.prototxt=other.prototxt": {"places365_weights"},
    }
    text = (tmp_path / "data/smoke/places365/deploy_vgg16_places365.prototxt").read_text()
    (tmp_path / "other.prototxt").write_text(f"# Another.\n{text}")
    for override, expected in changes.items():
        dry = snakemake(tmp_path, "-n", "--config", "suite=smoke", "experiments=places365_vgg", f"overrides={override}")
        assert dry.returncode == 0, dry.stderr
        made = {name for name in rules(dry) if name.startswith(("places365_", "pass_", "smoke_"))}
        assert made == expected, override
