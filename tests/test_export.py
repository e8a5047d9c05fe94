"""What is written for hardware in plain arrays: simulated by the reader of the docs, and compared spike by spike."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from exported_networks import KINDS, images_of, small_network, spiking_network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import dense_network
from random_graphs import chained, random_graph, values_of
from test_graph_oracle import scaled_network

from relu2snn import convert, export, export_events, spike_times
from relu2snn.exported.contents import contents
from relu2snn.exported.entries import TooManyError, entries
from relu2snn.exported.write import write_arrays
from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import Window
from relu2snn.graph.nodes import Network, Source
from relu2snn.graph.saved import restore, slots
from relu2snn.mapping import to_spiking
from relu2snn.spiking import Simulation, SpikingNetwork, perturbed, spiking_model

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
READER, HDF5_READER = re.findall(r"```python\n(import .*?)```", PAGE, re.S)
BOTH = ("published", "reference")


@pytest.fixture(scope="module")
def reader() -> dict[str, Any]:
    """The names that the page's code defines."""
    found: dict[str, Any] = {}
    exec(READER, found)
    exec(HDF5_READER, found)
    return found


def read(reader: dict[str, Any], path: Path) -> dict[str, Any]:
    return reader["load" if path.suffix == ".npz" else "load_hdf5"](str(path))


def worst(found: dict[str, Any], expected: dict[str, Any], image: int = 0) -> float:
    """The largest difference between spike times, of encoders and of every neuron."""
    assert expected.keys() <= found.keys()
    return max(np.abs(found[name] - times[image].ravel()).max() for name, times in expected.items())


def test_the_reader_is_short_and_needs_numpy_alone() -> None:
    lines = [line for line in READER.splitlines() if line.strip()]
    assert len(lines) <= 40
    assert [line for line in lines if "import" in line] == ["import numpy as np"]
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(("mapping", "suffix"), [("published", ".npz"), ("reference", ".h5")])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_every_spike(reader: dict[str, Any], kind: str, mapping: str, suffix: str, tmp_path: Path) -> None:
    spiking, images = spiking_network(kind, mapping), images_of(kind, 1, seed=5)
    export(spiking, tmp_path / f"network{suffix}")
    found, potentials = reader["simulate"](read(reader, tmp_path / f"network{suffix}"), {"image": images[0]})
    assert worst(found, spike_times(spiking, images)) < 1e-9
    (logits,) = potentials.values()
    np.testing.assert_allclose(logits, np.asarray(spiking(images))[0], atol=1e-9)
    assert [each.name for each in tmp_path.iterdir()] == [f"network{suffix}"]


@pytest.mark.parametrize("mapping", BOTH)
def test_early_spikes_and_other_slopes_are_in_it(reader: dict[str, Any], mapping: str, tmp_path: Path) -> None:
    spiking, images = spiking_network("resnet", mapping, -0.4), images_of("resnet", 1, seed=6)
    disturbed = spiking_model(perturbed(spiking.network, 3, alpha_noise=0.02))
    times = spike_times(disturbed, images)
    early = sum((times[name] < start - 1e-9).sum() for name, (start, _) in disturbed.windows.items())
    assert early > 50
    assert worst({k: v[0].ravel() for k, v in times.items()}, spike_times(spiking, images)) > 1e-3
    export(disturbed, tmp_path / "network.npz")
    found, _ = reader["simulate"](read(reader, tmp_path / "network.npz"), {"image": images[0]})
    assert worst(found, times) < 1e-9


def test_both_formats_hold_the_same(reader: dict[str, Any], tmp_path: Path) -> None:
    spiking = spiking_network("mobilenet", "reference")
    for suffix in (".npz", ".h5", ".hdf5"):
        export(spiking, tmp_path / f"network{suffix}")
    one, *others = (read(reader, path) for path in sorted(tmp_path.iterdir(), reverse=True))
    for other in others:
        assert one.keys() == other.keys()
        for name, value in one.items():
            np.testing.assert_array_equal(np.asarray(value, dtype=np.asarray(other[name]).dtype), other[name], name)
    with h5py.File(tmp_path / "network.h5") as file:
        assert {"layers", "kernels", "order", "format", "latency", "precision"} == set(file)


