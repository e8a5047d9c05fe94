"""Draws docs/raster.png, the picture of the first page: one image of Fashion-MNIST in LeNet5.

    python scripts/make_picture.py

The network is trained for a few epochs on the sample that ships, and mapped as `convert` does it by default.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers

import relu2snn
from relu2snn import figures
from relu2snn.datasets import read_idx
from relu2snn.spiking import raster

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample" / "fmnist"
EPOCHS = 5


def images(split: str, count: int) -> np.ndarray:
    """The first images of the sample, (count, 28, 28, 1) in [0, 1]."""
    return read_idx(SAMPLE / f"{split}-images-idx3-ubyte.gz", 3)[:count, ..., None] / 255.0


def main() -> None:
    """Train, convert, verify, draw."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Conv2D(6, 5, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, activation="relu", name="conv2"),
            layers.MaxPooling2D(),
            layers.Conv2D(120, 5, activation="relu", name="conv3"),
            layers.Flatten(),
            layers.Dense(84, activation="relu", name="dense"),
            layers.Dense(10, name="logits"),
        ]
    )
    pixels, labels = images("train", 5000), read_idx(SAMPLE / "train-labels-idx1-ubyte.gz", 1)[:5000]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.001), loss)
    model.fit(pixels, labels, epochs=EPOCHS, batch_size=64, verbose=0)
    spiking = relu2snn.convert(model, pixels)
    print(relu2snn.verify(model, spiking, images("t10k", 1000)))
    figure = figures.plot_raster(raster(spiking, images("t10k", 1)[0], neurons=84))
    figure.savefig(ROOT / "docs" / "raster.png", dpi=160)


if __name__ == "__main__":
    main()
