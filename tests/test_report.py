"""The Snakemake report: what a reader finds in the file, against the files that it was made of."""

import base64
import csv
import html
import json
import re
import subprocess
import urllib.parse
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from runs import EXPERIMENTS, OVERRIDES, ROOT, make_report, paths

from relu2snn.config import FIGURES, compose_experiment, compose_suite
from relu2snn.config.published import VALUES, Reported
from relu2snn.config.values import plain
from relu2snn.energy import Counts
from relu2snn.presentation.report import (
    MOST_DRAWN,
    beside_plain,
    beside_published,
    compares,
    costs_page,
    drawn_in,
    results_page,
    runtimes,
    software_page,
    summary,
)

NAMES = EXPERIMENTS.split(",")


class Cells(HTMLParser):
    """The tables of a page: by id, rows of cells; a cell is its title (all digits) or, without one, its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.of_class: dict[str, list[str]] = {}
        self.reading = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        if tag == "table":
            self.rows = self.tables.setdefault(values["id"] or "", [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            title = values.get("title")
            self.rows[-1].append(title or "")
            self.of_class.setdefault(values.get("class") or "", []).append(title or "")
            self.reading = title is None
        elif tag == "sup":
            self.reading = False

    def handle_data(self, data: str) -> None:
        if self.reading:
            self.rows[-1][-1] += data.strip()

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.reading = False


class Addresses(HTMLParser):
    """Every address that a browser would fetch by itself for a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        followed = {"a": (), "link": ("href",)}.get(tag, ("src", "href", "xlink:href", "data", "poster", "srcset"))
        self.found += [value or "" for key, value in attributes if key in followed]
        self.found += re.findall(r"url\(([^)]*)\)", dict(attributes).get("style") or "")


