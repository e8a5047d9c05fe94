"""The figures of one experiment and the numbers that they show, one after the other, so that few are in memory."""

import gc
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn import figures
from relu2snn.config import Experiment, Paths
from relu2snn.datasets import Dataset, open_data
from relu2snn.errors import UserError
from relu2snn.made import Job
from relu2snn.mapping import values_model
from relu2snn.networks.written import load_scaled, load_spiking
from relu2snn.progress import progress
from relu2snn.spiking import (
    Comparison,
    SpikeHistogram,
    SpikeRecorder,
    SpikingModel,
    leads_of,
    membrane_potentials,
    neurons_of,
    output_potentials,
    raster,
)
from relu2snn.spiking.decide import is_early

Drawing = tuple[str, figures.Figure, dict[str, Any]]


def draw(config: Experiment, work: Job) -> Iterator[Drawing]:
    """The name of every figure, the figure, and the numbers that it shows by name.

    Raises UserError when a file is missing or contradicts what the job knows, or when figures.layer or
    figures.image names one that is not there.
    """
    paths = Paths.of(config)
    folder = paths.phase2
    phase1 = work.read_json(f"{paths.phase1}/result.json", "phase1")
    phase2 = work.read_json(f"{folder}/result.json", "gather")
    yield _layer_maxima(phase1["calibration_images"], phase2)
    dataset = open_data(work, paths.dataset)
    original = work.read_npz(f"{paths.phase1}/predictions.npz", "phase1")["labels"]
    yield _disagreement(config, dataset, original, work.read_npz(f"{folder}/predictions.npz", "gather")["labels"])
    spiking = load_spiking(work, f"{folder}/spiking.keras")
    yield _certified(phase2, spiking)
    yield _operations(phase2, f"{folder}/result.json")

    scaled = load_scaled(work, paths.scaled)
    values = values_model(scaled)
    layer = _layer(config, phase2)
    # Keras models are full of reference cycles: without this they hold copies of large weights on.
    gc.collect()
    histogram, comparison, image = _pass(config, dataset, spiking, values, layer)
    yield "spike_times", figures.plot_spike_times(histogram), asdict(histogram)
    decoding = comparison.result()
    yield "exactness", figures.plot_exactness(decoding), asdict(decoding)

    pixels, label, view = _image(config, dataset, image)
    relu = {name: np.asarray(value[0]) for name, value in values(pixels[None], training=False).items()}
    del values, scaled
    gc.collect()
    title = f"test image {image}" + ("" if label is None else f", class {label}")
    shown = {"image": image, "title": title, **({} if label is None else {"label": label})}
    leads, seed = leads_of(spiking, pixels), config.figures.seed
    gc.collect()
    spikes = raster(spiking, pixels, neurons=config.figures.neurons, seed=seed, values=relu, leads=leads)
    seen = {"picture": view} if figures.is_picture(view.shape) else {}
    yield "raster", figures.plot_raster(spikes, title, **seen), {**shown, **seen, **asdict(spikes)}
    traces = membrane_potentials(spiking, pixels, layer=layer, neurons=config.figures.traces, seed=seed, leads=leads)
    numbers = {f"{number}.{key}": value for number, each in enumerate(traces) for key, value in asdict(each).items()}
    yield "potentials", figures.plot_potentials(traces, title), {**shown, **numbers}
    output = output_potentials(spiking, pixels, leads=leads).highest(figures.CLASSES, label)
    yield "output_potentials", figures.plot_output_potentials(output, label, title), {**shown, **asdict(output)}


def _layer_maxima(images: int, phase2: dict[str, Any]) -> Drawing:
    numbers = {
        "layers": phase2["layers"],
        "maxima": phase2["layer_maxima"],
        "windows": phase2["windows"],
        "images": images,
    }
    return "layer_maxima", figures.plot_layer_maxima(**numbers), numbers


def _certified(phase2: dict[str, Any], spiking: SpikingModel) -> Drawing:
    images = phase2["images"]
    numbers = {
        "layers": phase2["layers"],
        "simulated": phase2["simulated"]["layers"],
        "early": phase2["early_spikes"]["layers"],
        "pairs": [images * neurons for neurons in neurons_of(spiking).values()],
        "images": images,
    }
    return "certified", figures.plot_certified(**numbers), numbers


