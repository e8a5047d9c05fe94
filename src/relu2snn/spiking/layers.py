"""The parts of a spiking network as Keras layers: what a file holds, and what a model lists.

Between layers flow *leads*: how long before the end of its window a neuron spiked, `t_max − t`. A lead of 0 is a spike
at t_max; the lead of a neuron that did not spike early is the value of the ReLU it stands for. Layers hold numbers and
nothing about any run; each gives its node, which is what is simulated.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from relu2snn.spiking.backend import TensorFlowOps, unit_range, view
from relu2snn.spiking.between import earliest, read
from relu2snn.spiking.checks import finite, increasing, name, natural
from relu2snn.spiking.engine import fire
from relu2snn.spiking.mapped import (
    MappedLayer,
    checked_items,
    checked_maps,
    checked_ranges,
    checked_window,
    describe_window,
)
from relu2snn.spiking.nodes import Earliest, Encoder, Firing, Neurons, Potential, SpikingNode, inputs_of
from relu2snn.spiking.noise import batch_seed, disturb, noise_state
from relu2snn.spiking.prepared import Prepared

_NEURONS = ("gain", "total", "threshold", "drive", "scale")


class SpikingLayer(MappedLayer):
    """A layer that holds a node of a spiking network.

    noise: standard deviation of its spike times. As an ordinary Keras layer it draws anew in every call.
    """

    def __init__(self, noise: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.noise = finite("noise", noise)
        if self.noise < 0:
            raise ValueError(f"noise={noise}: must not be negative")
        self._calls = 0
        # The events are simulated outside the graph, which XLA cannot compile.
        self.supports_jit = False

    def node(self) -> SpikingNode:
        """The node as it is now; its arrays are views of the layer's weights."""
        raise NotImplementedError

    def call(self, *leads: Any) -> Any:
        given = keras.tree.flatten(leads)
        kinds = [self.compute_dtype for _ in self.tensors_out()]
        found = tf.numpy_function(lambda *arrays: self._host(arrays), given, [tf.as_dtype(kind) for kind in kinds])
        # TensorFlow gives one result by itself, outside of graphs.
        several = found if isinstance(found, list | tuple) else [found]
        for each in several:
            each.set_shape((None, *self.sides))
        return several[0] if len(several) == 1 else several

    def _host(self, arrays: Sequence[Any]) -> list[Any]:
        node = self.node()
        ops = TensorFlowOps(self.compute_dtype)
        leads = {each: tf.constant(array, ops.dtype) for each, array in zip(inputs_of(node), arrays, strict=False)}
        match node:
            case Encoder():
                found = [unit_range(tf.constant(arrays[0], ops.dtype), node.low, node.high)]
                seeds = [node.seed]
            case Earliest():
                return [np.asarray(earliest(node, leads, ops))]
            case Potential():
                return [np.asarray(read(node, leads, ops))]
            case Firing():
                shapes = {each: tuple(value.shape[1:]) for each, value in leads.items()}
                found = fire(Prepared(node, shapes, ops), leads).leads
                seeds = [each.seed for each in node.populations]
        if self.noise:
            states = [batch_seed(noise_state(seed, 0), self._calls) for seed in seeds]
            found = [disturb(each, self.noise, state) for each, state in zip(found, states, strict=True)]
            if isinstance(node, Encoder):
                found = [tf.minimum(each, 1.0) for each in found]
        self._calls += 1
        return [np.asarray(each) for each in found]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "noise": self.noise}


@keras.saving.register_keras_serializable(package="relu2snn")
class SpikeEncoder(SpikingLayer):
    """Images as spike times: a pixel x in [low, high], brought to x' in [0, 1], spikes at t = 1 − x'.

    Its window is [0, 1]. With noise, times are clipped at 0 from below. Input images (batch, *sides), output leads
    1 − t, of the same shape. low and high: numbers, or one for each channel; image: the name of the network's input.
    """

    def __init__(self, low: Any, high: Any, image: str, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.low, self.high = checked_ranges(low, high, self.sides[-1])
        self.image, self.seed = name("image", image), natural("seed", seed, least=0)

    def node(self) -> Encoder:
        low, high = np.asarray(self.low, np.float64), np.asarray(self.high, np.float64)
        return Encoder(self.name, self.sides, low, high, self.image, self.seed)

    def get_config(self) -> dict[str, Any]:
        own = {"low": self.low, "high": self.high, "image": self.image, "seed": self.seed}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="relu2snn")
