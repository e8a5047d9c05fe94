"""Trained weights that the user drops in: finding the file and putting its weights into a network."""

from pathlib import Path
from typing import TYPE_CHECKING

from relu2snn.config.schema import Weights
from relu2snn.errors import UserError

if TYPE_CHECKING:
    import keras

    from relu2snn.networks.weight_files import SavedLayers

_SUFFIXES = (".h5", ".weights.h5", ".keras", ".npz")


def find_weights(weights: Weights) -> Path | None:
    """The file of trained weights that the user has given: None when there is none.

    It is weights.file, or <root>/<directory>/<stem> with the suffix .h5, .weights.h5, .keras or .npz, or one of
    weights.other_names in that folder.

    Raises UserError when there are several, or weights.file is missing. Needs neither TensorFlow nor Keras.
    """
    if weights.file is not None:
        # Synthetic weights are made by the workflow itself.
        if not Path(weights.file).is_file() and weights.kind != "synthetic":
            raise UserError(f"weights.file={weights.file}: no such file; name one, or leave weights.file out")
        return Path(weights.file)
    folder = Path(weights.root) / weights.directory
    possible = [*(f"{weights.stem}{suffix}" for suffix in _SUFFIXES), *weights.other_names]
    found = [folder / name for name in possible if (folder / name).is_file()]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UserError(f"{folder}: {len(found)} files of weights for one network: {names}; keep one of them")
    return found[0] if found else None


def load_weights(model: "keras.Model", path: str | Path) -> None:
    """Put the weights of a file into `model`, layer by layer in their order; the layers' names do not matter.

    The file is Keras 2's HDF5 (weights only or whole model), Keras 3's .weights.h5, a whole model in .keras, which
    must also compute what `model` does, or the .npz of a Caffe network (`caffe.read_dictionary`).

    Raises UserError when the file is damaged, belongs to another architecture, or holds a weight that is NaN or
    infinite; `model` is then of no use.
    """
    from relu2snn.networks.caffe import read_dictionary
    from relu2snn.networks.weight_files import read_layers, read_weights, require_same_function
    from relu2snn.saved.keras_files import load_model

    path = Path(path)
    if path.suffix == ".keras":
        saved = load_model(path, "save the weights alone, with model.save_weights('NAME.weights.h5')")
        _assign(model, read_layers(saved), path)
        require_same_function(model, saved, path)
    elif path.suffix == ".npz":
        _assign(model, read_dictionary(path, model), path)
    else:
        _assign(model, read_weights(path, model), path)


def load_imagenet(model: "keras.Model", weights: Weights) -> None:
    """Put the ImageNet weights of keras.applications.VGG16 into `model`; they are downloaded, or in Keras' cache.

    Raises UserError when that fails, or `model` is another network.
    """
    import keras

    from relu2snn.networks.weight_files import read_layers

    try:
        saved = keras.applications.VGG16(weights="imagenet")
    # Keras raises a bare Exception for a failed fetch, and a damaged cache fails in as many ways as HDF5.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        folder = Path(weights.root) / weights.directory
        names = " or ".join([f"{weights.stem}.h5", *weights.other_names])
        raise UserError(
            f"the download of VGG16's ImageNet weights by keras.applications failed ({reason}); "
            f"put the file by hand into {folder}, as {names}"
        ) from None
    _assign(model, read_layers(saved), Path("keras.applications.VGG16"))


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
        for weight, array in zip(layer.weights, arrays, strict=True):
            if not np.isfinite(array).all():
                raise UserError(
                    f"{path}: layer {name} has a {weight.name} that is not a finite number "
                    f"({array[~np.isfinite(array)].ravel()[0]}); give a trained network"
                )
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
