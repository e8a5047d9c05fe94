"""The command relu2snn: files in, files out, a status that scripts can trust, and one line for every mistake."""

import csv
import errno
import gzip
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from runs import environment
from typer.testing import CliRunner, Result

import relu2snn
from relu2snn.command.app import app
from relu2snn.formats.idx import encode_idx
from relu2snn.mapping import logits_model
from relu2snn.saved.keras_files import load_model

HOSTILE = Path(__file__).parent / "hostile"
SHAPE = (8, 8, 3)
PROGRAM = "from relu2snn.command.app import main; main()"


def network(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> keras.Model:
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    image = keras.Input(shape)
    x = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, padding="same", activation="relu")(image))
    return keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).random(shape)


def run(*words: Any) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "120"})


def done(*words: Any) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    return result


def refused(*words: Any) -> str:
    """The one line of a mistake, without the name of the command."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert "Traceback" not in result.stderr
    # Before it may stand what was read, and a bar.
    assert all(re.match(rf"relu2snn {words[0]}: |calibrating|verifying|predicting|$", line) for line in lines), lines
    assert lines[-1].isprintable()
    return lines[-1].removeprefix(f"relu2snn {words[0]}: ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ReLU network, images, and a spiking network that the command has made of them."""
    folder = tmp_path_factory.mktemp("command")
    network().save(folder / "relu.keras")
    arrays = {"x_train": random(30, *SHAPE), "x_test": random(12, *SHAPE, seed=1), "y_test": np.zeros(12, int)}
    np.savez(folder / "my.npz", **arrays)
    result = done("convert", folder / "relu.keras", "--calibration", folder / "my.npz", "-o", folder / "spiking.keras")
    assert "my.npz, x_train: 30 images of float64, values as they are" in result.stderr
    assert result.stdout == f"{folder}/spiking.keras: 1 spiking layers, latency 2.5 input windows\n"
    return folder


def test_what_convert_makes_is_exact_and_verify_says_so_by_its_status(folder: Path) -> None:
    result = done("verify", folder / "relu.keras", folder / "spiking.keras", "--images", folder / "my.npz")
    assert result.stdout.startswith("exact: the same class for 100.00% of 12 images\n")
    assert "my.npz, x_test: 12 images" in result.stderr


def test_verify_of_another_network_is_status_1_and_says_why(folder: Path) -> None:
    network(seed=1).save(folder / "other.keras")
    images = ("--images", folder / "my.npz", "--count", 5)
    result = run("verify", folder / "other.keras", folder / "spiking.keras", *images)
    assert result.exit_code == 1
    assert re.match(
        r"not exact: the same class for .* of 5 images\n  not exact since it is not the network", result.stdout
    )


def test_options_of_the_mapping_reach_the_network(folder: Path, tmp_path: Path) -> None:
    given = (folder / "relu.keras", "--calibration", folder / "my.npz", "-o", tmp_path / "s.keras")
    done("convert", *given, "--mapping", "published", "--zeta", 0.25, "--precision", "float32")
    made = load_model(tmp_path / "s.keras", "")
    (low, high), (maximum,) = next(iter(made.windows.values())), made.layer_maxima.values()
    assert high - low == pytest.approx(1.25 * maximum)
    assert made.network.precision == "float32"


def test_predictions_are_those_of_the_relu_network(folder: Path, tmp_path: Path) -> None:
    images = np.load(folder / "my.npz")["x_test"]
    model = load_model(folder / "relu.keras", "")
    expected = np.asarray(logits_model(model)(images, training=False))
    given = (folder / "spiking.keras", "--images", folder / "my.npz")
    done("predict", *given, "-o", tmp_path / "p.npz")
    done("predict", *given, "-o", tmp_path / "p.csv", "--batch", 5)
    saved = np.load(tmp_path / "p.npz")
    np.testing.assert_allclose(saved["potentials"], expected, atol=1e-12)
    np.testing.assert_array_equal(saved["classes"], expected.argmax(1))
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [str(number) for number in range(12)]
    assert [int(row["class"]) for row in rows] == expected.argmax(1).tolist()
    assert done("predict", *given).stdout == (tmp_path / "p.csv").read_text()


