"""What damage a reader of data sets could overlook, and what memory a small file could make it take."""

import bz2
import gzip
import io
import pickle
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from relu2snn.config.schema import Source
from relu2snn.datasets import ArraySet, load_arrays, open_dataset, prepare, prepare_photographs, read_idx
from relu2snn.datasets.cifar import LAYOUTS, read_cifar
from relu2snn.datasets.images import UNREADABLE, decode_rgb
from relu2snn.datasets.locate import NPZ_KEYS
from relu2snn.datasets.manifest import read_manifest, write_manifest
from relu2snn.datasets.pass_images import take
from relu2snn.datasets.photographs import digest_of, part_file
from relu2snn.datasets.places365 import LABELS, VALIDATION, read_labels
from relu2snn.datasets.synthetic import batch, pickled, write_archive
from relu2snn.errors import UserError
from relu2snn.files import read_json, write_json
from relu2snn.formats.npy import map_array, read_header
from relu2snn.made import Job, load_json

TEN = LAYOUTS["cifar10"]
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
MEGABYTE = 1 << 20


def the_line(call: Callable[[], Any], path: Path, most: int = 8 * MEGABYTE) -> str:
    """What a call says that cannot succeed: one line that begins with the file; it takes no more than `most` memory."""
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            call()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert text.isprintable()
    assert text.startswith(str(path))
    assert peak < most
    return text


def members() -> dict[str, bytes]:
    content = pickled(batch(TEN, IMAGES, np.arange(2)))
    return {f"{TEN.folder}/{name}": content for name in TEN.batches}


def cifar(path: Path) -> list[np.ndarray]:
    return read_cifar((path,), "cifar10", counts=(10, 2))


def tarred(
    *, format: int = tarfile.USTAR_FORMAT, changes: Callable[[tarfile.TarInfo], None] = lambda info: None
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for name, content in members().items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            changes(info)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


# CIFAR archives


def test_no_flipped_bit_of_an_archive_makes_other_data(tmp_path: Path) -> None:
    path = tmp_path / TEN.archive
    write_archive(path, members())
    good = path.read_bytes()
    expected = cifar(path)
    draw = random.Random(0)
    refused = 0
    for bit in draw.sample(range(8 * len(good)), 150):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            found = cifar(path)
        except UserError:
            refused += 1
        else:
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)
    # Only a few bits, of the header's time, say nothing.
    assert refused > 140


END = bytes(512)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda tar: gzip.compress(tar)[:-1], "ended before the end-of-stream marker"),
        (lambda tar: gzip.compress(tar) + b"more", "Not a gzipped file"),
        (lambda tar: gzip.compress(tar + b"more"), "goes on after the mark of its end"),
        (lambda tar: gzip.compress(tar) + gzip.compress(b"more"), "goes on after the mark of its end"),
        (lambda tar: gzip.compress(tar.rstrip(b"\0")), "ends within"),
        (lambda tar: gzip.compress(tar[: 512 + len(tar) // 512 // 2 * 512]), "ends within"),
        (lambda tar: gzip.compress(tar[:512].replace(b"0", b"1") + tar[512:]), "bad checksum"),
        (lambda tar: gzip.compress(tar.replace(b"data_batch_2\0", b"data_batch_1\0")), "bad checksum"),
        (lambda tar: gzip.compress(END), "data_batch_1 and"),
    ],
)
def test_ends_of_archives(tmp_path: Path, change: Callable[[bytes], bytes], text: str) -> None:
    path = tmp_path / TEN.archive
    path.write_bytes(change(tarred()))
    assert text in the_line(lambda: cifar(path), path)


def test_archives_of_several_gzip_members_and_with_zeros_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / TEN.archive
    tar = tarred()
    path.write_bytes(gzip.compress(tar[:5000]) + gzip.compress(tar[5000:] + END) + b"\0" * 100)
    np.testing.assert_array_equal(cifar(path)[2], IMAGES)


def test_times_in_extended_headers_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / TEN.archive

    def dated(info: tarfile.TarInfo) -> None:
        info.pax_headers = {"mtime": "1.5"}

    path.write_bytes(gzip.compress(tarred(format=tarfile.PAX_FORMAT, changes=dated)))
    np.testing.assert_array_equal(cifar(path)[2], IMAGES)


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"comment": "x" * 100_000}, "an extended header of 100016 bytes"),
        ({"path": f"{TEN.folder}/é"}, "an extended header with path="),
    ],
)
def test_extended_headers_that_are_large_or_rename(tmp_path: Path, headers: dict[str, str], text: str) -> None:
    path = tmp_path / TEN.archive
    info = tarfile.TarInfo(f"{TEN.folder}/data_batch_1")
    info.pax_headers = headers
    path.write_bytes(gzip.compress(info.tobuf(tarfile.PAX_FORMAT) + tarred(), 1))
    assert text in the_line(lambda: cifar(path), path)
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 300 * MEGABYTE
    path.write_bytes(gzip.compress(info.tobuf() + bytes(3 * MEGABYTE)))
    assert "@PaxHeader is said to have 314572800 bytes" in the_line(lambda: cifar(path), path)


