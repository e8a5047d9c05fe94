"""Manifests: which photographs, in which order, as text of one line `path` or `path<TAB>label` each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relu2snn.errors import UserError
from relu2snn.made import Job


@dataclass(frozen=True)
class Manifest:
    """Paths relative to the data set's folder, and their labels, if it has any."""

    paths: list[str]
    labels: list[int] | None = None


def manifest_text(manifest: Manifest) -> str:
    """The lines of a manifest."""
    columns = [manifest.paths] if manifest.labels is None else [manifest.paths, map(str, manifest.labels)]
    return "".join("\t".join(row) + "\n" for row in zip(*columns, strict=True))


def write_manifest(path: str | Path, manifest: Manifest, job: Job, **of: Any) -> None:
    """Write a manifest with the stamp of `job`; `of` tells it from others of its stage."""
    job.write_text(path, manifest_text(manifest), **of)


def read_manifest(path: str | Path, job: Job, stage: str, **of: Any) -> Manifest:
    """Read a manifest that `stage` has written.

    Raises UserError when it is missing, not one, or contradicts what the job knows.
    """
    text = job.read_text(path, stage, of=of)
    try:
        rows = [line.split("\t") for line in text.split("\n")[:-1]]
        labels = [int(row[1]) for row in rows] if len(rows[0]) == 2 else None
    except (ValueError, IndexError):
        rows, labels = [], None
    if {len(row) for row in rows} not in ({1}, {2}):
        raise UserError(f"{path}: not a manifest of photographs; delete it and run the workflow again")
    return Manifest([row[0] for row in rows], labels)


def require_plain(paths: Sequence[str], folder: str | Path) -> None:
    """Raise UserError for a name that would break the lines of a manifest."""
    for path in paths:
        if not path.isprintable():
            raise UserError(f"{folder}: the name {path!r} has a character that does not print; rename the file")