def potentials(spiking: Path, images: Path, *options: Any) -> Any:
    path = images.with_suffix(".predictions.npz")
    done("predict", spiking, "--images", images, "-o", path, *options)
    return np.load(path)


def test_bytes_need_a_scale_and_then_are_what_they_stand_for(folder: Path, tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (6, *SHAPE)).astype(np.uint8)
    np.save(tmp_path / "bytes.npy", stored)
    np.save(tmp_path / "floats.npy", stored / 255)
    convert = ("convert", folder / "relu.keras", "--calibration", tmp_path / "bytes.npy", "-o", tmp_path / "s.keras")
    assert refused(*convert) == (
        f"{tmp_path}/bytes.npy: whole numbers (uint8), which may stand for 0 to 1 or for themselves; give --scale 255 "
        "for a network that takes 0 to 1, or --low 0 --high 255 for bytes as they are"
    )
    assert "the spiking network was made for 0 to 1: give the scaling" in refused(
        "predict", folder / "spiking.keras", "--images", tmp_path / "bytes.npy"
    )
    scaled = potentials(folder / "spiking.keras", tmp_path / "bytes.npy", "--scale", 255)
    as_floats = potentials(folder / "spiking.keras", tmp_path / "floats.npy")
    np.testing.assert_allclose(scaled["potentials"], as_floats["potentials"], atol=1e-12)

    done(*convert, "--low", 0, "--high", 255)
    (encoder,) = load_model(tmp_path / "s.keras", "").network.encoders
    assert (encoder.low, encoder.high) == (0, 255)
    # The network made for bytes takes them, and floats of their size, without a word.
    raw = potentials(tmp_path / "s.keras", tmp_path / "bytes.npy")
    assert np.abs(raw["potentials"]).max() > 20 * np.abs(scaled["potentials"]).max()
    assert "--low and --high: 0 to 1, but the spiking network was made for 0 to 255" in refused(
        "verify", folder / "relu.keras", tmp_path / "s.keras", "--images", tmp_path / "floats.npy", "--high", 1
    )


def test_mean_and_std_of_each_channel_say_the_range(folder: Path, tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (6, *SHAPE)).astype(np.uint8)
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.25, 0.5])
    np.save(tmp_path / "bytes.npy", stored)
    np.save(tmp_path / "floats.npy", (stored / 255 - mean) / std)
    scaling = ("--scale", 255, "--mean", "0.5,0.4,0.3", "--std", "0.2,0.25,0.5")
    given = ("--calibration", tmp_path / "bytes.npy", *scaling, "-o", tmp_path / "s.keras")
    done("convert", folder / "relu.keras", *given)
    (encoder,) = load_model(tmp_path / "s.keras", "").network.encoders
    np.testing.assert_allclose(encoder.low, -mean / std)
    np.testing.assert_allclose(encoder.high, (1 - mean) / std)
    a = potentials(tmp_path / "s.keras", tmp_path / "bytes.npy", *scaling)
    b = potentials(tmp_path / "s.keras", tmp_path / "floats.npy")
    np.testing.assert_allclose(a["potentials"], b["potentials"], atol=1e-12)
    images = ("--images", tmp_path / "bytes.npy", *scaling)
    done("verify", folder / "relu.keras", tmp_path / "s.keras", *images)


def bmp(pixels: Any) -> bytes:
    """A picture (h, w, 3) in the oldest layout: rows from below, blue, green and red, filled up to four bytes."""
    height, width, _ = pixels.shape
    rows = [row[:, ::-1].tobytes() + b"\0" * (-3 * width % 4) for row in pixels[::-1]]
    body = b"".join(rows)
    head = struct.pack("<iiHHIIiiII", width, height, 1, 24, 0, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, 54) + struct.pack("<I", 40) + head + body


