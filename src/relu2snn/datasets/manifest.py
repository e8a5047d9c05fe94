"""Manifests: which photographs, in which order; each a line `path`, `path<TAB>label` or `path<TAB>SHA-256`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from relu2snn.errors import UserError, reading
from relu2snn.files import read_text, require_file, write_text
from relu2snn.made import Job, is_stamped, load_text

_LABEL, _DIGEST = re.compile(r"[0-9]{1,9}"), re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """Paths relative to the data set's folder, and their labels or the digests of the files, if it has any."""

    paths: list[str]
    labels: list[int] | None = None
    digests: list[str] | None = None


def write_manifest(path: str | Path, manifest: Manifest, job: Job | None = None, **of: Any) -> None:
    """Write a manifest, with the stamp of `job`, if any; `of` tells it from others of the job's stage."""
    columns = [manifest.paths, *(map(str, each) for each in (manifest.labels, manifest.digests) if each is not None)]
    text = "".join("\t".join(row) + "\n" for row in zip(*columns, strict=True))
    if job is None:
        write_text(path, text)
    else:
        job.write_text(path, text, **of)


def read_manifest(path: str | Path, job: Job | None = None, *stages: str) -> Manifest:
    """Read a manifest; with a job, one that one of `stages` has written.

    Raises UserError when it is missing, damaged or not one, or contradicts what the job knows.
    """
    require_file(path)
    stamped = None if job is None else job.read_text(path, *stages)
    with reading(path, "manifest of photographs", "delete it and run the workflow again"):
        text = (load_text(path)[0] if is_stamped(path) else read_text(path)) if stamped is None else stamped
        if not text.endswith("\n"):
            raise ValueError("its last line has no end")
        rows = [line.split("\t") for line in text[:-1].split("\n")]
        for number, row in enumerate(rows, start=1):
            if len(row) != len(rows[0]) or len(row) > 2 or not _is_plain(row[0]):
                raise ValueError(f"line {number} is {chr(9).join(row)!r}")
        paths = [row[0] for row in rows]
        if len(rows[0]) == 1:
            return Manifest(paths)
        second = [row[1] for row in rows]
        if all(map(_DIGEST.fullmatch, second)):
            return Manifest(paths, digests=second)
        wrong = next((each for each in second if not _LABEL.fullmatch(each)), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} is no label")
        return Manifest(paths, [int(each) for each in second])


def require_plain(paths: Sequence[str], folder: str | Path) -> None:
    """Raise UserError for a name that would break the lines of a manifest."""
    for path in paths:
        if not path.isprintable():
            raise UserError(f"{folder}: the name {path!r} has a character that does not print; rename the file")


def _is_plain(path: str) -> bool:
    """Whether a path prints and stays inside its folder."""
    return path.isprintable() and path not in ("", ".") and not {"/", ".."} & set(PurePosixPath(path).parts)
