"""The largest bound of every layer, for windows that certify: phase1/scaled.keras and images to phase1/bounds.json."""

from relu2snn.config import Experiment, Paths
from relu2snn.datasets import open_data
from relu2snn.errors import UserError
from relu2snn.mapping import measure_bounds
from relu2snn.networks.written import load_scaled
from relu2snn.progress import progress
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Measure the bounds of one experiment's network on its calibration images."""
    paths = Paths.of(config)
    work = job(config, "bounds")
    dataset = open_data(work, paths.dataset)
    scaled = load_scaled(work, f"{paths.phase1}/scaled.keras")
    size = config.phase1.batch
    batches = progress(
        dataset.batches("train", size, config.dataset.preprocess),
        -(-dataset.count("train") // size),
        f"bounds {config.name}",
    )
    try:
        bounds = measure_bounds(scaled, (images for images, _ in batches))
    except ValueError as error:
        raise UserError(f"{config.dataset.name}, train images: {error}") from None
    work.write_json(
        f"{paths.phase1}/bounds.json",
        {"layers": list(bounds), "layer_bounds": list(bounds.values())},
    )
