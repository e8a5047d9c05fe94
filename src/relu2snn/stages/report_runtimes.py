"""Writes the report's table of what each job took."""

from relu2snn.config import Experiment, Paths
from relu2snn.files import write_text
from relu2snn.report import runtimes_page
from relu2snn.stages._app import stage_app


def run(config: Experiment, part: int | None) -> None:
    """Write report/runtimes.html from the benchmark files of the suite's jobs."""
    paths = Paths.of(config)
    write_text(paths.page("runtimes"), runtimes_page(paths.suite_folder, config.suite.name))


if __name__ == "__main__":
    stage_app("report_runtimes", run)
