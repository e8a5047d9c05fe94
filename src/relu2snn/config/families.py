"""The layers of each family of networks, said once: walked to count sizes (`sizes`) and to build (`networks.build`).

FC, LeNet5 and VGG are those of arXiv:2212.12522; ResNet (arXiv:1512.03385, for CIFAR), MobileNet (arXiv:1704.04861),
Inception (arXiv:1409.4842) and the all-convolutional network (arXiv:1412.6806) are small ones for small images.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from relu2snn.config.schema import Model

LENET5_FILTERS = (6, 16, 120)
LENET5_DENSE = 84

_GRAPHS = ("resnet", "mobilenet", "inception", "allconv")
_LARGEST_OUTPUT = 6.0
"""Of MobileNet's ReLU6."""


class Builder(Protocol):
    """What a family's layers are given to; `x` is a tensor, or what stands for one.

    Sizes are those at width 1. `most` is the largest output of a ReLU, None without one.
    """

    def convolution(
        self,
        x: Any,
        filters: int,
        kernel: int,
        *,
        padding: str = "same",
        strides: int = 1,
        relu: bool = True,
        most: float | None = None,
    ) -> Any: ...

    def depthwise(self, x: Any, kernel: int, *, strides: int, most: float | None) -> Any: ...

    def dense(self, x: Any, units: int) -> Any: ...

    def relu(self, x: Any) -> Any: ...

    def max_pool(self, x: Any, size: int = 2, *, padding: str = "valid") -> Any: ...

    def average_pool(self, x: Any, size: int) -> Any: ...

    def global_average_pool(self, x: Any) -> Any: ...

    def flatten(self, x: Any) -> Any: ...

    def add(self, parts: Sequence[Any]) -> Any: ...

    def concatenate(self, parts: Sequence[Any]) -> Any: ...

    def drop(self, x: Any, where: str) -> Any: ...

    def dense_output(self, x: Any, classes: int) -> Any: ...

    def pooled_output(self, x: Any, classes: int) -> Any: ...

    def channels(self, x: Any) -> int: ...


def lay_out(builder: Builder, model: Model, x: Any, classes: int) -> Any:
    """Give the builder the layers of a network of this model, from images `x` to its class probabilities."""
    return _FAMILIES[model.family](builder, model, x, classes)


def is_graph(model: Model) -> bool:
    """Whether a family is none of the published chains."""
    return model.family in _GRAPHS


def _fc(builder: Builder, model: Model, x: Any, classes: int) -> Any:
    return _dense_head(builder, model, builder.flatten(x), classes)


def _lenet5(builder: Builder, model: Model, x: Any, classes: int) -> Any:
    first, second, third = LENET5_FILTERS
    x = builder.max_pool(builder.drop(builder.convolution(x, first, 5), "first"))
    x = builder.max_pool(builder.convolution(x, second, 5, padding="valid"))
    x = builder.flatten(builder.convolution(x, third, 5, padding="valid"))
    x = builder.dense(builder.drop(x, "dense"), LENET5_DENSE)
    return builder.dense_output(builder.drop(x, "dense"), classes)


def _vgg(builder: Builder, model: Model, x: Any, classes: int) -> Any:
    for block, filters in enumerate(model.blocks):
        for position, count in enumerate(filters, start=1):
            x = builder.convolution(x, count, 3)
            if (block, position) == (0, 1):
                x = builder.drop(x, "first")
            elif position < len(filters):
                x = builder.drop(x, "between")
        x = builder.max_pool(x)
    return _dense_head(builder, model, builder.drop(builder.flatten(x), "dense"), classes)


def _dense_head(builder: Builder, model: Model, x: Any, classes: int) -> Any:
    for units in model.dense:
        x = builder.drop(builder.dense(x, units), "dense")
    return builder.dense_output(x, classes)


