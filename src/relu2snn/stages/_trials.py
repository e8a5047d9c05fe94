"""Finished trials of a sweep's point, kept until the point is written, so that an ended job goes on with them."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relu2snn.errors import UserError
from relu2snn.made import Job, load_npz
from relu2snn.made.npz_file import Arrays, arrays_digest, save_npz


class KeptTrials:
    """Files `<folder>/<trial>.npz` with the stamp of the job that they are part of.

    A trial of another job (other values of the configuration, other input files) and a damaged one count as not run.
    """

    def __init__(self, folder: str | Path, work: Job) -> None:
        """work: the job, when it has read all of its inputs; the files do not become inputs of what it writes."""
        self._folder, self._work = Path(folder), work

    def read(self, trial: int, seed: int) -> Arrays | None:
        """The arrays of a trial, None if it has to be run."""
        path = self._path(trial)
        if not path.exists():
            return None
        try:
            arrays, stamp = load_npz(path)
        except UserError:
            return None
        return arrays if stamp == self._work.stamp(stamp.content, _of(trial, seed)) else None

    def write(self, trial: int, seed: int, arrays: Mapping[str, Any]) -> None:
        """Keep a trial. Raises OSError where there is no space."""
        save_npz(self._path(trial), arrays, self._work.stamp(arrays_digest(arrays), _of(trial, seed)))

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, trial: int) -> Path:
        return self._folder / f"{trial}.npz"


def _of(trial: int, seed: int) -> dict[str, int]:
    return {"trial": trial, "seed": seed}