def test_pictures_are_cut_from_the_middle_and_named_in_the_table(folder: Path, tmp_path: Path) -> None:
    """Of 8 x 12 pixels, 8 x 8 are taken as they are, so that nothing is resampled."""
    pictures = tmp_path / "pictures"
    (pictures / "below").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3)).astype(np.uint8)
    (pictures / "a.png").write_bytes(tf.io.encode_png(pixels[0]).numpy())
    (pictures / "b.BMP").write_bytes(bmp(pixels[1]))
    (pictures / "below" / "c.jpg").write_bytes(tf.io.encode_jpeg(pixels[2], quality=95).numpy())
    (pictures / "readme.txt").write_text("no picture")
    third = tf.io.decode_jpeg((pictures / "below" / "c.jpg").read_bytes(), dct_method="INTEGER_ACCURATE").numpy()
    np.save(tmp_path / "same.npy", np.stack([pixels[0], pixels[1], third])[:, :, 2:10] / 255)
    expected = potentials(folder / "spiking.keras", tmp_path / "same.npy")
    found = potentials(folder / "spiking.keras", pictures)
    np.testing.assert_allclose(found["potentials"], expected["potentials"], atol=1e-6)
    assert found["names"].tolist() == ["a.png", "b.BMP", "below/c.jpg"]
    result = done("predict", folder / "spiking.keras", "--images", pictures)
    assert (
        f"{pictures}: 3 pictures (other files left out: 1), RGB, resized to cover 8 x 8 (bilinear, antialiased), "
        "8 x 8 cut from the middle, pixels / 255\n"
    ) in result.stderr
    assert result.stdout.splitlines()[3].startswith("below/c.jpg,")
    one = done("predict", folder / "spiking.keras", "--images", pictures / "a.png", "--size", 8)
    assert one.stdout == "image,class\na.png,{}\n".format(found["classes"][0])
    assert "shorter side to 8 (bilinear" in one.stderr


def test_a_larger_shorter_side_takes_less_of_the_picture(folder: Path, tmp_path: Path) -> None:
    """A picture of one bright middle: enlarged before the cut, the middle is all that is left."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[4:12, 4:12] = 255
    (tmp_path / "a.png").write_bytes(tf.io.encode_png(pixels).numpy())
    np.save(tmp_path / "bright.npy", np.ones((1, *SHAPE)))
    expected = potentials(folder / "spiking.keras", tmp_path / "bright.npy")
    cut = potentials(folder / "spiking.keras", tmp_path / "a.png", "--size", 16)
    np.testing.assert_allclose(cut["potentials"], expected["potentials"], atol=1e-6)
    whole = potentials(folder / "spiking.keras", tmp_path / "a.png")
    assert np.abs(whole["potentials"] - expected["potentials"]).max() > 1e-3


def test_grey_networks_take_idx_arrays_without_channels_and_coloured_pictures(tmp_path: Path) -> None:
    network(shape=(8, 8, 1)).save(tmp_path / "grey.keras")
    stored = np.random.default_rng(0).integers(0, 256, (9, 8, 8)).astype(np.uint8)
    (tmp_path / "idx3-ubyte.gz").write_bytes(gzip.compress(encode_idx(stored)))
    (tmp_path / "idx3-ubyte").write_bytes(encode_idx(stored))
    np.savez(tmp_path / "only.npz", anything=stored)
    given = ("--calibration", tmp_path / "idx3-ubyte.gz", "--scale", 255, "-o", tmp_path / "s.keras")
    assert "9 images of uint8, one channel, pixels / 255" in done("convert", tmp_path / "grey.keras", *given).stderr
    tables = [
        done("predict", tmp_path / "s.keras", "--images", tmp_path / name, "--scale", 255).stdout
        for name in ("idx3-ubyte.gz", "idx3-ubyte", "only.npz")
    ]
    assert len(set(tables)) == 1
    (tmp_path / "a.bmp").write_bytes(bmp(np.repeat(stored[0][..., None], 3, axis=-1)))
    (tmp_path / "b.png").write_bytes(tf.io.encode_png(stored[0][..., None]).numpy())
    classes = [done("predict", tmp_path / "s.keras", "--images", tmp_path / name).stdout for name in ("a.bmp", "b.png")]
    assert {text.splitlines()[1].partition(",")[2] for text in classes} == {tables[0].splitlines()[1].partition(",")[2]}


def test_rows_of_pixels_are_taken_from_images_with_a_word(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((64,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(3)]).save(
        tmp_path / "dense.keras"
    )
    np.save(tmp_path / "x.npy", random(5, 8, 8))
    given = ("--calibration", tmp_path / "x.npy", "-o", tmp_path / "s.keras")
    assert "images of 8 x 8 row by row" in done("convert", tmp_path / "dense.keras", *given).stderr


def png_of(width: int, height: int) -> bytes:
    """A small PNG that declares a size, with right checksums."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")


