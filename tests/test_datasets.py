"""Reading, finding, checking and preparing data sets."""

import gzip
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as any_array
from stamped import prepare

from relu2snn.config.schema import Preprocess, Source
from relu2snn.datasets import ArrayDataset, load_arrays, part_range, read_idx, source_files
from relu2snn.errors import UserError

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
GZ_NAMES = [f"{name}.gz" for name in NAMES]
KEYS = ("x_train", "y_train", "x_test", "y_test")
UNIT = Preprocess(mean=0.0, std=255.0, low=0.0, high=1.0)

RANDOM = np.random.default_rng(0)
TRAIN, TEST = (RANDOM.integers(0, 256, (n, 4, 3), dtype=np.uint8) for n in (20, 10))
TRAIN_28, TEST_28 = (RANDOM.integers(0, 256, (n, 28, 28), dtype=np.uint8) for n in (20, 10))
ARRAYS = (TRAIN, np.arange(20, dtype=np.uint8) % 10, TEST, np.arange(10, dtype=np.uint8))


def idx(array, kind=8):
    return struct.pack(f">4B{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


def drop_idx(folder, arrays=ARRAYS, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, arrays, strict=True):
        content = idx(array)
        (folder / name).write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)


def source(directory, **values):
    defaults = {"format": "idx", "kind": "real", "train_images": 20, "test_images": 10}
    return Source(directory=str(directory), **(defaults | values))


def load(the_source, image_shape=(4, 3, 1), classes=10):
    return load_arrays(the_source, "tiny", image_shape, classes)


def assert_loads(the_source, origin, files=4):
    loaded = load(the_source)
    np.testing.assert_array_equal(loaded.train_images[..., 0], TRAIN)
    np.testing.assert_array_equal(loaded.train_labels, np.arange(20) % 10)
    np.testing.assert_array_equal(loaded.test_images[..., 0], TEST)
    np.testing.assert_array_equal(loaded.test_labels, np.arange(10))
    assert loaded.train_images.shape == (20, 4, 3, 1)
    assert loaded.train_labels.dtype == loaded.test_labels.dtype == np.int64
    assert origin in loaded.origin
    assert loaded.files == source_files(the_source)
    assert len(loaded.files) == files


# idx files


@given(any_array(np.uint8, st.tuples(*[st.integers(0, 5)] * 3) | st.tuples(st.integers(0, 9))), st.booleans())
def test_idx_reads_back_what_was_written(tmp_path_factory, array, zipped):
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    read = read_idx(path, array.ndim)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


@given(st.data())
def test_damaged_gzip_is_never_read_as_other_data(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("idx") / "images.gz"
    good = gzip.compress(idx(TEST), mtime=0)
    cut = data.draw(st.integers(2, len(good)))
    content = bytearray(good[:cut])
    content[data.draw(st.integers(2, cut - 1)) if cut > 2 else 0] ^= data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        read, message = read_idx(path, 3), ""
    except UserError as error:
        read, message = TEST, str(error)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
    np.testing.assert_array_equal(read, TEST)


@pytest.mark.parametrize(
    ("content", "ndim", "message"),
    [
        (b"", 3, "the file is empty"),
        (gzip.compress(b"", mtime=0), 3, "the file is empty"),
        (idx(ARRAYS[1]), 3, "magic number 0x00000801, expected 0x00000803 .*: this is a file of labels, not of images"),
        (idx(TEST), 1, "magic number 0x00000803, expected 0x00000801 .*: this is a file of images, not of labels"),
        (idx(TEST, kind=0x0D), 3, "magic number 0x00000d03, expected 0x00000803"),
        (b"PK\x03\x04", 3, "magic number 0x504b0304, expected 0x00000803"),
        (idx(TEST)[:7], 3, "7 bytes, fewer than the 16 of an idx header"),
        (idx(TEST)[:-1], 3, "the header says 10 x 4 x 3 = 120 bytes, but 119 follow"),
        (idx(TEST) + b"x", 3, "the header says 10 x 4 x 3 = 120 bytes, but 121 follow"),
        (gzip.compress(idx(TEST), mtime=0)[:-9], 3, "truncated or corrupt gzip"),
        (gzip.compress(idx(TEST), mtime=0)[:10] + b"\xff" * 20, 3, "truncated or corrupt gzip .*invalid block type"),
        (b"\x1f\x8b", 3, "truncated or corrupt gzip"),
        (b"\x1f\x8bnot gzip", 3, "truncated or corrupt gzip"),
    ],
)
def test_idx_errors_name_file_and_value(tmp_path, content, ndim, message):
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_idx(path, ndim)
    assert str(caught.value).startswith(f"{path}: ")


def test_idx_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"nothing: no such file; fetch the file again"):
        read_idx(tmp_path / "nothing", 3)


