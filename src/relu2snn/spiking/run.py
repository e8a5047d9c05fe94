"""Running a spiking network over batches of images, and reading its spike times."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.saved import describe
from relu2snn.spiking.evidence import Evidence
from relu2snn.spiking.network import check_images, check_weights, network_of
from relu2snn.spiking.nodes import (
    Earliest,
    Encoder,
    Firing,
    Potential,
    SpikingNetwork,
    consumed,
    inputs_of,
    neurons_in,
)
from relu2snn.spiking.rounding import LIMITS
from relu2snn.spiking.simulation import images_by_name

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

OUTSIDE = 1e-9
"""A pixel is outside the encoder's range when it is so by more than this share of the range: less is rounding."""


def spike_times(model: Any, images: Any, *, certify: bool = True, part: int = 0) -> dict[str, Floats]:
    """Absolute spike times of the encoders and of every spiking layer, by name, for images (batch, *shape).

    Shapes are those of the layers' outputs; the input window is [0, 1]. certify and part: as in SpikingRun, so that a
    network with noise gives the same times in every call.

    Raises ValueError when the model is not a spiking network, or a weight or a pixel is not finite.

    Example:
        >>> times = relu2snn.spike_times(spiking, images)
        >>> {name: each.shape for name, each in times.items()}
        {'encoder': (20, 8, 8, 1), 'conv': (20, 6, 6, 4), 'dense': (20, 10)}
        >>> bool((times["dense"] >= 2.5).all() and (times["dense"] <= 4.0).all())
        True
    """
    network = network_of(model)
    check_weights(model)
    check_images(images_by_name(network, images))
    found: dict[str, Floats] = model.spike_times(images, part=part, certify=certify)
    return found


