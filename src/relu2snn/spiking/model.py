"""The spiking network as a Keras model: predicted with, saved, loaded and summarised as any other."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from relu2snn.spiking.backend import view
from relu2snn.spiking.layers import PotentialReadout, SpikeEncoder, SpikePooling, SpikingLayer, SpikingNeurons
from relu2snn.spiking.mapped import (
    Part,
    assembled,
    check_outputs,
    describe_maps,
    describe_window,
    layers_of,
    nodes_of,
)
from relu2snn.spiking.nodes import (
    Earliest,
    Encoder,
    Firing,
    Potential,
    SpikingNetwork,
    SpikingNode,
    check_times,
    neurons_in,
)
from relu2snn.spiking.perturb import perturbed
from relu2snn.spiking.simulation import Simulation, images_by_name
from relu2snn.spiking.tables import aligned

_ENDS = {"sigmoid": tf.sigmoid, "tanh": tf.tanh}


@keras.saving.register_keras_serializable(package="relu2snn")
class SpikingModel(keras.Model):
    """A network of neurons that spike at most once: images in, the potentials of its read-outs out.

    A softmax (or log_softmax) at the end of the user's network is left out: what is read are the logits. A sigmoid or
    tanh is applied. `predict` is the exact simulation, of images that Keras rounds to float32 there; calling the model
    does not round. `relu2snn.spiking.SpikingRun` gives its evidence, too.

    Example:
        >>> spiking.windows
        {'conv': (1.0, 2.5), 'dense': (2.5, 4.0)}
        >>> spiking.predict(images, verbose=0).shape
        (20, 3)
        >>> spiking.save("spiking.keras")
        >>> keras.models.load_model("spiking.keras").latency
        4.0
    """

    @property
    def network(self) -> SpikingNetwork:
        """The network that is simulated, with the weights as they are now.

        Raises ValueError when the layers contradict each other.
        """
        layers = _spiking_layers(self)
        nodes = tuple(nodes_of(self, SpikingLayer))
        check_outputs(self, PotentialReadout)
        check_times(nodes)
        return SpikingNetwork(
            nodes,
            noise=max(layer.noise for layer in layers),
            precision=str(layers[0].compute_dtype),
            reference_noise=max(
                (each.reference_noise for each in layers if isinstance(each, SpikingNeurons)), default=0.0
            ),
        )

    @property
    def windows(self) -> dict[str, tuple[float, float]]:
        """[t_min, t_max] of every spiking layer, by name, in units of the input window."""
        return self.network.windows

    @property
    def layer_maxima(self) -> dict[str, float]:
        """The X of each spiking layer, by name, that its window was made from at conversion: B = (1 + ζ) X.

        Those of the published windows are the largest ReLU outputs, those of certified ones the largest bounds.
        """
        known = {name: each.maximum for name, (_, each) in self.network.populations.items()}
        return {name: each for name, each in known.items() if each is not None}

    @property
    def latency(self) -> float:
        """When the last output is read, in units of the input window."""
        return self.network.latency

    def simulation(self, **options: Any) -> Simulation:
        """The network made ready to be run, with the options of `Simulation`; its weights are not held twice."""
        network = self.network
        held = [tf.convert_to_tensor(each) for layer in _spiking_layers(self) for each in layer.weights]
        return Simulation(network, tensors=held, **options)

    def spike_times(self, images: Any, **options: Any) -> dict[str, Any]:
        """Absolute spike times of the encoders and of every spiking layer, by name, (batch, *shape).

        options: part and certify, as of `Simulation`.
        """
        spans = self.network.spans
        leads = self.simulation(keep=spans, **options)(images).leads
        return {name: end - leads[name] for name, (_, end) in spans.items()}

    def perturb(self, seed: int, *, alpha_noise: float = 0.0) -> None:
        """Draw the perturbations of `seed` in place of those it has; see `relu2snn.spiking.perturbed`.

        A SpikingRun that has begun goes on with those it began with, and takes these from its next start on.
        """
        for layer, node in zip(
            _spiking_layers(self), perturbed(self.network, seed, alpha_noise=alpha_noise), strict=True
        ):
            if isinstance(layer, SpikingNeurons) and isinstance(node, Firing):
                layer.perturb(node)
            elif isinstance(layer, SpikeEncoder) and isinstance(node, Encoder):
                layer.seed = node.seed

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        simulation = self._ready()
        network = simulation.network
        given = images_by_name(network, inputs)
        kind = tf.as_dtype(network.precision)
        if tf.executing_eagerly() and not any(isinstance(each, keras.KerasTensor) for each in given.values()):
            outputs = [tf.constant(each) for each in _potentials(simulation, given)]
        else:
            names, tensors = list(given), [tf.convert_to_tensor(each) for each in given.values()]
            outputs = tf.numpy_function(
                lambda *arrays: _potentials(self._ready(), dict(zip(names, arrays, strict=True))),
                tensors,
                [kind for _ in network.potentials],
            )
        for each, node in zip(outputs, network.potentials, strict=True):
            if not tf.executing_eagerly():
                each.set_shape((None, *node.shape))
        found = [
            _ENDS.get(node.activation, tf.identity)(each)
            for each, node in zip(outputs, network.potentials, strict=True)
        ]
        return found[0] if len(found) == 1 else found

    @property
    def run_eagerly(self) -> bool:
        """Always: the simulation is a graph of its own, with host code in between."""
        return True

    @run_eagerly.setter
    def run_eagerly(self, value: bool) -> None:
        pass

    def summary(self, *args: Any, **options: Any) -> None:
        """Print every layer with its neurons and its window, and the latency; arguments are those of Keras."""
        write = options.get("print_fn") or print
        rows = [("layer", "kind", "shape", "neurons", "t_min", "t_max")]
        network = self.network
        for node in network:
            start = getattr(node, "t_min", 0.0)
            end = "" if isinstance(node, Potential) else f"{node.t_max:.6g}"
            neurons = neurons_in(node.shape) * (len(node.populations) if isinstance(node, Firing) else 1)
            count = "" if isinstance(node, Earliest) else f"{neurons:,}"
            rows.append((node.name, _KINDS[type(node)], str(node.shape), count, f"{start:.6g}", end))
        lines = aligned(rows)
        total = sum(neurons_in(node.shape) * len(node.populations) for node in network.firing)
        head = f'Spiking network "{self.name}", times in units of the input window'
        foot = f"{total:,} neurons that spike at most once; latency {network.latency:.6g}; {network.precision}"
        write("\n".join([head, lines[0], "-" * max(map(len, lines)), *lines[1:], foot]))

    def _ready(self) -> Simulation:
        """The simulation of the network as it is now, made when that has changed."""
        cache, marks = self.__dict__.get("_cached"), _marks(self)
        if cache is None or cache.marks != marks:
            cache = _Cached(marks, self.simulation())
            self.__dict__["_cached"] = cache
        found: Simulation = cache.simulation
        return found

    def __getstate__(self) -> Any:
        return {key: value for key, value in super().__getstate__().items() if key != "_cached"}


class _Cached(NamedTuple):
    """A simulation and what the weights were when it was made; it holds their memory, so that marks stay theirs."""

    marks: Any
    simulation: Simulation


def _potentials(simulation: Simulation, images: Mapping[str, Any]) -> list[Any]:
    found = simulation({name: np.asarray(each) for name, each in images.items()}).potentials
    return [found[node.name] for node in simulation.network.potentials]


_KINDS = {Encoder: "encoder", Firing: "spiking", Earliest: "earliest spike", Potential: "read-out"}


def _marks(model: keras.Model) -> list[Any]:
    """What changes when weights, seeds or noise do: of weights where they lie, in memory that the simulation keeps."""
    layers = _spiking_layers(model)
    places = [view(each).ctypes.data for layer in layers for each in layer.weights]
    seeds = [layer.seed for layer in layers if isinstance(layer, SpikeEncoder)]
    firing = [layer for layer in layers if isinstance(layer, SpikingNeurons)]
    seeds += [each["seed"] for layer in firing for each in layer.populations]
    seeds += [layer.reference_seed for layer in firing]
    return [places, seeds, [layer.noise for layer in layers], [layer.reference_noise for layer in firing]]


def _spiking_layers(model: keras.Model) -> list[Any]:
    found = layers_of(model, SpikingLayer)
    for kind in (SpikeEncoder, PotentialReadout):
        if not any(isinstance(layer, kind) for layer in found):
            raise ValueError(f"model {model.name!r} is not a spiking network: it needs a {kind.__name__} layer")
    return found


def spiking_model(network: SpikingNetwork) -> SpikingModel:
    """A Keras model of a spiking network, which holds copies of its numbers in its precision."""
    parts = [_part(node, place, network) for place, node in enumerate(network)]
    model: SpikingModel = assembled(SpikingModel, parts, title="spiking_network")
    return model


def _part(node: SpikingNode, place: int, network: SpikingNetwork) -> Part:
    options: dict[str, Any] = {"name": node.name, "place": place, "sides": node.shape, "dtype": network.precision}
    match node:
        case Encoder():
            low, high = (np.asarray(each).tolist() for each in (node.low, node.high))
            return Part(SpikeEncoder(low, high, node.image, node.seed, noise=network.noise, **options), [])
        case Earliest():
            window, latest = describe_window(node.window), np.asarray(node.latest).tolist()
            return Part(SpikePooling(node.tensors, window, latest, node.t_min, node.t_max, **options), [])
        case Potential():
            maps, arrays = describe_maps(node.maps)
            times = {"t_start": node.t_min - node.before, "t_min": node.t_min}
            bias_map = node.bias.ndim > 1
            layer = PotentialReadout(maps, bias_map=bias_map, activation=node.activation, **times, **options)
            return Part(layer, [*arrays, np.broadcast_to(node.bias, node.shape if bias_map else node.shape[-1:])], True)
    maps, arrays = describe_maps(node.maps)
    populations = []
    for each in node.populations:
        populations.append(
            {
                "name": each.name,
                "sign": each.sign,
                "seed": each.seed,
                "threshold_map": each.threshold.ndim > 1,
                "maximum": each.maximum,
            }
        )
        arrays += [each.gain, each.total, each.threshold, each.drive, each.scale]
    span: Any = {"t_start": node.t_start, "t_min": node.t_min, "t_max": node.t_max}
    jitter: Any = {"reference_noise": network.reference_noise, "reference_seed": node.reference_seed}
    return Part(SpikingNeurons(maps, populations, noise=network.noise, **jitter, **span, **options), arrays)
