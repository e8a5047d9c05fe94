"""Results that are there, and the removal of old ones: python -m relu2snn.runs list, … remove SUITE/EXPERIMENT/VARIANT.

A run is a configuration of an experiment with its folder of phase 2. It uses folders of other stages, which other runs
may use too; what only a removed run used goes with it. MLflow keeps what was logged.
"""

import argparse
import difflib
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from relu2snn.clock import shown_date
from relu2snn.config.variants import BASE, BETWEEN
from relu2snn.errors import UserError, one_line
from relu2snn.locks import require_free
from relu2snn.made import load_json
from relu2snn.presentation.results import finished_paths, result_files

# What belongs to the run of that name alone.
_OWN = ("phase2", "provenance", "mlflow")
_SHARED = ("train", "weights", "phase1")
_VIEWS = ("logs", "benchmarks")


@dataclass
class Run:
    """A configuration with files: its own folders, and those of other stages and of its data set that it uses."""

    suite: str
    experiment: str
    variant: str
    overrides: str = ""
    finished: bool = False
    own: set[Path] = field(default_factory=set)
    uses: set[Path] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"{self.suite}/{self.experiment}/{self.variant}"


def find_runs(outputs: str, suite: str) -> list[Run]:
    """The runs of a suite by experiment, finished ones first; what was left before phase 2 counts as unfinished.

    Raises UserError for a damaged result file.
    """
    found: dict[tuple[str, str], Run] = {}

    def run_of(experiment: str, variant: str) -> Run:
        return found.setdefault((experiment, variant), Run(suite, experiment, variant, variant))

    for name in ("run.json", "result.json"):
        for file in result_files(outputs, suite, f"*/phase2/*/{name}"):
            described, _ = load_json(file)
            run = run_of(described["experiment"], described["variant"])
            paths = finished_paths(outputs, suite, described)
            run.overrides, run.finished = " ".join(described["overrides"]), name == "result.json"
            run.uses |= {Path(paths.dataset), Path(paths.weights), Path(paths.phase1)}
            run.uses |= {Path(paths.train)} if described["run"]["train"] else set()
    for file in result_files(outputs, suite, "*/sweep/*/*/result.json"):
        described, _ = load_json(file)
        run = run_of(described["experiment"], described["run"]["phase2"])
        paths = finished_paths(outputs, suite, described)
        run.own |= {path for path in file.parent.iterdir() if path.name != "points"}
        run.uses |= {file.parents[1] / described["run"]["points"] / "points", Path(paths.phase1)}
    for folder in _folders(outputs, suite):
        experiment, stage, variant = folder.relative_to(Path(outputs, suite)).parts
        if stage in _OWN:
            run_of(experiment, variant).own.add(folder)
    used = {path for run in found.values() for path in run.uses}
    for folder in _folders(outputs, suite):
        experiment, stage, variant = folder.relative_to(Path(outputs, suite)).parts
        if stage in _SHARED and folder not in used:
            run_of(experiment, variant).own.add(folder)
        if stage == "figures":
            _drawn_of(folder, experiment, list(found.values()), run_of(experiment, variant)).own.add(folder)
    runs = [run for run in found.values() if run.own or run.uses]
    return sorted(runs, key=lambda run: (run.experiment, not run.finished, run.overrides))


def _folders(outputs: str, suite: str) -> list[Path]:
    stages = (*_OWN, *_SHARED, "figures")
    return [folder for stage in stages for folder in result_files(outputs, suite, f"*/{stage}/*") if folder.is_dir()]


def _drawn_of(folder: Path, experiment: str, runs: list[Run], otherwise: Run) -> Run:
    """The run whose figures stand in `folder`, which is named by the run and then by what is drawn otherwise."""
    head = folder.name.partition("figures.")[0].removesuffix(BETWEEN) or BASE
    return next((run for run in runs if (run.experiment, run.variant) == (experiment, head)), otherwise)


def removable(run: Run, runs: list[Run]) -> list[Path]:
    """What goes with a run: its own folders, what no other of `runs` uses, and the logs of both."""
    kept = {path for other in runs if other is not run for path in (*other.uses, *other.own)}
    gone = sorted(path for path in run.own | run.uses if path not in kept and path.exists())
    return [*gone, *_logs(gone)]