class Report:
    """A report as written by Snakemake: its results by path, its categories, its pages."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text()
        self.results: dict[str, Any] = self._variable("results")
        self.categories: dict[str, Any] = self._variable("categories")
        self.description: str = self._variable("workflow-desc", "workflow_desc")

    def _variable(self, script: str, name: str = "") -> Any:
        found = re.search(rf'<script id="{script}">\s*var {name or script} = (.*);\s*</script>', self.text)
        assert found, script
        return json.loads(found.group(1))

    def content(self, path: str) -> bytes:
        head, _, data = self.results[path]["data_uri"].partition(",")
        assert head.startswith(f"data:{self.results[path]['mime_type']}")
        return base64.b64decode(data) if "base64" in head else urllib.parse.unquote_to_bytes(data)

    def page(self, path: str) -> str:
        return self.content(path).decode()


@pytest.fixture(scope="module")
def report(report_file: Path) -> Report:
    return Report(report_file)


@pytest.mark.workflow
def test_the_table_holds_the_numbers_of_results_csv(report: Report, finished: Path) -> None:
    tables = Cells(report.page("outputs/paper/report/results.html")).tables
    with (finished / "outputs" / "paper" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    shown = {row[0]: row for row in tables["results"][2:]}
    evidence = {row[0]: row for row in tables["evidence"][1:]}
    (made,) = {row["overrides"] for row in rows}
    assert sorted(made.split()) == sorted(OVERRIDES.split())
    assert set(shown) == set(evidence) == {f"{name} {made}" for name in NAMES}
    for row in rows:
        name = f"{row['experiment']} {made}"
        keys = ("data", "images", "accuracy_original", "accuracy_scaled", "accuracy")
        expected = [name, *(row[key] for key in keys), "0.0", row["agreement"], "yes"]
        assert shown[name] == expected
        keys = ("weights", "certified", "early_spikes", "latency", "nonzero_fraction", "spiking_fraction")
        assert evidence[name] == [name, *(row[key] for key in keys)]
        # And on the first page, in short.
        assert re.search(rf"<td>{re.escape(name)}</td>\s*<td>{float(row['accuracy']):.4f}</td>", report.description)


def assert_nothing_is_said_of_a_paper(report: Report, suite: str) -> None:
    # The pages of configs have the keys of conf/, whatever these are called.
    pages = [report.page(path) for path in report.results if path.endswith(".html") and "config" not in path]
    captions = [str(result["caption"]) + str(result["labels"]) for result in report.results.values()]
    for text in (report.description, *pages, *captions, *report.categories):
        assert "publish" not in text.lower()
        # But for the suite's own name.
        assert "paper" not in re.sub(r"suite(: \{name:)? paper|outputs/paper", "", text.lower())
    assert "Results" in report.categories
    assert set(Cells(report.page(f"outputs/{suite}/report/results.html")).tables) == {"results", "evidence"}


@pytest.mark.workflow
def test_a_suite_that_compares_nothing_says_nothing_of_a_paper(report: Report) -> None:
    """Fashion-MNIST with these networks is not in the paper."""
    assert_nothing_is_said_of_a_paper(report, "paper")


@pytest.mark.workflow
def test_a_suite_with_a_published_run_has_a_page_that_compares(report: Report, finished: Path, tmp_path: Path) -> None:
    """By the page alone: a value there makes the category, the label, the caption and the text of the first page."""
    assert "Results" in report.categories
    folder = finished / "outputs" / "paper" / "report"
    kept = (folder / "results.html").read_text()
    (folder / "results.html").write_text(results_page([ROW, NOISY], [MNIST, ANOTHER], "paper"))
    try:
        run = make_report(finished, tmp_path / "report.html", OVERRIDES, experiments=EXPERIMENTS)
    finally:
        (folder / "results.html").write_text(kept)
    assert run.returncode == 0, run.stderr[-3000:]
    compared = Report(tmp_path / "report.html")
    assert "Comparison with the paper" in compared.categories
    assert "Results" not in compared.categories
    result = compared.results["outputs/paper/report/results.html"]
    assert result["labels"] == {"table": "Results beside published ones"}
    assert "Blue columns hold what others report" in result["caption"]
    assert "the paper claims" in compared.description


@pytest.mark.workflow
def test_every_figure_of_every_experiment_is_there_with_its_caption(report: Report, finished: Path) -> None:
    captions = {}
    for name in NAMES:
        folder = Path(paths(finished, name).figures)
        for file in (folder / f"{figure}.{suffix}" for figure in FIGURES for suffix in ("png", "svg")):
            path = str(file.relative_to(finished))
            assert report.content(path) == file.read_bytes()
            assert path in report.categories["Figures"][name]
            assert report.results[path]["labels"]["figure"] == file.stem.replace("_", " ").capitalize()
            assert report.results[path]["labels"]["format"].endswith(f" ({file.suffix[1:].upper()})")
            captions[name, file.stem] = report.results[path]["caption"]
            assert name in captions[name, file.stem]
            assert len(captions[name, file.stem]) > 150
    assert len(set(captions.values())) == len(captions) == len(FIGURES) * len(NAMES)


@pytest.mark.workflow
def test_the_whole_config_of_each_experiment_is_there(report: Report, finished: Path) -> None:
    for name in NAMES:
        path = str(Path(paths(finished, name).provenance, "config.html").relative_to(finished))
        text = re.search("<pre>(.*)</pre>", report.page(path), re.S)
        assert text
        shown = yaml.safe_load(html.unescape(text.group(1)))
        config = compose_experiment(name, compose_suite("paper"), OVERRIDES.split())
        assert (shown["name"], shown["train"]["epochs"], shown["model"]["family"]) == (name, 2, config.model.family)
        assert shown["phase2"] == plain(config.phase2)
        assert "published" not in shown
        assert shown["dataset"]["source"]["train_images"] == 300
        assert report.results[path]["labels"] == {"experiment": name}


@pytest.mark.workflow
def test_software_and_run_times_are_those_of_the_run(report: Report, finished: Path) -> None:
    software = {row[0]: row[1:] for row in Cells(report.page("outputs/paper/report/software.html")).tables["software"]}
    for package in ("tensorflow", "keras", "numpy", "snakemake", "mlflow", "relu2snn"):
        assert set(software[package]) == {version(package)}
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {text.removesuffix("-dirty") for text in software["commit"]} == {head.strip()}
    assert all(software["processor"])
    tables = Cells(report.page("outputs/paper/report/runtimes.html")).tables
    for name in NAMES:
        measured = {row[0]: row[1] for row in tables[name]}
        made = paths(finished, name)
        jobs = {"train": made.train, "phase1": made.phase1, "figures": made.figures}
        jobs |= {f"phase2_part{part}": made.phase2 for part in (0, 1)}
        for job, folder in jobs.items():
            variant = Path(folder).name
            file = Path(made.folder, "benchmarks", variant, f"{job}.tsv")
            seconds = float(next(csv.DictReader(file.open(), delimiter="\t"))["s"])
            assert measured[f"{job}, {variant}"] == f"{seconds:.1f}"
        total = sum(float(seconds) for job, seconds in list(measured.items())[1:] if job != "all jobs")
        assert float(measured["all jobs"]) == pytest.approx(total, abs=0.05 * len(measured))
    data = Path(made.dataset)
    assert f"data {data.parent.name}, {data.name}" in {row[0] for row in tables["all experiments"]}


def assert_nothing_is_fetched(report: Report) -> None:
    pages = [report.text, *(report.page(path) for path in report.results if Path(path).suffix in (".html", ".svg"))]
    assert len(pages) > 3
    for page in pages:
        assert [address for address in Addresses(page).found if not re.match("data:|#|$", address)] == []


@pytest.mark.workflow
def test_nothing_is_fetched_when_it_is_opened(report: Report) -> None:
    assert_nothing_is_fetched(report)


@pytest.mark.workflow
def test_without_results_the_report_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    run = make_report(tmp_path, tmp_path / "report.html", "", suite="quickstart")
    assert run.returncode != 0
    assert re.search(r"File outputs/quickstart/\S+ marked for report but does not exist", run.stderr)
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "report.html").exists()


# Without a run: pages of made-up rows

ROW = {
    "experiment": "mnist_fc",
    "overrides": "",
    "variant": "base",
    "images": 10000,
    "accuracy_original": 0.9862,
    "accuracy_scaled": 0.9862,
    "accuracy": 0.9861,
    "agreement": 0.9999,
    "exact": False,
    "certified": 0.75,
    "early_spikes": 3,
    "latency": 10.25,
    "nonzero_fraction": 0.5,
    "spiking_fraction": 0.25,
    "data": "real",
    "weights": "pretrained",
}
NOISY = {**ROW, "variant": "noise=0.01", "overrides": "phase2.noise=0.01"}
NO_LABELS = {**ROW, "experiment": "pass_vgg"} | dict.fromkeys(("accuracy_original", "accuracy_scaled", "accuracy"))


NOTHING = Reported(dict.fromkeys(VALUES), None, "")
MNIST = Reported({"accuracy": 0.9862, "accuracy_loss": 0.0, "agreement": 1.0}, "someone", "")
PASS = Reported({**NOTHING.values, "agreement": 1.0}, "someone else", "")
ANOTHER = Reported(NOTHING.values, None, "phase2.noise=0.01 instead of 0.0")


def test_of_many_runs_the_report_has_no_figures() -> None:
    def report(path: str, **how: str) -> tuple[str, dict[str, str]]:
        return path, how

    assert drawn_in(report, MOST_DRAWN)("a.png", category="Figures") == ("a.png", {"category": "Figures"})
    assert drawn_in(report, MOST_DRAWN + 1)("a.png", category="Figures") == "a.png"


def test_each_row_stands_beside_what_is_reported_for_it() -> None:
    rows = [ROW, NOISY, {**ROW, "experiment": "unknown"}, NO_LABELS]
    reports = [MNIST, ANOTHER, NOTHING, PASS]
    base, noisy, unknown, unlabelled = beside_published(rows, reports)
    assert base["accuracy_loss"] == pytest.approx(1e-4)
    assert (base["published"]["accuracy"], base["published"]["agreement"]) == (0.9862, 1.0)
    assert set(noisy["published"].values()) == set(unknown["published"].values()) == {None}
    assert unlabelled["accuracy_loss"] is None
    assert unlabelled["published"]["agreement"] == 1.0
    page = results_page(rows, reports, "paper")
    first, second, third, fourth = Cells(page).tables["published"][2:]
    assert first[:7] == ["mnist_fc", "real", "10000", "0.9862", "0.9862", "0.9861", "0.9862"]
    assert first[8:] == ["0.0", "0.9999", "1.0", "no"]
    assert (second[0], second[6], second[8], second[10]) == ("mnist_fc phase2.noise=0.01", "", "", "")
    assert (third[0], third[6]) == ("unknown", "")
    assert fourth[3:9] == [""] * 6
    assert page.count("<sup>") == 2
    assert re.findall(r"<li>(mnist_fc.*)</li>", page) == [
        "mnist_fc phase2.noise=0.01: phase2.noise=0.01 instead of 0.0"
    ]
    short = summary(rows, reports)
    assert [row["published"] for row in short] == ["0.9862", "", "", ""]
    assert [row["not compared, since"] for row in short] == ["", ANOTHER.reason, "", ""]


def test_columns_without_a_value_are_left_out(tmp_path: Path) -> None:
    page = tmp_path / "results.html"
    assert not compares(page)
    page.write_text(results_page([NO_LABELS], [PASS], "paper"))
    assert compares(page)
    assert Cells(page.read_text()).tables["published"][2:] == [["pass_vgg", "real", "10000", "0.9999", "1.0", "no"]]
    assert "accuracy" not in page.read_text().lower()
    assert list(summary([NO_LABELS], [PASS])[0]) == ["experiment", "agreement", "exact"]
    page.write_text(results_page([ROW, NO_LABELS], [ANOTHER, NOTHING], "paper"))
    assert not compares(page)
    assert [len(row) for row in Cells(page.read_text()).tables["results"][2:]] == [9, 9]
    assert "phase2.noise=0.01 instead of 0.0" in page.read_text()


def test_what_the_docs_report_is_what_the_configs_say() -> None:
    for file in (ROOT / "conf" / "experiment").glob("*.yaml"):
        values = compose_experiment(file.stem, compose_suite("paper")).published
        doc = ROOT / "docs" / "experiments" / f"{file.stem}.md"
        # The page of a user's own network is of no publication.
        assert (values.source is None) == (not doc.exists()) or file.stem == "custom"
        if values.accuracy is not None:
            assert str(values.accuracy) in doc.read_text()
            assert "2212.12522" in values.source


def counted(operations: float) -> Counts:
    """The costs of a network of 1,000 synapses, 50 neurons that spike, and 10 outputs."""
    return Counts(
        synapses=1000,
        operations=operations,
        forced=1000 - operations,
        neurons=50,
        reference=40,
        start=60,
        dense_macs=1000,
        effective_macs=operations,
        integration=200.0,
        latency=10.25,
    )


def test_a_regularised_row_says_what_it_saves_beside_the_one_without() -> None:
    rows = [
        {**ROW, "weights": "trained", "costs": counted(400.0)},
        {**ROW, "weights": "trained", "experiment": "mnist_fc_l1", "costs": counted(300.0), "spiking_fraction": 0.1},
        # Another network, other windows, given weights, and no provenance: nothing to compare with.
        {**ROW, "weights": "trained", "experiment": "narrow", "costs": counted(100.0)},
        {**ROW, "weights": "trained", "variant": "zeta=0.3", "costs": counted(350.0)},
        {**ROW, "experiment": "given", "costs": counted(350.0)},
        {**ROW, "weights": "trained", "experiment": "old", "costs": counted(350.0)},
    ]
    whole = plain(compose_experiment("mnist_fc", compose_suite("paper")))
    sparse = plain(compose_experiment("mnist_fc_l1", compose_suite("paper")))
    narrow, short = (
        plain(compose_experiment("mnist_fc_l1", compose_suite("paper"), [override]))
        for override in ("model.width=0.5", "phase2.zeta=0.3")
    )
    found = beside_plain(rows, [whole, sparse, narrow, short, sparse, {}])
    assert [row["l1"] for row in found] == [0, 0.00045, 0.00045, 0.00045, None, None]
    assert [row["fewer_operations"] for row in found] == [None, 0.25, None, None, None, None]
    assert [row["fewer_spikes"] for row in found] == [None, 0.6, None, None, None, None]
    energy: Any = compose_experiment("mnist_fc", compose_suite("paper")).energy
    page = costs_page(found, energy, "paper")
    tables = Cells(page).tables
    assert list(tables) == ["operations", "float32", "float32 and memory", "int8", "int8 and memory"]
    first, second, *_ = tables["operations"][2:]
    assert first[:7] == ["mnist_fc", "", "", "", "0.25", "1000", "400.0"]
    assert second[:7] == ["mnist_fc_l1", "0.00045", "60.0%", "25.0%", "0.1", "1000", "300.0"]
    assert first[7:] == ["0.4", "600.0", "100", "1000", "400.0", "10.25", str(10.25 * 256)]
    spiking = {name: float(rows[2][1].removesuffix(" pJ")) for name, rows in tables.items() if name != "operations"}
    # 400 operations, 60 neurons that begin to integrate and 50 that have their last slope.
    assert spiking == pytest.approx(
        {"float32": 510 * 0.9, "float32 and memory": 510 * 15.9, "int8": 510 * 0.03, "int8 and memory": 510 * 3.78}
    )
    order = {name: rows[2][-1] for name, rows in tables.items() if name != "operations"}
    assert order["float32"] == order["int8"] == "spiking, zeros skipped, ReLU"
    assert order["float32 and memory"] == order["int8 and memory"] == "zeros skipped, spiking, ReLU"
    assert "4.6 pJ" in page


def test_without_regularised_rows_nothing_is_said_of_them_and_uncounted_rows_are_left_out() -> None:
    energy: Any = compose_experiment("mnist_fc", compose_suite("paper")).energy
    rows = [{**ROW, "costs": counted(400.0)}, {**ROW, "experiment": "before", "costs": None}]
    page = costs_page(beside_plain(rows, [{}, {}]), energy, "paper")
    assert "regularisation" not in page
    assert [row[0] for row in Cells(page).tables["operations"][2:]] == ["mnist_fc"]
    assert "run its phase 2 again" in costs_page(beside_plain(rows[1:], [{}]), energy, "paper")


def test_names_and_values_cannot_break_a_page() -> None:
    page = results_page([{**ROW, "experiment": "<script>x</script>"}], [NOTHING], "a & b")
    assert "<script>" not in page
    assert "a &amp; b" in page


def test_experiments_made_with_the_same_software_share_a_column() -> None:
    page = software_page({"a": {"numpy": "1"}, "b": {"numpy": "2", "commit": None}, "c": {"numpy": "1"}}, "paper")
    assert Cells(page).tables["software"] == [["", "a, c", "b"], ["numpy", "1", "2"], ["commit", "", ""]]


def test_run_times_of_short_jobs_and_of_no_jobs(tmp_path: Path) -> None:
    assert runtimes(tmp_path) == {}
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for name, values in (
        ("a/benchmarks/base/train.tsv", "12.5\t0:00:12\t700.25\t1\t1\t1\t0\t0\t90\t11.5"),
        ("a/benchmarks/epochs=2/weights.tsv", "0.1\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA"),
        ("a/benchmarks/base/track.tsv", "1\t0:00:01\t1\t1\t1\t1\t0\t0\t0\t0"),
        ("a/benchmarks/base/sweep_noise_track.tsv", "1\t0:00:01\t1\t1\t1\t1\t0\t0\t0\t0"),
        ("datasets/fmnist/base.tsv", "2\t0:00:02\t9\t1\t1\t1\t0\t0\t0\t1"),
        ("datasets/pass/base/order.tsv", "path\tlabel"),
        ("results.tsv", "1\t0:00:01\t1\t1\t1\t1\t0\t0\t0\t0"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(head + values + "\n")
    assert runtimes(tmp_path) == {
        "all experiments": [{"job": "data fmnist", "s": 2.0, "cpu_time": 1.0, "max_rss": 9.0}],
        "a": [
            {"job": "train", "s": 12.5, "cpu_time": 11.5, "max_rss": 700.25},
            {"job": "weights, epochs=2", "s": 0.1, "cpu_time": None, "max_rss": None},
        ],
    }
