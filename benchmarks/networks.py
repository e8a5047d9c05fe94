"""The networks of the benchmark, with real images and, where that is cheap, trained weights."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.utils import set_random_seed
from sklearn.datasets import load_sample_images

from relu2snn.config import compose_experiment, compose_suite
from relu2snn.datasets import read_idx
from relu2snn.mapping import measure, read, scale, to_keras, to_spiking
from relu2snn.networks.build import build

ROOT = Path(__file__).resolve().parents[1]
SEED, ZETA = 0, 0.5

# name: (experiment, width, training steps of 64 images, batch of the measurement, side of the images)
NETWORKS: dict[str, tuple[str, float, int, int, int]] = {
    "FC": ("fmnist_fc", 1.0, 800, 64, 28),
    "LeNet5": ("fmnist_lenet", 1.0, 800, 64, 28),
    "VGG 16, width 1/8": ("fmnist_vgg", 0.125, 800, 64, 28),
    "VGG 16, width 1/4": ("fmnist_vgg", 0.25, 800, 64, 28),
    "VGG 16, width 1/2": ("fmnist_vgg", 0.5, 300, 64, 28),
    "VGG 16, width 1": ("fmnist_vgg", 1.0, 60, 64, 28),
    "VGG16 at 64 x 64": ("places365_vgg", 0.25, 0, 8, 64),
    "VGG16 at 128 x 128": ("places365_vgg", 0.25, 0, 8, 128),
    "VGG16 at 224 x 224, width 1/4": ("places365_vgg", 0.25, 0, 8, 224),
    "VGG16 at 224 x 224": ("places365_vgg", 1.0, 0, 8, 224),
}


def weights_of(name: str) -> str:
    """Where the weights of a network come from, for the table."""
    steps = NETWORKS[name][2]
    return f"{steps} steps on the sample" if steps else "random"


def prepare(name: str, folder: Path) -> None:
    """Write scaled.keras, spiking.keras and images.npy of one network into `folder`."""
    experiment, width, steps, batch, side = NETWORKS[name]
    config = compose_experiment(experiment, compose_suite("paper"), [f"model.width={width}"])
    set_random_seed(SEED)
    if steps:
        images, labels = _sample("train")
        model = build(config.model, images.shape[1:], 10)
        model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
        order = np.random.default_rng(SEED).integers(len(images), size=steps * 64)
        model.fit(images[order], labels[order], batch_size=64, verbose=0)
        calibration, test = images[:512], _sample("t10k")[0][:256]
    else:
        model = build(config.model, (side, side, 3), 365)
        # He's initialisation keeps the activity of a ReLU network alive through its layers; Glorot's does not.
        draw = np.random.default_rng(SEED)
        for layer in model.layers:
            if layer.get_weights():
                kernel, bias = layer.get_weights()
                deviation = np.sqrt(2 / np.prod(kernel.shape[:-1]))
                layer.set_weights([draw.normal(0, deviation, kernel.shape), bias])
        calibration = test = _photographs(batch, side)
    network = scale(read(model))
    parts = [calibration[start : start + batch] for start in range(0, len(calibration), batch)]
    maxima = measure(network, parts).layer_maxima.tolist()
    to_keras(network).save(folder / "scaled.keras")
    to_spiking(network, maxima, ZETA).save(folder / "spiking.keras")
    np.save(folder / "images.npy", test)


def _sample(split: str) -> tuple[Any, Any]:
    folder = ROOT / "data" / "sample" / "fmnist"
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz", 3)[..., None] / 255.0
    return images, read_idx(folder / f"{split}-labels-idx1-ubyte.gz", 1)


def _photographs(count: int, side: int) -> Any:
    """Cuts of the two photographs that scikit-learn ships (CC BY 2.0), with values in [0, 1]."""
    draw = np.random.default_rng(SEED)
    photographs = load_sample_images().images
    cuts = []
    for k in range(count):
        photograph = photographs[k % len(photographs)]
        top, left = (int(draw.integers(length - side)) for length in photograph.shape[:2])
        cuts.append(photograph[top : top + side, left : left + side] / 255.0)
    return np.array(cuts)
