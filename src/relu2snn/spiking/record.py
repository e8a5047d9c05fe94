"""When the neurons of a network spiked, for looking at: batch by batch, as a raster of one image, as a histogram."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.spiking.network import network_of
from relu2snn.spiking.nodes import inputs_of, neurons_in
from relu2snn.spiking.references import with_references
from relu2snn.spiking.simulation import Floats


class SpikeRecorder:
    """The leads t_max − t of the encoders and of every spiking layer, batch by batch, in one graph.

    A lead is the ReLU's value that the spike stands for, unless it came early; t_max is that of the layer's window.

    Attributes: windows, [t_min, t_max] by layer name, first layer first.
    """

    def __init__(self, model: Any) -> None:
        self.windows = network_of(model).spans
        self._simulation = model.simulation(keep=self.windows)

    def leads(self, images: Any) -> dict[str, Floats]:
        """Leads of images (b, *shape) by layer name, in the shapes of the layers' outputs."""
        found = self._simulation(images).leads
        return {name: found[name] for name in self.windows}


@dataclass(frozen=True)
class Raster:
    """Spikes of a sample of neurons of every layer, for one image.

    layers and windows (layers, 2): names and [t_min, t_max], the input first; sizes (layers,): all neurons of each.
    layer, neuron, time and value (n,): of each spike the index of its layer, the neuron's in the flattened layer, the
    time in units of the input window, and the value of the ReLU (of the pixel, in [0, 1]).
    """

    layers: list[str]
    windows: Floats
    sizes: NDArray[np.int64]
    layer: NDArray[np.int64]
    neuron: NDArray[np.int64]
    time: Floats
    value: Floats


def leads_of(model: Any, image: Any) -> dict[str, Floats]:
    """The leads t_max − t of one image (*shape), by the name of every tensor that spikes or is taken, in its shape.

    These are the encoders, references, pools and spiking layers, in one run, for all that is to be shown of an image.

    Example:
        >>> leads = leads_of(spiking, images[0])
        >>> raster(spiking, images[0], leads=leads).layers == raster(spiking, images[0]).layers
        True
    """
    network = network_of(model)
    expanded, _ = with_references(network)
    taken = (name for node in expanded for name in inputs_of(node))
    keep = dict.fromkeys([*network.spans, *taken])
    return {name: each[0] for name, each in model.simulation(keep=keep)(alone(image)).leads.items()}


def raster(
    model: Any,
    image: Any,
    *,
    neurons: int = 40,
    seed: int = 0,
    values: Mapping[str, Floats] | None = None,
    leads: Mapping[str, Floats] | None = None,
) -> Raster:
    """The spikes of one image (*shape): of all neurons of a layer, or of `neurons` drawn with `seed` if it has more.

    values: the ReLU's outputs by layer name, in the shapes of the layers; where there are none, what the spikes decode
    to, which is the same unless they came early. leads: those of `leads_of`, if they are known.

    Example:
        >>> found = raster(spiking, images[0])
        >>> found.layers, found.sizes.tolist()
        (['encoder', 'conv', 'dense'], [64, 144, 10])
    """
    windows = network_of(model).spans
    known_leads = leads_of(model, image) if leads is None else leads
    flat = {name: known_leads[name].ravel() for name in windows}
    draw = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {"layer": [], "neuron": [], "time": [], "value": []}
    for index, (name, lead) in enumerate(flat.items()):
        chosen = np.sort(draw.choice(lead.size, min(neurons, lead.size), replace=False))
        known = np.ravel((values or {}).get(name, lead))
        rows["layer"].append(np.full(chosen.size, index))
        rows["neuron"].append(chosen)
        rows["time"].append(windows[name][1] - lead[chosen])
        rows["value"].append(known[chosen])
    sizes = np.array([lead.size for lead in flat.values()])
    columns = {key: np.concatenate(pieces) for key, pieces in rows.items()}
    return Raster(list(flat), np.array(list(windows.values())), sizes, **columns)


@dataclass
class SpikeHistogram:
    """How many spikes of one layer fall into each bin of time, summed over batches.

    edges (bins + 1,): times in units of the input window, from t_start, the earliest a spike can be, to t_max or, with
    noise, beyond; t_min and t_max are edges. counts (bins,): spikes apart from those at t_max itself, `at_end`, which
    are forced. before_end: spikes before t_max; neurons: of the layer; images: how many were added.
    """

    layer: str
    t_min: float
    t_max: float
    edges: Floats
    counts: NDArray[np.int64]
    neurons: int
    images: int = 0
    at_end: int = 0
    before_end: int = 0

    @classmethod
    def empty(cls, model: Any, layer: str, *, bins: int = 40) -> "SpikeHistogram":
        """A histogram of a spiking layer with `bins` bins in its window, and as wide ones before and after.

        Raises ValueError when the network has no spiking layer of that name.
        """
        network = network_of(model)
        node, _ = network.population(layer)
        width = node.window / bins
        late = int(np.ceil(6 * network.noise / width))
        early = int(np.ceil(node.before / width)) + late
        edges = np.asarray(node.t_min + width * np.arange(-early, bins + late + 1), np.float64)
        edges[early], edges[early + bins] = node.t_min, node.t_max
        counts = np.zeros(edges.size - 1, np.int64)
        return cls(layer, node.t_min, node.t_max, edges, counts, neurons_in(node.shape))

    def add(self, leads: Floats) -> None:
        """Count the spikes of a batch, by their leads (b, …)."""
        self.images += len(leads)
        self.before_end += int(np.count_nonzero(leads > 0))
        self.at_end += int(np.count_nonzero(leads == 0))
        moved = np.asarray(leads[leads != 0], np.float64)
        # A spike is before t_max by its lead; rounding of its time must not move it across.
        times = np.where(
            moved > 0, np.minimum(self.t_max - moved, np.nextafter(self.t_max, -np.inf)), self.t_max - moved
        )
        self.counts += np.histogram(np.clip(times, self.edges[0], self.edges[-1]), self.edges)[0]


def spike_histogram(model: Any, batches: Iterable[Any], *, layer: str, bins: int = 40) -> SpikeHistogram:
    """The spike times of one layer over batches of images (b, *shape), with `bins` bins in its window.

    Raises ValueError when the network has no spiking layer of that name.

    Example:
        >>> found = spike_histogram(spiking, np.split(images, 2), layer="dense")
        >>> found.images, found.before_end + found.at_end
        (20, 200)
    """
    recorder = SpikeRecorder(model)
    histogram = SpikeHistogram.empty(model, layer, bins=bins)
    for images in batches:
        histogram.add(recorder.leads(images)[layer])
    return histogram


def alone(image: Any) -> Any:
    """One image, or one of each input by name, as a batch."""
    if isinstance(image, Mapping):
        return {name: np.asarray(each)[None] for name, each in image.items()}
    return np.asarray(image)[None]
