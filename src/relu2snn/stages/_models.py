"""Model files of the stages."""

import gc
import zipfile
from pathlib import Path

import keras

# Importing the library registers its layers, so that saved networks load again.
import relu2snn.mapping
import relu2snn.spiking  # noqa: F401
from relu2snn.errors import UserError
from relu2snn.files import atomic_path, temporary_folder
from relu2snn.mapping import Network, fold, read


def load_model(path: str) -> keras.Model:
    """Load a `.keras` file made by an earlier stage, unpacked beside it: Keras would read all of it into memory first.

    Raises UserError when it is missing or damaged.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; run the stage that makes it first")
    try:
        with temporary_folder(path) as folder, zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
            return keras.saving.load_model(folder, compile=False)
    except (ValueError, TypeError, OSError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: not a readable Keras model ({reason}); delete it and run again") from None


def load_network(path: str) -> Network:
    """The folded network of phase1/scaled.keras; raises UserError as `load_model` does."""
    network = fold(read(load_model(path)))
    # A Keras model is full of reference cycles: without this it holds its weights on beside the network's.
    gc.collect()
    return network


def save_model(model: keras.Model, path: str) -> None:
    """Save a model as `.keras`, atomically.

    `model.save` would put the file together in memory: twice the weights more.
    """
    with atomic_path(path) as temporary, temporary_folder(path) as each:
        folder = each / "model"
        keras.saving.save_model(model, folder, zipped=False)
        with zipfile.ZipFile(temporary, "w") as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, file.relative_to(folder))