def test_members_without_number_and_twice_the_same(tmp_path: Path) -> None:
    path = tmp_path / TEN.archive
    empty = tarfile.TarInfo("empty").tobuf()
    path.write_bytes(gzip.compress(empty * 200_000 + tarred(), 1))
    assert "more than 1000 members" in the_line(lambda: cifar(path), path)
    path.write_bytes(gzip.compress(tarred()[:-1024].rstrip(b"\0").ljust(6 * 512 * 14, b"\0")[: 512 * 14] + tarred()))
    assert "data_batch_1 is twice in it" in the_line(lambda: cifar(path), path)


@pytest.mark.parametrize("size", [2 * MEGABYTE, 8**11 - 1])
def test_a_batch_that_is_too_large_for_the_config_is_not_read(tmp_path: Path, size: int) -> None:
    path = tmp_path / TEN.archive
    info = tarfile.TarInfo(f"{TEN.folder}/data_batch_1")
    info.size = size
    path.write_bytes(gzip.compress(info.tobuf() + bytes(2 * MEGABYTE)))
    assert f"{size} bytes" in the_line(lambda: cifar(path), path, most=4 * MEGABYTE)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (pickled(batch(TEN, IMAGES, np.arange(2))) + b"x", "goes on after its end"),
        # Room for four billion billion bytes.
        (b"\x80\x05\x96" + b"\xff" * 7 + b"\x3f.", "the instruction 0x96"),
        # The same megabyte, encoded again and again.
        (
            b"c_codecs\nencode\nq\0X"
            + struct.pack("<I", 100_000)
            + b"x" * 100_000
            + b"q\x01"
            + b"0h\0h\x01\x85R" * 1000,
            "the same bytes again and again",
        ),
        (b"c\nsys\n" + b"x" * 10_000 + b"\n.", "asks for"),
        (b"I" + b"9" * 5000 + b"\n.", "not a readable batch"),
        (pickle.dumps([1], 2)[:-1] + b"\x81.", "the instruction 0x81"),
    ],
)
def test_batches_that_are_no_batches(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / TEN.archive
    write_archive(path, {**members(), f"{TEN.folder}/test_batch": content})
    assert text in the_line(lambda: read_cifar((path,), "cifar10", counts=(20, 20)), path)


# idx and npz


def source(folder: Path, train: int = 10) -> Source:
    return Source(format="idx", kind="real", directory=str(folder), train_images=train, test_images=10)


def load(folder: Path) -> ArraySet:
    return load_arrays(source(folder), "tiny", (28, 28, 1), 10)


@pytest.mark.parametrize("declared", [75_000, 2**31])
def test_an_idx_file_that_unpacks_to_gigabytes(tmp_path: Path, declared: int) -> None:
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte.gz").write_bytes(b"")
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(struct.pack(">4B3I", 0, 0, 8, 3, declared, 28, 28))
        for _ in range(60):
            file.write(bytes(MEGABYTE))
    assert f"{declared} images, but dataset.source.train_images is 10" in the_line(lambda: load(tmp_path), path)
    # Without a config, memory is bounded by what is there, not by what is declared.
    path.write_bytes(gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, declared, 28, 28) + bytes(2 * MEGABYTE)))
    assert f"but {2 * MEGABYTE} follow it" in the_line(lambda: read_idx(path, 3), path)


