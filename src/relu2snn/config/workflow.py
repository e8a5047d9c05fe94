"""What the Snakefile needs beside the configs: a readable end for a mistake, tables, shell commands."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from relu2snn.config.compose import composing
from relu2snn.config.paths import FIGURES, Paths, model_files
from relu2snn.config.places import publish_places
from relu2snn.config.schema import Experiment
from relu2snn.config.selection import Missing, Selection, select
from relu2snn.config.slices import stage_slice
from relu2snn.config.variants import masked
from relu2snn.errors import UserError, printable


def select_or_exit(
    options: Mapping[str, Any],
    readable_formats: tuple[str, ...],
    checks: Sequence[Callable[[Experiment], object]] = (),
    typed: Sequence[str] = (),
) -> Selection:
    """`select`, ending the process with one line and status 1 for a mistake, before any job starts.

    typed: the arguments of --config as they were typed.
    checks: called with every experiment that will run; a UserError of theirs ends the process too.
    """
    try:
        with composing():
            selection = select(options, readable_formats, typed)
            for experiment in selection.runs:
                for check in checks:
                    check(experiment)
        return selection
    except UserError as error:
        print(f"relu2snn: {printable(str(error))}", file=sys.stderr, flush=True)
        # Snakemake would report SystemExit with a traceback of the Snakefile.
        os._exit(1)


def slice_text(experiment: Experiment, stage: str) -> str:
    """A stage's slice of the config as one line of JSON: the parameter whose change re-runs the job."""
    return json.dumps(masked(experiment, stage_slice(experiment, stage)), sort_keys=True)


def overrides_text(experiment: Experiment) -> str:
    """A run's overrides as one text, in which files are told by their content."""
    return " ".join(masked(experiment, list(experiment.run.overrides)))


def tracked_files(paths: Paths) -> list[str]:
    """The files of a run that become what MLflow shows."""
    assert paths.config is not None
    return [
        f"{paths.dataset}/source.json",
        f"{paths.weights}/source.json",
        *(f"{folder}/{name}" for folder in (paths.phase1, paths.phase2) for name in ("result.json", "predictions.npz")),
        *model_files(paths.config).values(),
        *(f"{paths.figures}/{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg")),
        f"{paths.figures}/data.npz",
    ]


def prepare_environment(selection: Selection) -> None:
    """Let the jobs find this Python and this package, and know each run's MLflow store and container engine."""
    source = str(Path(__file__).resolve().parents[2])
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    publish_places(selection.runs)


def print_missing(missing: Sequence[Missing]) -> None:
    """A table on stderr of the rows that do not run and what they wait for."""
    if not missing:
        return
    table = Table(title="Not run: what these experiments wait for", show_lines=True)
    for column in ("experiment", "missing", "where to get it", "where to put it"):
        table.add_column(column, overflow="fold")
    for row in missing:
        table.add_row(row.experiment, row.what, row.origin, row.path)
    width = None if sys.stderr.isatty() else 160
    Console(stderr=True, width=width).print(table)