class SpikingRun:
    """A spiking network run over batches, summing the evidence that each returns; memory is bounded by the batch.

    The run owns its evidence and its noise, and has the network as it was when the run began or was started again: runs
    of one network may take turns or go on in several threads, and give what each alone gives.

    Attributes: images, the number seen; layers, the names of the spiking layers; precision, "float64" or "float32";
    spikes and neurons (layers,): spikes before t_max, and all neurons of one image. certified, simulated, early and
    deviation (layers,): the pairs of a neuron and an image for which the closed form is proved to be the simulation,
    those that were simulated event by event, of these the spikes before t_min, and the largest difference of a
    simulated neuron's decoded value from the closed form, which is its ReLU unless α is disturbed. early_images: images
    with a spike before t_min. rounding (layers,): what rounding may add to a value of the layer, as a share of the
    layer's largest value (see `rounding`). unit_spikes: by tensor that a segment takes (images, neurons, pools) in how
    many images each of its units has spiked before the end of its window, (units,). outside: images with pixels outside
    the encoder's range. reasons: why the run is not exact, by kind; exact: there are none.

    part: whose noise to draw. certify=False simulates every neuron event by event: the same spike times, much slower.
    Raises ValueError when the model is not a spiking network, or has a weight that is not finite.

    Example:
        >>> run = SpikingRun(spiking)
        >>> for batch in np.split(images, 2):
        ...     potentials = run.logits(batch)
        >>> run.images, run.exact
        (20, True)
        >>> dict(zip(run.layers, run.early.tolist()))
        {'conv': 0, 'dense': 0}
    """

    def __init__(self, model: Any, part: int = 0, *, certify: bool = True) -> None:
        network = network_of(model)
        check_weights(model)
        self._model, self._certify = model, certify
        self._lock = threading.RLock()
        self._simulation = model.simulation(part=part, certify=certify, count=True)
        self.layers = list(network.populations)
        self.windows = list(network.windows.values())
        self.neurons = np.array([self._simulation.neurons[name] for name in self.layers], np.int64)
        self.precision = network.precision
        self._encoders = network.encoders
        self._outputs = {node.name: node.shape for node in network.potentials}
        self._sources = {name: _sources(network, inputs_of(node)) for name, (node, _) in network.populations.items()}
        self._parts = {
            name: [each.name for each in node.populations] for name, (node, _) in network.populations.items()
        }
        self._clear()

    def start(self, part: int = 0) -> None:
        """Count from nothing again, of the network as it is now, with the noise of `part`, as a new run would.

        It takes little time where only perturbations have changed.
        """
        with self._lock:
            check_weights(self._model)
            network = self._model.network
            if _lasting(network) == _lasting(self._simulation.network):
                self._simulation.start(network, part)
            else:
                self._simulation = self._model.simulation(part=part, certify=self._certify, count=True)
            self._clear()

    def _clear(self) -> None:
        self.images = self.outside = self.early_images = self._overflown = 0
        self._evidence = {name: Evidence() for name in self.layers}
        self._spikes = dict.fromkeys(self.layers, 0)
        shapes = self.network.shapes
        self._sizes = {name: neurons_in(shapes[name]) for name in consumed(self.network)}
        self._units = np.zeros(sum(self._sizes.values()), np.int64)
        self._largest_pixel = {node.name: 0.0 for node in self._encoders}

    def logits(self, images: Any) -> Any:
        """Take a batch of images (b, *shape) in; returns the potentials of the output (b, classes).

        Of several inputs give the images, of several outputs take the potentials, by name.
        Raises ValueError for a pixel that is not finite, naming the image by its number in this run.
        """
        given = {name: np.asarray(each) for name, each in images_by_name(self._simulation.network, images).items()}
        count = len(next(iter(given.values())))
        with self._lock:
            if not count:
                return _only({name: np.zeros((0, *shape)) for name, shape in self._outputs.items()})
            extremes = {node.image: _extremes(given[node.image], node) for node in self._encoders}
            if not all(np.isfinite(each).all() for pair in extremes.values() for each in pair):
                check_images(given, self.images)
            outcome = self._simulation(given)
            self.images += count
            self._count_pixels(extremes)
            rows = [each.reshape(count, -1) for each in outcome.potentials.values()]
            finite = np.all([np.isfinite(each).all(axis=1) for each in rows], axis=0)
            self.early_images += int(np.count_nonzero(outcome.early))
            self._overflown += int(np.count_nonzero(~finite))
            for name in self.layers:
                self._evidence[name] += outcome.evidence[name]
                self._spikes[name] += outcome.spikes[name]
            self._units += outcome.units
        return _only(outcome.potentials)

    def _count_pixels(self, extremes: dict[str, tuple[Floats, Floats]]) -> None:
        """Take in the smallest and the largest pixel of each image and channel, (b, channels)."""
        outside = np.zeros(1, bool)
        for node in self._encoders:
            lowest, highest = extremes[node.image]
            span = node.high - node.low
            first, last = (lowest - node.low) / span, (highest - node.low) / span
            outside = outside | ((first < -OUTSIDE) | (last > 1 + OUTSIDE)).any(axis=1)
            largest = max(float(np.abs(first).max()), float(np.abs(last).max()))
            self._largest_pixel[node.name] = max(self._largest_pixel[node.name], largest)
        self.outside += int(np.count_nonzero(outside))

    @property
    def network(self) -> SpikingNetwork:
        """The network that is run: as it was when the run began or was started again."""
        found: SpikingNetwork = self._simulation.network
        return found

    @property
    def unit_spikes(self) -> dict[str, Counts]:
        """In how many images each unit has spiked before the end of its window, (units,), by tensor."""
        parts = np.split(self._units, np.cumsum(list(self._sizes.values()))[:-1])
        return dict(zip(self._sizes, parts, strict=True))

    def _counts(self, name: str) -> Counts:
        return np.array([getattr(self._evidence[layer], name) for layer in self.layers], np.int64)

    @property
    def spikes(self) -> Counts:
        """Spikes before t_max, per layer."""
        return np.array([self._spikes[name] for name in self.layers], np.int64)

    @property
    def simulated(self) -> Counts:
        """Pairs that were simulated event by event, per layer."""
        return self._counts("simulated")

    @property
    def certified(self) -> Counts:
        """Pairs whose closed form is proved to be the simulation, per layer."""
        return self._counts("certified")

    @property
    def constructed(self) -> Counts:
        """Of the certified pairs those that only a z above B could have made early, per layer; see `certificate`."""
        return self._counts("constructed")

    @property
    def early(self) -> Counts:
        """Spikes before t_min, per layer, noise on the spike times apart."""
        return self._counts("early")

    @property
    def deviation(self) -> Floats:
        """Largest difference of a simulated neuron's decoded value from the closed form of its inputs, per layer."""
        return np.array([self._evidence[name].deviation for name in self.layers])

    @property
    def rounding(self) -> Floats:
        """Bound on the rounding of a layer's values, as a share of its largest value in this run, per layer.

        Populations of one segment share its values, whose parts they are: the largest of any of them counts.
        """
        peaks = self._largest_pixel | {name: each.peak for name, each in self._evidence.items()}
        bounds = self._simulation.rounding
        largest = {name: max(peaks[each] for each in self._sources[name]) for name in self.layers}
        peak = {name: max(peaks[each] for each in self._parts[name]) for name in self.layers}
        return np.array([bounds[name].relative(largest[name], peak[name]) for name in self.layers])

    @property
    def reasons(self) -> dict[str, str]:
        """Why the run does not prove that each neuron has computed its ReLU, a sentence for each kind of reason."""
        found = {}
        if not self.images:
            found["images"] = "no images were run"
        network = self._simulation.network
        if network.noise or network.alpha_noise or network.reference_noise:
            found["noise"] = "it was run with noise"
        if early := int(self.early.sum()):
            found["early"] = early_reason(self.layers, self.early.tolist(), early)
        if self._overflown:
            found["overflow"] = f"the outputs of {self._overflown} images are not finite"
        if self.outside:
            found["outside"] = (
                f"{self.outside} images have pixels outside {_ranges(self._encoders)}, "
                "which spike outside the input window"
            )
        limit, rounding = LIMITS[self.precision], self.rounding
        if self.images and (rounding > limit).any():
            worst = int(np.argmax(rounding))
            found["rounding"] = (
                f"rounding in {self.precision} may change values of layer {self.layers[worst]!r} by "
                f"{rounding[worst]:.1g} of its largest one, more than {limit:g}"
            )
        return found

    @property
    def exact(self) -> bool:
        """Whether every neuron has computed its ReLU for every image, as precisely as `LIMITS` says."""
        return not self.reasons


