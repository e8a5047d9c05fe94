"""Phase 2: the spiking network of a preprocessed ReLU network (arXiv:2212.12522)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from relu2snn.mapping.fold import input_sums
from relu2snn.mapping.network import Conv2D, Dense, Flatten, Input, Network, Node, Pool, ReLU, UnitRange, Weighted
from relu2snn.mapping.write import pooling_layer
from relu2snn.spiking.layers import PotentialReadout, SpikeEncoder, SpikingConv2D, SpikingDense
from relu2snn.spiking.perturb import perturb


def to_spiking(
    network: Network,
    layer_maxima: Sequence[float],
    zeta: float = 0.5,
    noise: float = 0.0,
    alpha_noise: float = 0.0,
    seed: int = 0,
    precision: str = "float64",
) -> keras.Model:
    """The spiking network of a folded and scaled Network, as a Keras model: images in, logits out.

    Each layer's window starts where that of the layer before ends, `t_min^(n) = t_max^(n−1)`, and lasts
    `B^(n) = (1 + ζ) X^(n)`; the input window is [0, 1]. With α = 1

        J_ij = W_ij / (1 − S_i),   ϑ_i = (t_max^(n) − t_min^(n−1)) + B^(n) Σ_j J_ij − (1 + Σ_j J_ij) b_i.

    layer_maxima: X^(n) of each hidden layer. noise: standard deviation of the Gaussian noise on every spike
    time. alpha_noise: that of the noise on α, drawn once per hidden neuron (per channel in a convolution) and
    present in the dynamics only. precision: "float64" or "float32", of the network's weights and times. A
    layer that was never active (X = 0) gets the window of X = 1.

    Raises ValueError for a zeta ≤ −1 or not finite, an S_i ≥ 1, a wrong number of maxima or a negative or non-finite
    one, weights that are not finite, and windows or thresholds too large for the numbers of `precision`.
    """
    hidden = network.hidden()
    maxima = [float(value) for value in layer_maxima]
    if not -1 < zeta < np.inf:
        raise ValueError(f"zeta={zeta}: must be finite and greater than -1, or windows would have no length")
    for name, value in (("noise", noise), ("alpha_noise", alpha_noise)):
        if not 0 <= value < np.inf:
            raise ValueError(f"{name}={value}: must be finite and at least 0")
    if len(maxima) != len(hidden):
        raise ValueError(f"{len(maxima)} layer maxima for {len(hidden)} hidden layers")
    for layer, value in zip(hidden, maxima, strict=True):
        if not 0 <= value < np.inf:
            raise ValueError(f"layer maximum {value} of {layer.name!r}: must be finite and at least 0")
    builder = _Builder(network, noise, precision)
    lengths = iter([(1 + zeta) * (value or 1.0) for value in maxima])
    _check_times(hidden, maxima, zeta)
    for node in network:
        builder.add(node, lengths)
    inputs = next(builder.tensors[node.name] for node in network if isinstance(node, Input))
    spiking = keras.Model(inputs, builder.tensors[network.output], name="spiking_network")
    perturb(spiking, seed, alpha_noise)
    return spiking


def _check_times(hidden: Sequence[Weighted], maxima: Sequence[float], zeta: float) -> None:
    """Every window must end after it starts, in the numbers that there are."""
    end = 1.0
    for layer, value in zip(hidden, maxima, strict=True):
        start, end = end, end + (1 + zeta) * (value or 1.0)
        if not start < end < np.inf:
            raise ValueError(
                f"layer {layer.name!r}: zeta={zeta} and layer maximum {value} give it a window from {start} to {end}, "
                "which has no length or no end in float64; use a smaller zeta"
            )


class _Builder:
    def __init__(self, network: Network, noise: float, precision: str) -> None:
        self.network = network
        self.rectified = {node.inputs[0]: node.name for node in network if isinstance(node, ReLU)}
        self.noise, self.precision = noise, precision
        self.tensors: dict[str, Any] = {}
        # The window [t_min, t_max] in which the spikes of a tensor fall.
        self.windows: dict[str, tuple[float, float]] = {}

    def add(self, node: Node, lengths: Any) -> None:
        source = node.inputs[0] if node.inputs else ""
        match node:
            case Input():
                self.tensors[node.name] = keras.Input(node.shape, name=node.name, dtype=self.precision)
            case UnitRange():
                encoder = SpikeEncoder(node.low, node.high, name="encoder", **self.noisy())
                self.put(node.name, encoder(self.tensors[source]), (0.0, 1.0))
            case Dense() | Conv2D() if node.name in self.rectified:
                self.spiking(node, source, next(lengths))
            case Dense():
                self.readout(node, source)
            case Conv2D():
                raise ValueError(
                    f"output layer {node.name!r} is a convolution: the network must end with a dense layer"
                )
            case ReLU():
                self.put(node.name, self.tensors[source], self.windows[source])
            case Pool():
                self.put(node.name, pooling_layer(node, self.precision)(self.tensors[source]), self.windows[source])
            case Flatten():
                flatten = keras.layers.Flatten(name=node.name, dtype=self.precision)
                self.put(node.name, flatten(self.tensors[source]), self.windows[source])
            case _:
                raise ValueError(f"node {node.name!r} ({type(node).__name__}): fold the network before converting it")

    def check(self, node: Weighted, **values: Any) -> None:
        """Refuse numbers that `precision` cannot hold: NaN, infinity, or what becomes infinity there."""
        for name, value in values.items():
            with np.errstate(over="ignore"):
                if np.isfinite(np.asarray(value, self.precision)).all():
                    continue
            raise ValueError(f"layer {node.name!r}: {name} has numbers that are not finite in {self.precision}")

    def put(self, name: str, tensor: Any, window: tuple[float, float]) -> None:
        self.tensors[name], self.windows[name] = tensor, window

    def noisy(self) -> dict[str, Any]:
        """Options of a layer whose spike times are disturbed; `perturb` draws its seed."""
        return {"noise": self.noise, "dtype": self.precision}

    def spiking(self, node: Weighted, source: str, length: float) -> None:
        start, end = self.windows[source]
        self.check(node, kernel=node.kernel, bias=node.bias)
        sums = input_sums(node)
        if (sums >= 1).any():
            worst = float(sums.max())
            raise ValueError(f"layer {node.name!r}: S_i = {worst} must be less than 1; scale the network first")
        weights = node.kernel / (1 - sums)
        weight_sums = weights.sum(axis=tuple(range(weights.ndim - 1)))
        threshold = (end - start + length) + length * weight_sums - (1 + weight_sums) * node.bias
        self.check(node, **{"kernel J": weights, "threshold": threshold})
        times = {"t_start": start, "t_min": end, "t_max": end + length, "name": node.name, **self.noisy()}
        if isinstance(node, Dense):
            layer: Any = SpikingDense(node.shape[-1], **times)
        else:
            layer = SpikingConv2D(
                node.shape[-1],
                node.kernel.shape[:2],
                strides=node.strides,
                padding=node.padding,
                dilation=node.dilation,
                threshold_map=node.bias.ndim > 1,
                **times,
            )
        self.put(node.name, layer(self.tensors[source]), (end, end + length))
        layer.set_weights([weights, threshold, np.ones(node.shape[-1])])

    def readout(self, node: Dense, source: str) -> None:
        start, end = self.windows[source]
        drive = node.bias / (end - start)
        self.check(node, kernel=node.kernel, bias=node.bias, drive=drive)
        layer = PotentialReadout(node.shape[-1], t_start=start, t_min=end, name=node.name, dtype=self.precision)
        self.put(node.name, layer(self.tensors[source]), (start, end))
        layer.set_weights([node.kernel, drive])
