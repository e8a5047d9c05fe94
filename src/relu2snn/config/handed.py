"""What a call of the workflow has composed, handed to its jobs: each reads the Snakefile again, and may do so quickly.

A call of a thousand runs takes half a minute to compose. Its selection is left in .snakemake/, which jobs on machines
that share the folder see; others compose it anew.
"""

import contextlib
import hashlib
import json
import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import relu2snn
from relu2snn.config.compose import conf
from relu2snn.config.selection import Selection
from relu2snn.config.variants import known_files
from relu2snn.files import atomic_path

FOLDER = Path(".snakemake", "relu2snn")
# Of calls that ended long ago, whose jobs cannot run any more.
_SECONDS = 60 * 24 * 3600


def hand_out(selection: Selection, options: Mapping[str, Any], typed: Sequence[str]) -> None:
    """Leave a selection for the jobs of the call with these options; where that cannot be, they compose it anew."""
    with contextlib.suppress(OSError):
        FOLDER.mkdir(parents=True, exist_ok=True)
        for path in FOLDER.glob("*.pickle"):
            if time.time() - path.stat().st_mtime > _SECONDS:
                path.unlink(missing_ok=True)
        with atomic_path(FOLDER / f"{_key(options, typed)}.pickle") as file:
            file.write_bytes(pickle.dumps((selection, known_files())))


def handed(options: Mapping[str, Any], typed: Sequence[str]) -> Selection | None:
    """What the call that has started this job has left; None where conf/, this package or the options are others."""
    path = FOLDER / f"{_key(options, typed)}.pickle"
    try:
        selection, files = pickle.loads(path.read_bytes())
    # A pickle may fail in any way, and is only a shorter way to what is composed otherwise.
    except Exception:
        return None
    known_files(files)
    return selection if isinstance(selection, Selection) else None


def _key(options: Mapping[str, Any], typed: Sequence[str]) -> str:
    """What a selection follows from: the options, and the files of conf/ and of this package as they stand."""
    states = [[str(path), status.st_size, status.st_mtime_ns] for path, status in _files()]
    whole = json.dumps([relu2snn.__version__, dict(options), list(typed), states], sort_keys=True, default=str)
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def _files() -> Iterator[tuple[Path, Any]]:
    for folder, pattern in ((conf(), "**/*.yaml"), (Path(__file__).parent, "*.py")):
        for path in sorted(folder.glob(pattern)):
            yield path, path.stat()
