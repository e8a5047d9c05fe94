"""The sizes of a network before it is built: what its family cannot have, images too small for it, weights too many."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from relu2snn.config.families import is_graph, lay_out
from relu2snn.config.schema import Model
from relu2snn.errors import UserError

_MOST_WEIGHTS = 10**9
"""VGG16 has 138 million; ten to the nine are eight gigabytes in float64, and training holds several copies."""
_MOST_VALUES = 10**8
"""Outputs of one layer for one image; VGG16's largest layer has 3.2 million at 224 x 224."""

Shape = list[int]


class Size(NamedTuple):
    """What a network has and does for one image: weights, multiply-accumulates, outputs of all layers."""

    weights: int
    macs: int
    values: int


def scaled_units(size: int, width: float) -> int:
    """The units of a hidden layer of `size` units in a network of this width."""
    return max(1, round(size * width))


def check_sizes(model: Model, image_shape: Sequence[int] | None, classes: int | None) -> None:
    """Raise UserError for sizes that the family ignores or cannot have, too small images and too large networks.

    A network of the user's own (family custom) has sizes of its own, and says nothing here.
    """
    if model.family == "custom":
        return
    _check_family(model)
    if image_shape is None or classes is None:
        key = "dataset.classes" if image_shape else "dataset.image_shape"
        raise UserError(
            f"{key}=null: model={model.name} is built for images of a known size; set both, as in "
            "dataset.image_shape=[28,28,1] dataset.classes=10, or give your own network to experiments=custom"
        )
    network_size(model, image_shape, classes)


def network_size(model: Model, image_shape: Sequence[int], classes: int) -> Size:
    """The size of a network of one of the families of conf/model/, before it is built.

    Raises UserError for images that are too small for it and a network that is too large.
    """
    shape = list(image_shape)
    walk = _Walk(model, shape)
    lay_out(walk, model, shape, classes)
    return walk.size


class _Walk:
    """Follows the shape (h, w, c) or (n,) of an image through the layers, and counts weights."""

    def __init__(self, model: Model, image_shape: Shape) -> None:
        self._model = model
        self._image_shape = image_shape
        self.size = Size(0, 0, 0)

    def convolution(
        self,
        x: Shape,
        filters: int,
        kernel: int,
        *,
        padding: str = "same",
        strides: int = 1,
        relu: bool = True,
        most: float | None = None,
    ) -> Shape:
        if padding == "valid":
            self._require_side(x, kernel, f"the {kernel}x{kernel} convolution")
        units = scaled_units(filters, self._model.width)
        return self._layer(kernel * kernel * x[2] * units, [*_sides(x, kernel, strides, padding), units])

    def depthwise(self, x: Shape, kernel: int, *, strides: int, most: float | None) -> Shape:
        return self._layer(kernel * kernel * x[2], [*_sides(x, kernel, strides, "same"), x[2]])

    def dense(self, x: Shape, units: int) -> Shape:
        return self.dense_output(x, scaled_units(units, self._model.width))

    def relu(self, x: Shape) -> Shape:
        return x

    def max_pool(self, x: Shape, size: int = 2, *, padding: str = "valid") -> Shape:
        if padding == "valid":
            self._require_side(x, size, f"the {size}x{size} max pool")
        return [*_sides(x, size, 2, padding), x[2]]

    def average_pool(self, x: Shape, size: int) -> Shape:
        return x

    def global_average_pool(self, x: Shape) -> Shape:
        return x[2:]

    def flatten(self, x: Shape) -> Shape:
        return [prod(x)]

    def add(self, parts: Sequence[Shape]) -> Shape:
        return parts[0]

    def concatenate(self, parts: Sequence[Shape]) -> Shape:
        return self._layer(0, [*parts[0][:2], sum(part[2] for part in parts)])

    def drop(self, x: Shape, where: str) -> Shape:
        return x

    def dense_output(self, x: Shape, classes: int) -> Shape:
        return self._layer(prod(x) * classes, [classes])

    def pooled_output(self, x: Shape, classes: int) -> Shape:
        return self.global_average_pool(self._layer(x[2] * classes, [*x[:2], classes]))

    def channels(self, x: Shape) -> int:
        return x[2]

    def _layer(self, weights: int, shape: Shape) -> Shape:
        before = self.size
        # The weights are used at each place of the output once.
        macs = before.macs + weights * prod(shape[:-1])
        self.size = Size(before.weights + weights, macs, before.values + prod(shape))
        for count, most, what in (
            (self.size.weights, _MOST_WEIGHTS, "weights"),
            (prod(shape), _MOST_VALUES, "values in one layer for each image"),
        ):
            if count > most:
                raise UserError(
                    f"model={self._model.name}, model.width={self._model.width:g}, "
                    f"dataset.image_shape={self._image_shape}: the network would have {count:,} {what} or more, and "
                    f"{most:,} are the most; choose a smaller model.width, fewer units or smaller images"
                )
        return shape

    def _require_side(self, x: Shape, side: int, layer: str) -> None:
        height, width = x[:2]
        if min(height, width) < side:
            raise UserError(
                f"model={self._model.name}, dataset.image_shape={self._image_shape}: the image is too small for this "
                f"network ({layer} gets {height}x{width} pixels); choose a model with fewer pools or larger images"
            )


def _sides(x: Shape, kernel: int, strides: int, padding: str) -> Shape:
    lost = kernel - 1 if padding == "valid" else 0
    return [-(-(side - lost) // strides) for side in x[:2]]


def _check_family(model: Model) -> None:
    blocks: list[Any] = [list(filters) for filters in model.blocks]
    dense = list(model.dense)
    if blocks and model.family in ("fc", "lenet5"):
        raise UserError(f"model.blocks={blocks}: {model.family} has no blocks; leave it empty or take a VGG model")
    if dense and model.family == "lenet5":
        raise UserError(f"model.dense={dense}: LeNet5's sizes are fixed; leave it empty or scale them by model.width")
    if dense and is_graph(model):
        raise UserError(f"model.dense={dense}: {model.family} has no hidden dense layer; leave it empty")
    if model.family == "fc" and not dense:
        raise UserError("model.dense=[]: fc needs a hidden layer; give its units, as in model.dense=[600]")
    if not blocks and (model.family == "vgg" or is_graph(model)):
        raise UserError(
            f"model.blocks=[]: {model.family} needs convolutions; give their filters, as in model.blocks=[[64,64]]"
        )
    if any(min(filters, default=0) < 1 for filters in blocks):
        raise UserError(f"model.blocks={blocks}: every block needs a convolution, every convolution a filter")
    if min(dense, default=1) < 1:
        raise UserError(f"model.dense={dense}: every layer needs a unit")
