"""Phase 1: fold, scale and measure a trained ReLU network (arXiv:2212.12522).

Reads the prepared data set and weights/original.keras; writes phase1/scaled.keras (float64), phase1/predictions.npz
(the class that the original network predicts for every test image), phase1/channel_maxima.npz (the largest output of
each channel of every hidden layer, one layer after the other, for the mapping with a reference) and phase1/result.json.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.config import Experiment, Paths
from relu2snn.datasets import Dataset, Split, open_data
from relu2snn.errors import UserError
from relu2snn.mapping import Measurement, UnsupportedLayerError, bounded_sums, logits_model, read_keras, relu_model
from relu2snn.networks.written import load_model
from relu2snn.presentation.results import shown
from relu2snn.progress import progress
from relu2snn.stages._device import device, say_device
from relu2snn.stages._job import job

Labels = NDArray[np.int64]


def run(config: Experiment) -> None:
    """Run phase 1 of one experiment."""
    started = time.perf_counter()
    paths = Paths.of(config)
    work = job(config, "phase1")
    say_device(f"phase 1 {config.name}")
    dataset = open_data(work, paths.dataset)
    source = f"{paths.weights}/original.keras"
    original = load_model(work, source, "weights")
    preprocess, settings = config.dataset.preprocess, config.phase1
    try:
        network = bounded_sums(read_keras(original, preprocess.low, preprocess.high), settings.lower, settings.upper)
    except UnsupportedLayerError as error:
        raise UserError(f"{source}: {error}") from None
    shapes = [node.shape for node in network.readouts]
    if len(shapes) != 1 or len(shapes[0]) != 1 or len(network.sources) != 1:
        raise UserError(
            f"{source}: {len(network.sources)} inputs and outputs of shapes {shapes}; in the workflow a network has "
            "one input and one output with a unit for each class (relu2snn.convert takes any)"
        )

    # A network of 138 million weights takes a gigabyte each time it is held in float64.
    scaled = relu_model(network)
    del network
    calibration, test = Measurement(scaled), Measurement(scaled)
    work.write_model(f"{paths.phase1}/scaled.keras", scaled)
    with _images_named(config, "train"):
        for images, _ in _batches(dataset, "train", config, "calibration"):
            calibration.add(images)

    reference = _predictor(original)
    del original
    original_labels, scaled_labels = [], []
    with _images_named(config, "test"):
        for images, _ in _batches(dataset, "test", config, "test"):
            scaled_labels.append(test.add(images).argmax(axis=-1))
            original_labels.append(reference(images))
    before, after = np.concatenate(original_labels), np.concatenate(scaled_labels)
    truth = dataset.labels("test")

    work.write_npz(f"{paths.phase1}/predictions.npz", {"labels": before})
    found = list(calibration.channel_maxima.values())
    channels = {"maxima": np.concatenate([np.zeros(0), *found]), "channels": np.array([each.size for each in found])}
    work.write_npz(f"{paths.phase1}/channel_maxima.npz", channels)
    accuracy, agreement = _share(before, truth), _share(after, before)
    work.write_json(
        f"{paths.phase1}/result.json",
        {
            "experiment": config.name,
            "dataset": config.dataset.name,
            "images": test.images,
            "calibration_images": calibration.images,
            "accuracy_original": accuracy,
            "accuracy_scaled": _share(after, truth),
            "agreement_scaled": agreement,
            "layers": calibration.layers,
            "layer_maxima": list(calibration.maxima.values()),
            "nonzero_fraction": {"calibration": _activity(calibration), "test": _activity(test)},
            "precision": "float64",
            "device": device(),
            "seconds": time.perf_counter() - started,
        },
    )
    known = "" if accuracy is None else f"accuracy {shown(accuracy)}, "
    print(f"{config.name}: {known}scaled network agrees on {shown(agreement)} of {test.images} images")


@contextmanager
def _images_named(config: Experiment, split: Split) -> Iterator[None]:
    """Say which data set an image that is not finite belongs to."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{config.dataset.name}, {split} images: {error}") from None


def _batches(dataset: Dataset, split: Split, config: Experiment, description: str):  # type: ignore[no-untyped-def]
    size = config.phase1.batch
    batches = dataset.batches(split, size, config.dataset.preprocess)
    return progress(batches, -(-dataset.count(split) // size), f"phase 1 {config.name}: {description}")


def _predictor(model: keras.Model):  # type: ignore[no-untyped-def]
    logits = logits_model(model)

    @tf.function(reduce_retracing=True)
    def predict(images: tf.Tensor) -> tf.Tensor:
        return tf.argmax(logits(images, training=False), axis=-1)

    return lambda images: np.asarray(predict(tf.constant(images, tf.float64)).numpy(), np.int64)


def _share(found: Labels, expected: Labels | None) -> float | None:
    """Share of equal labels; None where nothing is known to compare with."""
    return None if expected is None else float(np.mean(found == expected))


def _activity(measurement: Measurement) -> dict[str, float | list[float]]:
    return {"total": measurement.total_nonzero_fraction, "layers": measurement.nonzero_fraction.tolist()}
