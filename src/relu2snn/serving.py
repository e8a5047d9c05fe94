"""Networks that the workflow has made, from pixels to classes: what MLflow loads and serves (`python_function`)."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.errors import reading
from relu2snn.mapping import relu_network
from relu2snn.saved.keras_files import load_model
from relu2snn.spiking import SpikingModel, SpikingRun, network_of


class Classifier:
    """A scaled ReLU network, or a spiking one, with the preprocessing of its data set."""

    def __init__(self, model: keras.Model, mean: float, std: float, batch: int) -> None:
        self._model, self._mean, self._std, self._batch = model, mean, std, batch
        self._run = SpikingRun(model) if isinstance(model, SpikingModel) else None
        self._plain = tf.function(lambda images: model(images, training=False), reduce_retracing=True)
        # A server answers several requests at once, and a run counts its spikes.
        self._lock = threading.Lock()

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> dict[str, NDArray[Any]]:
        """The classes of images: {"label": int64 (n,), "logits": float64 (n, classes)}.

        `model_input` (n, h, w, c) are pixels as the data set has them, before (pixel - mean) / std. They are run in
        batches as in phase 2, whose labels these are; only a network with noise draws anew.
        """
        pixels = np.asarray(model_input)
        with self._lock:
            logits = [self._logits(pixels[k : k + self._batch]) for k in range(0, len(pixels), self._batch)]
        found = np.concatenate(logits) if logits else np.zeros((0, self._model.output_shape[-1]))
        return {"label": found.argmax(axis=-1).astype(np.int64), "logits": found.astype(np.float64)}

    def get_raw_model(self) -> keras.Model:
        """The Keras model, which takes preprocessed images."""
        return self._model

    def _logits(self, pixels: NDArray[Any]) -> NDArray[Any]:
        images = (pixels.astype(np.float64) - self._mean) / self._std
        if self._run is not None:
            return np.asarray(self._run.logits(images))
        return np.asarray(self._plain(tf.constant(images, self._model.inputs[0].dtype)).numpy())


def _load_pyfunc(path: str, model_config: Mapping[str, Any]) -> Classifier:
    """MLflow's entry point: the classifier of a `.keras` file and its settings mean, std and batch."""
    file = Path(path)
    if file.is_dir():
        (file,) = file.glob("*.keras")
    way_out = "log the model again"
    model = load_model(file, way_out)
    with reading(file, "network", way_out):
        network_of(model) if isinstance(model, SpikingModel) else relu_network(model)
    return Classifier(model, model_config["mean"], model_config["std"], int(model_config["batch"]))
