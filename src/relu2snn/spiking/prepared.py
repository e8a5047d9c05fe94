"""A segment made ready to be fired: its maps as TensorFlow's operations, and what the certificate needs of them."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import tensorflow as tf

from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import Shape
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Chain
from relu2snn.spiking.backend import TensorFlowOps
from relu2snn.spiking.certificate import Constants, derive, negative_kernel, sums_of
from relu2snn.spiking.nodes import Firing
from relu2snn.spiking.rounding import Rounding
from relu2snn.spiking.synapses import Fields, Synapses, fields_of


class Plain:
    """One convolution of images, or one dense layer, from a single tensor: its slack runs in `slack_type`.

    There M, the largest input, is that of the receptive fields around, and slacks can be summed for blocks.
    inputs: the shape to give the tensor first.
    """

    def __init__(self, map_: Convolution, ops: TensorFlowOps) -> None:
        self._map, self._ops = map_, ops
        self.inputs = map_.inputs
        window, flat = map_.window, not map_.window.rank
        self.margins: Any = ((0, 0), (0, 0)) if flat else window.margins
        self.extents: Any = (1, 1) if flat else window.extents
        self.strides: Any = (1, 1) if flat else window.strides
        self._negative: dict[int, Any] = {}

    def slack(self, gap: Any, sign: int, step: int) -> Any:
        """Σ L⁻ g of sign · L at every `step`-th position of either axis, for g (batch, …) that is padded already."""
        if sign not in self._negative:
            with tf.init_scope():
                self._negative[sign] = negative_kernel(self._ops.constant(self._map.kernel), sign)
        kernel = self._negative[sign]
        if not self._map.window.rank:
            return tf.matmul(gap, kernel)
        strides = [step * stride for stride in self.strides]
        return tf.nn.conv2d(gap, kernel, strides, "VALID", dilations=self._map.window.dilation)


def plain_of(node: Firing, ops: TensorFlowOps) -> Plain | None:
    """The segment as one plain convolution or dense layer; None if it is none."""
    if len(node.maps) != 1:
        return None
    map_ = next(iter(node.maps.values()))
    if isinstance(map_, Chain) and map_.begins_with_reshape:
        map_ = map_.second
    if not isinstance(map_, Convolution) or map_.groups > 1 or map_.window.rank not in (0, 2):
        return None
    window = map_.window
    if any(step > 1 for step in window.spread) or any(side < 0 for margin in window.margins for side in margin):
        return None
    if max(window.strides, default=1) > 1 and max(window.dilation, default=1) > 1:
        return None
    return Plain(map_, ops)


class Prepared:
    """One segment, ready to be fired batch by batch; holds nothing of what it fires.

    Attributes: node; plain, if it is a plain convolution; signs, of its populations; constants and synapses of each
    population, in order; rounding, by population; roundings (populations,), the largest of the constants of each, as a
    tensor; by_construction, whether no potential can fall before t_min. `update`
    gives it other drives in the same graph.
    """

    def __init__(self, node: Firing, shapes: Mapping[str, Shape], ops: TensorFlowOps) -> None:
        self._ops, self._shapes = ops, {name: shapes[name] for name in node.maps}
        self.plain = plain_of(node, ops)
        self.signs = sorted({each.sign for each in node.populations}, reverse=True)
        self._sums = sums_of(node)
        self._scaled = self.by_construction = False
        self._factors: list[Any] = []
        self._offsets: list[Any] = []
        self.update(node)

    def update(self, node: Firing) -> bool:
        """Take the same segment with other drives or thresholds; returns whether the graph has to be made anew."""
        self.node = node
        precision = self._ops.dtype.name
        padded = self.plain is not None
        self.constants: list[Constants] = [
            derive(node, each, self._sums, precision=precision, padded=padded) for each in node.populations
        ]
        self.synapses = [Synapses(node, each, self._shapes, lambda: self.fields) for each in node.populations]
        self.rounding = {
            each.name: Rounding.of(node, each, self._sums, precision=precision) for each in node.populations
        }
        scaled = any((c.factor != n.sign).any() for c, n in zip(self.constants, node.populations, strict=True))
        dtype = self._ops.dtype
        if not self._offsets:
            self._factors = [tf.Variable(each.factor, dtype=dtype) for each in self.constants]
            self._offsets = [tf.Variable(each.offset, dtype=dtype) for each in self.constants]
            self.roundings = tf.Variable(tf.zeros(len(node.populations), tf.float64))
        self.roundings.assign([float(each.rounding.max()) for each in self.constants])
        for factor, offset, each in zip(self._factors, self._offsets, self.constants, strict=True):
            factor.assign(tf.cast(each.factor, dtype))
            offset.assign(tf.cast(each.offset, dtype))
        before, self.by_construction = self.by_construction, all(each.constructed.all() for each in self.constants)
        anew = (scaled and not self._scaled) or before != self.by_construction
        self._scaled = self._scaled or scaled
        return anew

    @cached_property
    def fields(self) -> list[Fields] | None:
        """Receptive fields of the segment, where they are runs; of its maps only, whatever the drives."""
        return fields_of(self.node, self._shapes)

    @cached_property
    def _negative(self) -> dict[int, dict[str, LinearMap]]:
        return {sign: _parts(self.node, sign) for sign in self.signs}

    @cached_property
    def _slack_ops(self) -> TensorFlowOps:
        return TensorFlowOps(tf.float32)

    def closed(self, leads: Mapping[str, Any]) -> list[Any]:
        """The leads of each population if nothing crosses before its inputs are there: relu(factor · L x + offset).

        Units whose potential does not rise in the end get B or 0, which nobody may take for their spike.
        """
        z = self._ops.total(self.node.maps, leads)
        found = []
        for neurons, factor, offset in zip(self.node.populations, self._factors, self._offsets, strict=True):
            own = z if neurons.sign > 0 else -z
            part = z * factor if self._scaled else own
            if offset.shape.rank == 1:
                # What TensorFlow fuses with the convolution is the addition by this name.
                found.append(tf.nn.relu(tf.nn.bias_add(part, offset)))
            else:
                found.append(tf.nn.relu(part + offset))
        return found

    def slack(self, gaps: Mapping[str, Any], sign: int, shape: Any) -> Any:
        """Σ L⁻ g of sign · L over all tensors, in float32; zeros of `shape` where no weight is negative."""
        maps = self._negative[sign]
        return self._slack_ops.total(maps, gaps) if maps else tf.zeros(shape, tf.float32)


def _parts(node: Firing, sign: int) -> dict[str, LinearMap]:
    """Maps whose entries are at least the negative part of sign · L."""
    parts = {name: map_.part(-sign) for name, map_ in node.maps.items()}
    return {name: part for name, part in parts.items() if part is not None}
