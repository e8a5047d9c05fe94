"""Gathers the results of a suite into results.csv and prints them as a table."""

from relu2snn.config import Experiment, Paths
from relu2snn.results import collect, print_table, write_results
from relu2snn.stages._app import stage_app


def run(config: Experiment, part: int | None) -> None:
    """Write outputs/<suite>/results.csv over all experiments that have results."""
    paths = Paths.of(config)
    rows = collect(config.outputs, config.suite.name)
    write_results(paths.results, rows, config.energy)
    print_table(rows)


if __name__ == "__main__":
    stage_app("results", run)
