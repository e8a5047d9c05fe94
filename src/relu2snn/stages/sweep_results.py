"""Gathers the sweeps of a suite into sweeps.csv and prints them as a table."""

from relu2snn.config import Experiment, Paths
from relu2snn.results import SWEEP_COLUMNS, collect_sweeps, print_table, write_csv
from relu2snn.stages._app import stage_app


def run(config: Experiment, part: int | None) -> None:
    """Write outputs/<suite>/sweeps.csv over all sweeps that have results."""
    paths = Paths.of(config)
    rows = collect_sweeps(config.outputs, config.suite.name)
    write_csv(paths.sweeps, rows, SWEEP_COLUMNS)
    print_table(rows, columns=SWEEP_COLUMNS)


if __name__ == "__main__":
    stage_app("sweep_results", run)
