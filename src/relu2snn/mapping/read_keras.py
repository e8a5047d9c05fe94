"""Reading a Keras model into a network of segments: every layer by its type, never by its name or position.

The only place that knows Keras' layers and their private fields.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from relu2snn.graph.convolution import Convolution, average_pool, dense
from relu2snn.graph.geometry import Shape, Window, same_margins
from relu2snn.graph.linear import Diagonal, Selection, Shift
from relu2snn.graph.nodes import Network
from relu2snn.mapping.activations import ENDS, LINEAR, Sum, function_name, leaky, relu
from relu2snn.mapping.forms import Array, Builder, Form


class UnsupportedLayerError(ValueError):
    """A layer that cannot be mapped: the text names the layer, its type, the reason and the way out."""


class _Ended(NamedTuple):
    """A form after an activation that may only stand at the very end."""

    form: Form
    activation: str

    @property
    def shape(self) -> Shape:
        return self.form.shape


Tensor = Form | _Ended


def read_keras(model: Any, low: Any = 0.0, high: Any = 1.0) -> Network:
    """The network of a Keras model whose images have values in [low, high].

    low and high: numbers, or arrays (channels,), or of a model with several inputs dictionaries by their names.
    Raises UnsupportedLayerError for a layer that cannot be mapped, TypeError for what is no functional or Sequential
    model, ValueError for an empty input range.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"expected a keras.Model, not {type(model).__name__}; load it with keras.models.load_model")
    if not getattr(model, "inputs", None) or not hasattr(model.outputs[0], "_keras_history"):
        raise UnsupportedLayerError(
            f"model {model.name!r} ({type(model).__name__}): its layers are not known before it runs; build it as a "
            "functional or Sequential model with an Input"
        )
    reader = _Reader(model, low, high)
    for name, tensor in zip(model.output_names, model.outputs, strict=True):
        found = reader.visit(tensor, {})
        form, activation = found if isinstance(found, _Ended) else (found, "linear")
        reader.builder.readout(form, name, activation)
    return reader.builder.network()


def refuse(layer: Any, reason: str, way_out: str) -> UnsupportedLayerError:
    """An error that names the layer, its type, the reason and the way out."""
    return UnsupportedLayerError(f"layer {layer.name!r} ({type(layer).__name__}): {reason}; {way_out}")


class _Reader:
    def __init__(self, model: Any, low: Any, high: Any) -> None:
        self.builder = Builder()
        self.seen: dict[tuple[object, ...], Tensor] = {}
        inputs = {id(tensor): tensor._keras_history[0] for tensor in model.inputs}
        self.ranges = {key: (_of(low, layer.name), _of(high, layer.name)) for key, layer in inputs.items()}
        for bottom, top in self.ranges.values():
            if not (np.isfinite(bottom) & np.isfinite(top)).all() or not np.all(np.less(bottom, top)):
                raise ValueError(f"input range [{bottom}, {top}]: low must be less than high, and both finite")

    def visit(self, tensor: Any, given: Mapping[int, Tensor]) -> Tensor:
        """The form of a symbolic tensor; `given` holds those of the inputs of the nested model it stands in."""
        if id(tensor) in given:
            return given[id(tensor)]
        key = (id(tensor), *(id(each) for each in given.values()))
        if key not in self.seen:
            layer, call, index = tensor._keras_history
            self.seen[key] = self.step(layer, layer._inbound_nodes[call], index, given)
        return self.seen[key]

    def step(self, layer: Any, node: Any, index: int, given: Mapping[int, Tensor]) -> Tensor:
        if isinstance(layer, layers.InputLayer):
            shape = tuple(node.outputs[0].shape[1:])
            if None in shape:
                raise refuse(layer, f"its shape {shape} is not fixed", "give the model a fixed input shape")
            bottom, top = self.ranges[id(node.outputs[0])]
            return self.builder.source(layer.name, shape, low=bottom, high=top)
        inputs = [self.visit(source, given) for source in node.input_tensors]
        if isinstance(layer, keras.Model):
            inner = {id(tensor): form for tensor, form in zip(layer.inputs, inputs, strict=True)}
            return self.visit(layer.outputs[index], inner)
        if type(layer) in _NOTHING:
            return inputs[0]
        handler = _HANDLERS.get(type(layer))
        if handler is None:
            raise refuse(layer, *_WAYS_OUT.get(type(layer).__name__, _UNKNOWN))
        forms = []
        for each in inputs:
            if isinstance(each, _Ended):
                raise refuse(layer, f"it follows a {each.activation}", f"a {each.activation} can only be an output")
            forms.append(each)
        if getattr(layer, "data_format", None) == "channels_first":
            raise refuse(layer, "data_format='channels_first'", "build the network with channels_last")
        return handler(self, layer, forms)

    def activate(self, layer: Any, form: Form, function: Any) -> Tensor:
        """The form after an activation function that stands in `layer`."""
        if isinstance(function, layers.Layer):
            handler = _HANDLERS.get(type(function))
            if handler not in (_relu_layer, _leaky_layer, _prelu_layer, _activation_layer, _softmax_layer):
                raise refuse(layer, f"activation {type(function).__name__}", "use a piecewise-linear activation")
            return handler(self, function, [form])
        name = function_name(function)
        if name == "linear":
            return form
        if name in ENDS:
            return _Ended(form, name)
        if name not in LINEAR:
            shown = getattr(function, "__name__", None) or repr(function)
            raise refuse(layer, f"activation {shown!r} is not piecewise linear", "train the network with ReLUs")
        return self.put(layer, form, LINEAR[name]())

    def put(self, layer: Any, form: Form, function: Sum) -> Form:
        terms, constant = function
        return self.builder.activated(form, terms, constant=constant, name=layer.name)


