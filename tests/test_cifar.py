"""CIFAR10 and CIFAR100: archives in the published layout, read back, and every way in which they can be wrong."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relu2snn.config.schema import Source
from relu2snn.datasets import load_arrays, source_files
from relu2snn.datasets.cifar import LAYOUTS, read_cifar
from relu2snn.datasets.synthetic import batch, make_files, pickled, write_archive, write_cifar
from relu2snn.errors import UserError

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample" / "fmnist"
TEN, HUNDRED = LAYOUTS["cifar10"], LAYOUTS["cifar100"]
RANDOM = np.random.default_rng(0)
TRAIN, TEST = (RANDOM.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (20, 6))
LABELS = {
    "cifar10": (np.arange(20) % 10, np.arange(6)),
    "cifar100": (np.arange(20) * 5, np.arange(6) + 90),
}
CLASSES = {"cifar10": 10, "cifar100": 100}


def drop(folder: Path, format: str = "cifar10") -> Path:
    path = folder / LAYOUTS[format].archive
    train, test = LABELS[format]
    write_cifar(path, LAYOUTS[format], TRAIN, train, TEST, test)
    return path


def load(folder: Path, format: str = "cifar10", **values: Any) -> Any:
    settings = {"kind": "real", "train_images": 20, "test_images": 6} | values
    source = Source(format=format, directory=str(folder), **settings)
    return load_arrays(source, format, (32, 32, 3), CLASSES[format])


def message(folder: Path, format: str = "cifar10", **values: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, format, **values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def members(layout: Any = TEN, **changed: Any) -> dict[str, bytes]:
    """The members of an archive with two images a batch; a changed batch is a value to pickle, bytes, or None."""
    whole = {name: batch(layout, TRAIN[:2], np.arange(2)) for name in layout.batches} | changed
    packed = {name: each if isinstance(each, bytes) else pickled(each) for name, each in whole.items() if each}
    return {f"{layout.folder}/{name}": content for name, content in packed.items()}


@pytest.mark.parametrize("untarred", [None, "", "-target"])
@pytest.mark.parametrize("format", LAYOUTS)
def test_what_was_published_is_read(tmp_path: Path, format: str, untarred: str | None) -> None:
    archive = drop(tmp_path, format)
    if untarred is not None:
        # As by hand, and as Keras leaves it in its cache.
        target = tmp_path / f"{LAYOUTS[format].folder}-target" if untarred else tmp_path
        target.mkdir(exist_ok=True)
        subprocess.run(["tar", "xzf", archive, "-C", target], check=True)
        archive.unlink()
    loaded = load(tmp_path, format)
    np.testing.assert_array_equal(loaded.train_images, TRAIN)
    np.testing.assert_array_equal(loaded.test_images, TEST)
    for found, expected in zip((loaded.train_labels, loaded.test_labels), LABELS[format], strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.int64
    settings = {"train_images": 20, "test_images": 6}
    assert loaded.files == source_files(Source(format=format, kind="real", directory=str(tmp_path), **settings))
    assert len(loaded.files) == (1 if untarred is None else len(LAYOUTS[format].batches))


def test_the_maker_writes_what_pickle_and_python_2_call_a_batch() -> None:
    """Byte strings and numpy's old module names: read by plain pickle as every user of CIFAR reads it."""
    content = pickled(batch(TEN, TEST, np.arange(6)))
    plain = pickle.loads(content, encoding="bytes")
    assert set(plain) == {b"data", b"labels", b"filenames"}
    assert plain[b"data"].shape == (6, 3072)
    # The planes of a row are red, green and blue.
    np.testing.assert_array_equal(plain[b"data"][2, :1024].reshape(32, 32), TEST[2, :, :, 0])
    assert b"cnumpy.core.multiarray\n_reconstruct" in content
    assert b"T\x04\x00\x00\x00data" in content
    assert content[:2] == b"\x80\x02"


@pytest.mark.parametrize("protocol", range(5))
def test_batches_pickled_by_python_3_and_a_new_numpy_are_read(tmp_path: Path, protocol: int) -> None:
    whole = {name: pickle.dumps(batch(TEN, TRAIN[:2], np.arange(2)), protocol) for name in TEN.batches}
    write_archive(tmp_path / TEN.archive, {f"./{TEN.folder}/{name}": content for name, content in whole.items()})
    np.testing.assert_array_equal(load(tmp_path, train_images=10, test_images=2).train_images[8:], TRAIN[:2])


class _Runs:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