def wrong_images(folder: Path) -> None:
    good = tf.io.encode_png(np.zeros(SHAPE, np.uint8)).numpy()
    for name, content in {
        "cut.png": good[:40],
        "bomb.png": png_of(2**30, 2**30),
        "text.png": b"no picture",
        "cut.npy": (folder / "floats.npy").read_bytes()[:-8],
        "bomb.npy": (folder / "floats.npy").read_bytes().replace(b"(2, ", b"(2000000000, "),
        "text.txt": b"no images",
        "cut.gz": gzip.compress(encode_idx(np.zeros((2, 8, 8), np.uint8)))[:-9],
    }.items():
        (folder / name).write_bytes(content)
    (folder / "pictures").mkdir()
    (folder / "pictures" / "text.png").write_bytes(b"no picture")
    (folder / "empty").mkdir()
    np.save(folder / "nan.npy", np.full((2, *SHAPE), np.nan))
    np.save(folder / "large.npy", random(70, *SHAPE) * (np.arange(70) == 69)[:, None, None, None] * 9)
    np.save(folder / "first.npy", random(2, 3, 8, 8))
    np.save(folder / "one.npy", random(*SHAPE))
    np.save(folder / "none.npy", random(0, *SHAPE))
    np.save(folder / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    np.savez(folder / "two.npz", a=random(2, *SHAPE), b=random(2, *SHAPE))


IMAGES = [
    ("none.npz", (), "none.npz: no such file or folder; give images: .npy, .npz, idx, or a folder of pictures"),
    ("text.txt", (), "text.txt: neither .npy, .npz, idx nor a picture; give images as one of these, or a folder"),
    ("empty", (), r"empty: no pictures in it \(\.png, \.jpg, \.jpeg, \.bmp\); name a folder that holds some"),
    ("pictures", (), r"pictures/text\.png: not a readable picture \(neither PNG nor JPEG nor BMP\); take it out"),
    ("cut.png", (), r"cut\.png: not a readable picture \(.*\); take it out, or save it again"),
    ("bomb.png", (), r"bomb\.png: not a readable picture \(1073741824 x 1073741824 pixels are more than 178956970\)"),
    ("cut.npy", (), r"cut\.npy: not a readable \.npy file \(its header says 3072 bytes, but 3064 follow it\)"),
    ("bomb.npy", (), r"bomb\.npy: not a readable \.npy file"),
    ("objects.npy", (), r"objects\.npy: not a readable \.npy file \(Object arrays are not numbers\)"),
    ("cut.gz", (), r"cut\.gz: of shape \(2, 8, 8\), but the network takes images of 8 x 8 x 3"),
    ("nan.npy", (), "image 0 is nan at"),
    ("large.npy", (), r"image 69 has values from .*, outside \[0\.0, 1\.0\]; give their range as low and high"),
    ("first.npy", (), r"of shape \(2, 3, 8, 8\), but .*channels last: numpy\.moveaxis\(images, 1, -1\)"),
    ("one.npy", (), r"of shape \(8, 8, 3\), but .*one image without their number: images\[None\]"),
    ("none.npy", (), r"none\.npy: has no images; give at least one"),
    ("two.npz", (), "two.npz: none of x_train, x_test, images, x, but a, b; name the array of the images with --key"),
    ("two.npz", ("--key", "c"), "two.npz: no array c, only a, b; give one of them as --key"),
    ("floats.npy", ("--key", "c"), "floats.npy: not an .npz, so it has no array c; leave --key out"),
    ("floats.npy", ("--size", "9"), "--size 9: only pictures are resized; leave it out for .*floats.npy"),
    ("pictures", ("--size", "5"), "--size 5: smaller than the 8 x 8 that the network takes"),
    ("pictures", ("--key", "c"), "--key c: only an .npz has arrays; leave it out for pictures"),
    (
        "pictures",
        ("--high", "255"),
        "pictures are divided by 255, which gives values from 0 to 1, but the range is 0",
    ),
    ("floats.npy", ("--std", "0"), "--scale and --std divide pixels: give numbers above 0, not 0"),
    ("floats.npy", ("--scale", "-1"), "--scale and --std divide pixels: give numbers above 0, not -1"),
    ("floats.npy", ("--mean", "1,2"), "--mean 1,2: 2 numbers for 3 channels; give one, or one for each"),
    ("floats.npy", ("--low", "x"), "Invalid value for '--low': 'x' is no finite number; give one, or one a channel"),
    ("floats.npy", ("--low", "nan"), "'nan' is no finite number"),
    ("floats.npy", ("--low", "2"), r"input range \[2\.0, 1\.0\]: low must be less than high, and both finite"),
    ("floats.npy", ("--mapping", "own"), "'--mapping': .*'own' is not one of 'reference', 'publ"),
    (
        "floats.npy",
        ("--batch", "0"),
        "Invalid value for '--batch': Input should be greater than or equal to 1",
    ),
    ("floats.npy", ("--zeta", "-2"), "zeta"),
    (
        "floats.npy",
        ("--shape", "x=1,3"),
        "--shape x=1,3: only an .onnx leaves sizes open; leave it out for",
    ),
    ("floats.npy", ("--wrong",), "No such option: --wrong; relu2snn convert --help shows examples"),
]


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wrong")
    np.save(folder / "floats.npy", random(2, *SHAPE))
    wrong_images(folder)
    return folder


@pytest.mark.parametrize(("name", "options", "message"), IMAGES, ids=[f"{each[0]}{each[1]}" for each in IMAGES])
def test_wrong_images_and_options_are_one_line_and_leave_nothing(
    folder: Path, wrong: Path, tmp_path: Path, name: str, options: Sequence[str], message: str
) -> None:
    (tmp_path / "s.keras").write_text("what was there")
    output = ("-o", tmp_path / "s.keras")
    text = refused("convert", folder / "relu.keras", "--calibration", wrong / name, *output, *options)
    assert re.search(message, text), text
    assert (tmp_path / "s.keras").read_text() == "what was there"
    assert len(list(tmp_path.iterdir())) == 1


def of(*layers: Any) -> keras.Model:
    return keras.Sequential([keras.Input((6, 5, 1)), *layers, keras.layers.Flatten(), keras.layers.Dense(2)])


def test_a_network_that_cannot_be_mapped_says_which_layer_and_what_to_do(tmp_path: Path) -> None:
    of(keras.layers.Conv2D(2, 3), keras.layers.LayerNormalization(name="norm")).save(tmp_path / "m.keras")
    assert refused("inspect", tmp_path / "m.keras") == (
        "layer 'norm' (LayerNormalization): it divides by what it computes of each image; train the network with "
        "BatchNormalization"
    )


def test_inspect_shows_segments_and_costs(folder: Path) -> None:
    text = done("inspect", folder / "relu.keras").stdout
    assert re.search(r"conv2d\w* +spiking neurons +8 x 8 x 4 +256 +input_layer", text)
    assert "can be mapped: 256 ReLUs in 1 segments become neurons that spike once" in text
    text = done("inspect", folder / "spiking.keras").stdout
    # At the border a neuron sees less: 22 of 24 rows and columns of cells, three channels, four filters.
    wires = 22 * 22 * 3 * 4
    assert re.search(rf"conv2d\w* +spiking +8 x 8 x 4 +256 +{wires:,} +1 +2\.5", text)
    assert f"256 neurons that spike at most once, {wires + 4 * 4 * 4 * 3:,} synapses" in text
    assert "latency 2.5 input windows" in text
    assert "reference mapping, float64, values from 0 to 1" in text


def test_inspect_counts_synapses_as_the_costs_do(tmp_path: Path) -> None:
    pooled = [keras.layers.AveragePooling2D(3, 1), keras.layers.Conv2D(2, 3, padding="same", activation="relu")]
    model = of(*pooled)
    images = np.random.default_rng(0).uniform(0, 1, (4, *model.input_shape[1:]))
    spiking = relu2snn.convert(model, images, bounds=(0, 1))
    spiking.save(tmp_path / "spiking.keras")
    # Cells lead to a unit by several windows of the pool: a neuron has one synapse for them all.
    counted = relu2snn.costs(spiking, images).counts.synapses
    assert f"{counted:,} synapses" in done("inspect", tmp_path / "spiking.keras").stdout


MODELS = [
    (("inspect", "none.keras"), "none.keras: no such file or folder; give a network that is saved: .keras, .h5"),
    (("inspect", "text.txt"), r"text\.txt: none of \.keras, \.h5"),
    (("inspect", "text.keras"), r"text\.keras: not a readable Keras model \(.*\); save it again, with model\.save"),
    (("verify", "spiking.keras", "spiking.keras", "--images", "my.npz"), "a spiking network already; give the ReLU"),
    (
        ("verify", "relu.keras", "relu.keras", "--images", "my.npz"),
        r"not a spiking network; make one of it",
    ),
    (("verify", "relu.keras", "small.keras", "--images", "my.npz"), "input_shape of the ReLU network is"),
    (
        ("verify", "two.keras", "spiking.keras", "--images", "my.npz"),
        r"has 2 inputs \(.*\); the command takes networks",
    ),
    (("verify", "open.keras", "spiking.keras", "--images", "my.npz"), r"takes images of \? x \? x 3, of no fixed size"),
    (("predict", "relu.keras", "--images", "my.npz"), "not a spiking network; make one of it: relu2snn convert"),
    (("predict", "relu.h5", "--images", "my.npz"), "no such file or folder; give a spiking network"),
    (("predict", "spiking.keras", "--images", "my.npz", "-o", "p.txt"), r"must end in \.csv or \.npz, as in -o p\.csv"),
    (("predict", "spiking.keras", "--images", "my.npz", "-o", "no/p.csv"), "no folder .*no; make it first"),
    (("predict", "map.keras", "--images", "grey.npy"), "gives more than one class for an image, which no table holds"),
    (("convert", "relu.keras", "--calibration", "my.npz", "-o", "s.h5"), r"must end in \.keras, as in -o s\.keras"),
    (("convert", "relu.keras", "--calibration", "my.npz", "-o", "folder.keras"), "a folder; name a file in it"),
    (
        ("convert", "relu.keras", "--calibration", "my.npz", "-o", "s.keras", "--weights", "w.h5"),
        "has its weights in it",
    ),
    (
        ("convert", "text.onnx", "--calibration", "my.npz", "-o", "s.keras", "--shape", "x"),
        "--shape x: give an",
    ),
    (("export", "spiking.keras", "-o", "x.txt"), r"must end in \.npz or \.h5 or \.nir, as in -o x\.npz"),
    (("export", "spiking.keras", "-o", "x.nir", "--events", "my.npz"), r"must end in \.csv or \.npz, as in"),
    (("export", "spiking.keras", "-o", "x.csv", "--events", "my.npz", "--no-synapses"), "events have no synapses"),
    (("convert",), "Missing argument 'MODEL'; relu2snn convert --help shows examples"),
]


@pytest.fixture(scope="module")
def models(folder: Path) -> Path:
    """The folder with networks of which each lacks something."""
    (folder / "text.txt").write_text("")
    (folder / "text.keras").write_text("")
    (folder / "text.onnx").write_text("")
    (folder / "folder.keras").mkdir()
    layers = keras.layers
    pixels = of(layers.Dense(2, "relu"))
    pixels.save(folder / "small.relu.keras")
    fields = keras.Sequential([keras.Input((6, 5, 1)), layers.Conv2D(2, 3, activation="relu"), layers.Conv2D(2, 1)])
    fields.save(folder / "map.relu.keras")
    np.save(folder / "grey.npy", random(3, 6, 5))
    for name in ("small", "map"):
        given = ("--calibration", folder / "grey.npy", "-o", folder / f"{name}.keras")
        done("convert", folder / f"{name}.relu.keras", *given)
    a, b = keras.Input((4,)), keras.Input((4,))
    keras.Model([a, b], layers.Dense(2)(layers.Add()([a, b]))).save(folder / "two.keras")
    image = keras.Input((None, None, 3))
    keras.Model(image, layers.Dense(2)(layers.GlobalMaxPooling2D()(image))).save(folder / "open.keras")
    return folder


@pytest.mark.parametrize(("words", "message"), MODELS, ids=[" ".join(words)[:50] for words, _ in MODELS])
def test_wrong_networks_and_outputs_are_one_line(
    models: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str], message: str
) -> None:
    monkeypatch.chdir(models)
    before = sorted(models.rglob("*"))
    text = refused(*words)
    assert re.search(message, text), text
    assert sorted(models.rglob("*")) == before


