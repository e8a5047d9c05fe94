"""Manifests: which photographs, in which order, as text of one line `path` or `path<TAB>label` each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relu2snn.errors import UserError
from relu2snn.files import atomic_path


@dataclass(frozen=True)
class Manifest:
    """Paths relative to the data set's folder, and their labels, if it has any."""

    paths: list[str]
    labels: list[int] | None = None


def write_manifest(path: str | Path, manifest: Manifest) -> None:
    """Write a manifest."""
    columns = [manifest.paths] if manifest.labels is None else [manifest.paths, map(str, manifest.labels)]
    with atomic_path(path) as temporary:
        temporary.write_text("".join("\t".join(row) + "\n" for row in zip(*columns, strict=True)))


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest.

    Raises UserError when it is missing or not one.
    """
    try:
        rows = [line.split("\t") for line in Path(path).read_text().splitlines()]
        labels = [int(row[1]) for row in rows] if len(rows[0]) == 2 else None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage that makes it first") from None
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
