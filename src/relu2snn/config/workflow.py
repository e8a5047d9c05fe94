"""What the Snakefile needs beside the configs: a readable end for a mistake, tables, shell commands."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from relu2snn.config.missing import Missing
from relu2snn.config.paths import FIGURES, Paths, model_files
from relu2snn.config.places import publish_places
from relu2snn.config.schema import Experiment
from relu2snn.config.selection import Selection, select
from relu2snn.config.slices import stage_slice
from relu2snn.config.variants import masked
from relu2snn.errors import UserError


def select_or_exit(
    options: Mapping[str, Any], readable_formats: tuple[str, ...], checks: Sequence[Callable[[Experiment], object]] = ()
) -> Selection:
    """`select`, ending the process with one line and status 1 for a mistake, before any job starts."""
    try:
        return select(options, readable_formats, checks)
    except UserError as error:
        print(f"relu2snn: {error}", file=sys.stderr, flush=True)
        # Snakemake would report SystemExit with a traceback of the Snakefile.
        os._exit(1)


def only_reports(arguments: Sequence[str]) -> bool:
    """Whether a command line of Snakemake makes a report of what is there, and runs nothing."""
    asked = any(word == "--report" or word.startswith("--report=") for word in arguments)
    return asked and "--report-after-run" not in arguments


def leave_out_unfinished(selection: Selection) -> Selection:
    """What a report can show, with a line on stderr for each run and sweep that it can't."""
    kept = selection.reported()
    for before, after, name in (
        (selection.runs, kept.runs, ""),
        (selection.sweeps, kept.sweeps, ", sweep {sweep}"),
    ):
        shown = {id(each) for each in after}
        for each in before:
            if id(each) not in shown:
                overrides = " ".join(each.run.sweep_overrides if name else each.run.overrides)
                row = f"{each.name}{name.format(sweep=each.sweep.name)}" + (f" ({overrides})" if overrides else "")
                print(f"relu2snn: {row}: not in the report, since it is not finished", file=sys.stderr, flush=True)
    return kept


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