def _logs(gone: list[Path]) -> Iterator[Path]:
    for path in gone:
        if path.parents[1].name == "datasets":
            job = re.compile(re.escape(path.name) + r"(_(order|sample|labels|container|part\d+))?\.(log|tsv)")
            yield from (file for file in sorted(path.parent.iterdir()) if job.fullmatch(file.name))
    # Jobs of all stages whose folder has the name log side by side.
    stages = {path for path in gone if path.parent.name in (*_OWN, *_SHARED, "figures")}
    for experiment, variant in sorted({(path.parents[1], path.name) for path in stages}):
        others = [path for path in experiment.glob(f"*/{variant}") if path.parent.name not in _VIEWS]
        if set(others) <= set(gone):
            yield from (folder for view in _VIEWS if (folder := experiment / view / variant).exists())


def _suites(outputs: str) -> list[str]:
    folders = (path for stage in (*_OWN, *_SHARED) for path in Path(outputs).glob(f"*/*/{stage}/"))
    return sorted({folder.parents[1].name for folder in folders})


def _size(paths: list[Path]) -> int:
    files = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
    return sum(file.lstat().st_size for file in files if file.is_file())


def show(outputs: str, suites: list[str]) -> None:
    """Print the runs of the suites: size is what the removal of one frees."""
    table = Table()
    for column in ("run", "overrides", "finished"):
        table.add_column(column, overflow="fold")
    table.add_column("size (MB)", justify="right")
    table.add_column("date")
    for suite in suites:
        runs = find_runs(outputs, suite)
        for run in runs:
            paths = removable(run, runs)
            latest = max((path.stat().st_mtime for path in run.own if path.exists()), default=None)
            date = "" if latest is None else shown_date(latest)
            finished = "yes" if run.finished else "no"
            table.add_row(run.name, run.overrides, finished, f"{_size(paths) / 1e6:.1f}", date)
    Console(width=None if sys.stdout.isatty() else 300).print(table)


def remove(outputs: str, name: str, dry: bool = False) -> None:
    """Remove the run that is called `name`, or say what would be removed.

    Raises UserError when there is no such run, and when a process is writing there.
    """
    suite = name.partition("/")[0]
    runs = find_runs(outputs, suite) if suite in _suites(outputs) else []
    run = next((each for each in runs if each.name == name), None)
    if run is None:
        close = difflib.get_close_matches(name, [each.name for each in runs], n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(f"{name}: no such run; {hint}python -m relu2snn.runs list has all")
    paths = removable(run, runs)
    size = _size(paths)
    require_free(paths, outputs)
    for path in paths:
        print(f"{'would remove' if dry else 'removed'} {path}")
        if not dry:
            _delete(path, Path(outputs, suite))
    print(f"{name}: {size / 1e6:.1f} MB")


def _delete(path: Path, suite: Path) -> None:
    """Delete a file or folder, and the folders in the suite's that hold nothing then."""
    if path.is_dir():
        # Without its result a run that is removed half-way is not taken for finished.
        (path / "result.json").unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink()
    for folder in path.parents:
        if folder == suite or any(folder.iterdir()):
            break
        folder.rmdir()


def main() -> None:
    """Command-line entry point."""
    parser = argparse.ArgumentParser(prog="python -m relu2snn.runs", description="List results, remove old ones.")
    parser.add_argument("--outputs", default="outputs", help="the folder of all suites (default: outputs)")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="the runs that have files")
    listing.add_argument("suite", nargs="?", metavar="suite=NAME", help="of this suite alone")
    removal = commands.add_parser("remove", help="remove a run and what no other uses")
    removal.add_argument("name", metavar="SUITE/EXPERIMENT/VARIANT", help="as the list names it")
    removal.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    arguments = parser.parse_args()
    try:
        if arguments.command == "remove":
            remove(arguments.outputs, arguments.name, arguments.dry_run)
            return
        suites, asked = _suites(arguments.outputs), (arguments.suite or "").removeprefix("suite=")
        if asked and asked not in suites:
            others = f"choose from {', '.join(suites)}" if suites else "run snakemake first"
            raise UserError(f"suite={asked}: no results in {arguments.outputs}; {others}")
        show(arguments.outputs, [asked] if asked else suites)
    except (UserError, OSError) as error:
        print(f"relu2snn runs: {error if isinstance(error, UserError) else one_line(error)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