ATTACKS = [
    (_Runs(os.system, "touch attacked"), "posix.system"),
    (_Runs(eval, "open('attacked', 'w')"), "builtin__.eval"),
    (_Runs(getattr, "", "join"), "builtin__.getattr"),
    (_Runs(np.load, "attacked"), "numpy.load"),
    (np.dtype("O"), "not of bytes"),
    (np.array([{}]), "an array of"),
    (np.ndarray, "not the dictionary of a batch"),
]


@pytest.mark.parametrize(("attack", "name"), ATTACKS, ids=[name for _, name in ATTACKS])
def test_a_pickle_that_would_run_code_is_refused_by_name(tmp_path: Path, monkeypatch, attack: Any, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_archive(tmp_path / TEN.archive, members(data_batch_2=pickle.dumps(attack, 2)))
    text = message(tmp_path)
    assert text.startswith(f"{tmp_path / TEN.archive}, {TEN.folder}/data_batch_2: ")
    assert name in text
    assert not Path("attacked").exists()


def changed(**values: Any) -> dict[bytes, Any]:
    whole = batch(TEN, TRAIN[:2], np.arange(2)) | {key.encode(): value for key, value in values.items()}
    return {key: value for key, value in whole.items() if value is not None}


WRONG = [
    ({"data_batch_3": None}, f"{TEN.archive}: {TEN.folder}/data_batch_3 missing; fetch the file again"),
    ({"test_batch": changed(labels=[3])}, "test_batch: 1 labels for 2 images"),
    ({"test_batch": changed(labels=None)}, "test_batch: no labels in it, so not a batch of CIFAR10"),
    ({"test_batch": changed(data=None)}, "test_batch: no data in it"),
    ({"test_batch": changed(labels=[1, b"2"])}, "test_batch: labels are not a list of whole numbers"),
    ({"test_batch": pickle.dumps(changed(labels=[1, 2**70]))}, "test_batch: labels are not a list of whole numbers"),
    ({"test_batch": changed(data=np.zeros((2, 784), np.uint8))}, "test_batch: data are 2 x 784; expected n x 3072"),
    ({"test_batch": changed(data=b"bytes")}, "test_batch: data are bytes; expected n x 3072"),
    ({"test_batch": changed(data=np.zeros((2, 3072)))}, "test_batch: not a readable batch of CIFAR10 (an array of"),
    ({"test_batch": [1, 2]}, "test_batch: holds a list, not the dictionary of a batch"),
    ({"test_batch": pickled(changed())[:-9]}, "test_batch: not a readable batch of CIFAR10 ("),
    ({"test_batch": b"\x1f\x8b no pickle"}, "test_batch: not a readable batch of CIFAR10 ("),
    # Remembers one object as number four billion.
    ({"test_batch": b"\x80\x02Nr\xff\xff\xff\xff."}, "test_batch: holds a NoneType, not the dictionary of a batch"),
    ({"data_batch_5": changed(labels=[3, 10])}, "training: label 10 at index 9 is not in 0..9"),
    ({"test_batch": changed(labels=[-1, 1])}, "test: label -1 at index 0 is not in 0..9"),
    ({}, "training: 10 images, but dataset.source.train_images is 20"),
]


@pytest.mark.parametrize(("batches", "text"), WRONG, ids=[text for _, text in WRONG])
def test_a_wrong_archive_is_one_line_that_names_the_batch(tmp_path: Path, batches: dict, text: str) -> None:
    write_archive(tmp_path / TEN.archive, members(**batches))
    assert text in message(tmp_path, train_images=10 if batches else 20, test_images=2)


def test_a_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / TEN.folder).mkdir()
    for name, content in members().items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / TEN.folder / "test_batch").unlink()
    (tmp_path / TEN.folder / "test_batch").symlink_to("data_batch_1")
    subprocess.run(["tar", "czf", tmp_path / TEN.archive, "-C", tmp_path, TEN.folder], check=True)
    assert "test_batch: not a batch of CIFAR10 (0 bytes)" in message(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_archive_is_named(tmp_path: Path, share: float) -> None:
    path = drop(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    text = message(tmp_path)
    assert text.startswith(str(path))
    assert "fetch the file again" in text


@given(st.data())
def test_a_damaged_batch_is_refused_or_read_whole(tmp_path_factory, data: st.DataObject) -> None:
    """Whatever bytes are wrong, the outcome is arrays of the right shape or one line: never another exception."""
    folder = tmp_path_factory.mktemp("cifar") / TEN.folder
    folder.mkdir()
    content = bytearray(pickled(batch(TEN, TRAIN[:1], np.arange(1))))
    structure = [index for index in range(len(content)) if index < 120 or index > len(content) - 120]
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.sampled_from(structure))] = data.draw(st.integers(0, 255))
    files = []
    for name in TEN.batches:
        (folder / name).write_bytes(content)
        files.append(folder / name)
    images, labels, text = np.zeros((5, 32, 32, 3)), np.zeros(5), str(folder)
    try:
        images, labels, *_ = read_cifar(tuple(files), "cifar10")
    except UserError as error:
        text = str(error)
    assert text.startswith(str(folder))
    assert images.shape == (len(labels), 32, 32, 3)