# Finding the files


@pytest.mark.parametrize(
    "names",
    [
        NAMES,
        GZ_NAMES,
        [name.replace("-idx", ".idx") for name in NAMES],
        [NAMES[0], f"{NAMES[1]}.gz", f"{NAMES[2].replace('-idx', '.idx')}.gz", NAMES[3]],
    ],
)
def test_dropped_idx_files_under_any_of_their_names(tmp_path, names):
    drop_idx(tmp_path, names=names)
    assert_loads(source(tmp_path), f"folder {tmp_path}")


def test_dropped_npz(tmp_path):
    np.savez(tmp_path / "mnist.npz", **dict(zip(KEYS, ARRAYS, strict=True)))
    assert_loads(source(tmp_path), f"folder {tmp_path}", files=1)


def test_dropped_files_win_over_the_system_which_wins_over_a_download(tmp_path):
    drop_idx(tmp_path / "system")
    sources = source(tmp_path / "raw", system_directory=str(tmp_path / "system"), keras_name="fashion_mnist")
    assert_loads(sources, f"system package in {tmp_path / 'system'}")
    drop_idx(tmp_path / "raw")
    assert_loads(sources, f"folder {tmp_path / 'raw'}")


def test_download_has_no_files(tmp_path):
    assert source_files(source(tmp_path / "raw", keras_name="mnist")) == []


def test_partly_filled_folder_names_what_is_missing(tmp_path):
    drop_idx(tmp_path / "system")
    drop_idx(tmp_path / "raw")
    (tmp_path / "raw" / NAMES[3]).unlink()
    sources = source(tmp_path / "raw", system_directory=str(tmp_path / "system"))
    for look in (source_files, load):
        with pytest.raises(UserError, match=rf"raw: {NAMES[3]} \(plain or .gz\) missing beside {NAMES[0]}"):
            look(sources)


