"""The Snakemake report as a person reads it: opened from disk in Chromium, with no network."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Visit, chromium, is_drawn
from playwright.sync_api import Locator, expect

from relu2snn.presentation.results import shown

pytestmark = pytest.mark.workflow


@pytest.fixture
def visit(report_file: Path, tmp_path: Path) -> Iterator[Visit]:
    """The report's first page; afterwards, nothing but the file was asked for."""
    with chromium() as browser:
        visit = Visit(browser, tmp_path, offline=True)
        visit.page.goto(report_file.as_uri())
        yield visit
        visit.picture("last")
        assert visit.elsewhere == []
        assert visit.errors == []


def rows(report_file: Path) -> list[dict[str, str]]:
    with (report_file.parent / "outputs" / "paper" / "results.csv").open() as file:
        return list(csv.DictReader(file))


def cells(table: Locator, experiment: str) -> list[str]:
    """What a table says of an experiment."""
    row = table.get_by_role("row").filter(has_text=experiment)
    expect(row).to_be_visible()
    return [text.strip() for text in row.locator("th, td").all_inner_texts()]


def test_the_tables_show_the_results(visit: Visit, report_file: Path) -> None:
    page = visit.page
    for row in rows(report_file):
        accuracy, agreement = (shown(float(row[name])) for name in ("accuracy", "agreement"))
        first = cells(page.get_by_role("table").filter(has_text="agreement"), row["experiment"])
        assert first == [f"{row['experiment']} {row['overrides']}", accuracy, "0.0", agreement, "yes"]
    visit.picture("first")
    page.get_by_role("link", name="Results").first.click()
    page.locator("[iconname=eye]").click()
    frame = page.frame_locator("iframe")
    for row in rows(report_file):
        accuracies = [shown(float(row[f"accuracy{of}"])) for of in ("_original", "_scaled", "")]
        agreement = shown(float(row["agreement"]))
        results = cells(frame.locator("#results"), row["experiment"])
        name = f"{row['experiment']} {row['overrides']}"
        assert results == [name, "real", row["images"], *accuracies, "0.0", agreement, "yes"]
        latency = shown(float(row["latency"]))
        assert latency in cells(frame.locator("#evidence"), row["experiment"])
    visit.picture("results")


def test_a_figure_is_shown_with_its_caption(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("link", name="Figures").first.click()
    page.get_by_role("link", name="fmnist_lenet").click()
    figure = page.get_by_role("row").filter(has_text="Layer maxima")
    figure.locator("[iconname=eye]").first.click()
    is_drawn(page.locator("img[src*='filename=layer_maxima.']"))
    visit.picture("figure")
    figure.locator("[iconname=information-circle]").first.click()
    expect(page.get_by_text("The largest ReLU output X of each hidden layer over")).to_be_visible()
    expect(page.get_by_text("data set fmnist, ζ = 0.5, train.epochs=2 dataset.source.train_images=300")).to_be_visible()
    visit.picture("caption")
