"""The certified engine against the simulation of every event, on networks trained on real images."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from networks import scaled_network, spiking_of

from relu2snn.config import compose_experiment, compose_suite
from relu2snn.datasets import read_idx
from relu2snn.graph.nodes import Network
from relu2snn.mapping import measure, relu_model
from relu2snn.networks.build import build
from relu2snn.spiking import SpikingRun, spike_times

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample" / "fmnist"


@pytest.fixture(scope="module", params=[("fmnist_lenet", 0.5), ("fmnist_vgg", 0.125)], ids=["lenet", "vgg"])
def trained(request: pytest.FixtureRequest) -> tuple[Network, dict[str, float], np.ndarray]:
    """A folded and scaled network, its layer maxima and test images: Fashion-MNIST's sample, a few hundred steps."""
    experiment, width = request.param
    config = compose_experiment(experiment, compose_suite("paper"), [f"model.width={width}"])
    images = read_idx(SAMPLE / "train-images-idx3-ubyte.gz", 3)[..., None] / 255.0
    labels = read_idx(SAMPLE / "train-labels-idx1-ubyte.gz", 1)
    keras.utils.set_random_seed(0)
    model = build(config.model, images.shape[1:], 10)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(images, labels, batch_size=32, epochs=1, verbose=0)
    assert history.history["accuracy"][-1] > 0.5
    network = scaled_network(model, 0.0, 1.0)
    maxima = measure(relu_model(network), np.array_split(images[:1000], 10)).maxima
    return network, maxima, read_idx(SAMPLE / "t10k-images-idx3-ubyte.gz", 3)[:12, ..., None] / 255.0


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("zeta", [-0.8, 0.5])
def test_every_spike_and_every_prediction_is_that_of_the_events(trained: Any, zeta: float, noise: float) -> None:
    network, maxima, images = trained
    spiking = spiking_of(network, maxima, zeta=zeta, noise=noise, seed=5)
    found = []
    for certify in (True, False):
        run = SpikingRun(spiking, certify=certify)
        logits = np.concatenate([run.logits(batch) for batch in np.array_split(images, 2)])
        found.append((spike_times(spiking, images[:8], certify=certify), logits, run))
    (times, logits, fast), (expected_times, expected, _) = found
    for name, spikes in expected_times.items():
        np.testing.assert_allclose(times[name], spikes, rtol=0, atol=1e-9, err_msg=name)
    np.testing.assert_array_equal(logits.argmax(-1), expected.argmax(-1))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    fast.start()
    fast.logits(images)
    # Short windows must have made neurons spike early for the comparison to say something.
    assert fast.early.sum() > 0 or zeta >= 0
