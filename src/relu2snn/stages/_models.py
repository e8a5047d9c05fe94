"""Model files of the stages."""

from pathlib import Path

import keras

# Importing the library registers its layers, so that saved networks load again.
import relu2snn.mapping
import relu2snn.spiking  # noqa: F401
from relu2snn.errors import UserError
from relu2snn.files import atomic_path


def load_model(path: str) -> keras.Model:
    """Load a `.keras` file made by an earlier stage.

    Raises UserError when it is missing or damaged.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; run the stage that makes it first")
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: not a readable Keras model ({reason}); delete it and run again") from None


def save_model(model: keras.Model, path: str) -> None:
    """Save a model as `.keras`, atomically."""
    with atomic_path(path) as temporary:
        model.save(temporary)
