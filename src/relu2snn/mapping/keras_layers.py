"""Keras' layers by their type: what each is as forms of spike-coded tensors. The only table of layer kinds."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import layers

from relu2snn.graph.convolution import average_pool
from relu2snn.graph.geometry import Shape, Window
from relu2snn.graph.maps import Selection, Shift
from relu2snn.mapping.form import Form
from relu2snn.mapping.forms import Builder
from relu2snn.mapping.keras_activations import KINDS, Tensor, own
from relu2snn.mapping.keras_values import per_axis, window_of
from relu2snn.mapping.keras_weights import WEIGHTED
from relu2snn.mapping.unsupported import refuse

Handler = Callable[[Builder, Any, list[Form]], Tensor]
"""Of a builder, a layer, and what it is given: what it gives."""


def _pad(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    margins = layer.padding if isinstance(layer.padding[0], list | tuple) else [layer.padding]
    return builder.affine(forms[0], Shift(forms[0].shape, (*(tuple(each) for each in margins), (0, 0))))


def _crop(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    margins = layer.cropping if isinstance(layer.cropping[0], list | tuple) else [layer.cropping]
    cut = tuple((-before, -after) for before, after in margins)
    return builder.affine(forms[0], Shift(forms[0].shape, (*cut, (0, 0))))


def _upsample(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise refuse(layer, f"interpolation={layer.interpolation!r}", "use interpolation='nearest'")
    index = _elements(forms[0].shape)
    for axis, times in enumerate(per_axis(layer.size, 1)):
        index = np.repeat(index, times, axis=axis)
    return _select(builder, forms[0], index)


def _elements(shape: Shape) -> Any:
    return np.arange(int(np.prod(shape))).reshape(shape)


def _select(builder: Builder, form: Form, index: Any) -> Form:
    return builder.affine(form, Selection(form.shape, index.shape, index))


def _reshape(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    shape = tuple(layer.compute_output_shape((None, *forms[0].shape))[1:])
    return builder.affine(forms[0], Selection(forms[0].shape, shape))


def _permute(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    return _select(builder, forms[0], _elements(forms[0].shape).transpose([axis - 1 for axis in layer.dims]))


def _repeat(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    return _select(builder, forms[0], np.broadcast_to(_elements(forms[0].shape), (layer.n, *forms[0].shape)))


def _pool_window(layer: Any, shape: Shape) -> Window:
    if hasattr(layer, "pool_size"):
        sizes = per_axis(layer.pool_size, len(shape) - 1)
        return window_of(layer, sizes, shape)
    return Window.of(shape[:-1])


def _max_pool(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    window = _pool_window(layer, forms[0].shape)
    if np.prod(window.sizes) == 1 and not any(map(any, window.margins)):
        # It only leaves cells out.
        shape = (*window.outputs(forms[0].shape[:-1]), forms[0].shape[-1])
        step = tuple(slice(None, None, stride) for stride in window.strides)
        return _select(builder, forms[0], _elements(forms[0].shape)[step][tuple(map(slice, shape))])
    return _flat(builder, layer, builder.pooled(forms[0], window, minimum=False, label=layer.name))


def _mean_pool(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    map_ = average_pool(forms[0].shape, _pool_window(layer, forms[0].shape))
    return _flat(builder, layer, builder.affine(forms[0], map_))


def _flat(builder: Builder, layer: Any, form: Form) -> Form:
    """Global pools leave the axes out that they have pooled, unless keepdims."""
    if hasattr(layer, "pool_size") or layer.keepdims:
        return form
    return builder.affine(form, Selection(form.shape, form.shape[-1:]))


def _merge(coefficients: Callable[[int], list[float]]) -> Handler:
    def handle(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
        return builder.total(forms, coefficients(len(forms)), layer.name)

    return handle


def _concatenate(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
    axis = layer.axis % (len(forms[0].shape) + 1)
    if not axis:
        raise refuse(layer, f"axis={layer.axis} is the batch", "concatenate another axis")
    return builder.concatenated(forms, axis - 1, layer.name)


def _extreme(minimum: bool) -> Handler:
    def handle(builder: Builder, layer: Any, forms: list[Form]) -> Tensor:
        shape = np.broadcast_shapes(*(form.shape for form in forms))
        wide = [builder.widened(form, shape) for form in forms]
        return builder.extreme(wide, minimum=minimum, label=layer.name)

    return handle


def does_nothing(layer: Any, shape: Shape, given: Shape) -> bool:
    """Whether a layer gives at inference what it is given, of shape `given`; `shape` is that of its output.

    Raises UnsupportedLayerError for a resizing or cropping layer that changes its images.
    """
    if type(layer) in SIZING:
        # The weights of a Lanczos filter do not quite vanish at its neighbours.
        if shape == given and not str(getattr(layer, "interpolation", "")).startswith("lanczos"):
            return True
        raise refuse(
            layer,
            f"it makes images {shape} of images {given}",
            "resize the images before, and build the network without it",
        )
    return type(layer) in NOTHING


SIZING = (layers.Resizing, layers.CenterCrop, layers.RandomCrop)
"""Layers that do nothing where their images have the size already."""

NOTHING = frozenset(
    getattr(layers, name)
    for name in (
        "Identity", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout",
        "GaussianDropout", "GaussianNoise", "ActivityRegularization", "RandomFlip", "RandomRotation", "RandomZoom",
        "RandomTranslation", "RandomShear", "RandomContrast", "RandomBrightness", "RandomGaussianBlur", "RandomErasing",
        "RandomHue", "RandomSaturation", "RandomSharpness", "RandomColorJitter", "RandomColorDegeneration",
        "RandomPosterization", "RandomInvert", "RandomGrayscale", "RandomPerspective", "RandomElasticTransform",
        "RandAugment", "AugMix", "MixUp", "CutMix",
    )
    if hasattr(layers, name)
)  # fmt: skip
"""Layers that do nothing at inference."""

JOINING: Mapping[type, Handler] = {
    layers.Add: _merge(lambda count: [1.0] * count),
    layers.Subtract: _merge(lambda count: [1.0, -1.0]),
    layers.Average: _merge(lambda count: [1.0 / count] * count),
    layers.Concatenate: _concatenate,
    layers.Maximum: _extreme(minimum=False),
    layers.Minimum: _extreme(minimum=True),
}
"""Layers of several tensors."""

HANDLERS: Mapping[type, Handler] = {
    **JOINING,
    **WEIGHTED,
    **dict.fromkeys(KINDS, own),
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
}