def test_outputs_with_positions_go_into_arrays(models: Path, tmp_path: Path) -> None:
    done("predict", models / "map.keras", "--images", models / "grey.npy", "-o", tmp_path / "p.npz")
    saved = np.load(tmp_path / "p.npz")
    assert saved["potentials"].shape == (3, 4, 3, 2)
    np.testing.assert_array_equal(saved["classes"], saved["potentials"].argmax(-1))


FILES = [path for name in ("keras2_whole_h5", "spiking") for path in sorted((HOSTILE / name).iterdir())]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_hostile_networks_are_one_line(path: Path) -> None:
    assert refused("inspect", path).startswith(f"{path}: ")


@pytest.mark.parametrize("path", sorted((HOSTILE / "npz").iterdir()), ids=lambda path: path.name)
def test_hostile_images_are_one_line(folder: Path, path: Path) -> None:
    assert refused("predict", folder / "spiking.keras", "--images", path, "--key", "x_test").startswith(f"{path}")


def program(*words: Any, code: str = PROGRAM, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), **options)


HEAVY = ("tensorflow", "keras", "h5py", "numba", "tqdm.auto")
WORKFLOW = ("hydra", "omegaconf", "mlflow", "snakemake", "cv2", "PIL", "matplotlib", "jinja2", "tf_keras")


