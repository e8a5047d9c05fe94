"""A user's own network, taken as it is: a whole Keras model, whatever its layers, and what it takes and gives."""

from pathlib import Path
from typing import Any

import keras

from relu2snn.errors import UserError
from relu2snn.saved.whole import load_whole

_WHOLE = "save the whole network, with model.save('NAME.keras')"


def load_own(path: Path) -> keras.Model:
    """The network in a `.keras`, or in the `.h5` of a whole model of Keras 2; not compiled, no code of it is run.

    Raises UserError, one line, for a missing or damaged file, weights alone, and a weight that is not finite.
    """
    if not path.is_file():
        raise UserError(f"weights.file={path}: no such file; name your own network, as in weights.file=my.keras")
    if path.name.endswith(".weights.h5"):
        raise UserError(f"weights.file={path}: weights without a network; {_WHOLE}")
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        raise UserError(f"weights.file={path}: neither .keras nor .h5; {_WHOLE}")
    return load_whole(path, way_out=_WHOLE)


def sizes(model: keras.Model, path: Path) -> tuple[list[int], int]:
    """The shape of an image that a network takes, and the number of its classes.

    Raises UserError unless it has one input of a known shape and one output of two classes or more.
    """
    taken, given = _only(model.inputs, "inputs", path), _only(model.outputs, "outputs", path)
    if None in taken or not taken:
        raise UserError(
            f"weights.file={path}: takes images of {_size(taken)}, of no fixed size; build it for one, as in "
            "keras.Input((28, 28, 1))"
        )
    if len(given) != 1 or given[0] is None or given[0] < 2:
        raise UserError(
            f"weights.file={path}: gives {_size(given)} for an image; the workflow counts classes and needs two or "
            "more in one row: relu2snn.convert and relu2snn.verify take any output"
        )
    return taken, given[0]


def require_sizes(model: keras.Model, path: Path, image_shape: Any, classes: int | None) -> None:
    """Raise UserError unless a network fits what the configuration says of the data set; null fits any."""
    taken, given = sizes(model, path)
    if image_shape is not None and list(image_shape) != taken:
        raise UserError(
            f"weights.file={path}: takes images of {_size(taken)}, but dataset.image_shape is {_size(image_shape)}; "
            "choose the data set that it was trained on"
        )
    if classes is not None and classes != given:
        raise UserError(
            f"weights.file={path}: has {given} classes, but dataset.classes is {classes}; choose the data set that it "
            "was trained on"
        )


def _only(tensors: list[Any], what: str, path: Path) -> list[Any]:
    if len(tensors) != 1:
        raise UserError(
            f"weights.file={path}: has {len(tensors)} {what}; the workflow takes networks with one: "
            "relu2snn.convert and relu2snn.verify take any"
        )
    return list(tensors[0].shape[1:])


def _size(shape: Any) -> str:
    return " x ".join("?" if side is None else str(side) for side in shape) or "one number"