def test_an_idx_file_with_more_than_it_declares(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 5) + bytes(40 * MEGABYTE), 1))
    assert "= 5 bytes, but more than 1048582 follow it" in the_line(lambda: read_idx(path, 1), path)


def npz(path: Path, change: Callable[[dict[str, bytes]], None] = lambda members: None, method: int = 8) -> None:
    whole: dict[str, bytes] = {}
    shapes = ((10, 28, 28), (10,)) * 2
    for key, shape in zip(NPZ_KEYS, shapes, strict=True):
        buffer = io.BytesIO()
        np.save(buffer, np.zeros(shape, np.uint8))
        whole[f"{key}.npy"] = buffer.getvalue()
    change(whole)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in whole.items():
            archive.writestr(name, content)


def head(shape: str, descr: str = "|u1") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (head("(10000000, 28, 28)"), "10000000 images, but dataset.source.train_images is 10"),
        (head("(10, 28, 28)"), "says 7840 bytes, but 0 follow"),
        (head("(10, 28, 28)") + bytes(7841), "says 7840 bytes, but 7841 follow"),
        (head("(10, 28, 28)") + bytes(50 * MEGABYTE), "says 7840 bytes, but 52428800 follow"),
        (head("(10, -28, 28)"), "its shape is (10, -28, 28)"),
        (head("(10, 28, 28)", "<U100000000"), "are not numbers"),
        (head("(10, 28, 28)", "|O"), "Object arrays are not numbers"),
        (head("(" * 900), "says no type and shape"),
        (head("-" * 3000 + "1"), "says no type and shape"),
        (head("(" + "9" * 3000 + ",)"), "x_train: images of"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + bytes(100), "a header of 2147483648 bytes"),
        (b"no array", "not a .npy file of version 1 or 2"),
        (b"", "not a .npy file of version 1 or 2"),
    ],
)
def test_members_of_an_npz(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "mnist.npz"
    npz(path, lambda members: members.update({"x_train.npy": content}))
    assert text in the_line(lambda: load(tmp_path), path)


def test_an_npz_with_two_members_of_one_name_or_packed_by_a_method_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    npz(path, lambda members: members.update({"x_train": b""}))
    assert "two arrays are called x_train" in the_line(lambda: load(tmp_path), path)
    npz(path, method=zipfile.ZIP_LZMA)
    assert "packed by method 14" in the_line(lambda: load(tmp_path), path)


def test_the_crc_of_a_packed_member_is_compared(tmp_path: Path) -> None:
    """Even where the end of what is packed lies beyond the last byte of the array."""
    path = tmp_path / "mnist.npz"
    npz(path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("x_train.npy")
    for place in (content.index(struct.pack("<I", info.CRC)), content.rindex(struct.pack("<I", info.CRC))):
        content[place] ^= 1
    path.write_bytes(content)
    assert "Bad CRC-32" in the_line(lambda: load(tmp_path), path)


# Prepared data


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return write_prepared(tmp_path / "tiny", RANDOM.integers(0, 256, (6, 4, 3, 1), dtype=np.uint8))


def write_prepared(folder: Path, images: np.ndarray) -> Path:
    labels = np.arange(6)
    arrays = ArraySet(images, labels, images[:4], labels[:4], "here", [])
    prepare(folder, "tiny", "real", arrays, job=Job("data", {}))
    return folder


@pytest.mark.parametrize("name", ["train_images", "train_labels", "test_images", "test_labels"])
def test_every_byte_of_a_prepared_array_counts(prepared: Path, name: str) -> None:
    path = prepared / f"{name}.npy"
    good = path.read_bytes()
    for place in [8, 20, 60, *range(128, len(good))]:
        changed = bytearray(good)
        changed[place] ^= 1
        path.write_bytes(changed)
        the_line(lambda: open_dataset(prepared), path)
    path.write_bytes(good + b"\0")
    assert "follow it" in the_line(lambda: open_dataset(prepared), path)
    path.write_bytes(good.replace(b"False", b"True "))
    assert "stored by columns" in the_line(lambda: open_dataset(prepared), path)


def test_arrays_of_another_preparation_are_refused(prepared: Path, tmp_path: Path) -> None:
    write_prepared(tmp_path / "other", np.zeros((6, 4, 3, 1), np.uint8))
    (tmp_path / "other" / "train_images.npy").replace(prepared / "train_images.npy")
    text = the_line(lambda: open_dataset(prepared), prepared / "train_images.npy")
    assert "not those that were prepared" in text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda source: source.update(kind="rael"), "no kind of data"),
        (lambda source: source.update(digest="0" * 64), "do not belong together"),
        (lambda source: source["arrays"].pop("test_labels"), "do not belong together"),
        (lambda source: source.pop("arrays"), "'arrays'"),
        (lambda source: source.update(arrays=3), "source.json"),
    ],
)
def test_the_description_of_prepared_data(prepared: Path, change: Callable[[Any], Any], text: str) -> None:
    path = prepared / "source.json"
    source, _ = load_json(path)
    change(source)
    Job("data", {}).write_json(path, source)
    assert text in the_line(lambda: open_dataset(prepared), path)
    for other in ("3", "[]", "null", '"layout"', '{"layout": "x"}'):
        path.write_text(other)
        the_line(lambda: open_dataset(prepared), path)


