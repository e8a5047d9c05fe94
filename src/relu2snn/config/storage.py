"""Files in a storage, such as S3: stages find its copies where the files of a run stand, and rules name all they read.

Without a storage every machine sees every file. With one a job has what its rule names and no more, under a folder of
copies; files of the user stay where they are, and Snakemake runs the jobs that read them on the machine it runs on.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from relu2snn.config.paths import Paths
from relu2snn.config.schema import FOLDER_FORMATS, Experiment
from relu2snn.errors import UserError, one_line, shown

# That of a checkout's outputs/, before anything was run.
_README = "README.md"
_ARRAYS = tuple(f"{split}_{kind}.npy" for split in ("train", "test") for kind in ("images", "labels"))


class Storage:
    """The default storage of a call of Snakemake, if it has one.

    workflow: Snakemake's. local: its mark of files that are in no storage.
    """

    def __init__(self, workflow: Any, local: Callable[[list[str]], Any]) -> None:
        self._provider = workflow.storage_registry.default_storage_provider
        self._prefix = (workflow.storage_settings.default_storage_prefix or "").rstrip("/")
        self._local = local

    @property
    def used(self) -> bool:
        return self._provider is not None

    def given(self, files: str | Path | Iterable[str | Path]) -> Any:
        """Files of the user or of the repository, as inputs: they are never looked for in the storage."""
        return self._local([str(each) for each in ([files] if isinstance(files, str | Path) else files)])

    def read(self, files: Iterable[str]) -> list[str]:
        """Inputs that only a storage must bring; none without one, so that the graph of jobs stays small."""
        return list(files) if self.used else []

    def images(self, config: Experiment, part: int | None = None) -> list[str]:
        """The files of a prepared data set beside its source.json, or only those of a part of the test images."""
        return self.read(image_files(config, part))

    def behind(self, runs: Iterable[Experiment]) -> list[str]:
        """What tables and pages over all rows read of each run beside its results."""
        return self.read(sorted({file for run in runs for file in _behind(Paths.of(run))}))

    def require_within(self, config: Experiment) -> None:
        """Raise UserError for a run with files of the user's that jobs on other machines would have to read."""
        if not self.used:
            return
        way_out = "run it without a storage (no --default-storage-provider)"
        for key in config.run.files:
            raise UserError(f"override {key}: the file is not in the storage, which every job reads from; {way_out}")
        if config.dataset.source.format == "pass":
            raise UserError(
                f"dataset.name={config.dataset.name}: its photographs are read by all jobs and are not in the storage; "
                + way_out
            )

    def link(self, outputs: str) -> None:
        """Make `outputs` a link to the storage's copies of it, so that stages read and write these.

        Raises UserError where a folder with files stands already.
        """
        if not self.used:
            return
        query = f"{self._prefix}/{os.path.normpath(outputs)}"
        copies, place = Path(os.path.abspath(self._provider.object(query).local_path())), Path(outputs)
        try:
            copies.mkdir(parents=True, exist_ok=True)
            if place.is_symlink() and place.resolve() == copies.resolve():
                return
            if place.is_dir() and not place.is_symlink() and {each.name for each in place.iterdir()} <= {_README}:
                # Where git lists it, Snakemake sends it to pods, and wants to find it.
                for each in place.iterdir():
                    shutil.move(each, copies / each.name)
                place.rmdir()
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(copies)
        except FileExistsError:
            raise UserError(
                f"outputs={shown(outputs)}: files of this machine stand where copies of the storage's are to stand; "
                "name another folder, as in overrides=outputs=stored, or move this one away"
            ) from None
        except OSError as error:
            raise UserError(f"outputs={shown(outputs)}: no link to {copies} can be made ({one_line(error)})") from None


def image_files(config: Experiment, part: int | None = None) -> Sequence[str]:
    """The files of a prepared data set beside source.json; with `part`, no images of other parts, where it has any."""
    folder = Paths.of(config).dataset
    if config.dataset.source.format not in FOLDER_FORMATS:
        return [f"{folder}/{name}" for name in _ARRAYS]
    parts = range(config.dataset.parts + 1) if part is None else [part]
    return [f"{folder}/test_labels.npy", *(f"{folder}/parts/{each}.npy" for each in parts)]


def _behind(paths: Paths) -> list[str]:
    return [
        f"{paths.dataset}/source.json",
        f"{paths.weights}/source.json",
        f"{paths.phase1}/result.json",
        f"{paths.provenance}/config.yaml",
        f"{paths.provenance}/software.json",
    ]
