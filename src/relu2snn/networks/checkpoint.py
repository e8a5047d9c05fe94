"""The state of an unfinished training, saved after every epoch."""

import json
import shutil
from pathlib import Path
from typing import Any

import keras

from relu2snn.errors import reading
from relu2snn.files import write_json
from relu2snn.saved.keras_files import load_state, save_state


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
        save_state(model, self._state)

    def restore(self, model: keras.Model, steps: int) -> list[dict[str, Any]]:
        """Put the saved state, if any, into a compiled model and return the history of its epochs of `steps` steps.

        Raises UserError when the files are damaged.
        """
        if not self._state.exists():
            return []
        way_out = f"delete the folder {self._folder} to train from the start"
        with reading(self._state, "checkpoint", way_out):
            load_state(model, self._state)
        with reading(self._history, "history of a checkpoint", way_out):
            epochs: list[dict[str, Any]] = json.loads(self._history.read_bytes())["epochs"]
            if not all(isinstance(epoch["loss"], float) for epoch in epochs):
                raise ValueError("an epoch without its loss")
        # The optimizer counts its own steps, in the same file as the weights.
        return epochs[: int(model.optimizer.iterations) // steps]

    def remove(self) -> None:
        # The state first: one without its history, as a kill might leave it, could not be restored.
        self._state.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)
