"""The tables and pages over all rows of a suite: results.csv, sweeps.csv, and the report's pages."""

from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from relu2snn.config import Experiment, Paths, Reported, compose_experiment, compose_suite, other_values, reported
from relu2snn.config.published import VALUES
from relu2snn.config.values import plain
from relu2snn.errors import UserError
from relu2snn.figures import plot_energies, svg_of
from relu2snn.files import read_json, write_text
from relu2snn.presentation.report import (
    beside_plain,
    costs_page,
    results_page,
    row_name,
    runtimes_page,
    software_page,
    summary,
    sweeps_page,
)
from relu2snn.presentation.results import (
    SWEEP_COLUMNS,
    Row,
    collect,
    collect_sweeps,
    energies,
    finished_paths,
    print_main,
    print_table,
    write_csv,
    write_results,
)


def results(config: Experiment) -> None:
    """Write outputs/<suite>/results.csv over all experiments that have results, and print its main columns."""
    print_main(write_results_of(config))


def write_results_of(config: Experiment) -> list[Row]:
    """The same without printing; the rows."""
    rows = collect(config.outputs, config.suite.name)
    write_results(Paths(config.outputs, config.suite.name).results, rows, config.energy)
    return rows


def sweep_results(config: Experiment) -> None:
    """Write outputs/<suite>/sweeps.csv over all sweeps that have results, and print it."""
    print_table(write_sweeps_of(config), columns=SWEEP_COLUMNS)


def write_sweeps_of(config: Experiment) -> list[Row]:
    """The same without printing; the rows."""
    rows = collect_sweeps(config.outputs, config.suite.name)
    write_csv(Paths(config.outputs, config.suite.name).sweeps, rows, SWEEP_COLUMNS)
    return rows


def report_sweeps(config: Experiment) -> None:
    """Write report/sweeps.html over all sweeps of the suite."""
    rows = collect_sweeps(config.outputs, config.suite.name)
    write_text(Paths.of(config).page("sweeps"), sweeps_page(rows, config.suite.name))


def report_runtimes(config: Experiment) -> None:
    """Write report/runtimes.html from the benchmark files of the suite's jobs."""
    paths = Paths.of(config)
    write_text(paths.page("runtimes"), runtimes_page(paths.suite_folder, config.suite.name))


def report_results(config: Experiment) -> None:
    """Write report/results.html, summary.csv, costs.html and software.html over all experiments with results.

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
    compared = beside_plain(rows, [_configuration(folder) for folder in folders])
    write_text(paths.page("costs"), costs_page(compared, config.energy, suite, _picture(compared, config.energy)))
    software = {
        row_name(row): read_json(folder / "software.json")
        for row, folder in zip(rows, folders, strict=True)
        if (folder / "software.json").exists()
    }
    write_text(paths.page("software"), software_page(software, suite))


def _reported(outputs: str, suite: str, row: Row, provenance: Path) -> Reported:
    """What others report for a row, by its own files; nothing where it has no provenance to tell which run it is."""
    nothing = Reported(dict.fromkeys(VALUES), None, "")
    values = _configuration(provenance)
    if not values:
        return nothing
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


def _picture(rows: list[Row], settings: Any) -> bytes:
    """The energies of all rows beside their ReLU networks', as SVG; nothing where none has counted its operations."""
    counted = [row for row in rows if row["costs"] is not None]
    if not counted:
        return b""
    prices = [energies(row["costs"], settings) for row in counted]
    shares = {
        model: (
            [each[model].effective / each[model].dense for each in prices],
            [each[model].spiking / each[model].dense for each in prices],
        )
        for model in prices[0]
    }
    return svg_of(plot_energies([row_name(row) for row in counted], shares))


def _configuration(provenance: Path) -> dict[str, Any]:
    """The whole configuration of a row, nothing where it has no provenance."""
    file = provenance / "config.yaml"
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(file))) if file.exists() else {}


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
