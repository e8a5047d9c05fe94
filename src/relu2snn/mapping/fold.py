"""Phase 1 on the parameters: fold the input range and every batch normalisation, scale the input weight sums.

Both follow one idea. Walking from the input to the output, each tensor is written as `scale * y + shift` of a
tensor y that the spiking network really carries; the next dense or convolutional layer absorbs scale and shift.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from relu2snn.mapping.network import (
    Affine,
    Array,
    Conv2D,
    Dense,
    Flatten,
    Input,
    Network,
    Node,
    Pool,
    ReLU,
    Shape,
    UnitRange,
    UnsupportedLayerError,
    Weighted,
)


def fold(network: Network) -> Network:
    """An equal network without batch normalisation, whose first node after the input brings it to [0, 1].

    A batch normalisation `κ x + β − μ κ` before a ReLU goes into the layer before it; one after a ReLU goes
    into the layer that follows, through pooling and flatten; a max pool turns into a min pool where κ < 0.
    A shift folded into a zero-padded convolution becomes a bias map (arXiv:2212.12522, and "bias maps").

    Raises UnsupportedLayerError where the order of the layers cannot be mapped.
    """
    return _Walk(network, None).run()


def scale(network: Network, lower: float = -10.0, upper: float = 0.99) -> Network:
    """An equal, folded network in which every hidden neuron's `S_i = Σ_j W_ij` lies in [lower, upper].

    Where S_i is outside, W_i and b_i are multiplied by bound / S_i and the outgoing weights divided by it:
    the ReLU is positively homogeneous, so the network's output stays. The output layer is not scaled.

    Raises ValueError unless lower < 0 < upper < 1, UnsupportedLayerError as `fold` does.
    """
    if not lower < 0 < upper < 1:
        raise ValueError(f"lower={lower}, upper={upper}: need lower < 0 < upper < 1")
    return _Walk(network, (lower, upper)).run()


def input_sums(layer: Weighted) -> Array:
    """S_i = Σ_j W_ij of each neuron (channel); in a convolution over the whole kernel. Shape (units,)."""
    return np.asarray(layer.kernel.sum(axis=tuple(range(layer.kernel.ndim - 1))))


@dataclass(frozen=True)
class _Carried:
    """A tensor as `scale * y + shift` of the output y of `node`; `linear` before a ReLU, where y may be negative."""

    node: str
    scale: Array
    shift: Array
    linear: bool = False


class _Walk:
    def __init__(self, network: Network, bounds: tuple[float, float] | None) -> None:
        self.old = network
        self.bounds = bounds
        self.new = Network({}, "")
        self.carried: dict[str, _Carried] = {}
        self.uses = Counter(name for node in network for name in node.inputs)

    def run(self) -> Network:
        for node in self.old:
            self.carried[node.name] = self.step(node)
        output = self.carried[self.old.output]
        if not output.linear:
            raise _refuse(self.old.nodes[self.old.output], "the network must end with a dense layer without a ReLU")
        self.new.output = output.node
        return self.new

    def step(self, node: Node) -> _Carried:
        if isinstance(node, Input):
            return self.enter(node)
        source = self.carried[node.inputs[0]]
        match node:
            case UnitRange():
                return _Carried(source.node, np.ones(node.shape[-1]), np.zeros(node.shape[-1]))
            case Affine():
                return self.normalise(node, source)
            case ReLU():
                return self.rectify(node, source)
        if source.linear:
            raise _refuse(node, "it stands between a layer and its ReLU: put it after the ReLU")
        match node:
            case Dense():
                kernel = _scaled(node.kernel, source.scale[:, None])
                return self.weigh(node, kernel, node.bias + source.shift @ node.kernel)
            case Conv2D():
                kernel = _scaled(node.kernel, source.scale[:, None])
                return self.weigh(node, kernel, _shifted_bias(node, source.shift, self.shape(node)))
            case Pool():
                return self.pool(node, source)
            case Flatten():
                shape = self.shape(node)
                self.put(node, source)
                return _Carried(node.name, _spread(source.scale, shape).ravel(), _spread(source.shift, shape).ravel())
        raise _refuse(node, "it cannot be mapped")

    def shape(self, node: Node) -> Shape:
        """The shape of the input of `node`."""
        return self.old.nodes[node.inputs[0]].shape

    def put(self, node: Node, source: _Carried | None, **changes: object) -> None:
        self.new.nodes[node.name] = node
        inputs = (source.node,) if source else ()
        self.new.replace(node.name, inputs=inputs, **changes)

    def enter(self, node: Input) -> _Carried:
        """The imaginary batch normalisation: x = (high − low) x' + low."""
        channels = np.ones(node.shape[-1])
        self.put(node, None)
        unit = UnitRange(f"{node.name}_unit_range", (node.name,), node.shape, node.low, node.high)
        self.new.nodes[unit.name] = unit
        return _Carried(unit.name, channels * (node.high - node.low), channels * node.low)

    def normalise(self, node: Affine, source: _Carried) -> _Carried:
        if not source.linear:
            return _Carried(source.node, node.scale * source.scale, node.scale * source.shift + node.shift)
        layer = self.new.nodes[source.node]
        assert isinstance(layer, Weighted)
        self.only_use(node)
        self.new.replace(layer.name, kernel=layer.kernel * node.scale, bias=layer.bias * node.scale + node.shift)
        return source

    def rectify(self, node: ReLU, source: _Carried) -> _Carried:
        if not source.linear:
            if (source.scale < 0).any() or source.shift.any():
                raise _refuse(node, "there is no dense or convolutional layer between it and the ReLU before")
            return source
        layer = self.new.nodes[source.node]
        assert isinstance(layer, Weighted)
        self.only_use(node)
        factor = np.ones(node.shape[-1])
        if self.bounds:
            sums = input_sums(layer)
            outside = (sums < self.bounds[0]) | (sums > self.bounds[1])
            factor[outside] = np.where(sums < 0, *self.bounds)[outside] / sums[outside]
            self.new.replace(layer.name, kernel=_scaled(layer.kernel, factor), bias=layer.bias * factor)
        self.put(node, source)
        return _Carried(node.name, 1.0 / factor, np.zeros_like(factor))

    def weigh(self, node: Weighted, kernel: Array, bias: Array) -> _Carried:
        self.put(node, self.carried[node.inputs[0]], kernel=kernel, bias=bias)
        ones = np.ones(node.shape[-1])
        return _Carried(node.name, ones, np.zeros_like(ones), linear=True)

    def pool(self, node: Pool, source: _Carried) -> _Carried:
        if source.shift.ndim > 1:
            raise _refuse(node, "the shift before it depends on the position: put the normalisation after the pool")
        self.put(node, source, minimum=node.minimum ^ (source.scale < 0))
        return _Carried(node.name, source.scale, source.shift)

    def only_use(self, node: Node) -> None:
        """A layer that is about to be changed for `node` must feed nothing else."""
        if self.uses[node.inputs[0]] > 1:
            raise _refuse(self.old.nodes[node.inputs[0]], "its output before the ReLU is used more than once")


def _scaled(kernel: Array, factor: Array) -> Array:
    """kernel * factor; a large kernel is not copied for nothing."""
    return kernel if (factor == 1).all() else kernel * factor


def _shifted_bias(node: Conv2D, shift: Array, shape: Shape) -> Array:
    """bias[h, w, f] = b_f + conv(shift image, W, the layer's padding)[h, w, f]; (filters,) if constant."""
    if not shift.any():
        return node.bias
    if node.padding == "valid" and shift.ndim == 1:
        return np.asarray(node.bias + np.tensordot(shift, node.kernel.sum(axis=(0, 1)), 1))
    image = tf.constant(_spread(shift, shape)[None])
    response = tf.nn.convolution(
        image, tf.constant(node.kernel), node.strides, node.padding.upper(), dilations=node.dilation
    )
    return np.asarray(node.bias + response[0].numpy())


def _spread(values: Array, shape: Shape) -> Array:
    return np.ascontiguousarray(np.broadcast_to(values, shape))


def _refuse(node: Node, reason: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(f"layer {node.name!r} ({type(node).__name__}): {reason}")
