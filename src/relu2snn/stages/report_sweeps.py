"""Writes the report's tables of the robustness sweeps."""

from relu2snn.config import Experiment, Paths
from relu2snn.files import write_text
from relu2snn.report import sweeps_page
from relu2snn.results import collect_sweeps
from relu2snn.stages._app import stage_app


def run(config: Experiment, part: int | None) -> None:
    """Write report/sweeps.html over all sweeps of the suite."""
    paths = Paths.of(config)
    rows = collect_sweeps(config.outputs, config.suite.name)
    write_text(paths.page("sweeps"), sweeps_page(rows, config.suite.name))


if __name__ == "__main__":
    stage_app("report_sweeps", run)
