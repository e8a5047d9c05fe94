"""A spiking network as a plain loop over its nodes: a batch of images in, potentials and evidence out."""

import threading
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.spiking.backend import TensorFlowOps, unit_range
from relu2snn.spiking.between import earliest, read
from relu2snn.spiking.bounds import Blocks
from relu2snn.spiking.construction import closed_only, gathered, quick_step, unit_spikes
from relu2snn.spiking.engine import COUNTS, Fired, evidence_of, fire, simulate
from relu2snn.spiking.evidence import Evidence
from relu2snn.spiking.nodes import Earliest, Encoder, Firing, Potential, SpikingNetwork, consumed
from relu2snn.spiking.noise import batch_seed, disturb, noise_state
from relu2snn.spiking.prepared import Prepared
from relu2snn.spiking.references import reference_leads, reference_shape, with_references
from relu2snn.spiking.rounding import Rounding

Floats = NDArray[np.float64]


class Outcome(NamedTuple):
    """What a batch of images gave.

    potentials: those of each read-out, (batch, *shape), by name. evidence and spikes, by population: what became of its
    pairs, and its spikes before t_max, with the noise. leads: those of the tensors that were asked for. early (batch,):
    images in which a neuron spiked before its window. units: in how many images each unit has spiked before the end of
    its window, (units,), of one tensor that `consumed` names after the other, if they are counted.
    """

    potentials: dict[str, Floats]
    evidence: dict[str, Evidence]
    spikes: dict[str, int]
    leads: dict[str, Floats]
    early: NDArray[np.bool_]
    units: NDArray[np.int64]


