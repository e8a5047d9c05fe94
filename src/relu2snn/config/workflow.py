"""What the Snakefile needs beside the configs: a readable end for a mistake, tables, shell commands."""

import contextlib
import importlib
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

import relu2snn
from relu2snn.clock import date_back, now_in, require_past
from relu2snn.config.compose import composing
from relu2snn.config.handed import hand_out, handed
from relu2snn.config.missing import Missing
from relu2snn.config.places import publish_places
from relu2snn.config.schema import Experiment
from relu2snn.config.selection import Selection, select
from relu2snn.config.storage import Storage
from relu2snn.errors import UserError, printable
from relu2snn.files import require_room
from relu2snn.locks import enter_workflow
from relu2snn.processes import end_with, end_with_starter, publish
from relu2snn.shipped import checkout
from relu2snn.slurm import settle


def select_or_exit(
    options: Mapping[str, Any],
    readable_formats: tuple[str, ...],
    checks: Sequence[Callable[[Experiment], object]] | None = (),
    typed: Sequence[str] = (),
    beside: str = "",
) -> Selection:
    """`select`, ending the process with one line and status 1 for a mistake, before any job starts.

    checks: as in `select`; a job, which has none, takes the selection of the call that has started it, if it finds it.
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
        if checks is None and (found := handed(options, typed)) is not None:
            return found
        with composing():
            selection = select(options, readable_formats, checks, typed)
        if checks is not None:
            hand_out(selection, options, typed)
        return selection
    except UserError as error:
        _exit(error)
    except KeyboardInterrupt:
        _interrupted()


def link_or_exit(storage: Storage, outputs: str) -> None:
    """Let stages find the copies of a storage, if there is one; a mistake ends the process as in `select_or_exit`."""
    try:
        storage.link(outputs)
    except UserError as error:
        _exit(error)


def begin_workflow(*, main: bool, below: bool, remote: bool) -> bool:
    """Let jobs end with this Snakemake, and Snakemake with what has started it; forget the locks of killed runs.

    Jobs on other machines end with the Snakemake there, so they go on when this one ends.

    main: whether this is the process that the user has called. below: whether another Snakemake of this machine has
    started it to run one job; its jobs end with the first. remote: whether a cluster has started it for one job.

    Returns whether this is the only call that works in this folder.
    """
    alone = False
    if main:
        # Its log goes to a disk that may be full, which is no reason for a traceback at every line.
        logging.raiseExceptions = False
        # Its jobs end with it, and what it leaves is what a kill leaves.
        end_with_starter()
        alone, stale = enter_workflow()
        if stale:
            print("relu2snn: an earlier run was killed in this folder; its lock is removed", file=sys.stderr)
    if remote:
        # Snakemake that a cluster has told to end may wait for itself without end, out of the cluster's sight.
        end_with(os.getppid())
    if not below:
        publish()
    return alone


def heed_disks(folder: str) -> None:
    """End the process with one line where `folder`, or what Snakemake itself writes, has no room."""
    # The last is where Snakemake's solver writes what could run next.
    temporary = os.environ.get("TMP", os.environ.get("TMPDIR", "/tmp"))
    try:
        require_room(folder, ".", temporary)
    except UserError as error:
        _exit(error)


def heed_clock(folders: Sequence[str], given: Sequence[str]) -> None:
    """Date files of a clock that was set back since; end the process with one line where that is a user's file.

    folders: where the workflow has made all files. given: files of users that jobs depend on.
    """
    now = now_in(".")
    count = sum(date_back(folder, now) for folder in folders)
    if count:
        print(f"relu2snn: {count} results were dated in the future, and are now dated today", file=sys.stderr)
    try:
        require_past(given, now)
    except UserError as error:
        _exit(error)


def _exit(error: UserError, status: int = 1) -> NoReturn:
    print(f"relu2snn: {printable(str(error))}", file=sys.stderr, flush=True)
    # Snakemake would report SystemExit with a traceback of the Snakefile.
    os._exit(status)


def _interrupted() -> NoReturn:
    _exit(UserError("interrupted; run it again to go on"), 128 + signal.SIGINT)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """End the process with one line where Ctrl-C comes meanwhile: Snakemake would show a traceback of the Snakefile."""
    try:
        yield
    except KeyboardInterrupt:
        _interrupted()


def quote_for_shells() -> None:
    """Let Snakemake quote for a shell what it tells the jobs on other machines.

    It quotes as Python does (`repr`), which a shell reads as another text where there are backslashes or both quotes.
    """
    words: Any = importlib.import_module("snakemake_interface_executor_plugins.utils")
    plain = words.format_cli_value

    def quoted(value: Any, quote: bool = False, base64_encode: bool = False) -> str:
        if isinstance(value, str) and quote and not base64_encode:
            return shlex.quote(value)
        return str(plain(value, quote=quote, base64_encode=base64_encode))

    words.format_cli_value = quoted


def take_over(workflow: Any, alone: bool) -> list[str]:
    """Go on where an ended call stands, before the jobs of this one are listed; an input of no files.

    What it left half-done is made again, as with --rerun-incomplete: jobs write under temporary names, so that is
    always right. Jobs of its that a cluster still runs are waited for, unless another call is there to do so (`alone`).
    Snakemake has its settings ready only after it has read the Snakefile, so this is called when it lists the jobs.
    """
    workflow.dag_settings.force_incomplete = True
    if alone and workflow.executor_plugin is not None and not (workflow.dryrun or workflow.touch):
        with interruptible():
            settle()
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
