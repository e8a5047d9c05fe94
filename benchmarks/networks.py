"""The networks of the benchmark, with real images and, where that is cheap, trained weights."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.utils import set_random_seed
from sklearn.datasets import load_sample_images

from relu2snn.config import compose_experiment, compose_suite
from relu2snn.datasets import read_idx
from relu2snn.mapping import bounded_sums, measure, read_keras, relu_model, to_spiking, unit_maxima
from relu2snn.networks.build import build
from relu2snn.spiking import spiking_model

ROOT = Path(__file__).resolve().parents[1]
SEED, ZETA = 0, 0.5


@dataclass(frozen=True)
class Benchmark:
    """A network of the benchmark: experiment and width; steps of 64 images it is trained for, 0 for weights of another
    origin; the batch of the measurement; the side of the images, photographs unless it is trained on Fashion-MNIST."""

    experiment: str
    width: float = 1.0
    steps: int = 0
    batch: int = 64
    side: int = 28


NETWORKS = {
    "FC": Benchmark("fmnist_fc", steps=800),
    "LeNet5": Benchmark("fmnist_lenet", steps=800),
    "VGG 16, width 1/8": Benchmark("fmnist_vgg", 0.125, steps=800),
    "VGG 16, width 1/4": Benchmark("fmnist_vgg", 0.25, steps=800),
    "VGG 16, width 1/2": Benchmark("fmnist_vgg", 0.5, steps=400),
    "VGG 16, width 1": Benchmark("fmnist_vgg", 1.0, steps=60),
    "VGG16 at 64 x 64, random": Benchmark("places365_vgg", 0.25, batch=8, side=64),
    "VGG16 at 128 x 128, random": Benchmark("places365_vgg", 0.25, batch=8, side=128),
    "VGG16 at 224 x 224, random, width 1/4": Benchmark("places365_vgg", 0.25, batch=8, side=224),
    "VGG16 at 224 x 224, random": Benchmark("places365_vgg", batch=8, side=224),
    "VGG16 at 224 x 224": Benchmark("places365_vgg", batch=8, side=224),
}
"""The last has the kernels and normalisations of the trained VGG 16, whose convolutions have the same shapes."""


def trained() -> Path | None:
    """fmnist_vgg of full width as the workflow has trained it, where it has; of several variants the first."""
    folders = [ROOT / "outputs" / suite / "fmnist_vgg" / "weights" for suite in ("paper", "graphs")]
    found = [path for folder in folders for path in sorted(folder.glob("*/original.keras"))]
    return next((path for path in found if "width" not in path.parent.name), None)


def weights_of(name: str) -> str:
    """Where the weights of a network come from, for the table."""
    benchmark = NETWORKS[name]
    file = trained()
    known = f"fmnist_vgg as trained by the workflow, {_epochs(file)}"
    if name == "VGG 16, width 1" and file:
        return known
    if benchmark.steps:
        return f"{benchmark.steps} steps"
    return "random (He)" if "random" in name else f"convolutions of {known}; dense random (He)"


def _epochs(file: Path | None) -> str:
    history = file.parents[2] / "train" / file.parent.name / "history.json" if file else None
    count = len(json.loads(history.read_text())["epochs"]) if history and history.exists() else "?"
    return f"epochs: {count}"


def prepare(name: str, folder: Path) -> None:
    """Write scaled.keras, images.npy and, by mapping, published.keras, reference.keras of one network into `folder`.

    reference32.keras is the last in float32.
    """
    benchmark = NETWORKS[name]
    norm = "none" if "random" in name else "after_relu"
    overrides = [f"model.width={benchmark.width}"]
    if benchmark.side > 28:
        overrides.append(f"model.batch_norm={norm}")
    config = compose_experiment(benchmark.experiment, compose_suite("paper"), overrides)
    set_random_seed(SEED)
    if benchmark.side == 28:
        images, labels = _fashion("train")
        calibration, test = images[:1024] / 255.0, _fashion("t10k")[0][:256] / 255.0
        if name == "VGG 16, width 1" and (file := trained()):
            model = keras.saving.load_model(file)
        else:
            model = build(config.model, images.shape[1:], 10)
            model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
            order = np.random.default_rng(SEED).integers(len(images), size=benchmark.steps * 64)
            model.fit(images[order] / np.float32(255), labels[order], batch_size=64, verbose=0)
    else:
        model = build(config.model, (benchmark.side, benchmark.side, 3), 365)
        _draw_weights(model)
        if "random" not in name:
            _transplant(keras.saving.load_model(trained()), model)
        calibration = test = _photographs(benchmark.batch, benchmark.side)
    network = bounded_sums(read_keras(model))
    scaled = relu_model(network)
    size = benchmark.batch
    parts = [calibration[start : start + size] for start in range(0, len(calibration), size)]
    measured = measure(scaled, parts)
    scaled.save(folder / "scaled.keras")
    published = to_spiking(network, measured.maxima, mapping="published", zeta=ZETA)
    spiking_model(published).save(folder / "published.keras")
    network, maxima = unit_maxima(network, measured.channel_maxima)
    for precision, title in (("float64", "reference"), ("float32", "reference32")):
        made = to_spiking(network, maxima, mapping="reference", zeta=ZETA, precision=precision)
        spiking_model(made).save(folder / f"{title}.keras")
    np.save(folder / "images.npy", test)


def available(name: str) -> bool:
    """Whether the weights that a network needs are there."""
    return name != "VGG16 at 224 x 224" or trained() is not None


def _draw_weights(model: Any) -> None:
    """He's initialisation keeps the activity of a ReLU network alive through its layers; Glorot's does not."""
    draw = np.random.default_rng(SEED)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            kernel, bias = layer.get_weights()
            deviation = np.sqrt(2 / np.prod(kernel.shape[:-1]))
            layer.set_weights([draw.normal(0, deviation, kernel.shape), bias])


def _transplant(source: Any, target: Any) -> None:
    """Convolutions and the normalisations after them; a grey image's kernel is spread over three colours."""
    for kind in (keras.layers.Conv2D, keras.layers.BatchNormalization):
        pairs = zip(
            *([layer for layer in model.layers if isinstance(layer, kind)] for model in (source, target)), strict=True
        )
        for old, new in pairs:
            weights = old.get_weights()
            if len(new.get_weights()[0].shape) == 4 and weights[0].shape[2] == 1:
                weights[0] = np.repeat(weights[0] / 3, 3, axis=2)
            if weights[0].shape == new.get_weights()[0].shape:
                new.set_weights(weights)


def _fashion(split: str) -> tuple[Any, Any]:
    """Fashion-MNIST, whole where it is on the machine, else the sample that ships."""
    source = compose_experiment("fmnist_fc", compose_suite("paper"), []).dataset.source
    folders = (source.directory, source.system_directory, ROOT / "data" / "sample" / "fmnist")
    folder = next(Path(each) for each in folders if (Path(each) / "t10k-images-idx3-ubyte.gz").exists())
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz", 3)[..., None]
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
