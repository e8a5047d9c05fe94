"""Real data are compared with the digests under which they are published."""

import gzip
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relu2snn.config import compose_experiment, compose_suite
from relu2snn.config.schema import PublishedFiles, Source
from relu2snn.datasets import load_arrays
from relu2snn.datasets.cifar import LAYOUTS
from relu2snn.datasets.locate import IDX_NAMES, NPZ_KEYS
from relu2snn.datasets.synthetic import write_cifar
from relu2snn.errors import UserError
from relu2snn.formats.idx import encode_idx

RANDOM = np.random.default_rng(0)
LAYOUT = LAYOUTS["cifar10"]
OTHER_MD5 = "0" * 32


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def load(folder: Path, format: str, digests: dict[str, str], **values: Any) -> Any:
    settings = {"kind": "real", "train_images": 10, "test_images": 4, "directory": str(folder)} | values
    published = PublishedFiles(train_images=10, test_images=4, digests=digests)
    source = Source(format=format, published=published, **settings)
    return load_arrays(source, "tiny", (32, 32, 3) if format == "cifar10" else (3, 2, 1), 10)


@pytest.fixture
def cifar(tmp_path: Path) -> dict[str, str]:
    """An archive, and the digests of it and its batches."""
    images = [RANDOM.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (10, 4)]
    path = tmp_path / LAYOUT.archive
    write_cifar(path, LAYOUT, images[0], np.arange(10), images[1], np.arange(4))
    subprocess.run(["tar", "xzf", path, "-C", tmp_path], check=True)
    batches = {name: md5((tmp_path / LAYOUT.folder / name).read_bytes()) for name in LAYOUT.batches}
    return {LAYOUT.archive: md5(path.read_bytes()), **batches}


def test_an_archive_and_its_batches(tmp_path: Path, cifar: dict[str, str]) -> None:
    assert load(tmp_path, "cifar10", cifar).published == "as published"
    for name in cifar:
        with pytest.raises(UserError, match=rf"{name}: not as published \(its MD5 is {cifar[name]}, not 0{{32}}\); .*"):
            load(tmp_path, "cifar10", {**cifar, name: OTHER_MD5})


def test_untarred_batches(tmp_path: Path, cifar: dict[str, str]) -> None:
    (tmp_path / LAYOUT.archive).unlink()
    assert load(tmp_path, "cifar10", cifar).published == "as published"
    path = tmp_path / LAYOUT.folder / "data_batch_3"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"data_batch_3: not as published .* or set dataset\.source\.check=none"):
        load(tmp_path, "cifar10", cifar)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"check": "none"}, "dataset.source.check=none"),
        ({"kind": "sample"}, "the kind of the data is sample"),
        ({"test_images": 3}, None),
    ],
)
def test_what_overrules_the_comparison(tmp_path: Path, cifar: dict[str, str], values: Any, reason: str | None) -> None:
    wrong = dict.fromkeys(cifar, OTHER_MD5)
    if reason is None:
        # What is no whole data set by the config is not compared, but counted.
        with pytest.raises(UserError, match=r"4 images, but dataset\.source\.test_images is 3"):
            load(tmp_path, "cifar10", wrong, **values)
    else:
        assert load(tmp_path, "cifar10", wrong, **values).published == reason


def test_what_keras_keeps_untarred_is_compared(tmp_path: Path, cifar: dict[str, str], monkeypatch) -> None:
    """Keras compares the archive once, when it downloads it."""
    kept = tmp_path / "datasets" / f"{LAYOUT.folder}-target" / LAYOUT.folder
    kept.parent.mkdir(parents=True)
    (tmp_path / LAYOUT.folder).rename(kept)
    (tmp_path / LAYOUT.archive).unlink()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    images = [np.zeros((n, 32, 32, 3), np.uint8) for n in (10, 4)]
    downloaded = [images[0], np.arange(10), images[1], np.arange(4)]
    monkeypatch.setattr("relu2snn.datasets.load._download", lambda *_: downloaded)
    options = {"keras_name": "cifar10", "directory": str(tmp_path / "raw")}
    assert load(tmp_path, "cifar10", cifar, **options).published == "as published"
    with pytest.raises(UserError, match=rf"{kept}/test_batch: not as published"):
        load(tmp_path, "cifar10", {**cifar, "test_batch": OTHER_MD5}, **options)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "nowhere"))
    assert load(tmp_path, "cifar10", cifar, **options).published == "left to Keras"