def _resnet(builder: Builder, model: Model, x: Any, classes: int) -> Any:
    """Each number of a block is a basic block of two convolutions; all blocks but the first begin with a stride."""
    x = builder.drop(builder.convolution(x, model.blocks[0][0], 3), "first")
    for stage, filters in enumerate(model.blocks):
        for position, count in enumerate(filters):
            x = _basic_block(builder, x, count, 2 if stage and not position else 1)
        x = builder.drop(x, "between")
    return _averaged_head(builder, x, classes)


def _basic_block(builder: Builder, x: Any, filters: int, strides: int) -> Any:
    y = builder.convolution(x, filters, 3, strides=strides)
    y = builder.convolution(y, filters, 3, relu=False)
    if strides > 1 or builder.channels(x) != builder.channels(y):
        x = builder.convolution(x, filters, 1, strides=strides, relu=False)
    return builder.relu(builder.add([y, x]))


def _mobilenet(builder: Builder, model: Model, x: Any, classes: int) -> Any:
    """The first number is a convolution, each other a depthwise and a 1 x 1 convolution; strides as in ResNet."""
    for stage, filters in enumerate(model.blocks):
        for position, count in enumerate(filters):
            if stage == position == 0:
                x = builder.drop(builder.convolution(x, count, 3, most=_LARGEST_OUTPUT), "first")
                continue
            x = builder.depthwise(x, 3, strides=2 if stage and not position else 1, most=_LARGEST_OUTPUT)
            x = builder.convolution(x, count, 1, most=_LARGEST_OUTPUT)
        x = builder.drop(x, "between")
    return _averaged_head(builder, x, classes)


def _inception(builder: Builder, model: Model, x: Any, classes: int) -> Any:
    """The first block are convolutions, each number of the others is a module; max pools stand between blocks."""
    stem, *stages = model.blocks
    for position, count in enumerate(stem):
        x = builder.drop(builder.convolution(x, count, 3), "between" if position else "first")
    for filters in stages:
        x = builder.max_pool(x, 3, padding="same")
        for count in filters:
            x = _inception_module(builder, x, count)
        x = builder.drop(x, "between")
    return _averaged_head(builder, x, classes)


def _inception_module(builder: Builder, x: Any, filters: int) -> Any:
    """Branches of 1 x 1, 3 x 3, 5 x 5 and an average pool, with 1/4, 3/8, 1/8 and 1/4 of the filters."""
    eighth = max(1, filters // 8)
    plain = builder.convolution(x, 2 * eighth, 1)
    middle = builder.convolution(builder.convolution(x, eighth, 1), 3 * eighth, 3)
    wide = builder.convolution(builder.convolution(x, max(1, eighth // 2), 1), eighth, 5)
    pooled = builder.convolution(builder.average_pool(x, 3), 2 * eighth, 1)
    return builder.concatenate([plain, middle, wide, pooled])


def _allconv(builder: Builder, model: Model, x: Any, classes: int) -> Any:
    """The last convolution of every block but the last has a stride; 1 x 1 convolutions take the place of dense."""
    for block, filters in enumerate(model.blocks):
        for position, count in enumerate(filters, start=1):
            strided = block < len(model.blocks) - 1 and position == len(filters)
            x = builder.convolution(x, count, 3, strides=2 if strided else 1)
            if (block, position) == (0, 1):
                x = builder.drop(x, "first")
        x = builder.drop(x, "between")
    return builder.pooled_output(builder.convolution(x, model.blocks[-1][-1], 1), classes)


def _averaged_head(builder: Builder, x: Any, classes: int) -> Any:
    return builder.dense_output(builder.drop(builder.global_average_pool(x), "dense"), classes)


_FAMILIES: dict[str, Callable[[Builder, Model, Any, int], Any]] = {
    "fc": _fc,
    "lenet5": _lenet5,
    "vgg": _vgg,
    "resnet": _resnet,
    "mobilenet": _mobilenet,
    "inception": _inception,
    "allconv": _allconv,
}