def test_help_and_version_load_nothing_that_computes() -> None:
    code = f"""
import sys
from relu2snn.command.app import app
for words in (["--help"], ["convert", "--help"], ["--version"]):
    try:
        app(words)
    except SystemExit as end:
        assert end.code == 0
assert not [name for name in {HEAVY + WORKFLOW!r} if name in sys.modules]
"""
    ran = program(code=code)
    assert ran.returncode == 0, ran.stderr
    assert relu2snn.__version__ in ran.stdout.splitlines()


def test_the_commands_need_nothing_of_the_workflow(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(tf.io.encode_png(np.zeros(SHAPE, np.uint8)).numpy())
    relu, images, spiking = f"{folder}/relu.keras", f"{folder}/my.npz", f"{tmp_path}/s.keras"
    calls = [
        ["convert", relu, "--calibration", images, "-o", spiking],
        ["verify", relu, spiking, "--images", images],
        ["inspect", spiking],
        ["predict", spiking, "--images", str(tmp_path)],
    ]
    code = f"""
import sys
sys.modules |= dict.fromkeys({WORKFLOW!r})
from relu2snn.command.app import app
for words in {calls!r}:
    try:
        app(words)
    except SystemExit as end:
        assert end.code == 0, words
"""
    ran = program(code=code)
    assert ran.returncode == 0, ran.stderr
    # Notes of TensorFlow's are nothing to a user.
    lines = ran.stderr.splitlines()
    assert all(re.match(r"relu2snn|calibrating|verifying|predicting|$", line) for line in lines), lines


@pytest.mark.parametrize("command", ["convert", "verify", "inspect", "predict", "export"])
def test_help_teaches_by_example_and_its_examples_are_understood(command: str) -> None:
    text = done(command, "--help").stdout
    joined = "\n".join(line.strip() for line in text.splitlines()).replace("\\\n", "")
    examples = [line for line in joined.splitlines() if line.startswith(f"relu2snn {command} ")]
    assert len(examples) > 1
    for example in examples:
        # All that is wrong with them is that the files are not there.
        assert re.search(r"no such file|no folder", refused(*example.split()[1:])), example


def test_the_calls_in_the_documentation_are_understood() -> None:
    root = Path(__file__).resolve().parents[1]
    text = "".join((root / name).read_text() for name in ("README.md", "docs/command.md"))
    calls = [line.split()[1:] for line in text.splitlines() if line.startswith("    relu2snn ")]
    assert len(calls) > 10
    for words in calls:
        if words != ["--help"]:
            assert re.search(r"no such file|no folder", refused(*words)), words


def test_without_a_command_the_help_is_shown_and_a_wrong_one_is_a_line() -> None:
    assert "Usage: relu2snn [OPTIONS] COMMAND" in done().stdout
    result = run("invert")
    assert result.exit_code == 2
    assert re.fullmatch(r"relu2snn: No such command 'invert'.*; relu2snn --help shows examples\n", result.stderr)


def test_an_interruption_ends_quietly_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((200_000, *SHAPE), np.float32))
    command = [sys.executable, "-c", PROGRAM, "convert", str(folder / "relu.keras"), "--batch", "1"]
    command += ["--calibration", str(tmp_path / "x.npy"), "-o", str(tmp_path / "s.keras")]
    # What is started in the background, as tests may be, ignores the signal, and so would this.
    pipes: Any = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment()}
    process = subprocess.Popen(command, **pipes, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.stderr is not None
    assert "x.npy" in process.stderr.readline()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert not [line for line in errors.splitlines() if line and not line.startswith("calibrating")]
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_a_file_that_cannot_be_written_whole_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))

    given = ("--calibration", folder / "my.npz", "-o", tmp_path / "s.keras")
    ran = program("convert", folder / "relu.keras", *given, preexec_fn=limited)
    assert ran.returncode == 2
    assert re.fullmatch(rf"relu2snn convert: .*{os.strerror(errno.EFBIG)}.*", ran.stderr.splitlines()[-1])
    assert "Traceback" not in ran.stderr
    assert not list(tmp_path.iterdir())


