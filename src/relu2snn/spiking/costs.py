"""What a spiking network and its ReLU network cost for an image: spikes, synaptic operations, multiply-accumulates.

Every unit of a tensor that a segment takes (a pixel, a neuron, or the unit of a pool that the earliest spike goes
through) spikes once. A spike before the end of its window reaches as many synapses as its unit has, its fan-out: so
many synaptic operations, Σ over units of fan-out times spikes. Units that spike at the end of their window, where
they are forced to, stand for 0; their synapses are counted apart, and so are those of clocks. docs/costs.md says what
each count means, and what energy they stand for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from relu2snn.energy import Counts, Energy, EnergyModel
from relu2snn.spiking.fanout import fan_out, products_of, sums_at
from relu2snn.spiking.nodes import Firing, Potential, neurons_in
from relu2snn.spiking.run import SpikingRun
from relu2snn.spiking.simulation import images_by_name
from relu2snn.spiking.tables import aligned

_NOTHING = 1e-6
"""A clock with a weight of less than this share of the others is what rounding has left of their sum."""


@dataclass(frozen=True)
class SegmentCosts:
    """What one segment costs for an image, on average: its neurons, and the synapses that lead to them.

    spiking: whether these spike; those of a read-out do not. neurons: of all its populations. spikes: those of its
    neurons before the end of their window. synapses: entries of its maps that are not 0, once for each population;
    operations: of these, those that a spike before the end of its window has reached. reference: neurons with a synapse
    from a clock at t_min (the reference neuron, or padding). start: neurons that begin to integrate at t_start.
    dense_macs, effective_macs: what the ReLU network multiplies and adds for this segment, padding apart, and of these
    with neither factor 0. integration: from t_start to the end of the window in units of the input window, summed over
    the neurons.
    """

    name: str
    spiking: bool
    neurons: int
    spikes: float
    synapses: int
    operations: float
    reference: int
    start: int
    dense_macs: int
    effective_macs: float
    integration: float

    @property
    def forced(self) -> float:
        """Synapses that the spikes reach which are forced at the end of their window, and stand for 0."""
        return self.synapses - self.operations


@dataclass(frozen=True)
class Costs:
    """What a spiking network has cost on average over `images` images; `print` shows it as a table.

    latency: when the last output is read, in units of the input window.
    """

    images: int
    segments: tuple[SegmentCosts, ...]
    latency: float

    @property
    def spiking_neurons(self) -> int:
        """The neurons that spike: all but the outputs."""
        return sum(each.neurons for each in self.segments if each.spiking)

    @property
    def spikes_per_neuron(self) -> float:
        """Spikes before the end of their window, of the neurons that spike; each has one, then or at its end."""
        return sum(each.spikes for each in self.segments) / max(self.spiking_neurons, 1)

    @property
    def counts(self) -> Counts:
        """The sums over the segments."""
        names = (
            "synapses",
            "operations",
            "forced",
            "reference",
            "start",
            "dense_macs",
            "effective_macs",
            "integration",
        )
        sums: dict[str, Any] = {name: sum(getattr(each, name) for each in self.segments) for name in names}
        return Counts(**sums, neurons=self.spiking_neurons, latency=self.latency)

    def energy(self, model: EnergyModel) -> Energy:
        """pJ for one image by a model of hardware, of the spiking and of the ReLU network, and the break-even."""
        return self.counts.energy(model)

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("segment", "neurons", "spikes", "synapses", "operations", "forced", "clocks", "dense MACs", "effective")
        ]
        for each in self.segments:
            sent = (each.neurons, each.spikes, each.synapses, each.operations, each.forced)
            counted = (*sent, each.reference + each.start, each.dense_macs, each.effective_macs)
            rows.append((each.name, *(f"{value:,.0f}" for value in counted)))
        total = self.counts
        lines = [
            f"{total.operations:,.0f} synaptic operations for an image, on average over {self.images:,}; the ReLU "
            f"network multiplies and adds {total.dense_macs:,} times, {total.effective_macs:,.0f} times without zeros",
            f"  {self.spikes_per_neuron:.4f} spikes for each neuron before the end of its window; weighed by synapses, "
            f"{total.share:.2%} of the inputs spike",
            f"  latency {self.latency:.6g} input windows",
            *(f"  {line}" for line in aligned(rows)),
        ]
        return "\n".join(lines)


def costs(spiking: Any, images: Any, *, batch: int = 64) -> Costs:
    """Run a spiking network over images (n, *shape), of several inputs by name, and count what an image costs.

    batch: how many images are run at once. Raises ValueError when the model is not a spiking network, a weight or a
    pixel is not finite, or there are no images.

    Example:
        >>> found = relu2snn.costs(spiking, images)
        >>> (found.images, found.counts.dense_macs == sum(each.dense_macs for each in found.segments))
        (20, True)
        >>> energy = found.energy(relu2snn.EnergyModel(mac=4.6, accumulate=0.9))
        >>> energy.spiking < energy.dense
        True
    """
    run = SpikingRun(spiking)
    given = {name: np.asarray(each) for name, each in images_by_name(run.network, images).items()}
    for start in range(0, len(next(iter(given.values()))), batch):
        run.logits({name: each[start : start + batch] for name, each in given.items()})
    return costs_of(run)


def costs_of(run: SpikingRun) -> Costs:
    """What the images of a run have cost, on average.

    Raises ValueError when it has seen none.

    Example:
        >>> run = SpikingRun(spiking)
        >>> labels = run.logits(images).argmax(axis=-1)
        >>> costs_of(run).images
        20
    """
    if not run.images:
        raise ValueError("no images were run, so nothing was counted; give at least one")
    counted = segment_sums(run)
    columns = counted["constant"] | {key: [each / run.images for each in sums] for key, sums in counted["sums"].items()}
    rows = zip(*columns.values(), strict=True)
    segments = [
        SegmentCosts(name, **dict(zip(columns, row, strict=True)))
        for name, row in zip(counted["segments"], rows, strict=True)
    ]
    return Costs(run.images, tuple(segments), run.network.latency)


def segment_sums(run: SpikingRun) -> dict[str, Any]:
    """The fields of `SegmentCosts` as lists over the segments, in plain numbers, under "segments" their names.

    "constant": those that are the network's; "sums": the others, as sums over the images, so that those of several runs
    of one network can be added up.
    """
    nodes = [node for node in run.network if isinstance(node, Firing | Potential)]
    before_end = dict(zip(run.layers, run.spikes.tolist(), strict=True))
    rows = [_counted(node, run, before_end) for node in nodes]
    return {"segments": [node.name for node in nodes]} | {
        kind: {key: [row[kind][key] for row in rows] for key in rows[0][kind]} for kind in ("constant", "sums")
    }


def _counted(node: Firing | Potential, run: SpikingRun, before_end: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    populations = node.populations if isinstance(node, Firing) else ()
    copies = len(populations) or 1
    units = neurons_in(node.shape) * copies
    lasting = node.before + (node.window if isinstance(node, Firing) else 0.0)
    synapses, operations, dense, effective = 0, 0, 0, 0
    for name, map_ in node.maps.items():
        spikes = run.unit_spikes[name]
        reached, products = fan_out(map_) * copies, products_of(map_)
        synapses += int(reached.sum())
        operations += int(reached @ spikes)
        dense += products.dense
        effective += int(products.each @ spikes) + products.behind * run.images
    constant = {
        "spiking": isinstance(node, Firing),
        "neurons": units,
        "synapses": synapses,
        "reference": _clocked(node) if isinstance(node, Firing) else 0,
        "start": units,
        "dense_macs": dense,
        "integration": units * lasting,
    }
    spiked = sum(before_end[each.name] for each in populations)
    return {
        "constant": constant,
        "sums": {"spikes": spiked, "operations": operations, "effective_macs": effective},
    }


def _clocked(node: Firing) -> int:
    """How many neurons have weights that do not add up to Σ_j J_ij, so that a clock at t_min has the rest."""
    own = sum((sums_at(map_) for map_ in node.maps.values()), np.zeros(node.shape))
    count = 0
    for each in node.populations:
        total, weights = np.asarray(each.total, np.float64), own * np.asarray(each.gain, np.float64)
        count += int(np.count_nonzero(np.abs(total - weights) > _NOTHING * (1 + np.abs(total) + np.abs(weights))))
    return count