def _operations(phase2: dict[str, Any], file: str) -> Drawing:
    if "costs" not in phase2:
        raise UserError(f"{file}: made before costs were counted; delete it and its parts, and run the workflow again")
    costs = phase2["costs"]
    columns = {key: costs[key]["layers"] for key in ("operations", "forced", "reference", "start")}
    numbers = {
        "segments": costs["segments"],
        "operations": columns["operations"],
        "forced": columns["forced"],
        "clocks": [sum(pair) for pair in zip(columns["reference"], columns["start"], strict=True)],
        "dense": costs["dense_macs"]["layers"],
        "effective": costs["effective_macs"]["layers"],
        "images": phase2["images"],
    }
    return "operations", figures.plot_operations(**numbers), numbers


def _disagreement(
    config: Experiment, dataset: Dataset, original: NDArray[np.int64], spiking: NDArray[np.int64]
) -> Drawing:
    numbers: dict[str, Any] = {"original": original, "spiking": spiking}
    where = figures.disagreeing(**numbers)
    pixels = [dataset.pixels("test", image, image + 1)[0] for image in where.tolist()]
    if all(figures.is_picture(each.shape) for each in pixels):
        numbers["pictures"] = np.array([picture(each, config.dataset.source.mean_bgr) for each in pixels])
    return "disagreement", figures.plot_disagreement(**numbers), numbers


def picture(pixels: NDArray[Any], mean_bgr: Sequence[float]) -> NDArray[Any]:
    """An image (h, w, c) of a prepared data set as people look at it, grey or RGB: photographs lack their mean."""
    if not mean_bgr:
        return pixels
    bgr: NDArray[np.uint8] = np.clip(np.rint(pixels + np.array(mean_bgr)), 0, 255).astype(np.uint8)
    return bgr[..., ::-1]


def _layer(config: Experiment, phase2: dict[str, Any]) -> str:
    layers: list[str] = phase2["layers"]
    chosen = config.figures.layer
    if chosen is None:
        early = phase2["early_spikes"]["layers"]
        # Where none is early, potentials bend most often in the last.
        return layers[int(np.argmax(early)) if any(early) else -1]
    if chosen > len(layers):
        raise UserError(f"figures.layer={chosen}: {config.name} has hidden layers 1 to {len(layers)}")
    return layers[chosen - 1]


def _pass(
    config: Experiment, dataset: Dataset, spiking: SpikingModel, values: keras.Model, layer: str
) -> tuple[SpikeHistogram, Comparison, int]:
    """Run both networks over the images: spike times of `layer`, decoded values, and the image to show."""
    settings = config.figures
    images = min(settings.images or dataset.count("test"), dataset.count("test"))
    node, _ = spiking.network.population(layer)
    histogram = SpikeHistogram.empty(spiking, layer)
    comparison = Comparison(neurons_of(spiking), images, seed=settings.seed)
    recorder = SpikeRecorder(spiking)
    batches = dataset.batches("test", settings.batch, config.dataset.preprocess, 0, images)
    chosen, first = settings.image, 0
    for pixels, _ in progress(batches, -(-images // settings.batch), f"figures {config.name}"):
        leads = recorder.leads(pixels)
        histogram.add(leads[layer])
        relu = values(pixels, training=False)
        comparison.add({name: np.asarray(value) for name, value in relu.items()}, leads)
        if chosen is None:
            early = is_early(leads[layer], node.before, node.window)
            found = np.flatnonzero(early.reshape(len(pixels), -1).any(axis=1))
            chosen = first + int(found[0]) if found.size else None
        first += len(pixels)
    return histogram, comparison, chosen or 0


def _image(config: Experiment, dataset: Dataset, image: int) -> tuple[NDArray[np.float64], int | None, NDArray[Any]]:
    """A test image as the networks take it, its class, if it is known, and as people look at it."""
    count = dataset.count("test")
    if image >= count:
        raise UserError(f"figures.image={image}: {config.name} has test images 0 to {count - 1}")
    pixels, labels = next(dataset.batches("test", 1, config.dataset.preprocess, image, image + 1))
    seen = picture(dataset.pixels("test", image, image + 1)[0], config.dataset.source.mean_bgr)
    return pixels[0], None if labels is None else int(labels[0]), seen