def test_headers_that_declare_more_than_there_is_are_not_mapped(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(head("(1000000000000, 28, 28)"))
    with pytest.raises(ValueError, match="but 0 follow it"):
        map_array(path)
    path.write_bytes(head("(0, 28, 28)"))
    assert map_array(path).shape == (0, 28, 28)
    with pytest.raises(ValueError, match="says no type and shape"):
        read_header(io.BytesIO(head("(True, 3)").replace(b"descr", b"desc\n")))


# JSON


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[" * 100_000, "recursion"),
        (b'{"a":' * 100_000, "recursion"),
        (b"9" * 400, "a number of 400 digits"),
        (b"-" + b"9" * 5000, "a number of 5001 digits"),
        (b"1" + b"0" * 18 + b"0", "a number of 20 digits"),
        (b"1e999", "not finite"),
        (b"[NaN]", "NaN is no number"),
        (b"-Infinity", "-Infinity is no number"),
        (b'{"a": 1, "a": 2}', "given twice"),
        (b"\xff{}", "can't decode byte 0xff"),
        (b'{"a": "\x1b[31m"}', "Invalid control character"),
        (b"", "Expecting value"),
        (b"{}\n{}", "Extra data"),
    ],
)
def test_json(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    found = the_line(lambda: read_json(path), path)
    assert text in found
    assert "not a readable JSON file (" in found


def test_json_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    value = {"a": [0.1, 5e-324, 1.7976931348623157e308, -(2**63) + 1], "é\u2028": None, "deep": [[[[{}]]]]}
    write_json(path, value)
    assert read_json(path) == value
    with pytest.raises(UserError, match=r"none\.json: no such file; run the stage that makes it first"):
        read_json(tmp_path / "none.json")


# Photographs


def photograph(path: Path, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path.read_bytes()


def test_the_checksums_of_a_png_are_compared(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    good = photograph(path)
    start = good.index(b"IDAT")
    for place in range(start, len(good) - 12):
        changed = bytearray(good)
        changed[place] ^= 1
        assert decode_rgb(bytes(changed)) == (None, UNREADABLE), place


def test_images_that_run_programs_or_take_all_memory_are_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "image.eps"
    photograph(path)
    assert decode_rgb(path) == (None, UNREADABLE)
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "BMP")
    bomb = bytearray(buffer.getvalue())
    bomb[18:26] = struct.pack("<ii", 40_000, 40_000)
    tracemalloc.start()
    assert decode_rgb(bytes(bomb)) == (None, UNREADABLE)
    assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    tracemalloc.stop()


@pytest.mark.parametrize("error", [MemoryError(), OSError(24, "Too many open files")])
def test_an_error_of_the_machine_skips_no_image(tmp_path: Path, monkeypatch, error: Exception) -> None:
    """It would put another image in its place, and other results into the tables."""
    photograph(tmp_path / "a.png")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(type(error)):
        take(tmp_path, ["a.png"], 1, "here")


def test_a_photograph_that_has_changed_since_it_was_listed_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "parts").mkdir()
    for part in range(2):
        photograph(tmp_path / "raw" / f"{part}.png", part)
        listing = part_file(tmp_path, part, ".tsv")
        job = Job("pass_part", {})
        write_manifest(listing, take(tmp_path / "raw", [f"{part}.png"], 1, "here").manifest, job, part=part)
        job.write_json(part_file(tmp_path, part, ".json"), {"images": 1, "sha256": digest_of(listing)}, part=part)
    decode = {"root": "raw", "size": [8, 8], "mean_bgr": [0.0, 0.0, 0.0]}
    prepare_photographs(tmp_path, "tiny", "real", "here", 1, None, decode, job=Job("photographs", {}))
    assert open_dataset(tmp_path).pixels("test", 0, 1).shape == (1, 8, 8, 3)
    photograph(tmp_path / "raw" / "0.png", 5)
    text = the_line(lambda: open_dataset(tmp_path).pixels("test", 0, 1), Path("raw/0.png"))
    assert "not the photograph that was listed" in text
    listing = part_file(tmp_path, 0, ".tsv")
    listing.write_text(listing.read_text().replace("0.png", "1.png"))
    text = the_line(lambda: open_dataset(tmp_path).pixels("test", 0, 1), listing)
    assert "not those that were prepared" in text
    source = tmp_path / "source.json"
    described, _ = load_json(source)
    monkeypatch.chdir(tmp_path / "parts")
    text = the_line(lambda: open_dataset(tmp_path).pixels("train", 0, 1), tmp_path / "source.json")
    assert "its photographs should be in raw, no such folder" in text
    for key, value in {"root": "r" * 500, "size": [8, 10**9], "mean_bgr": [0, "x", 0]}.items():
        Job("photographs", {}).write_json(source, {**described, "decode": {**decode, key: value}})
        text = the_line(lambda: open_dataset(tmp_path).pixels("train", 0, 1), source)
        assert len(text) < 1500


@pytest.mark.parametrize(
    "line", ["/etc/passwd", "../a.jpg", "a/../../b", "", ".", "a\x1b.jpg", "a.jpg\t-1", "a.jpg\t\uff11"]
)
def test_lines_that_no_manifest_has(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.tsv"
    for text in (f"{line}\n", f"a.jpg\t1\n{line}\n" if "\t" in line else f"a.jpg\n{line}\n"):
        path.write_text(text)
        assert "not a readable manifest" in the_line(lambda: read_manifest(path), path)
    path.write_bytes(b"\xff\n")
    assert "not a readable manifest" in the_line(lambda: read_manifest(path), path)
    path.write_text("a.jpg\nb.jp")
    assert "its last line has no end" in the_line(lambda: read_manifest(path), path)


@pytest.mark.parametrize("label", ["9" * 5000, "\uff11", "-1", "1.0", "\x1b[31m", "x" * 100_000])
def test_labels_of_places365(tmp_path: Path, label: str) -> None:
    (tmp_path / VALIDATION).mkdir()
    (tmp_path / VALIDATION / "Places365_val_00000001.jpg").write_bytes(b"")
    path = tmp_path / LABELS
    path.write_text(f"Places365_val_00000001.jpg {label}\n")
    assert len(the_line(lambda: read_labels(tmp_path, 1, 10), path)) < 500
    path.write_text(f"{label} 1\n")
    the_line(lambda: read_labels(tmp_path, 1, 10), path)
    path.write_bytes(bz2.compress(b"no text"))
    assert "not a readable list of labels" in the_line(lambda: read_labels(tmp_path, 1, 10), path)
