"""Preprocesses one part of Places365 as Caffe does: train.tsv or test.tsv to parts/<part>.npy, float32."""

from pathlib import Path

from relu2snn.config import Experiment, Paths
from relu2snn.config.places import engine_of
from relu2snn.config.schema import known
from relu2snn.containers import run_script
from relu2snn.datasets import part_range
from relu2snn.datasets.manifest import Manifest, read_manifest, write_manifest
from relu2snn.datasets.photographs import part_file
from relu2snn.files import digest_of, temporary_folder
from relu2snn.stages._job import job


def run(config: Experiment, part: int | None) -> None:
    """Write parts/<part>.npy and .json; part dataset.parts is the training sample, no part is all of them."""
    for each in range(config.dataset.parts + 1) if part is None else [part]:
        preprocess(config, each)


def preprocess(config: Experiment, part: int) -> None:
    """Write one part's images, and how many they are."""
    dataset = config.dataset
    folder = Path(Paths.of(config).dataset)
    made = job(config, "places365_part")
    if part == dataset.parts:
        chosen = read_manifest(folder / "train.tsv", made, "places365_sample").paths
    else:
        listed = read_manifest(folder / "test.tsv", made, "places365_labels").paths
        start, stop = part_range(len(listed), part, dataset.parts, dataset.part_images)
        chosen = listed[start:stop]
    target = part_file(folder, part, ".npy")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_suffix(".json").unlink(missing_ok=True)
    root = Path(known(dataset.source.directory))
    height, width, _ = known(dataset.image_shape)
    # The container may write into this folder and nowhere else.
    with temporary_folder(target) as work:
        write_manifest(work / "list.tsv", Manifest(chosen))
        arguments = ["images", f"--root={root}", f"--list={work / 'list.tsv'}", f"--output={work / 'images.npy'}"]
        numbers = ["--size", str(height), str(width), "--mean", *map(str, dataset.source.mean_bgr)]
        run_script(
            engine_of(Paths.of(config).dataset), [*arguments, *numbers], [root], work, images=Paths.of(config).images
        )
        digest = digest_of(work / "images.npy")
        (work / "images.npy").replace(target)
    found = {"images": len(chosen), "sha256": digest}
    made.write_json(target.with_suffix(".json"), found, part=part)
