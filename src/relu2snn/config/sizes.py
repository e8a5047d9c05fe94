"""The sizes of a network before it is built: what its family cannot have, images too small for it, weights too many."""

from collections.abc import Sequence
from math import prod

from relu2snn.config.schema import Model
from relu2snn.errors import UserError

_MOST_WEIGHTS = 10**9
"""VGG16 has 138 million; ten to the nine are eight gigabytes in float64, and training holds several copies."""
_MOST_VALUES = 10**8
"""Outputs of one layer for one image; VGG16's largest layer has 3.2 million at 224 x 224."""

LENET5_FILTERS = (6, 16, 120)
LENET5_DENSE = 84


def scaled_units(size: int, width: float) -> int:
    """The units of a hidden layer of `size` units in a network of this width."""
    return max(1, round(size * width))


def check_sizes(model: Model, image_shape: Sequence[int], classes: int) -> None:
    """Raise UserError for sizes that the family ignores or cannot have, too small images and too large networks."""
    _check_family(model)
    walk = _Walk(model, list(image_shape))
    if model.family == "lenet5":
        first, second, third = LENET5_FILTERS
        walk.convolution(first, 5, "same")
        walk.pool()
        walk.convolution(second, 5, "valid")
        walk.pool()
        walk.convolution(third, 5, "valid")
        walk.dense(LENET5_DENSE)
    for filters in model.blocks:
        for count in filters:
            walk.convolution(count, 3, "same")
        walk.pool()
    for units in model.dense:
        walk.dense(units)
    walk.output(classes)


class _Walk:
    """Follows the shape of an image through the layers, and counts weights."""

    def __init__(self, model: Model, image_shape: list[int]) -> None:
        self._model = model
        self._image_shape = image_shape
        self._shape = list(image_shape)
        self._weights = 0

    def convolution(self, filters: int, kernel: int, padding: str) -> None:
        if padding == "valid":
            self._require_side(kernel, f"the {kernel}x{kernel} convolution")
            self._shape[:2] = [side - kernel + 1 for side in self._shape[:2]]
        units = scaled_units(filters, self._model.width)
        self._add(kernel * kernel * self._shape[2] * units, [*self._shape[:2], units])

    def pool(self) -> None:
        self._require_side(2, "the 2x2 max pool")
        self._shape[:2] = [side // 2 for side in self._shape[:2]]

    def dense(self, units: int) -> None:
        self.output(scaled_units(units, self._model.width))

    def output(self, units: int) -> None:
        self._add(prod(self._shape) * units, [units])

    def _add(self, weights: int, shape: list[int]) -> None:
        self._weights += weights
        self._shape = shape
        for count, most, what in (
            (self._weights, _MOST_WEIGHTS, "weights"),
            (prod(shape), _MOST_VALUES, "values in one layer for each image"),
        ):
            if count > most:
                raise UserError(
                    f"model={self._model.name}, model.width={self._model.width:g}, "
                    f"dataset.image_shape={self._image_shape}: the network would have {count:,} {what} or more, and "
                    f"{most:,} are the most; choose a smaller model.width, fewer units or smaller images"
                )

    def _require_side(self, side: int, layer: str) -> None:
        height, width = self._shape[:2]
        if min(height, width) < side:
            raise UserError(
                f"model={self._model.name}, dataset.image_shape={self._image_shape}: the image is too small for this "
                f"network ({layer} gets {height}x{width} pixels); choose a model with fewer pools or larger images"
            )


def _check_family(model: Model) -> None:
    blocks = [list(filters) for filters in model.blocks]
    dense = list(model.dense)
    if blocks and model.family != "vgg":
        raise UserError(f"model.blocks={blocks}: {model.family} has no blocks; leave it empty or take a VGG model")
    if dense and model.family == "lenet5":
        raise UserError(f"model.dense={dense}: LeNet5's sizes are fixed; leave it empty or scale them by model.width")
    if model.family == "fc" and not dense:
        raise UserError("model.dense=[]: fc needs a hidden layer; give its units, as in model.dense=[600]")
    if model.family == "vgg" and not blocks:
        raise UserError("model.blocks=[]: vgg needs convolutions; give their filters, as in model.blocks=[[64,64]]")
    if any(min(filters, default=0) < 1 for filters in blocks):
        raise UserError(f"model.blocks={blocks}: every block needs a convolution, every convolution a filter")
    if min(dense, default=1) < 1:
        raise UserError(f"model.dense={dense}: every layer needs a unit")
