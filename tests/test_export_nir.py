"""Graphs of NIR: written, read again by the package nir, and run by an interpreter of NIR's equations of our own."""

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import nir
import nir_simulator
import numpy as np
import pytest
from exported_networks import KINDS, images_of, spiking_network
from hypothesis import HealthCheck, settings
from networks import dense_network
from test_export import BOTH, GRAPHS, random_network

from relu2snn import convert, export, spike_times
from relu2snn.exported.nir_graph import nir_graph
from relu2snn.spiking import Simulation, SpikingModel, SpikingNetwork, perturbed, spiking_model

ROOT = Path(__file__).resolve().parents[1]
KL = keras.layers


def ran(graph: Any, inputs: dict[str, Any], until: float) -> nir_simulator.Ran:
    """Run a graph with pixels that spike at `inputs` (*shape), as NIR has them, and the clock at 0."""
    name = graph.metadata["clock"]
    clock = np.zeros(tuple(graph.nodes[name].input_type["input"]))
    return nir_simulator.run(graph, {name: clock, **inputs}, until)


def channels_first(times: Any) -> Any:
    """An image as NIR has it; of one axis with a second of one cell."""
    found = np.moveaxis(times, -1, 0)
    return found[..., None] if found.ndim == 2 else found


def compare(
    graph: Any, times: dict[str, Any], potentials: dict[str, Any], read_at: dict[str, float], latency: float
) -> None:
    """Assert that every neuron fires once, when it should, and that every read-out is what it should be."""
    spikes = {name: channels_first(each) for name, each in times.items()}
    inputs = {
        name: spikes.pop(name) for name, node in graph.nodes.items() if isinstance(node, nir.Input) and name in spikes
    }
    # Neurons that no output waits for spike later than it is read; and rounding must not cut off the last.
    found = ran(graph, inputs, max([latency, *(each.max() for each in spikes.values())]) * (1 + 1e-9))
    for name, expected in spikes.items():
        np.testing.assert_allclose(found.spikes[name], expected, rtol=1e-9, atol=1e-9, err_msg=name)
    assert all((each == 1).all() for each in found.counts.values())
    assert {type(node) for node in graph.nodes.values()} >= {nir.I, nir.IF}
    for name, expected in potentials.items():
        value = nir_simulator.value_at(found.potentials[name], read_at[name])
        np.testing.assert_allclose(value, channels_first(expected), rtol=1e-8, atol=1e-8)


def compare_file(spiking: SpikingModel, image: Any, path: Path) -> Any:
    export(spiking, path)
    graph = nir.read(path)
    times = {name: each[0] for name, each in spike_times(spiking, image).items()}
    network = spiking.network
    potentials = {name: each[0] for name, each in spiking.simulation()(image).potentials.items()}
    compare(graph, times, potentials, {each.name: each.t_min for each in network.potentials}, network.latency)
    return graph


@pytest.mark.parametrize("mapping", BOTH)
@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_gives_every_spike(kind: str, mapping: str, tmp_path: Path) -> None:
    graph = compare_file(spiking_network(kind, mapping), images_of(kind, 1, seed=5), tmp_path / "network.nir")
    assert [each.name for each in tmp_path.iterdir()] == ["network.nir"]
    kinds = {type(node) for node in graph.nodes.values()}
    assert kinds <= {
        nir.Input, nir.Output, nir.I, nir.IF, nir.Linear, nir.Conv2d, nir.Scale, nir.SumPool2d, nir.Flatten, nir.Delay,
    }  # fmt: skip


@pytest.mark.parametrize("mapping", BOTH)
def test_early_spikes_and_other_slopes_are_in_it(mapping: str, tmp_path: Path) -> None:
    spiking, images = spiking_network("mobilenet", mapping, -0.4), images_of("mobilenet", 1, seed=6)
    disturbed = spiking_model(perturbed(spiking.network, 3, alpha_noise=0.02))
    times = spike_times(disturbed, images)
    assert sum((times[name] < start - 1e-9).sum() for name, (start, _) in disturbed.windows.items()) > 50
    compare_file(disturbed, images, tmp_path / "network.nir")


