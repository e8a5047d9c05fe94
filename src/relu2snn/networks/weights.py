"""Trained weights that the user drops in: finding the file and putting its weights into a network."""

from pathlib import Path
from typing import TYPE_CHECKING

from relu2snn.config.schema import Weights
from relu2snn.errors import UserError

if TYPE_CHECKING:
    import keras

    from relu2snn.networks.weight_files import SavedLayers

_SUFFIXES = (".h5", ".weights.h5", ".keras")


def find_weights(weights: Weights) -> Path | None:
    """The file <root>/<directory>/<stem> with the suffix .h5, .weights.h5 or .keras; None when there is none.

    Raises UserError when there are several. Needs neither TensorFlow nor Keras.
    """
    folder = Path(weights.root) / weights.directory
    found = [path for path in (folder / f"{weights.stem}{suffix}" for suffix in _SUFFIXES) if path.is_file()]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UserError(f"{folder}: {len(found)} files of weights for one network: {names}; keep one of them")
    return found[0] if found else None


def load_weights(model: "keras.Model", path: str | Path) -> None:
    """Put the weights of a file into `model`, layer by layer in their order; the layers' names do not matter.

    The file is Keras 2's HDF5 (weights only or whole model), Keras 3's .weights.h5, or a whole model in .keras,
    which must also compute what `model` does.

    Raises UserError when the file is damaged, belongs to another architecture, or holds a weight that is NaN or
    infinite; `model` is then of no use.
    """
    from relu2snn.networks.weight_files import load_keras, read_hdf5, read_layers, require_same_function

    path = Path(path)
    if path.suffix == ".keras":
        saved = load_keras(path)
        _assign(model, read_layers(saved), path)
        require_same_function(model, saved, path)
    else:
        _assign(model, read_hdf5(path, model), path)


def _assign(model: "keras.Model", saved: "SavedLayers", path: Path) -> None:
    import numpy as np

    way_out = "give weights of this model at this model.width, or take the file away to train"
    layers = [layer for layer in model.layers if layer.weights]
    for layer, (name, arrays) in zip(layers, saved, strict=False):
        found, needed = [array.shape for array in arrays], [tuple(weight.shape) for weight in layer.weights]
        if found != needed:
            raise UserError(
                f"{path}: layer {name} has weights of the shapes {_shapes(found)}, but layer {layer.name} of "
                f"model={model.name} needs {_shapes(needed)}; {way_out}"
            )
        if any(array.dtype.kind not in "fiu" or not np.isfinite(array).all() for array in arrays):
            raise UserError(f"{path}: layer {name} has a weight that is not a finite number; give a trained network")
    if len(saved) != len(layers):
        rest = ", ".join([layer.name for layer in layers[len(saved) :]] + [name for name, _ in saved[len(layers) :]])
        raise UserError(
            f"{path}: {len(saved)} layers with weights, but model={model.name} has {len(layers)} "
            f"({'missing' if len(saved) < len(layers) else 'too many'}: {rest}); {way_out}"
        )
    for layer, (_, arrays) in zip(layers, saved, strict=True):
        layer.set_weights(arrays)


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return " ".join(str(shape) for shape in shapes) or "none"