def early_reason(layers: list[str], early: list[int], total: int) -> str:
    """What spikes before their window are called in results: how many, and in which layers."""
    where = ", ".join(f"{count} in {name}" for name, count in zip(layers, early, strict=True) if count)
    return f"{total} spikes came before their window: {where}"


def _extremes(images: Floats, node: Encoder) -> tuple[Floats, Floats]:
    """The smallest and the largest value of each image, (b, 1), or of its channels where these have ranges."""
    channels = images.shape[-1] if node.low.size * node.high.size > 1 else 1
    if channels == 1:
        rows = images.reshape(len(images), -1)
        return rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
    columns = images.reshape(len(images), -1, channels)
    return columns.min(axis=1), columns.max(axis=1)


def _only(values: dict[str, Any]) -> Any:
    return next(iter(values.values())) if len(values) == 1 else values


def _ranges(encoders: list[Encoder]) -> str:
    ranges = [f"[{np.asarray(each.low).tolist()}, {np.asarray(each.high).tolist()}]" for each in encoders]
    return " and ".join(dict.fromkeys(ranges))


def _lasting(network: SpikingNetwork) -> list[Any]:
    """What tells the numbers of two networks apart, those of perturbations aside: where they lie.

    Each network keeps the memory of its own from reuse. Of indices, which maps copy, it is what they are.
    """
    arrays: list[Any] = [np.array([network.reference_noise > 0], np.int64)]
    for node in network:
        if isinstance(node, Firing | Potential):
            arrays += [array for map_ in node.maps.values() for array in describe(map_)[1]]
        if isinstance(node, Firing):
            arrays += [array for each in node.populations for array in (each.gain, each.total, each.threshold)]
        if isinstance(node, Potential):
            arrays.append(node.bias)
    return [each.tobytes() if each.dtype.kind == "i" else each.ctypes.data for each in map(np.asarray, arrays)]


def _sources(network: SpikingNetwork, tensors: Sequence[str]) -> set[str]:
    """The encoders and populations that tensors come from, through pools."""
    pools = {node.name: node.tensors for node in network if isinstance(node, Earliest)}
    found = [_sources(network, pools[name]) if name in pools else {name} for name in tensors]
    return set().union(*found)