def branched(shape: tuple[int, ...] = (9, 8, 2)) -> keras.Model:
    """Max and min pools with margins, a maximum of two tensors, groups, strides of "same", dilation, concatenations."""
    image = keras.Input(shape, name="photo")
    x, y = (KL.Conv2D(6, 3, padding="same", activation="relu", name=name)(image) for name in ("first", "other"))
    y = KL.MaxPooling2D(3, 2, padding="same")(KL.Maximum()([x, y]))
    x = KL.AveragePooling2D(3, 2, padding="same")(KL.Add()([KL.Conv2D(6, 3, padding="same", dilation_rate=2)(x), x]))
    x = KL.MaxPooling2D(2, padding="same")(KL.BatchNormalization(name="turning")(KL.ReLU()(x)))
    y = KL.MaxPooling2D(2, padding="same")(y)
    x = KL.Conv2D(6, 2, groups=2, strides=2, padding="same", activation=KL.LeakyReLU(0.2))(KL.Concatenate()([x, y]))
    x = KL.Concatenate()([KL.Flatten()(x), KL.GlobalAveragePooling2D()(y)])
    model = keras.Model(
        image, [KL.Dense(4, name="left")(x), KL.Dense(3, name="right")(KL.Dense(5, activation="relu")(x))]
    )
    draw = np.random.default_rng(1)
    model.set_weights([draw.normal(0, 0.4, weight.shape) for weight in model.get_weights()])
    norm = model.get_layer("turning")
    norm.set_weights([draw.normal(size=6), draw.normal(size=6), draw.normal(size=6), draw.uniform(0.5, 2, 6)])
    return model


def test_a_layer_may_have_the_name_of_the_clock(tmp_path: Path) -> None:
    image = keras.Input((6,), name="clock_delay")
    model = keras.Model(image, KL.Dense(2, name="clock_1")(KL.Dense(5, activation="relu", name="clock")(image)))
    images = np.random.default_rng(2).random((10, 6))
    graph = compare_file(convert(model, images), images[:1], tmp_path / "network.nir")
    assert graph.metadata["clock"] == "clock_2"


@pytest.mark.parametrize("zeta", [0.5, -0.5])
@pytest.mark.parametrize("mapping", BOTH)
def test_a_branched_network_is_in_it(mapping: str, zeta: float, tmp_path: Path) -> None:
    images = np.random.default_rng(2).random((10, 9, 8, 2))
    spiking = convert(branched(), images, mapping=mapping, zeta=zeta)
    assert any(node.latest.any() for node in spiking.network.nodes if hasattr(node, "latest"))
    graph = compare_file(spiking, images[:1], tmp_path / "network.nir")
    assert any(isinstance(node, nir.Delay) and node.delay.size > 1 for node in graph.nodes.values())


def test_a_file_says_what_nir_has_no_place_for(tmp_path: Path) -> None:
    images = np.random.default_rng(2).uniform(-1, 3, (10, 9, 8, 2))
    spiking = convert(branched(), images, low=-1, high=3)
    export(spiking, tmp_path / "network.nir")
    found, network = nir.read(tmp_path / "network.nir").metadata, spiking.network
    (encoder,) = network.encoders
    assert found["inputs"][encoder.name]["image"] == "photo"
    assert (found["inputs"][encoder.name]["low"], found["inputs"][encoder.name]["high"]) == ([-1], [3])
    assert found["latency"] == network.latency
    for name, span in network.spans.items():
        assert tuple(found["windows"][name]) == span
    for node in network.potentials:
        assert found["outputs"][node.name] == {"read_at": node.t_min, "activation": node.activation}