def arrays() -> list[np.ndarray]:
    images = [RANDOM.integers(0, 256, (n, 3, 2), dtype=np.uint8) for n in (10, 4)]
    return [images[0], np.arange(10, dtype=np.uint8) % 10, images[1], np.arange(4, dtype=np.uint8)]


@pytest.mark.parametrize("form", ["plain", "packed", "npz"])
def test_contents_of_idx_files_are_compared_however_they_are_packed(tmp_path: Path, form: str) -> None:
    values = arrays()
    contents = dict(zip(IDX_NAMES, map(encode_idx, values), strict=True))
    for name, content in contents.items():
        if form == "packed":
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content, 1))
        elif form == "plain":
            (tmp_path / name).write_bytes(content)
    if form == "npz":
        np.savez(tmp_path / "any.npz", **dict(zip(NPZ_KEYS, values, strict=True)))
    digests = {name: md5(content) for name, content in contents.items()}
    assert load(tmp_path, "idx", digests).published == "as published"
    for index, name in enumerate(IDX_NAMES):
        place = NPZ_KEYS[index] if form == "npz" else name
        with pytest.raises(UserError, match=rf"{place}(\.gz)?: not as published"):
            load(tmp_path, "idx", {**digests, name: OTHER_MD5})


def test_digests_of_the_gzipped_files(tmp_path: Path) -> None:
    for name, array in zip(IDX_NAMES, arrays(), strict=True):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(encode_idx(array)))
    digests = {f"{name}.gz": md5((tmp_path / f"{name}.gz").read_bytes()) for name in IDX_NAMES}
    assert load(tmp_path, "idx", digests).published == "as published"
    with pytest.raises(UserError, match=rf"{IDX_NAMES[2]}\.gz: not as published"):
        load(tmp_path, "idx", {**digests, f"{IDX_NAMES[2]}.gz": OTHER_MD5})
    # What no digest is known of is said to be so.
    (tmp_path / IDX_NAMES[1]).write_bytes(gzip.decompress((tmp_path / f"{IDX_NAMES[1]}.gz").read_bytes()))
    assert load(tmp_path, "idx", digests).published == f"no digest is known for {IDX_NAMES[1]}"


def test_the_sha256_of_an_npz(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    np.savez(path, **dict(zip(NPZ_KEYS, arrays(), strict=True)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load(tmp_path, "idx", {"mnist.npz": digest}).published == "as published"
    with pytest.raises(UserError, match=r"mnist\.npz: not as published \(its SHA256 is"):
        load(tmp_path, "idx", {"mnist.npz": "0" * 64})


@pytest.mark.parametrize(
    ("experiment", "names"),
    [
        ("mnist_fc", {*(f"{name}.gz" for name in IDX_NAMES), "mnist.npz"}),
        ("fmnist_fc", {*IDX_NAMES}),
        ("cifar10_vgg", {LAYOUT.archive, *LAYOUT.batches}),
        ("cifar100_vgg", {LAYOUTS["cifar100"].archive, *LAYOUTS["cifar100"].batches}),
    ],
)
def test_every_data_set_that_is_read_whole_has_its_digests(experiment: str, names: set[str]) -> None:
    source = compose_experiment(experiment, compose_suite("paper")).dataset.source
    assert set(source.published.digests) == names
    assert all(len(bytes.fromhex(each)) in (16, 32) for each in source.published.digests.values())
    assert (source.check, source.published.train_images) == ("published", source.train_images)


def test_a_digest_that_is_none_is_refused() -> None:
    override = "dataset.source.published.digests={test_batch:'123'}"
    with pytest.raises(UserError, match=r"published\.digests: 'test_batch' is '123'; give an MD5 or a SHA-256 in hex"):
        compose_experiment("cifar10_vgg", compose_suite("paper"), [override])


def test_debians_fashion_mnist_is_as_published() -> None:
    folder = Path("/usr/share/datasets/fashion-mnist")
    if not folder.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    dataset = compose_experiment("fmnist_fc", compose_suite("paper"), [f"dataset.source.directory={folder}"]).dataset
    assert load_arrays(dataset.source, "fmnist", (28, 28, 1), 10).published == "as published"
