"""The readers of data sets and results."""

import gzip
import io
import json
import os
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fuzz.reader import Reader, digest
from relu2snn.config.schema import Preprocess, Source
from relu2snn.datasets import load_arrays, open_dataset, prepare, prepare_photographs
from relu2snn.datasets.arrays import ArraySet
from relu2snn.datasets.cifar import LAYOUTS
from relu2snn.datasets.images import decode_rgb
from relu2snn.datasets.locate import IDX_NAMES, NPZ_KEYS
from relu2snn.datasets.manifest import Manifest, read_manifest, write_manifest
from relu2snn.datasets.own import Wanted, load_own
from relu2snn.datasets.pass_images import take
from relu2snn.datasets.photographs import digest_of, part_file
from relu2snn.datasets.places365 import LABELS, VALIDATION, read_labels
from relu2snn.datasets.synthetic import batch, pickled, write_cifar
from relu2snn.errors import UserError
from relu2snn.files import read_json, write_json
from relu2snn.formats.idx import encode_idx
from relu2snn.made import Job
from relu2snn.made.keras_file import members_digest, stamped

_TRAIN, _TEST = 6, 4
VALUES = {"dataset.name": "tiny", "phase2.zeta": 0.5}


def _images(shape: tuple[int, ...]) -> list[np.ndarray]:
    random = np.random.RandomState(0)
    counts = (_TRAIN, _TEST)
    pairs = [(random.randint(0, 256, (n, *shape)).astype(np.uint8), random.randint(0, 9, n)) for n in counts]
    return [*pairs[0], *pairs[1]]


def _make_idx(folder: Path, packed: bool) -> None:
    for name, array in zip(IDX_NAMES, _images((5, 4)), strict=True):
        content = encode_idx(array.astype(np.uint8))
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / name).write_bytes(content)


def _make_npz(folder: Path, packed: bool) -> None:
    save = np.savez_compressed if packed else np.savez
    save(folder / "tiny.npz", **dict(zip(NPZ_KEYS, _images((5, 4)), strict=True)))


def _make_archive(folder: Path, format: str) -> None:
    write_cifar(folder / LAYOUTS[format].archive, LAYOUTS[format], *_images((32, 32, 3)))


def _make_batches(folder: Path, format: str) -> None:
    layout = LAYOUTS[format]
    train_images, train_labels, test_images, test_labels = _images((32, 32, 3))
    (folder / layout.folder).mkdir()
    parts = len(layout.train)
    images = [*np.array_split(train_images, parts), test_images]
    labels = [*np.array_split(train_labels, parts), test_labels]
    for name, *pair in zip(layout.batches, images, labels, strict=True):
        (folder / layout.folder / name).write_bytes(pickled(batch(layout, *pair)))


def _load(folder: Path, format: str, shape: tuple[int, int, int]) -> str:
    source = Source(format=format, kind="real", directory=str(folder), train_images=_TRAIN, test_images=_TEST)
    arrays = load_arrays(source, "tiny", shape, 100 if format == "cifar100" else 10)
    return digest(arrays.train_images, arrays.train_labels, arrays.test_images, arrays.test_labels)


_load_idx = partial(_load, format="idx", shape=(5, 4, 1))


def _read_own(folder: Path) -> str:
    arrays = load_own(folder / "tiny.npz", Wanted((5, 4, 1), 10, "the network"), Preprocess(0.0, 255.0, 0.0, 1.0))
    return digest(arrays.train_images, arrays.train_labels, arrays.test_images, arrays.test_labels)


def _make_prepared(folder: Path) -> None:
    train_images, train_labels, test_images, test_labels = _images((5, 4, 1))
    arrays = ArraySet(
        train_images, train_labels.astype(np.int64), test_images, test_labels.astype(np.int64), "here", []
    )
    prepare(folder, "tiny", "sample", arrays, job=Job("data", VALUES))


def _make_parts(folder: Path) -> None:
    """Parts as those of Places365: two of test images with labels, one of training images."""
    images = np.random.RandomState(0).normal(size=(3, 2, 4, 4, 3)).astype(np.float32)
    (folder / "parts").mkdir()
    for part, array in enumerate(images):
        np.save(part_file(folder, part, ".npy"), array)
        sha256 = digest_of(part_file(folder, part, ".npy"))
        found = {"images": len(array), "sha256": sha256}
        Job("places365_part", VALUES).write_json(part_file(folder, part, ".json"), found, part=part)
    job = Job("photographs", VALUES)
    prepare_photographs(folder, "tiny", "synthetic", "here", 2, [3, 1, 4, 1], None, job=job)


def _make_photographs(folder: Path) -> None:
    """Parts as those of PASS: manifests, and photographs in a folder beside them."""
    (folder / "parts").mkdir()
    (folder / "raw").mkdir()
    random = np.random.RandomState(0)
    for part in range(2):
        names = []
        for number, suffix in enumerate((".jpg", ".png")):
            name = f"{part}{number}{suffix}"
            Image.fromarray(random.randint(0, 256, (12, 10, 3)).astype(np.uint8)).save(folder / "raw" / name)
            names.append(name)
        taken = take(folder / "raw", names, 2, "here")
        job = Job("pass_part", VALUES)
        write_manifest(part_file(folder, part, ".tsv"), taken.manifest, job, part=part)
        sha256 = digest_of(part_file(folder, part, ".tsv"))
        job.write_json(part_file(folder, part, ".json"), {"images": 2, "sha256": sha256}, part=part)
    # Relative, as in the configs: what is read are the files of the folder that is read.
    decode = {"root": "raw", "size": [8, 8], "mean_bgr": [1.0, 2.0, 3.0]}
    job = Job("photographs", VALUES)
    prepare_photographs(folder, "tiny", "synthetic", "here", 1, None, decode, job=job)