def test_what_the_page_says_of_names_is_what_is_there(reader: dict[str, Any], tmp_path: Path) -> None:
    spiking = spiking_network("lenet5", "published")
    export(spiking, tmp_path / "network.npz")
    net = read(reader, tmp_path / "network.npz")
    assert str(net["format"]) in PAGE
    table = PAGE[PAGE.index("| name | is |") : PAGE.index("A kernel is a")]
    words = {each for quoted in re.findall(r"`([^`\n]+)`", table) for each in re.split(r"[/\s,<>]+", quoted)}
    names = {part for key in net for part in key.split("/") if not part.isdigit()}
    assert names - set(map(str, net["order"])) <= words
    network = spiking.network
    assert net["latency"] == network.latency
    for name, (start, end) in network.windows.items():
        assert (net[f"layers/{name}/t_min"], net[f"layers/{name}/t_max"]) == (start, end)
        assert len(net[f"layers/{name}/threshold"]) == np.prod(net[f"layers/{name}/shape"])


def test_kernels_and_gains_are_those_of_the_synapses(reader: dict[str, Any], tmp_path: Path) -> None:
    spiking = spiking_network("mobilenet", "reference")
    export(spiking, tmp_path / "network.npz")
    export(spiking, tmp_path / "kernels.npz", synapses=False)
    net, bare = (read(reader, tmp_path / f"{name}.npz") for name in ("network", "kernels"))
    assert {key for key in net if "/synapses/" not in key} == bare.keys() < net.keys()
    looked_at = 0
    for name in map(str, bare["order"]):
        if f"layers/{name}/gain" not in bare:
            continue
        gain, where = bare[f"layers/{name}/gain"], str(bare[f"layers/{name}/kernels"])
        for k in range(len(bare[f"layers/{name}/inputs"])):
            text = json.loads(str(bare[f"{where}/{k}/description"]))
            arrays = [bare[f"{where}/{k}/arrays/{i}"] for i in range(len(slots(text)))]
            map_ = restore(text, iter(arrays))
            post, pre, weight = (net[f"layers/{name}/synapses/{k}/{key}"] for key in ("post", "pre", "weight"))
            matrix = np.zeros((np.prod(map_.outputs), np.prod(map_.inputs)))
            matrix[post, pre] = weight
            whole = map_.apply(np.eye(matrix.shape[1]).reshape(-1, *map_.inputs), NumpyOps()).reshape(-1, len(matrix)).T
            np.testing.assert_allclose(matrix, whole * np.tile(gain, len(matrix) // len(gain))[:, None], atol=1e-12)
            looked_at += 1
    assert looked_at > 5


@settings(max_examples=300, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_entries_are_those_of_the_matrix(seed: int) -> None:
    draw = np.random.default_rng(seed)
    shape = [(5,), (5, 2), (3, 4, 2), (2, 2, 2, 2)][int(draw.integers(4))]
    map_, matrix = chained(draw, shape)
    found = entries(map_, 10**6)
    whole = np.zeros_like(matrix)
    whole[found.post, found.pre] = found.weight
    np.testing.assert_allclose(whole, matrix, atol=1e-12)
    key = found.post * matrix.shape[1] + found.pre
    assert (np.diff(key) > 0).all()
    assert (found.weight != 0).all()


def random_network(seed: int, size: int, mapping: str, zeta: float) -> tuple[SpikingNetwork, dict[str, Any]]:
    """The spiking network of a random graph, and an image of each input."""
    draw = np.random.default_rng(seed)
    drawn = random_graph(draw, size)
    sources = [node for node in drawn.nodes if isinstance(node, Source)]
    images = {each.name: draw.uniform(each.low, each.high, (1, *each.shape)) for each in sources}
    values = [values_of(drawn, {name: each[0] for name, each in images.items()})]
    network, maxima = scaled_network(mapping, Network(drawn.nodes), values)
    return to_spiking(network, maxima, mapping=mapping, zeta=zeta), images


GRAPHS = given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 5),
    mapping=st.sampled_from(BOTH),
    zeta=st.sampled_from([-0.6, 0.0, 0.5]),
)
"""What `random_network` draws a graph from."""


@pytest.mark.usefixtures("eager")
def test_files_of_random_graphs_give_every_spike(reader: dict[str, Any], tmp_path_factory: Any) -> None:
    seen: Counter[str] = Counter()
    folder = tmp_path_factory.mktemp("graphs")

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @GRAPHS
    def check(seed: int, size: int, mapping: str, zeta: float) -> None:
        network, images = random_network(seed, size, mapping, zeta)
        outcome = Simulation(network, certify=False, keep=list(network.shapes))(images)
        write_arrays(folder / "network.npz", contents(network, synapses=True, most=10**6))
        net = read(reader, folder / "network.npz")
        found, potentials = reader["simulate"](net, {name: each[0] for name, each in images.items()})
        ends = {name: float(net[f"layers/{name}/t_max"]) for name in network.shapes}
        for name, end in ends.items():
            times = end - outcome.leads[name][0].ravel()
            np.testing.assert_allclose(found[name], times, rtol=1e-9, atol=1e-9, err_msg=name)
        for name, expected in outcome.potentials.items():
            np.testing.assert_allclose(potentials[name], expected[0].ravel(), rtol=1e-8, atol=1e-8)
        seen.update(str(net[f"layers/{name}/kind"]) for name in map(str, net["order"]))
        seen["early"] += sum(each.early for each in outcome.evidence.values())
        seen["delayed"] += sum((net[key] > 0).any() for key in net if key.endswith("/delays"))
        seen["latest"] += sum(net[key].any() for key in net if key.endswith("/latest"))

    check()
    least = {"early": 30, "delayed": 15, "pool": 5, "latest": 5, "read-out": 40, "neurons": 60}
    assert {name: seen[name] for name, count in least.items() if seen[name] < count} == {}, seen


def test_a_network_in_single_precision_has_its_own_numbers(reader: dict[str, Any], tmp_path: Path) -> None:
    model = dense_network(1)
    images = np.random.default_rng(0).random((8, 12))
    spiking = convert(model, images, precision="float32")
    export(spiking, tmp_path / "network.npz")
    net = read(reader, tmp_path / "network.npz")
    assert str(net["precision"]) == "float32"
    found, _ = reader["simulate"](net, {spiking.network.encoders[0].image: images[0]})
    assert worst(found, spike_times(spiking, images[:1])) < 1e-4


def test_too_many_synapses_are_refused_before_they_take_memory() -> None:
    network = spiking_network("lenet5", "reference").network
    message = (
        r"layer 'conv2d_1': with it the network has more than 200000 synapses, too many for a list; "
        r"give synapses=False, which writes the kernels"
    )
    with pytest.raises(ValueError, match=message) as caught:
        list(contents(network, synapses=True, most=200_000))
    assert "\n" not in str(caught.value)
    assert sum(1 for _ in contents(network, synapses=False, most=0)) > 50
    large = Convolution((224, 224, 64), np.ones((3, 3, 64, 64)), Window.of((3, 3), margins=[(1, 1), (1, 1)]))
    with pytest.raises(TooManyError):
        entries(large, 50_000_000)


def test_a_mistake_is_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    spiking, images = small_network()
    mistakes = [
        (
            lambda: export(spiking, tmp_path / "a.mat"),
            r"a.mat: the suffix '.mat' is no format; choose from .npz, .h5, ",
        ),
        (
            lambda: export_events(spiking, images, tmp_path / "a.h5"),
            r"the suffix '.h5' is no format; choose from .npz, .csv",
        ),
        (lambda: export(dense_network(0), tmp_path / "a.npz"), r"is not a spiking network: relu2snn.convert makes one"),
        (
            lambda: export(small_network(noise=0.1)[0], tmp_path / "a.npz"),
            r"noise=0.1: jitter of spike times is no part of",
        ),
        (
            lambda: export(small_network(reference_noise=0.2)[0], tmp_path / "a.h5"),
            r"reference_noise=0.2: jitter of spike times",
        ),
        (lambda: export_events(spiking, images * np.nan, tmp_path / "a.csv"), r"image 0 is nan at \(0,\)"),
    ]
    for call, message in mistakes:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_there_stays_where_a_new_one_fails(tmp_path: Path) -> None:
    path = tmp_path / "network.npz"
    path.write_bytes(b"before")
    network = spiking_network("lenet5", "reference").network
    with pytest.raises(ValueError, match="too many for a list"):
        write_arrays(path, contents(network, synapses=True, most=10))
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("network.npz", b"before")]


def test_several_inputs_are_read_by_their_names(reader: dict[str, Any], tmp_path: Path) -> None:
    one, other = keras.Input((5,), name="one"), keras.Input((3,), name="other")
    x = keras.layers.Concatenate()([keras.layers.Dense(4, activation="relu")(one), other])
    model = keras.Model([one, other], [keras.layers.Dense(2, name="left")(x), keras.layers.Dense(3, name="right")(x)])
    draw = np.random.default_rng(0)
    images = {"one": draw.random((6, 5)), "other": draw.random((6, 3))}
    spiking = convert(model, images)
    export(spiking, tmp_path / "network.h5")
    found, potentials = reader["simulate"](
        read(reader, tmp_path / "network.h5"), {name: each[0] for name, each in images.items()}
    )
    assert worst(found, spike_times(spiking, images)) < 1e-9
    expected = {name: each[0] for name, each in spiking.simulation()(images).potentials.items()}
    assert potentials.keys() == expected.keys()
    for name, each in expected.items():
        np.testing.assert_allclose(potentials[name], each, atol=1e-9)
    export_events(spiking, images, tmp_path / "spikes.csv")
    assert len((tmp_path / "spikes.csv").read_text().splitlines()) == 1 + 6 * (5 + 3 + 4)
