"""Lists the readable RGB images of one part of PASS: order.tsv to parts/<part>.tsv, with what was skipped."""

from pathlib import Path

from relu2snn.config import Experiment, Paths
from relu2snn.config.schema import known
from relu2snn.datasets import part_range
from relu2snn.datasets.manifest import read_manifest, write_manifest
from relu2snn.datasets.pass_images import take
from relu2snn.datasets.photographs import part_file
from relu2snn.files import digest_of
from relu2snn.progress import progress
from relu2snn.stages._job import job


def run(config: Experiment, part: int | None) -> None:
    """Write parts/<part>.tsv and .json; part dataset.parts are the calibration images, no part is all of them."""
    for each in range(config.dataset.parts + 1) if part is None else [part]:
        choose(config, each)


def choose(config: Experiment, part: int) -> None:
    """List one part: its test images come from the positions [part, part + 1) * part_stride of the order."""
    dataset, source = config.dataset, config.dataset.source
    assert source.part_stride is not None
    folder = Path(Paths.of(config).dataset)
    work = job(config, "pass_part")
    order = read_manifest(folder / "order.tsv", work, "pass_order").paths
    calibration = part == dataset.parts
    start = part * source.part_stride
    stop = len(order) if calibration else min(start + source.part_stride, len(order))
    count = known(source.train_images)
    if not calibration:
        first, last = part_range(known(source.test_images), part, dataset.parts, dataset.part_images)
        count = last - first
    title = f"{dataset.name}, {'calibration images' if calibration else f'part {part}'}"
    candidates = progress(order[start:stop], max(0, stop - start), title, "image")
    taken = take(
        known(source.directory), candidates, count, f"{title}: positions {start} to {stop - 1} of {folder}/order.tsv"
    )
    target = part_file(folder, part, ".tsv")
    write_manifest(target, taken.manifest, work, part=part)
    skipped = {"unreadable": taken.unreadable, "not_rgb": taken.not_rgb}
    found = {"images": count, "skipped": skipped, "sha256": digest_of(target)}
    work.write_json(target.with_suffix(".json"), found, part=part)
    print(
        f"{title}: {count} images from position {start} on, "
        f"skipped {taken.unreadable} unreadable, {taken.not_rgb} not RGB"
    )