def _read_prepared(folder: Path) -> str:
    os.chdir(folder)
    data = open_dataset(folder)
    values = []
    for split in ("train", "test"):
        batches = data.batches(split, 3, Preprocess(mean=0.0, std=1.0, low=-1e9, high=1e9))
        values += [data.count(split), *(each for pair in batches for each in pair)]
    return digest(*values)


def _make_manifest(folder: Path, labels: bool) -> None:
    paths = [f"train/a/{number}.jpg" for number in range(20)]
    write_manifest(folder / "list.tsv", Manifest(paths, list(range(20)) if labels else None))


def _read_manifest(folder: Path) -> str:
    manifest = read_manifest(folder / "list.tsv")
    return digest(manifest.paths, manifest.labels, manifest.digests)


def _make_labels(folder: Path) -> None:
    names = [f"Places365_val_{number:08d}.jpg" for number in range(1, 9)]
    (folder / VALIDATION).mkdir()
    for name in names:
        (folder / VALIDATION / name).write_bytes(b"")
    (folder / LABELS).write_text("".join(f"{name} {number}\n" for number, name in enumerate(names)))


def _read_labels(folder: Path) -> str:
    manifest = read_labels(folder, 8, 8)
    return digest(manifest.paths, manifest.labels)


def _make_image(folder: Path, suffix: str) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (20, 30, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, {".jpg": "JPEG", ".png": "PNG"}[suffix])
    (folder / f"image{suffix}").write_bytes(buffer.getvalue())


def _read_image(folder: Path, suffix: str) -> str:
    path = folder / f"image{suffix}"
    pixels, reason = decode_rgb(path)
    if pixels is None:
        # As `photographs` says it.
        raise UserError(f"{path}: {reason}")
    return digest(pixels)


def _make_json(folder: Path) -> None:
    write_json(folder / "result.json", {"images": 10, "layers": ["a", "b"], "maxima": [0.1, 2.5e-7], "accuracy": None})


def _read_json(folder: Path) -> str:
    return digest(read_json(folder / "result.json"))


def _make_results(folder: Path) -> None:
    """A file of every kind that carries a stamp; what is saved by Keras stands for itself here."""
    job = Job("phase1", VALUES)
    job.write_json(folder / "result.json", {"images": 10, "maxima": [0.1, 2.5e-7], "accuracy": None, "seconds": 0.5})
    job.write_npz(folder / "predictions.npz", {"labels": np.arange(10)})
    job.write_text(folder / "order.tsv", "a\nb\n", part=1)
    (folder / "model").mkdir()
    for name, content in (("config.json", '{"a": 1}'), ("model.weights.h5", "weights")):
        (folder / "model" / name).write_text(content)
    stamp = job.stamp(members_digest(folder / "model"), {})
    with zipfile.ZipFile(folder / "scaled.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps(stamped({}, stamp)))
        for name in ("config.json", "model.weights.h5"):
            archive.write(folder / "model" / name, name)


def _read_result(folder: Path, name: str) -> str:
    path, job = folder / name, Job("phase2", VALUES)
    if path.suffix == ".json":
        found: Any = job.read_json(path, "phase1")
    elif path.suffix == ".npz":
        found = job.read_npz(path, "phase1")["labels"]
    elif path.suffix == ".tsv":
        found = job.read_text(path, "phase1", of={"part": 1})
    else:
        job.read_model(path, "phase1")
        with zipfile.ZipFile(path) as archive:
            found = [archive.read(each).decode() for each in ("config.json", "model.weights.h5")]
    return digest(found, job.values, job.inputs)


READERS = [
    Reader("idx", partial(_make_idx, packed=False), _load_idx),
    Reader("idx_gz", partial(_make_idx, packed=True), _load_idx, checksum=True),
    Reader("npz", partial(_make_npz, packed=True), _load_idx, checksum=True),
    Reader("npz_stored", partial(_make_npz, packed=False), _load_idx, checksum=True),
    # No checksum covers the list of members, and labels may be missing.
    Reader("own_npz", partial(_make_npz, packed=False), _read_own),
    *(
        Reader(f"{format}_tar", partial(_make_archive, format=format), read, checksum=True)
        for format in LAYOUTS
        for read in [partial(_load, format=format, shape=(32, 32, 3))]
    ),
    *(
        Reader(f"{format}_batch", partial(_make_batches, format=format), read)
        for format in LAYOUTS
        for read in [partial(_load, format=format, shape=(32, 32, 3))]
    ),
    Reader("prepared", _make_prepared, _read_prepared, checksum=True),
    Reader("parts", _make_parts, _read_prepared, changed=("parts/*.npy", "test_labels.npy"), checksum=True),
    Reader("photographs", _make_photographs, _read_prepared, changed=("parts/*.tsv", "raw/*"), checksum=True),
    Reader("described", _make_photographs, _read_prepared, changed=("source.json",), checksum=True),
    Reader("manifest", partial(_make_manifest, labels=True), _read_manifest),
    Reader("order", partial(_make_manifest, labels=False), _read_manifest),
    Reader("labels", _make_labels, _read_labels, changed=(LABELS,)),
    Reader("jpg", partial(_make_image, suffix=".jpg"), partial(_read_image, suffix=".jpg")),
    Reader("png", partial(_make_image, suffix=".png"), partial(_read_image, suffix=".png"), checksum=True),
    Reader("json", _make_json, _read_json),
    *(
        Reader(f"stamped_{name}", _make_results, partial(_read_result, name=name), changed=(name,), checksum=True)
        for name in ("result.json", "predictions.npz", "order.tsv", "scaled.keras")
    ),
]