@pytest.mark.parametrize(("format", "other"), [("cifar10", "cifar100"), ("cifar100", "cifar10")])
def test_the_archive_of_the_other_data_set_is_told_apart(tmp_path: Path, format: str, other: str) -> None:
    archive = drop(tmp_path, other)
    titles = f"this is {LAYOUTS[other].title}, not {LAYOUTS[format].title}"
    assert message(tmp_path, format).startswith(f"{archive}: {titles}")
    renamed = archive.rename(tmp_path / LAYOUTS[format].archive)
    assert message(tmp_path, format).startswith(f"{renamed}: {titles}")


def test_a_folder_without_some_batches_and_no_files_at_all(tmp_path: Path) -> None:
    folder = tmp_path / TEN.folder
    folder.mkdir()
    for name in TEN.batches[:-2]:
        (folder / name).write_bytes(b"")
    assert f"{folder}: data_batch_5 and test_batch missing; untar {TEN.archive} again" in message(tmp_path)
    (tmp_path / "empty").mkdir()
    assert f"put there {HUNDRED.archive}, or its folder" in message(tmp_path / "empty", "cifar100")
    (tmp_path / TEN.archive).write_bytes(b"")
    assert "not a readable .tar.gz of CIFAR10 (ends without" in message(tmp_path)


def test_what_keras_has_downloaded_is_read(tmp_path: Path) -> None:
    """By Keras' own reader, which takes only the real number of images; it would fetch files of another hash anew."""
    labels = np.arange(50_000) % 10
    train = np.broadcast_to(labels[:, None, None, None].astype(np.uint8), (50_000, 32, 32, 3))
    (tmp_path / TEN.folder).mkdir()
    images = [*np.array_split(train, 5), train[:10_000]]
    for name, rows, classes in zip(TEN.batches, images, [*np.array_split(labels, 5), labels[:10_000]], strict=True):
        (tmp_path / TEN.folder / name).write_bytes(pickled(batch(TEN, rows, classes)))
    code = """
from keras.src.datasets import cifar10
cifar10.get_file = lambda **options: "."
from relu2snn.config.schema import Source
from relu2snn.datasets import load_arrays
settings = {"train_images": 50_000, "test_images": 10_000}
source = Source(format="cifar10", kind="real", directory="data/raw/cifar10", keras_name="cifar10", **settings)
loaded = load_arrays(source, "cifar10", (32, 32, 3), 10)
assert (loaded.train_images[:, 5, 6, 1] == loaded.train_labels).all() and loaded.test_labels.shape == (10_000,)
print(loaded.origin)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("download by keras.datasets.cifar10"), done.stderr[-2000:]


@pytest.mark.parametrize("format", ["idx", *LAYOUTS])
def test_small_files_are_made_from_the_sample_alike_every_time(tmp_path: Path, format: str) -> None:
    for name in ("one", "two"):
        make_files(tmp_path / name, format, SAMPLE, 100, 20)
        # Made again, in place of what was made before.
        make_files(tmp_path / name, format, SAMPLE, 100, 20)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert "Not the real data set" in one["SYNTHETIC.txt"].decode()
    shape = (28, 28, 1) if format == "idx" else (32, 32, 3)
    settings = {"train_images": 100, "test_images": 20, "kind": "synthetic", "made_from": str(SAMPLE)}
    source = Source(format=format, directory=str(tmp_path / "one"), **settings)
    assert source_files(source) == []
    loaded = load_arrays(source, format, shape, CLASSES.get(format, 10))
    assert len(np.unique(loaded.train_labels)) >= (10 if format != "cifar100" else 50)
    assert loaded.train_images.min() < 10
    assert loaded.train_images.max() > 245


def test_small_files_never_replace_others(tmp_path: Path) -> None:
    path = drop(tmp_path)
    before = path.read_bytes()
    text = message(tmp_path, kind="synthetic", made_from=str(SAMPLE))
    assert text.startswith(f"{tmp_path}: holds files that dataset.source.made_from={SAMPLE} would replace")
    assert path.read_bytes() == before
    text = message(tmp_path / "new", kind="synthetic", made_from=str(SAMPLE), train_images=5001)
    assert text == f"{SAMPLE}: 5000 images (train), fewer than the 5001 asked for; ask for fewer"
