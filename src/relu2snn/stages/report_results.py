"""Writes the report's table of results beside the published ones, and its table of the software that made them."""

from pathlib import Path

from omegaconf import OmegaConf

from relu2snn.config import Experiment, Paths
from relu2snn.config.variants import BASE
from relu2snn.files import read_json, write_text
from relu2snn.report import SUMMARY_COLUMNS, results_page, software_page, summary
from relu2snn.results import collect, write_csv
from relu2snn.stages._app import stage_app


def run(config: Experiment, part: int | None) -> None:
    """Write report/results.html, summary.csv and software.html over all experiments of the suite with results."""
    outputs, suite = config.outputs, config.suite.name
    paths = Paths(outputs, suite)
    rows = collect(outputs, suite)
    # Results of an older call, or made by hand, may have no provenance yet.
    folders = {(row["experiment"], row["variant"]): _provenance(paths, **row) for row in rows}
    known = {run: folder for run, folder in folders.items() if (folder / "config.yaml").exists()}
    published = {run: OmegaConf.load(folder / "config.yaml").published for run, folder in known.items()}
    write_text(paths.page("results"), results_page(rows, published, suite))
    write_csv(Path(paths.page("results")).with_name("summary.csv"), summary(rows, published), SUMMARY_COLUMNS)
    software = {_shown(*run): read_json(folder / "software.json") for run, folder in known.items()}
    write_text(paths.page("software"), software_page(software, suite))


def _provenance(paths: Paths, experiment: str, variant: str, **_: object) -> Path:
    return Path(paths.provenance.format(experiment=experiment, variant=variant))


def _shown(experiment: str, variant: str) -> str:
    return experiment if variant == BASE else f"{experiment}, {variant}"


if __name__ == "__main__":
    stage_app("report_results", run)