def test_two_npz_files(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.npz").touch()
    with pytest.raises(UserError, match=r"2 \.npz files \(a\.npz, b\.npz\); leave only"):
        source_files(source(tmp_path))


def test_nothing_found_lists_places_and_names(tmp_path):
    sources = source(tmp_path / "raw", system_directory=str(tmp_path / "system"))
    expected = f"{tmp_path}/raw or {tmp_path}/system; put there {NAMES[0]}, .*{NAMES[3]} .* one .npz with x_train"
    for look in (source_files, load):
        with pytest.raises(UserError, match=expected):
            look(sources)


def test_directory_that_is_a_file(tmp_path):
    (tmp_path / "mnist.npz").touch()
    with pytest.raises(UserError, match=r"mnist\.npz: not a folder"):
        source_files(source(tmp_path / "mnist.npz", keras_name="mnist"))


def test_folders_of_photographs_are_not_read_whole(tmp_path):
    with pytest.raises(
        UserError, match=r"dataset\.source\.format=places365: .* run the stages of pipeline/places365.smk"
    ):
        load(source(tmp_path, format="places365"))


def test_keras_cache_failed_download_and_unknown_name(tmp_path):
    """In a process of its own: Keras reads its cache's place once, and nothing else here should import it."""
    drop_idx(tmp_path / "datasets" / "fashion-mnist", (TRAIN_28, ARRAYS[1], TEST_28, ARRAYS[3]), GZ_NAMES)
    # Nothing listens at the discard port, so that a fetch fails at once whatever the network.
    unreachable = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")} | {"no_proxy": ""}
    code = """
from relu2snn.config.schema import Source
from relu2snn.datasets import load_arrays
from relu2snn.errors import UserError
for name in ("fashion_mnist", "mnist", "mnits"):
    source = Source(
        format="idx", kind="real", directory="data/raw/tiny", keras_name=name, train_images=20, test_images=10
    )
    try:
        loaded = load_arrays(source, "tiny", (28, 28, 1), 10)
        print(loaded.origin, loaded.files, loaded.train_images.sum(), loaded.test_labels.sum())
    except UserError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | unreachable | {"KERAS_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith("Downloading")]
    assert lines[0] == f"download by keras.datasets.fashion_mnist [] {TRAIN_28.sum()} 45"
    assert lines[1].startswith("tiny: the download by keras.datasets.mnist failed (Exception: URL fetch failure on ")
    assert f"; put the files into data/raw/tiny by hand: {NAMES[0]}" in lines[1]
    assert lines[2] == "dataset.source.keras_name=mnits: keras.datasets has no such data set"
    assert len(lines) == 3


# Checks


@pytest.mark.parametrize(
    ("values", "shape", "classes", "message"),
    [
        ({}, (3, 4, 1), 10, f"{NAMES[0]}: images of 4 x 3 x 1, but dataset.image_shape is 3 x 4 x 1"),
        ({}, (4, 3, 3), 10, "images of 4 x 3 x 1, but dataset.image_shape is 4 x 3 x 3"),
        (
            {"train_images": 21},
            (4, 3, 1),
            10,
            f"{NAMES[0]}: 20 images, but dataset.source.train_images is 21; .* override dataset.source.train_images=20",
        ),
        ({"test_images": 9}, (4, 3, 1), 10, f"{NAMES[2]}: 10 images, but dataset.source.test_images is 9"),
        ({}, (4, 3, 1), 9, rf"{NAMES[1]}: label 9 at index 9 is not in 0\.\.8; .* dataset.classes \(now 9\)"),
    ],
)
def test_arrays_that_are_not_those_of_the_config(tmp_path, values, shape, classes, message):
    drop_idx(tmp_path)
    with pytest.raises(UserError, match=message):
        load(source(tmp_path, **values), shape, classes)


def test_fewer_labels_than_images(tmp_path):
    drop_idx(tmp_path, (*ARRAYS[:3], ARRAYS[3][:-1]))
    with pytest.raises(UserError, match=f"{NAMES[3]}: 9 labels for 10 images"):
        load(source(tmp_path))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x_train": TRAIN / 255}, r"tiny\.npz, x_train: pixels are float64; expected uint8"),
        ({"y_test": np.arange(10.0)}, r"tiny\.npz, y_test: labels are float64 of shape \(10,\)"),
        ({"y_test": np.eye(10, dtype=int)}, r"y_test: labels are int64 of shape \(10, 10\)"),
        ({"y_train": np.arange(20) - 3}, r"y_train: label -3 at index 0 is not in 0\.\.9"),
        (
            {"y_train": np.array([{}] * 20)},
            r"tiny\.npz: not a readable \.npz of numbers \(Object arrays are not numbers",
        ),
        ({"x_test": None}, r"tiny\.npz: no array x_test; expected x_train, y_train, x_test, y_test"),
    ],
)
def test_npz_that_is_not_as_expected(tmp_path, changed, message):
    arrays = {
        key: value for key, value in (dict(zip(KEYS, ARRAYS, strict=True)) | changed).items() if value is not None
    }
    np.savez(tmp_path / "tiny.npz", **arrays)
    with pytest.raises(UserError, match=message):
        load(source(tmp_path))


def test_damaged_npz(tmp_path):
    path = tmp_path / "tiny.npz"
    np.savez(path, **dict(zip(KEYS, ARRAYS, strict=True)))
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with pytest.raises(UserError, match=r"tiny\.npz: not a readable \.npz of numbers \(File is not a zip file"):
        load(source(tmp_path))
    path.write_bytes(content.replace(TRAIN.tobytes(), bytes(TRAIN.nbytes)))
    with pytest.raises(UserError, match=r"tiny\.npz: not a readable \.npz of numbers \(Bad CRC-32"):
        load(source(tmp_path))


# Prepared arrays


@pytest.fixture
def folder(tmp_path):
    drop_idx(tmp_path / "raw")
    prepare(tmp_path / "tiny", "tiny", "real", load(source(tmp_path / "raw")))
    return tmp_path / "tiny"


def test_prepared_arrays_are_mapped_not_loaded(folder):
    data = ArrayDataset(folder)
    for split, images, labels in (("train", TRAIN, ARRAYS[1]), ("test", TEST, ARRAYS[3])):
        assert data.count(split) == len(images)
        assert isinstance(data.images(split), np.memmap)
        np.testing.assert_array_equal(data.images(split)[..., 0], images)
        np.testing.assert_array_equal(data.labels(split), labels)
    assert data.kind == "real"


def test_source_json_tells_the_origin(folder):
    source_json = json.loads((folder / "source.json").read_text())
    raw = folder.parent / "raw"
    assert source_json.pop("digest") == ArrayDataset(folder).digest
    assert source_json.pop("made")["stage"] == "data"
    assert set(source_json.pop("arrays")) == {"train_images", "train_labels", "test_images", "test_labels"}
    assert source_json == {
        "published": "no digests are known",
        "name": "tiny",
        "kind": "real",
        "origin": f"folder {raw}",
        "files": [str(raw / name) for name in NAMES],
        "train_images": 20,
        "test_images": 10,
    }


def test_digest_depends_on_the_arrays_only(folder, tmp_path):
    digest = ArrayDataset(folder).digest
    drop_idx(tmp_path / "gz", names=GZ_NAMES)
    prepare(folder, "tiny", "real", load(source(tmp_path / "gz")))
    assert ArrayDataset(folder).digest == digest
    changed = TEST.copy()
    changed[9, 3, 2] ^= 1
    drop_idx(tmp_path / "gz", (*ARRAYS[:2], changed, ARRAYS[3]), GZ_NAMES)
    prepare(folder, "tiny", "real", load(source(tmp_path / "gz")))
    assert ArrayDataset(folder).digest != digest


def test_half_done_preparation_is_not_taken_for_a_whole_one(folder):
    loaded = load(source(folder.parent / "raw"))
    object.__setattr__(loaded, "test_images", np.array([{}]))  # numpy refuses to write objects
    with pytest.raises(ValueError, match="Object arrays"):
        prepare(folder, "tiny", "real", loaded)
    with pytest.raises(UserError, match=r"source\.json: no such file"):
        ArrayDataset(folder)


def test_missing_and_damaged_prepared_files(folder):
    path = folder / "test_labels.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(
        UserError, match=r"test_labels\.npy: not a readable \.npy file \(its header says 80 bytes, but 72"
    ):
        ArrayDataset(folder)
    path.unlink()
    with pytest.raises(UserError, match=r"test_labels\.npy: no such file; run the data stage"):
        ArrayDataset(folder)
    with pytest.raises(UserError, match=r"nowhere/source\.json: no such file"):
        ArrayDataset(folder / "nowhere")


@given(st.integers(1, 25), st.integers(0, 20), st.none() | st.integers(0, 25))
def test_batches_cover_the_range_in_order(shared_folder, batch, start, stop):
    data = ArrayDataset(shared_folder)
    preprocess = Preprocess(mean=120.707, std=64.15 + 1e-7, low=-3.0, high=3.0)
    batches = list(data.batches("train", batch, preprocess, start, stop))
    assert all(len(labels) == len(images) <= batch for images, labels in batches)
    assert all(len(images) == batch for images, _ in batches[:-1])
    expected = (TRAIN[start:stop, :, :, np.newaxis].astype(np.float64) - 120.707) / (64.15 + 1e-7)
    images = np.concatenate([np.empty((0, 4, 3, 1)), *(images for images, _ in batches)])
    assert images.dtype == np.float64
    np.testing.assert_array_equal(images, expected)
    labels = np.concatenate([np.empty(0, np.int64), *(labels for _, labels in batches)])
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, ARRAYS[1][start:stop])


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shared")
    drop_idx(path / "raw")
    prepare(path / "tiny", "tiny", "real", load(source(path / "raw")))
    return path / "tiny"


@pytest.mark.parametrize(
    ("pixel", "value", "low", "high"), [(200, "0.7843137255", 0.0, 0.78), (3, "0.01176470588", 0.02, 1)]
)
def test_pixel_out_of_range_names_value_image_and_keys(tmp_path, pixel, value, low, high):
    images = np.full_like(TEST, 100)
    images[7, 1, 2] = pixel
    drop_idx(tmp_path / "raw", (TRAIN, ARRAYS[1], images, ARRAYS[3]))
    prepare(tmp_path, "tiny", "real", load(source(tmp_path / "raw")))
    batches = ArrayDataset(tmp_path).batches("test", 4, Preprocess(mean=0.0, std=255.0, low=low, high=high))
    next(batches)
    message = (
        f"test image 7: a preprocessed pixel is {value}, outside the range from "
        f"dataset.preprocess.low={low:g} to dataset.preprocess.high={high:g}; .* dataset.preprocess.mean"
    )
    with pytest.raises(UserError, match=message):
        next(batches)


def test_rounding_does_not_count_as_out_of_range(shared_folder):
    just_below = float(TRAIN.max()) / 255 - 5e-10
    limits = Preprocess(mean=0.0, std=255.0, low=0.0, high=just_below)
    assert len(list(ArrayDataset(shared_folder).batches("train", 20, limits))) == 1


@given(st.integers(0, 1000), st.integers(1, 50))
def test_parts_cover_every_image_once_and_evenly(count, parts):
    ranges = [part_range(count, part, parts) for part in range(parts)]
    assert [image for start, stop in ranges for image in range(start, stop)] == list(range(count))
    sizes = [stop - start for start, stop in ranges]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("part", [-1, 3])
def test_part_that_is_not_there(part):
    with pytest.raises(UserError, match=rf"part {part}: no such part; dataset\.parts is 3, so they are 0 to 2"):
        part_range(10, part, 3)


def test_parts_of_a_given_size_are_whole_but_for_the_last():
    ranges = [part_range(36500, part, 13, 3000) for part in range(13)]
    assert [stop - start for start, stop in ranges] == [3000] * 12 + [500]
    assert [start for start, _ in ranges] == list(range(0, 36500, 3000))
    with pytest.raises(UserError, match=r"dataset.parts=12: 36500 images in parts of dataset.part_images=3000"):
        part_range(36500, 0, 12, 3000)


def test_importing_datasets_does_not_import_tensorflow():
    code = "import sys, relu2snn.datasets; sys.exit(bool({'tensorflow', 'keras', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
