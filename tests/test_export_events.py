"""Lists of spikes: every spike of every image once, in order of time, as `spike_times` has it."""

import csv
from pathlib import Path

import numpy as np
import pytest
from exported_networks import small_network

from relu2snn import export_events, spike_times


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_events_are_all_spikes_in_order(tmp_path: Path, suffix: str) -> None:
    spiking, images = small_network()
    path = tmp_path / f"spikes{suffix}"
    export_events(spiking, images, path)
    times = spike_times(spiking, images)
    if suffix == ".npz":
        found = np.load(path)
        names = found["layers"].tolist()
        rows = list(
            zip(
                found["image"].tolist(),
                [names[k] for k in found["layer"]],
                found["neuron"].tolist(),
                found["time"].tolist(),
                strict=True,
            )
        )
    else:
        with path.open(newline="") as file:
            head, *lines = csv.reader(file)
        assert head == ["image", "layer", "neuron", "time"]
        rows = [(int(image), layer, int(neuron), float(time)) for image, layer, neuron, time in lines]
    assert [(image, time) for image, _, _, time in rows] == sorted((image, time) for image, _, _, time in rows)
    expected = {
        (image, name, neuron): time
        for name, values in times.items()
        for image, each in enumerate(values)
        for neuron, time in enumerate(each.ravel().tolist())
    }
    assert len(rows) == len(expected) == 40 * (12 + 9 + 7)
    for image, name, neuron, time in rows:
        assert time == pytest.approx(expected[image, name, neuron], abs=1e-12)


def test_events_of_a_noisy_network_are_a_draw_of_it(tmp_path: Path) -> None:
    spiking, images = small_network(noise=0.05)
    export_events(spiking, images[:20], tmp_path / "spikes.npz")
    found = np.load(tmp_path / "spikes.npz")
    order = np.lexsort((found["neuron"], found["layer"], found["image"]))
    times = spike_times(spiking, images[:20])
    expected = np.concatenate([each.reshape(20, -1) for each in times.values()], axis=1).ravel()
    np.testing.assert_allclose(found["time"][order], expected, atol=1e-12)