def graph_of(network: SpikingNetwork) -> tuple[Any, str]:
    """The graph, or why there is none."""
    try:
        return nir_graph(network, nir), ""
    except ValueError as error:
        return None, str(error)


@pytest.mark.usefixtures("eager")
def test_random_graphs_are_in_it_or_refused_by_name() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @GRAPHS
    def check(seed: int, size: int, mapping: str, zeta: float) -> None:
        network, images = random_network(seed, size, mapping, zeta)
        graph, text = graph_of(network)
        if graph is None:
            assert re.match(r"layer '\w+': it(s shape .* has three sides| gives a vector the shape)", text), text
            assert any(text.startswith(f"layer {node.name!r}") for node in network)
            seen["refused"] += 1
            return
        outcome = Simulation(network, certify=False, keep=list(network.shapes))(images)
        ends = {name: end for node in network for name, end in [(node.name, getattr(node, "t_max", 0.0))]}
        ends |= {name: end for name, (_, end) in network.spans.items()}
        times = {name: ends[name] - outcome.leads[name][0] for name in network.shapes}
        potentials = {name: each[0] for name, each in outcome.potentials.items()}
        compare(graph, times, potentials, {each.name: each.t_min for each in network.potentials}, network.latency)
        seen["early"] += sum(each.early for each in outcome.evidence.values())
        seen.update(type(node).__name__ for node in graph.nodes.values())
        seen["several"] += sum(
            len([edge for edge in graph.edges if edge[1] == name]) > 3 for name in network.populations
        )
        seen["graphs"] += 1

    check()
    least = {
        "graphs": 25,
        "refused": 5,
        "early": 20,
        "Delay": 50,
        "Conv2d": 50,
        "Linear": 50,
        "Flatten": 5,
        "SumPool2d": 3,
    }
    assert {name: seen[name] for name, count in least.items() if seen[name] < count} == {}, seen


def refused(model: keras.Model, tmp_path: Path) -> str:
    images = np.random.default_rng(0).random((4, *model.input_shape[1:]))
    spiking = convert(model, images)
    with pytest.raises(ValueError, match=r"^layer '") as caught:
        export(spiking, tmp_path / "network.nir")
    assert list(tmp_path.iterdir()) == []
    return str(caught.value)


def test_what_nir_cannot_express_is_named(tmp_path: Path) -> None:
    image = keras.Input((3, 4, 4, 1))
    x = KL.Flatten()(KL.Conv3D(2, 2, activation="relu", name="solid")(image))
    text = refused(keras.Model(image, KL.Dense(2)(x)), tmp_path)
    assert "(3, 4, 4, 1) has three sides, for which NIR has no convolution; export to .npz or .h5" in text
    code = keras.Input((6,))
    x = KL.Reshape((4, 4, 2))(KL.Dense(32, activation="relu", name="wide")(code))
    x = KL.Conv2D(2, 3, activation="relu", name="painted")(x)
    text = refused(keras.Model(code, KL.Dense(2)(KL.Flatten()(x))), tmp_path)
    assert "layer 'painted'" in text
    assert "it gives a vector the shape (4, 4, 2), for which NIR has no node; export to .npz or .h5" in text
    image = keras.Input((40, 40, 4))
    x = KL.Conv2D(2, 3, activation="relu", name="large")(KL.UpSampling2D(2)(image))
    text = refused(keras.Model(image, KL.Dense(2)(KL.GlobalAveragePooling2D()(x))), tmp_path)
    assert "layer 'large': NIR has no node for its map but a matrix or a kernel of more than 33554432 weights" in text


def test_without_the_package_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spiking = convert(dense_network(0), np.random.default_rng(0).random((4, 12)))
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(ImportError, match=r"^the package nir, .* is missing; pip install 'relu2snn\[nir\]'$"):
        export(spiking, tmp_path / "network.nir")
    export(spiking, tmp_path / "network.npz")
    assert [each.name for each in tmp_path.iterdir()] == ["network.npz"]