def test_what_nobody_reads_to_its_end_is_no_error() -> None:
    command = f"'{sys.executable}' -c '{PROGRAM}' convert --help | true"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=environment())
    assert ran.stderr == ""


def test_a_spiking_network_and_its_events_are_exported(folder: Path, tmp_path: Path) -> None:
    done("export", folder / "spiking.keras", "-o", tmp_path / "s.npz")
    assert "latency" in np.load(tmp_path / "s.npz").files
    given = ("--events", folder / "my.npz", "--count", 2)
    assert "12 images" in done("export", folder / "spiking.keras", *given, "-o", tmp_path / "e.csv").stderr
    with (tmp_path / "e.csv").open(newline="") as file:
        assert {row["image"] for row in csv.DictReader(file)} == {"0", "1"}


def test_a_network_of_torch_goes_from_its_file_to_an_exact_spiking_one(tmp_path: Path) -> None:
    torch = Path(__file__).parent / "networks_of_torch"
    model, images, spiking = torch / "residual_dynamo.onnx", torch / "residual.npz", tmp_path / "spiking.keras"
    assert "segment" in done("inspect", model).stdout
    given = ("--low", -1, "--high", 1)
    done("convert", model, "--calibration", images, *given, "--zeta", 1, "--stretch", 0.9, "-o", spiking)
    assert "exact: the same class for 100.00% of 12 images" in done("verify", model, spiking, "--images", images).stdout
    done("predict", spiking, "--images", images, "-o", tmp_path / "found.npz")
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_allclose(found["potentials"], np.load(images)["double"], atol=1e-6)
    assert "stretch=0.5: the mapping published has no K to choose" in refused(
        "convert", model, "--calibration", images, *given, "--mapping", "published", "--stretch", 0.5, "-o", spiking
    )


def test_onnx_files_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "m.onnx").write_bytes(b"")
    assert "pip install 'relu2snn[onnx]'" in refused("inspect", tmp_path / "m.onnx")
