"""Keras' layers with numbers of their own: each an affine map of what it is given."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from relu2snn.graph.convolution import Convolution, dense
from relu2snn.graph.geometry import Shape, Window, same_margins
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Diagonal
from relu2snn.graph.nodes import Array
from relu2snn.mapping.form import Form
from relu2snn.mapping.forms import Builder
from relu2snn.mapping.keras_activations import Tensor, activated
from relu2snn.mapping.keras_values import bias, per_axis, values, window_of
from relu2snn.mapping.unsupported import refuse


def _weighted(builder: Builder, layer: Any, form: Form, map_: LinearMap) -> Tensor:
    form = builder.affine(form, map_, bias(layer), layer.name)
    return activated(builder, layer, form, layer.activation)


def _dense(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    return _weighted(builder, layer, forms[0], dense(forms[0].shape, values(layer, "kernel")))


def _conv(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    shape = forms[0].shape
    window = window_of(layer, layer.kernel_size, shape)
    return _weighted(builder, layer, forms[0], Convolution(shape, values(layer, "kernel"), window, groups=layer.groups))


def _channelwise(layer: Any, kernel: str, shape: Shape) -> Convolution:
    """Each channel by itself; the kernel is (*sizes, channels, multiplier)."""
    window = window_of(layer, layer.kernel_size, shape)
    return Convolution(shape, values(layer, kernel).reshape(*window.sizes, 1, -1), window, groups=shape[-1])


def _depthwise(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    return _weighted(builder, layer, forms[0], _channelwise(layer, "kernel", forms[0].shape))


def _separable(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    first = _channelwise(layer, "depthwise_kernel", forms[0].shape)
    pointwise = values(layer, "pointwise_kernel")
    second = dense(first.outputs, pointwise.reshape(pointwise.shape[-2:]))
    return _weighted(builder, layer, builder.affine(forms[0], first), second)


def _transposed(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    kernel, shape = values(layer, "kernel"), forms[0].shape
    sides = layer.compute_output_shape((None, *shape))[1:-1]
    back = Window.of(
        layer.kernel_size,
        strides=per_axis(layer.strides, len(sides)),
        dilation=per_axis(layer.dilation_rate, len(sides)),
    )
    # It is the transpose of the convolution that makes this input of its output.
    before = [margin[0] for margin in same_margins(sides, back)] if layer.padding == "same" else [0] * len(sides)
    margins = tuple(
        (extent - 1 - first, side + extent - 2 - (inner - 1) * stride - (extent - 1 - first))
        for extent, first, side, inner, stride in zip(
            back.extents, before, sides, shape[:-1], back.strides, strict=True
        )
    )
    window = Window.of(layer.kernel_size, dilation=back.dilation, margins=margins, spread=back.strides)
    turned = np.flip(kernel, tuple(range(len(sides)))).swapaxes(-1, -2)
    return _weighted(builder, layer, forms[0], Convolution(shape, turned, window))


def _batch_norm(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    variance = values(layer, "moving_variance") + layer.epsilon
    if not (variance > 0).all():
        raise refuse(layer, f"moving_variance + epsilon is {variance.min()}", "it must be above 0")
    scale = 1.0 / np.sqrt(variance)
    if layer.scale:
        scale = scale * values(layer, "gamma")
    shift = -values(layer, "moving_mean") * scale
    if layer.center:
        shift = shift + values(layer, "beta")
    axis = layer.axis[0] if isinstance(layer.axis, list | tuple) else layer.axis
    return _along(builder, forms[0], scale, shift, axis)


def _along(builder: Builder, form: Form, scale: Array, shift: Array, axis: int) -> Form:
    """scale u + shift, each (n,) along an axis, which counts the batch."""
    rank = len(form.shape)
    if axis % (rank + 1) == rank:
        return builder.affine(form, Diagonal(form.shape, scale), shift)
    place = [1] * rank
    place[axis % (rank + 1) - 1] = -1
    wide = [np.broadcast_to(each.reshape(place), form.shape) for each in (scale, shift)]
    return builder.affine(form, Diagonal(form.shape, wide[0]), wide[1])


def _normalization(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    shape = forms[0].shape
    mean, variance = (np.broadcast_to(values(layer, name)[0], shape) for name in ("mean", "variance"))
    if (variance < 0).any():
        raise refuse(layer, f"weight 'variance' is {variance.min()}", "it must be at least 0")
    deviation = np.maximum(np.sqrt(variance), keras.backend.epsilon())
    if layer.invert:
        return builder.affine(forms[0], Diagonal(shape, deviation), mean)
    return builder.affine(forms[0], Diagonal(shape, 1 / deviation), -mean / deviation)


def _rescaling(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    # Keras takes these constants as float32, so that is what the network was trained with.
    scale, offset = (np.asarray(np.float32(getattr(layer, name)), np.float64) for name in ("scale", "offset"))
    for name, value in (("scale", scale), ("offset", offset)):
        if not np.isfinite(value).all():
            raise refuse(layer, f"{name} is {value.tolist()}", "it must be a finite number")
    return builder.affine(forms[0], Diagonal(forms[0].shape, scale), offset)


WEIGHTED: Mapping[type, Any] = {
    layers.Dense: _dense,
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D), _conv),
    **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _depthwise),
    **dict.fromkeys((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
    **dict.fromkeys((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _transposed),
    layers.BatchNormalization: _batch_norm,
    layers.Normalization: _normalization,
    layers.Rescaling: _rescaling,
}

CASTING = (layers.Dense, layers.Normalization, layers.Rescaling)
"""Layers that make floating point of whatever numbers they are given; others compute, and overflow, in theirs."""
