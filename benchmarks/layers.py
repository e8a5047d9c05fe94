"""What each layer costs for an image: python benchmarks/layers.py NAME … prints tables in Markdown.

NAME: of benchmarks/networks.py. CPU milliseconds of all threads, medians of batches: of the layer's own arithmetic, as
in the ReLU network, and of the certified engine of the published mapping, which proves it; and multiply-accumulates.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import keras
import networks
import numpy as np
import tensorflow as tf

from relu2snn.config import compose_experiment, compose_suite
from relu2snn.config.demand import costs
from relu2snn.config.sizes import network_size
from relu2snn.spiking.engine import fire
from relu2snn.spiking.simulation import Simulation

REPEATS = 7


def table(name: str) -> str:
    """A row for each layer of a network, and their sum beside what conf/costs.yaml expects."""
    benchmark = networks.NETWORKS[name]
    with tempfile.TemporaryDirectory() as folder:
        networks.prepare(name, Path(folder))
        model = keras.saving.load_model(Path(folder, "published.keras"))
        images = np.load(Path(folder, "images.npy"))[: benchmark.batch]
    network = model.network
    everything = {key for node in network.firing for key in node.maps}
    leads = {key: tf.constant(each) for key, each in Simulation(network, keep=everything)(images).leads.items()}
    simulation = Simulation(network)
    lines = [f"{name}, batch {len(images)}", "", "| layer | neurons | MAC | own arithmetic, ms | certified, ms |"]
    lines.append("|---|---:|---:|---:|---:|")
    sums = np.zeros(2)
    for node in network.firing:
        segment = simulation._segments[node.name]
        given = {key: leads[key] for key in node.maps}
        each = [seconds(lambda: segment.closed(given)), seconds(lambda: fire(segment, given))]  # noqa: B023
        each = [1e3 * value / len(images) for value in each]
        sums += each
        neurons = sum(simulation.neurons[population.name] for population in node.populations)
        lines.append(f"| {node.name} | {neurons:,} | {macs(node):,} | {each[0]:.4f} | {each[1]:.4f} |")
    lines.append(f"| sum | | | {sums[0]:.4f} | {sums[1]:.4f} |")
    config = compose_experiment(benchmark.experiment, compose_suite("paper"), [f"model.width={benchmark.width}"])
    dataset, side = config.dataset, benchmark.side
    size = network_size(config.model, (side, side, dataset.image_shape[2]), dataset.classes)
    for rule in ("phase1", "phase2"):
        cost = costs().rules[rule]
        expected = 1e3 * (cost.image + cost.mac * size.macs + cost.value * size.values)
        lines.append(f"| conf/costs.yaml, {rule} | {size.values:,} | {size.macs:,} | {expected:.4f} | |")
    return "\n".join(lines)


def macs(node: Any) -> int:
    """Multiply-accumulates of a segment for one image: each weight once for each place of its output."""
    places = int(np.prod(node.shape[:-1]))
    # Behind a flattening a dense layer is no kernel alone.
    weights = (
        each.kernel.size if hasattr(each, "kernel") else int(np.prod(each.inputs)) * node.shape[-1]
        for each in node.maps.values()
    )
    return places * sum(weights)


def seconds(function: Callable[[], Any]) -> float:
    """CPU seconds of all threads, the median of some calls of the compiled function."""
    compiled = tf.function(function, autograph=False)
    compiled()
    found = []
    for _ in range(REPEATS):
        started = time.process_time()
        tf.nest.map_structure(lambda each: each.numpy() if hasattr(each, "numpy") else each, compiled())
        found.append(time.process_time() - started)
    return median(found)


if __name__ == "__main__":
    print("\n\n".join(map(table, sys.argv[1:])))