def _of(value: Any, name: str) -> Array:
    return np.asarray(value[name] if isinstance(value, Mapping) else value, np.float64)


def _values(variable: Any) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float64)


def _bias(layer: Any) -> Array:
    return _values(layer.bias) if layer.use_bias else np.zeros(())


def _tuple(value: Any, rank: int) -> Shape:
    return tuple(value) if isinstance(value, list | tuple) else (int(value),) * rank


def _window(layer: Any, sizes: Sequence[int], strides: Any, shape: Shape, dilation: Any = 1) -> Window:
    rank = len(sizes)
    window = Window.of(sizes, strides=_tuple(strides, rank), dilation=_tuple(dilation, rank))
    match layer.padding:
        case "same":
            margins = same_margins(shape[:-1], window)
        case "causal":
            margins = ((window.extents[0] - 1, 0),)
        case _:
            return window
    return Window.of(sizes, strides=window.strides, dilation=window.dilation, margins=margins)


def _dense_layer(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    map_ = dense(forms[0].shape, _values(layer.kernel))
    return reader.activate(layer, reader.builder.affine(forms[0], map_, _bias(layer), layer.name), layer.activation)


def _conv(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    shape = forms[0].shape
    window = _window(layer, layer.kernel_size, layer.strides, shape, layer.dilation_rate)
    map_ = Convolution(shape, _values(layer.kernel), window, groups=layer.groups)
    return reader.activate(layer, reader.builder.affine(forms[0], map_, _bias(layer), layer.name), layer.activation)


def _depthwise_map(shape: Shape, kernel: Array, window: Window) -> Convolution:
    """kernel (*sizes, channels, multiplier): each channel by itself."""
    return Convolution(shape, kernel.reshape(*window.sizes, 1, -1), window, groups=shape[-1])


def _depthwise(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    window = _window(layer, layer.kernel_size, layer.strides, forms[0].shape, layer.dilation_rate)
    map_ = _depthwise_map(forms[0].shape, _values(layer.kernel), window)
    return reader.activate(layer, reader.builder.affine(forms[0], map_, _bias(layer), layer.name), layer.activation)


def _separable(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    window = _window(layer, layer.kernel_size, layer.strides, forms[0].shape, layer.dilation_rate)
    first = _depthwise_map(forms[0].shape, _values(layer.depthwise_kernel), window)
    pointwise = _values(layer.pointwise_kernel)
    second = dense(first.outputs, pointwise.reshape(pointwise.shape[-2:]))
    form = reader.builder.affine(reader.builder.affine(forms[0], first), second, _bias(layer), layer.name)
    return reader.activate(layer, form, layer.activation)


def _transposed(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    kernel, shape = _values(layer.kernel), forms[0].shape
    sides = layer.compute_output_shape((None, *shape))[1:-1]
    back = Window.of(
        layer.kernel_size,
        strides=_tuple(layer.strides, len(sides)),
        dilation=_tuple(layer.dilation_rate, len(sides)),
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
    form = reader.builder.affine(forms[0], Convolution(shape, turned, window), _bias(layer), layer.name)
    return reader.activate(layer, form, layer.activation)


def _batch_norm(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    scale = 1.0 / np.sqrt(_values(layer.moving_variance) + layer.epsilon)
    scale = scale * _values(layer.gamma) if layer.scale else scale
    shift = -_values(layer.moving_mean) * scale + (_values(layer.beta) if layer.center else 0.0)
    axis = layer.axis[0] if isinstance(layer.axis, list | tuple) else layer.axis
    return _normalised(reader, forms[0], scale, shift, axis)


def _normalised(reader: _Reader, form: Form, scale: Array, shift: Array, axis: int) -> Form:
    rank = len(form.shape)
    if axis % (rank + 1) == rank:
        return reader.builder.affine(form, Diagonal(form.shape, scale), shift)
    place = [1] * rank
    place[axis % (rank + 1) - 1] = -1
    wide = [np.broadcast_to(each.reshape(place), form.shape) for each in (scale, shift)]
    return reader.builder.affine(form, Diagonal(form.shape, wide[0]), wide[1])


def _normalization(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    shape = forms[0].shape
    mean, variance = (np.broadcast_to(_values(each)[0], shape) for each in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), keras.backend.epsilon())
    if layer.invert:
        return reader.builder.affine(forms[0], Diagonal(shape, deviation), mean)
    return reader.builder.affine(forms[0], Diagonal(shape, 1 / deviation), -mean / deviation)


def _rescaling(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    # Keras takes these constants as float32, so that is what the network was trained with.
    scale, offset = (np.float64(np.float32(value)) for value in (layer.scale, layer.offset))
    return reader.builder.affine(forms[0], Diagonal(forms[0].shape, np.asarray(scale)), np.asarray(offset))


def _pad(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    margins = layer.padding if isinstance(layer.padding[0], list | tuple) else [layer.padding]
    return reader.builder.affine(forms[0], Shift(forms[0].shape, (*(tuple(each) for each in margins), (0, 0))))


def _crop(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    margins = layer.cropping if isinstance(layer.cropping[0], list | tuple) else [layer.cropping]
    cut = tuple((-before, -after) for before, after in margins)
    return reader.builder.affine(forms[0], Shift(forms[0].shape, (*cut, (0, 0))))


def _upsample(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise refuse(layer, f"interpolation={layer.interpolation!r}", "use interpolation='nearest'")
    index = _elements(forms[0].shape)
    for axis, times in enumerate(_tuple(layer.size, 1)):
        index = np.repeat(index, times, axis=axis)
    return _select(reader, forms[0], index)


def _elements(shape: Shape) -> Any:
    return np.arange(int(np.prod(shape))).reshape(shape)


def _select(reader: _Reader, form: Form, index: Any) -> Form:
    return reader.builder.affine(form, Selection(form.shape, index.shape, index))


def _reshape(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    shape = tuple(layer.compute_output_shape((None, *forms[0].shape))[1:])
    return reader.builder.affine(forms[0], Selection(forms[0].shape, shape))


def _permute(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    return _select(reader, forms[0], _elements(forms[0].shape).transpose([axis - 1 for axis in layer.dims]))


def _repeat(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    return _select(reader, forms[0], np.broadcast_to(_elements(forms[0].shape), (layer.n, *forms[0].shape)))


def _pool_window(layer: Any, shape: Shape) -> Window:
    if hasattr(layer, "pool_size"):
        sizes = _tuple(layer.pool_size, len(shape) - 1)
        return _window(layer, sizes, layer.strides, shape)
    return Window.of(shape[:-1])


def _max_pool(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    window = _pool_window(layer, forms[0].shape)
    if np.prod(window.sizes) == 1 and not any(map(any, window.margins)):
        # It only leaves cells out.
        shape = (*window.outputs(forms[0].shape[:-1]), forms[0].shape[-1])
        step = tuple(slice(None, None, stride) for stride in window.strides)
        return _select(reader, forms[0], _elements(forms[0].shape)[step][tuple(map(slice, shape))])
    return _flat(reader, layer, reader.builder.pooled(forms[0], window, minimum=False, label=layer.name))


def _mean_pool(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    map_ = average_pool(forms[0].shape, _pool_window(layer, forms[0].shape))
    return _flat(reader, layer, reader.builder.affine(forms[0], map_))


def _flat(reader: _Reader, layer: Any, form: Form) -> Form:
    """Global pools leave the axes out that they have pooled, unless keepdims."""
    if hasattr(layer, "pool_size") or layer.keepdims:
        return form
    return reader.builder.affine(form, Selection(form.shape, form.shape[-1:]))


def _merge(coefficients: Callable[[int], list[float]]) -> "_Handler":
    def handle(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
        return reader.builder.total(forms, coefficients(len(forms)), layer.name)

    return handle


def _concatenate(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    rank = len(forms[0].shape)
    return reader.builder.concatenated(forms, layer.axis % (rank + 1) - 1, layer.name)


def _extreme(minimum: bool) -> "_Handler":
    def handle(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
        shape = np.broadcast_shapes(*(form.shape for form in forms))
        wide = [reader.builder.widened(form, shape) for form in forms]
        return reader.builder.extreme(wide, minimum=minimum, label=layer.name)

    return handle


def _activation_layer(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    return reader.activate(layer, forms[0], layer.activation)


def _relu_layer(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    options = {"max_value": layer.max_value, "negative_slope": layer.negative_slope, "threshold": layer.threshold}
    try:
        return reader.put(layer, forms[0], relu(**options))
    except ValueError as error:
        raise refuse(layer, "it is not continuous", str(error)) from None


def _leaky_layer(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    return reader.put(layer, forms[0], LINEAR["leaky_relu"](layer.negative_slope))


def _prelu_layer(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    return reader.put(layer, forms[0], leaky(np.broadcast_to(_values(layer.alpha), forms[0].shape)))


def _softmax_layer(reader: _Reader, layer: Any, forms: list[Form]) -> Tensor:
    return _Ended(forms[0], "softmax")


_Handler = Callable[[_Reader, Any, list[Form]], Tensor]

_HANDLERS: dict[type, _Handler] = {
    layers.Dense: _dense_layer,
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D), _conv),
    **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _depthwise),
    **dict.fromkeys((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
    **dict.fromkeys((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _transposed),
    layers.BatchNormalization: _batch_norm,
    layers.Normalization: _normalization,
    layers.Rescaling: _rescaling,
    **dict.fromkeys((layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D), _pad),
    **dict.fromkeys((layers.Cropping1D, layers.Cropping2D, layers.Cropping3D), _crop),
    **dict.fromkeys((layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D), _upsample),
    **dict.fromkeys((layers.Flatten, layers.Reshape), _reshape),
    layers.Permute: _permute,
    layers.RepeatVector: _repeat,
    **dict.fromkeys((layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D), _max_pool),
    **dict.fromkeys((layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D), _max_pool),
    **dict.fromkeys((layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D), _mean_pool),
    **dict.fromkeys(
        (layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D), _mean_pool
    ),
    layers.Add: _merge(lambda count: [1.0] * count),
    layers.Subtract: _merge(lambda count: [1.0, -1.0]),
    layers.Average: _merge(lambda count: [1.0 / count] * count),
    layers.Concatenate: _concatenate,
    layers.Maximum: _extreme(minimum=False),
    layers.Minimum: _extreme(minimum=True),
    layers.Activation: _activation_layer,
    layers.ReLU: _relu_layer,
    layers.LeakyReLU: _leaky_layer,
    layers.PReLU: _prelu_layer,
    layers.Softmax: _softmax_layer,
}

_NOTHING = frozenset(
    getattr(layers, name)
    for name in (
        "Identity", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout",
        "GaussianDropout", "GaussianNoise", "ActivityRegularization", "RandomFlip", "RandomRotation", "RandomZoom",
        "RandomTranslation", "RandomShear", "RandomContrast", "RandomBrightness", "RandomGaussianBlur", "RandomErasing",
        "RandomHue", "RandomSaturation", "RandomSharpness", "RandomColorJitter", "RandomColorDegeneration",
        "RandomPosterization", "RandomInvert", "RandomGrayscale", "RandomPerspective", "RandomElasticTransform",
    )
    if hasattr(layers, name)
)  # fmt: skip
"""Layers that do nothing at inference."""

_UNKNOWN = ("this kind of layer is not supported", "docs/layers.md lists what is")
_WAYS_OUT = {
    "Multiply": ("a product of two tensors is not piecewise linear", "add or concatenate them instead"),
    "Lambda": ("what it computes cannot be read", "replace it by layers of Keras"),
    "LayerNormalization": ("it divides by a value of the image", "use BatchNormalization"),
    "GroupNormalization": ("it divides by a value of the image", "use BatchNormalization"),
    "UnitNormalization": ("it divides by a value of the image", "use BatchNormalization"),
    "RMSNormalization": ("it divides by a value of the image", "use BatchNormalization"),
    **dict.fromkeys(
        ("ELU", "MultiHeadAttention", "Attention", "AdditiveAttention", "LSTM", "GRU", "SimpleRNN"),
        ("it is not piecewise linear", "train the network with ReLUs"),
    ),
}
