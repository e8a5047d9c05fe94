"""The Snakemake report on a suite with sweeps, whose images are synthetic."""

import csv
from pathlib import Path

import pytest
from runs import SWEEP_OPTIONS, SWEEP_OVERRIDES, make_report, paths
from test_report import Cells, Report, assert_nothing_is_fetched, assert_nothing_is_said_of_a_paper

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def report(swept: Path) -> Report:
    run = make_report(swept, swept / "report.html", SWEEP_OVERRIDES + "[0.0,0.05]", **SWEEP_OPTIONS)
    assert run.returncode == 0, run.stderr[-3000:]
    return Report(swept / "report.html")


def test_a_suite_that_compares_nothing_says_nothing_of_a_paper(report: Report) -> None:
    assert_nothing_is_said_of_a_paper(report, "smoke")


def test_nothing_is_fetched_when_it_is_opened(report: Report) -> None:
    assert_nothing_is_fetched(report)


def test_a_sweep_is_there_with_its_table_and_curve(report: Report, swept: Path) -> None:
    tables = Cells(report.page("outputs/smoke/report/sweeps.html")).tables
    ((_, (header, quiet, noisy)),) = tables.items()
    assert header[:3] == ["noise", "trials", "images"]
    with (swept / "outputs" / "smoke" / "sweeps.csv").open() as file:
        points = list(csv.DictReader(file))
    for row, point in zip((quiet, noisy), points, strict=True):
        assert (float(row[0]), row[1], row[2]) == (float(point["value"]), point["trials"], point["images"])
        assert float(row[3].partition(" ± ")[0]) == pytest.approx(float(point["accuracy_mean"]), abs=1e-4)
    assert "±" in noisy[3]
    assert "±" not in quiet[3]
    folder = paths(swept, "cifar10_vgg", SWEEP_OVERRIDES + "[0.0,0.05]", "smoke", "noise").sweep
    for suffix in ("png", "svg"):
        path = str(Path(folder, f"noise.{suffix}").relative_to(swept))
        assert report.content(path) == (swept / path).read_bytes()
        assert path in report.categories["Robustness"]["cifar10_vgg"]
        assert "noise of this standard deviation on every spike time" in report.results[path]["caption"]
        path = f"outputs/smoke/tradeoffs/cifar10_vgg.{suffix}"
        assert report.content(path) == (swept / path).read_bytes()
        assert "latency" in report.results[path]["caption"]
