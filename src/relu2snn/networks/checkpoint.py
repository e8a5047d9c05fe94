"""The state of an unfinished training, saved after every epoch."""

import shutil
from pathlib import Path
from typing import Any

import keras

from relu2snn.errors import UserError
from relu2snn.files import atomic_path, read_json, write_json


class Checkpoint:
    """Weights, batch-norm statistics, optimizer state and history after the last finished epoch.

    It lives in `<folder>/checkpoint-<key>/`; checkpoints with another key, which a training with other settings
    has left, are removed.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder / f"checkpoint-{key}"
        self._state = self._folder / "state.weights.h5"
        self._history = self._folder / "history.json"
        for stale in folder.glob("checkpoint-*"):
            if stale != self._folder:
                shutil.rmtree(stale)

    def save(self, model: keras.Model, epochs: list[dict[str, Any]]) -> None:
        """Save a compiled model and the history of its epochs."""
        # A process may die between the two writes: `restore` cuts a history that is ahead of the state.
        write_json(self._history, {"epochs": epochs})
        with atomic_path(self._state) as temporary:
            model.save_weights(temporary)

    def restore(self, model: keras.Model, steps: int) -> list[dict[str, Any]]:
        """Put the saved state, if any, into a compiled model and return the history of its epochs of `steps` steps.

        Raises UserError when the files are damaged.
        """
        if not self._state.exists():
            return []
        model.optimizer.build(model.trainable_variables)
        try:
            model.load_weights(self._state)
            epochs: list[dict[str, Any]] = read_json(self._history)["epochs"]
        except (OSError, KeyError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"{self._folder}: damaged checkpoint ({reason}); delete this folder to train from the start"
            ) from None
        # The optimizer counts its own steps, in the same file as the weights.
        return epochs[: int(model.optimizer.iterations) // steps]

    def remove(self) -> None:
        # The state first: one without its history, as a kill might leave it, could not be restored.
        self._state.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)
