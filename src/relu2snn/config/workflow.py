"""What the Snakefile needs beside the configs: a readable end for a mistake, tables, shell commands."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

import relu2snn
from relu2snn.config.compose import composing
from relu2snn.config.missing import Missing
from relu2snn.config.paths import FIGURES, Paths, model_files
from relu2snn.config.places import publish_places
from relu2snn.config.schema import Experiment
from relu2snn.config.selection import Selection, select
from relu2snn.config.shaping import job_slice
from relu2snn.config.storage import Storage
from relu2snn.config.variants import masked
from relu2snn.errors import UserError, printable
from relu2snn.locks import enter_workflow
from relu2snn.processes import end_with_starter, publish
from relu2snn.shipped import checkout


def select_or_exit(
    options: Mapping[str, Any],
    readable_formats: tuple[str, ...],
    checks: Sequence[Callable[[Experiment], object]] | None = (),
    typed: Sequence[str] = (),
    beside: str = "",
) -> Selection:
    """`select`, ending the process with one line and status 1 for a mistake, before any job starts.

    beside: the folder of the Snakefile. A mistake is also a package that is not the one there, whose conf/ users edit
    in vain.
    """
    try:
        if checkout() is None:
            raise UserError(
                f"{Path(relu2snn.__file__).parent}: this package is a wheel's and has a conf/ of its own; "
                "for the workflow, pip install -e . in the folder of the Snakefile"
            )
        if beside and checkout() != Path(beside).resolve():
            raise UserError(
                f"{Path(relu2snn.__file__).parent}: this package is not the one beside the Snakefile, in {beside}; "
                "pip install -e . there, or put its src first in PYTHONPATH"
            )
        with composing():
            return select(options, readable_formats, checks, typed)
    except UserError as error:
        _exit(error)


def link_or_exit(storage: Storage, outputs: str) -> None:
    """Let stages find the copies of a storage, if there is one; a mistake ends the process as in `select_or_exit`."""
    try:
        storage.link(outputs)
    except UserError as error:
        _exit(error)


def _exit(error: UserError) -> NoReturn:
    print(f"relu2snn: {printable(str(error))}", file=sys.stderr, flush=True)
    # Snakemake would report SystemExit with a traceback of the Snakefile.
    os._exit(1)


def begin_workflow(*, main: bool, below: bool) -> None:
    """Let jobs end with this Snakemake, and Snakemake with what has started it; forget the locks of killed runs.

    main: whether this is the process that the user has called. below: whether another Snakemake of this machine has
    started it to run one job; its jobs end with the first.
    """
    if main:
        # Its jobs end with it, and what it leaves is what a kill leaves.
        end_with_starter()
        if enter_workflow():
            print("relu2snn: an earlier run was killed in this folder; its lock is removed", file=sys.stderr)
    if not below:
        publish()


def make_halves_again(workflow: Any) -> list[str]:
    """Let Snakemake make again what a killed run left half-done, as --rerun-incomplete does; an input of no files.

    Jobs write under temporary names, so what they have left can always be made again. Snakemake has its settings ready
    only after it has read the Snakefile, so this is called from there when the jobs are listed.
    """
    workflow.dag_settings.force_incomplete = True
    return []


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
    return json.dumps(masked(experiment, job_slice(experiment, stage)), sort_keys=True)


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
    source = str(Path(relu2snn.__file__).resolve().parents[1])
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