class SpikingNeurons(SpikingLayer):
    """Populations of neurons with potential dV/dt = α H(t − t_start) + Σ_j J_ij H(t − t_j), that spike where V first
    reaches ϑ_i, and at t_max at the latest.

    t_start is when the longest of the inputs' windows would have begun, t_min when the last of them ends and the
    neurons' own begins, t_max the end of that; times are absolute. maps: by tensor the
    description of its map L; J = gain · L. populations: name, sign, seed of each, and the layer maximum that its window
    was made from; reference_noise and reference_seed: of the jitter of its reference neuron, which only the simulation
    of the whole model has; its weights are gain, total Σ_j J_ij, threshold ϑ, drive α, and scale, what a lead has to be
    divided by to be a value of the user's network.
    """

    def __init__(
        self,
        maps: Sequence[Mapping[str, Any]],
        populations: Sequence[Mapping[str, Any]],
        t_start: float,
        t_min: float,
        t_max: float,
        reference_noise: float = 0.0,
        reference_seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.reference_noise = finite("reference_noise", reference_noise)
        if self.reference_noise < 0:
            raise ValueError(f"reference_noise={reference_noise}: must not be negative")
        self.reference_seed = natural("reference_seed", reference_seed, least=0)
        self.maps = checked_maps(maps)
        self.populations: list[dict[str, Any]] = [
            {
                "name": name("population", each.get("name")),
                "sign": -1 if each.get("sign") == -1 else 1,
                "seed": natural("seed", each.get("seed", 0), least=0),
                "threshold_map": bool(each.get("threshold_map", False)),
                "maximum": None if each.get("maximum") is None else finite("maximum", each["maximum"]),
            }
            for each in checked_items("populations", populations)
        ]
        self.t_start, self.t_min, self.t_max = increasing(t_start=t_start, t_min=t_min, t_max=t_max)

    def build(self, *_: Any) -> None:
        self.add_maps(self.maps)
        self._neurons = []
        for number, each in enumerate(self.populations):
            suffix = f"_{number}" if number else ""
            sides = dict.fromkeys(_NEURONS, self.sides[-1:])
            if each["threshold_map"]:
                sides["threshold"] = self.sides
            self._neurons.append({key: self.add(f"{key}{suffix}", sides[key]) for key in _NEURONS})
        self.built = True

    def tensors_out(self) -> list[str]:
        return [each["name"] for each in self.populations]

    def node(self) -> Firing:
        populations = tuple(
            Neurons(
                each["name"],
                sign=each["sign"],
                seed=each["seed"],
                maximum=each["maximum"],
                **{key: view(weight) for key, weight in weights.items()},
            )
            for each, weights in zip(self.populations, self._neurons, strict=True)
        )
        maps = self.maps_now(self.maps)
        before, window = self.t_min - self.t_start, self.t_max - self.t_min
        return Firing(self.name, self.sides, maps, populations, before, window, self.t_min, self.reference_seed)

    def perturb(self, node: Firing) -> None:
        """Take the drives and the seeds of a node."""
        self.reference_seed = node.reference_seed
        for each, weights, neurons in zip(self.populations, self._neurons, node.populations, strict=True):
            each["seed"] = neurons.seed
            weights["drive"].assign(neurons.drive)

    def get_config(self) -> dict[str, Any]:
        own: dict[str, Any] = {"maps": self.maps, "populations": self.populations}
        own |= {"reference_noise": self.reference_noise, "reference_seed": self.reference_seed}
        times = {"t_start": self.t_start, "t_min": self.t_min, "t_max": self.t_max}
        return {**super().get_config(), **own, **times}


@keras.saving.register_keras_serializable(package="relu2snn")
class SpikePooling(SpikingLayer):
    """The earliest spike of each pool (max pooling of the values), the latest in channels where `latest`.

    Over every tensor of `tensors`, under each place of the window; padding never wins.
    """

    def __init__(
        self,
        tensors: Sequence[str],
        window: Mapping[str, Any],
        latest: Sequence[bool],
        t_min: float,
        t_max: float,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tensors = [name("tensor", each) for each in tensors]
        self.window = checked_window(window)
        self.latest = [bool(flag) for flag in latest]
        self.t_min, self.t_max = increasing(t_min=t_min, t_max=t_max)
        if len(self.latest) != self.sides[-1]:
            raise ValueError(f"latest for {len(self.latest)} channels, but there are {self.sides[-1]}")

    def tensors_in(self) -> list[str]:
        return list(self.tensors)

    def node(self) -> Earliest:
        return Earliest(
            self.name, self.sides, tuple(self.tensors), self.window, np.array(self.latest), self.t_min, self.t_max
        )

    def get_config(self) -> dict[str, Any]:
        own = {"tensors": self.tensors, "window": describe_window(self.window), "latest": self.latest}
        return {**super().get_config(), **own, "t_min": self.t_min, "t_max": self.t_max}


@keras.saving.register_keras_serializable(package="relu2snn")
class PotentialReadout(SpikingLayer):
    """Output neurons, which do not spike: their potential at the end t_min of their inputs' windows is read.

    V_i(t_min) = α_i (t_min − t_start) + Σ_{t_j ≤ t_min} W_ij (t_min − t_j), with drive α_i = b_i / (t_min − t_start);
    weights are the maps' W and the bias b. Times are absolute; t_min is the latency of this output. activation: what
    the user's network applies to it.
    """

    def __init__(
        self,
        maps: Sequence[Mapping[str, Any]],
        t_start: float,
        t_min: float,
        bias_map: bool = False,
        activation: str = "linear",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.maps = checked_maps(maps)
        self.t_start, self.t_min = increasing(t_start=t_start, t_min=t_min)
        self.bias_map, self.activation = bool(bias_map), name("activation", activation)

    def build(self, *_: Any) -> None:
        self.add_maps(self.maps)
        self.bias = self.add("bias", self.sides if self.bias_map else self.sides[-1:])
        self.built = True

    def node(self) -> Potential:
        return Potential(
            self.name, self.sides, self.maps_now(self.maps), view(self.bias), self.t_min - self.t_start, self.t_min,
            self.activation,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        own = {"maps": self.maps, "bias_map": self.bias_map, "activation": self.activation}
        return {**super().get_config(), **own, "t_start": self.t_start, "t_min": self.t_min}
