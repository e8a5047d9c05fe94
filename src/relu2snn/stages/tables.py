"""The tables and pages over all rows of a suite: results.csv, sweeps.csv, and the report's pages."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from relu2snn.config import Experiment, Paths, Reported, compose_experiment, compose_suite, other_values, reported
from relu2snn.config.published import VALUES
from relu2snn.config.values import plain
from relu2snn.errors import UserError
from relu2snn.files import read_json, write_text
from relu2snn.report import results_page, row_name, runtimes_page, software_page, summary, sweeps_page
from relu2snn.results import (
    SWEEP_COLUMNS,
    Row,
    collect,
    collect_sweeps,
    finished_paths,
    print_main,
    print_table,
    write_csv,
)


def results(config: Experiment) -> None:
    """Write outputs/<suite>/results.csv over all experiments that have results, and print its main columns."""
    rows = collect(config.outputs, config.suite.name)
    write_csv(Paths.of(config).results, rows)
    print_main(rows)


def sweep_results(config: Experiment) -> None:
    """Write outputs/<suite>/sweeps.csv over all sweeps that have results, and print it."""
    rows = collect_sweeps(config.outputs, config.suite.name)
    write_csv(Paths.of(config).sweeps, rows, SWEEP_COLUMNS)
    print_table(rows, columns=SWEEP_COLUMNS)


def report_sweeps(config: Experiment) -> None:
    """Write report/sweeps.html over all sweeps of the suite."""
    rows = collect_sweeps(config.outputs, config.suite.name)
    write_text(Paths.of(config).page("sweeps"), sweeps_page(rows, config.suite.name))


def report_runtimes(config: Experiment) -> None:
    """Write report/runtimes.html from the benchmark files of the suite's jobs."""
    paths = Paths.of(config)
    write_text(paths.page("runtimes"), runtimes_page(paths.suite_folder, config.suite.name))


def report_results(config: Experiment) -> None:
    """Write report/results.html, summary.csv and software.html over all experiments of the suite with results.

    A row stands beside what others report for it, where it can be compared.
    """
    outputs, suite = config.outputs, config.suite.name
    paths = Paths(outputs, suite)
    rows = collect(outputs, suite)
    # Results of an older call, or made by hand, may have no provenance yet.
    folders = [Path(paths.provenance.format(experiment=row["experiment"], variant=row["variant"])) for row in rows]
    reports = [_reported(outputs, suite, row, folder) for row, folder in zip(rows, folders, strict=True)]
    write_text(paths.page("results"), results_page(rows, reports, suite))
    short = summary(rows, reports)
    write_csv(Path(paths.page("results")).with_name("summary.csv"), short, list(short[0]))
    software = {
        row_name(row): read_json(folder / "software.json")
        for row, folder in zip(rows, folders, strict=True)
        if (folder / "software.json").exists()
    }
    write_text(paths.page("software"), software_page(software, suite))


def _reported(outputs: str, suite: str, row: Row, provenance: Path) -> Reported:
    """What others report for a row, by its own files; nothing where it has no provenance to tell which run it is."""
    nothing = Reported(dict.fromkeys(VALUES), None, "")
    if not (provenance / "config.yaml").exists():
        return nothing
    values: Any = OmegaConf.to_container(OmegaConf.load(provenance / "config.yaml"))
    pattern = Paths(outputs, suite).phase2
    phase2 = read_json(f"{pattern.format(experiment=row['experiment'], variant=row['variant'])}/result.json")
    paths = finished_paths(outputs, suite, phase2)
    result = reported(
        values,
        read_json(f"{paths.dataset}/source.json"),
        read_json(f"{paths.weights}/source.json"),
        read_json(f"{paths.phase1}/result.json"),
        phase2,
    )
    return result if not result.reason or _sets_out_to_compare(row["experiment"], suite) else nothing


def _sets_out_to_compare(experiment: str, suite: str) -> bool:
    """Whether the suite leaves an experiment as it is; one of other data, as quickstart, has nothing to compare with.

    So a suite's own overrides are no reason to tell a reader of; a user's are.
    """
    try:
        defined = compose_suite(suite)
        ours = plain(compose_experiment(experiment, defined))
        defined.overrides, defined.per_experiment = [], {}
        return other_values(ours) == other_values(plain(compose_experiment(experiment, defined)))
    except UserError:
        return True