class Simulation:
    """A spiking network, run batch by batch; any number of batches, each by itself.

    All that changes from batch to batch is in here: which batch it is, for the noise, and what was learnt about blocks.

    part: whose noise to draw. certify: False simulates every neuron event by event. keep: names of tensors whose leads
    to return. count: whether spikes are counted unit by unit. tensors: those that the network's arrays are views of, so
    that large ones are not held twice.

    Example:
        >>> simulation = Simulation(network_of(spiking), keep=["dense"])
        >>> outcome = simulation(images)
        >>> {name: each.shape for name, each in outcome.potentials.items()}
        {'classes': (20, 3)}
        >>> outcome.leads["dense"].shape
        (20, 10)
    """

    def __init__(
        self,
        network: SpikingNetwork,
        *,
        part: int = 0,
        certify: bool = True,
        keep: Collection[str] = (),
        count: bool = False,
        tensors: Iterable[Any] = (),
    ) -> None:
        self._ops = TensorFlowOps(network.precision, tensors)
        self._certify, self._keep = certify, frozenset(keep)
        self._count = consumed(network) if count else []
        self.lock = threading.RLock()
        self._nodes, self._references = with_references(network)
        shapes = network.shapes | {name: reference_shape(node) for name, node in self._references.items()}
        self._segments = {node.name: Prepared(node, shapes, self._ops) for node in self._nodes.firing}
        self.neurons = {name: int(np.prod(node.shape)) for name, (node, _) in network.populations.items()}
        self.populations = list(self.neurons)
        self.network = network
        self._make_graph(network)
        self.start(network, part)

    def _make_graph(self, network: SpikingNetwork) -> None:
        # Given, since a graph for every size of batch would take seconds each.
        images = {node.image: tf.TensorSpec((None, *node.shape), self._ops.dtype) for node in network.encoders}
        seeds = {name: tf.TensorSpec((2,), tf.int32) for name in self._seeds(network)}
        coarse = {node.name: tf.TensorSpec((), tf.bool) for node in self._with_blocks()}
        first = tf.TensorSpec((), tf.int32)
        self._step = tf.function(self._graph, input_signature=[images, seeds, coarse, first], autograph=False)
        self._quick = None
        if (
            self._certify
            and self._segments
            and not network.noise
            and not self._references
            and all(each.by_construction for each in self._segments.values())
        ):
            quick = quick_step(self._nodes, self._segments, self._ops, self._keep, self._count)
            self._quick = _traced(tf.function(quick, input_signature=[images], autograph=False))
        else:
            self._step = _traced(self._step)

    def _with_blocks(self) -> list[Firing]:
        """Segments whose slack can be summed for blocks: a dense layer has no positions, of which to make them."""
        plain = {name for name, segment in self._segments.items() if segment.plain is not None}
        return [node for node in self._nodes.firing if node.name in plain and len(node.shape) == 3]

    def _seeds(self, network: SpikingNetwork) -> dict[str, int]:
        """By tensor whose spike times are disturbed, the seed of the noise."""
        seeds: dict[str, int] = {}
        if network.noise:
            seeds |= {node.name: node.seed for node in network.encoders}
            seeds |= {name: neurons.seed for name, (_, neurons) in network.populations.items()}
        of_segment = {node.name: node.reference_seed for node in network.firing}
        return seeds | {name: of_segment[node.name] for name, node in self._references.items()}

    def start(self, network: SpikingNetwork, part: int = 0) -> None:
        """Begin anew with the noise of `part`, and with `network`: the same with other perturbations."""
        with self.lock:
            if network is not self.network:
                before, self.network = self.network, network
                self._nodes, self._references = with_references(network)
                anew = {self._segments[node.name].update(node) for node in self._nodes.firing}
                # The graph holds how large the noise is.
                if True in anew or _noises(before) != _noises(network):
                    self._make_graph(network)
            self._states = {name: noise_state(seed, part) for name, seed in self._seeds(network).items()}
            self._batch = 0
            self._blocks = {node.name: Blocks() for node in self._with_blocks()}

    @property
    def rounding(self) -> dict[str, Rounding]:
        """What rounding can do to the values of each population."""
        return {name: each for segment in self._segments.values() for name, each in segment.rounding.items()}

    def __call__(self, images: Any) -> Outcome:
        """Run images (batch, *shape), or several inputs' by name or in order."""
        given = images_by_name(self.network, images)
        with self.lock:
            found = self._run({name: tf.constant(each, self._ops.dtype) for name, each in given.items()})
            self._batch += 1
            counts, sizes = found["counts"], found["sizes"]
            evidence = {name: evidence_of(counts[k], sizes[k]) for k, name in enumerate(self.populations)}
            self._learn(evidence)
        spikes = {name: int(each) for name, each in zip(self.populations, found["spikes"], strict=True)}
        units = found["units"].astype(np.int64)
        return Outcome(found["potentials"], evidence, spikes, found["leads"], found["early"], units)

    def _run(self, images: Mapping[str, Any]) -> dict[str, Any]:
        """The images by construction that this decides, the others event by event, from where it does not."""
        if self._quick is None:
            return self._walk(images, 0)
        quick = self._quick(images)
        first = quick["first"].numpy()
        open_ = first < len(self._segments)
        found = gathered(quick, ~open_, list(self.neurons.values()))
        if not open_.any():
            return found
        # Few networks need it.
        self._step = _traced(self._step)
        rest = self._walk({name: tf.boolean_mask(each, open_) for name, each in images.items()}, int(first.min()))
        for kind in ("potentials", "leads"):
            for name, values in found[kind].items():
                whole = np.empty((len(open_), *values.shape[1:]), values.dtype)
                whole[~open_], whole[open_] = values, rest[kind][name]
                found[kind][name] = whole
        early = np.zeros(len(open_), np.bool_)
        early[open_] = rest["early"]
        sizes = np.maximum(found["sizes"], rest["sizes"])
        sums = {key: found[key] + rest[key] for key in ("counts", "spikes", "units")}
        return found | {"sizes": sizes, "early": early, **sums}

    def _walk(self, images: Mapping[str, Any], first: int) -> dict[str, Any]:
        seeds = {name: tf.constant(batch_seed(state, self._batch)) for name, state in self._states.items()}
        coarse = {name: tf.constant(blocks.active) for name, blocks in self._blocks.items()}
        found = self._step(images, seeds, coarse, tf.constant(first))
        return {
            key: {name: each.numpy() for name, each in value.items()} if isinstance(value, dict) else value.numpy()
            for key, value in found.items()
        }

    def _learn(self, evidence: Mapping[str, Evidence]) -> None:
        for node in self._nodes.firing:
            if node.name in self._blocks:
                counted = [evidence[each.name] for each in node.populations]
                pairs = max(sum(each.pairs for each in counted), 1)
                self._blocks[node.name].learn(sum(each.binned + each.simulated for each in counted) / pairs)

    def _graph(self, images: Any, seeds: Any, coarse: Any, first: Any) -> dict[str, Any]:
        """The segments before number `first` by their closed forms, which are known to hold."""
        leads: dict[str, Any] = {}
        potentials: dict[str, Any] = {}
        counts: list[Any] = []
        sizes, spikes = [], []
        early = tf.zeros(tf.shape(next(iter(images.values())))[:1], tf.bool)
        for node in self._nodes:
            match node:
                case Encoder():
                    leads[node.name] = self._encode(node, images[node.image], seeds)
                case Earliest():
                    leads[node.name] = earliest(node, leads, self._ops)
                case Potential():
                    potentials[node.name] = read(node, leads, self._ops)
                case Firing():
                    for name in self._references.keys() & node.maps.keys() - leads.keys():
                        leads[name] = self._refer(name, leads, seeds[name])
                    fired = self._fire(self._segments[node.name], leads, coarse, len(counts) < first)
                    counts.append(fired.counts)
                    sizes.append(fired.sizes)
                    early |= fired.early
                    for place, neurons in enumerate(node.populations):
                        values, before_end = fired.leads[place], fired.counts[place, 1]
                        if neurons.name in seeds:
                            # Noise moves spikes across t_max after the layer has counted them.
                            values = disturb(values, self.network.noise, seeds[neurons.name])
                            before_end = tf.math.count_nonzero(values > 0)
                        leads[neurons.name] = values
                        spikes.append(before_end)
        return {
            "potentials": potentials,
            "counts": tf.concat(counts, 0) if counts else tf.zeros((0, COUNTS), tf.int64),
            "sizes": tf.concat(sizes, 0) if sizes else tf.zeros((0, 2), tf.float64),
            "spikes": tf.stack(spikes) if spikes else tf.zeros(0, tf.int64),
            "leads": {name: leads[name] for name in self._keep},
            "units": unit_spikes([leads[name] for name in self._count], tf.fill(tf.shape(early), True)),
            "early": early,
        }

    def _fire(self, segment: Prepared, leads: Mapping[str, Any], coarse: Any, known: Any) -> Fired:
        if not self._certify:
            return simulate(segment, leads)
        if self._quick is None:
            return fire(segment, leads, coarse.get(segment.node.name, False))
        return Fired(*tf.cond(known, lambda: closed_only(segment, leads), lambda: fire(segment, leads)))

    def _refer(self, name: str, leads: Mapping[str, Any], seed: Any) -> Any:
        count = tf.shape(next(iter(leads.values())))[0]
        noise = self.network.reference_noise
        return reference_leads(self._references[name], count, noise, seed, self._ops.dtype)

    def _encode(self, node: Encoder, images: Any, seeds: Any) -> Any:
        values = unit_range(images, node.low, node.high)
        if node.name not in seeds:
            return values
        # No pixel spikes before the images begin.
        return tf.minimum(disturb(values, self.network.noise, seeds[node.name]), 1.0)


def _traced(function: Any) -> Any:
    """Traced here, since TensorFlow warns of functions traced again where each network has its own; not where a user
    looks for a fault with TensorFlow's functions run eagerly."""
    if tf.config.functions_run_eagerly() or not hasattr(function, "get_concrete_function"):
        return function
    return function.get_concrete_function()


def images_by_name(network: SpikingNetwork, images: Any) -> dict[str, Any]:
    """The images of each encoder.

    Raises ValueError where there are more inputs than images, or others.
    """
    names = [node.image for node in network.encoders]
    if isinstance(images, Mapping):
        if set(images) != set(names):
            raise ValueError(f"images for the inputs {sorted(images)}: the network's are {names}")
        return {name: images[name] for name in names}
    if len(names) == 1:
        only = images[0] if isinstance(images, list | tuple) and len(images) == 1 else images
        return {names[0]: only}
    if not isinstance(images, list | tuple) or len(images) != len(names):
        raise ValueError(f"the network has the inputs {names}: give images for each of them, by name")
    return dict(zip(names, images, strict=True))


def _noises(network: SpikingNetwork) -> tuple[float, float]:
    return network.noise, network.reference_noise
