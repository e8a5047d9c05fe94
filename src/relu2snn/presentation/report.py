"""The pages of the Snakemake report that are not figures: results, sweeps, run times, software.

Each is an HTML file that stands alone. The report shows it in a frame; its caption is in pipeline/report/*.rst.
"""

import csv
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from relu2snn.config import Reported
from relu2snn.config.published import VALUES
from relu2snn.presentation.results import Row, energies, shown
from relu2snn.shipped import shipped_folder

Text = TypeVar("Text", str, dict[str, str])

# What a job of Snakemake's benchmark took; a job shorter than its sampling has no value for some.
BENCHMARK = {"s": "wall time (s)", "cpu_time": "CPU time (s)", "max_rss": "peak memory (MB)"}
MOST_DRAWN = 100
"""Of more runs the report has no figures."""
# Their jobs only show results, some of them after the page of run times is made.
_VIEWS = ("track", "report_", "results", "sweeps", "provenance")


def page(template: str, title: str, **values: Any) -> str:
    """The HTML of a template of pipeline/report/pages/."""
    environment = Environment(
        loader=FileSystemLoader(shipped_folder("pipeline/report/pages")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "row_name": row_name, "base64": lambda data: b64encode(data).decode()}
    return environment.get_template(f"{template}.html").render(title=title, **values)


def beside_published(rows: Sequence[Row], reports: Sequence[Reported]) -> list[Row]:
    """The rows of results.csv, each with its loss of accuracy and, under "published", what others report for it.

    reports: one for each row, as `relu2snn.config.reported` gives them. A row says under "reason" why it stands alone
    where something is published for its experiment.
    """
    return [
        {
            **row,
            "accuracy_loss": _loss(row),
            "published": {**report.values, "source": report.source},
            "reason": report.reason,
        }
        for row, report in zip(rows, reports, strict=True)
    ]


def _loss(row: Row) -> float | None:
    original, spiking = row["accuracy_original"], row["accuracy"]
    return None if original is None or spiking is None else original - spiking


def results_page(rows: Sequence[Row], reports: Sequence[Reported], suite: str) -> str:
    """The table of a suite's results, with what others report and its sources where a row can be compared."""
    compared = beside_published(rows, reports)
    found = [row["published"]["source"] for row in compared]
    sources = list(dict.fromkeys(source for source in found if source))
    columns = [name for name in VALUES if any(row["published"][name] is not None for row in compared)]
    labelled = any(row["accuracy_original"] is not None for row in rows)
    title = f"Results of the suite {suite}"
    return page("results", title, rows=compared, sources=sources, columns=columns, labelled=labelled)


def compares(results_page: str | Path) -> bool:
    """Whether the page of results that stands there has values that others report; False without a page."""
    path = Path(results_page)
    return path.is_file() and '<table id="published">' in path.read_text(encoding="utf-8")


def if_compared(results_page: str, yes: Text, no: Text) -> Callable[[object], Text]:
    """A category or labels of the report, chosen as it is made, by whether the page of results then `compares`."""
    return lambda wildcards: yes if compares(results_page) else no


def drawn_in(report: Callable[..., Any], runs: int) -> Callable[..., Any]:
    """What marks a figure for the report: Snakemake's `report`, or, of more than MOST_DRAWN runs, nothing.

    Each run adds a megabyte of them, and a file of gigabytes opens in no browser.
    """
    return report if runs <= MOST_DRAWN else lambda path, **_: path


SUMMARY_COLUMNS = ("experiment", "accuracy", "published", "loss", "agreement", "exact", "not compared, since")


def summary(rows: Sequence[Row], reports: Sequence[Reported]) -> list[Row]:
    """The few columns of the table that the report's first page has room for, as texts; columns without any are out."""
    texts = [
        {
            "experiment": row_name(row),
            "published": shown(row["published"]["accuracy"]),
            "loss": shown(row["accuracy_loss"]),
            "not compared, since": row["reason"],
            **{key: shown(row[key]) for key in ("accuracy", "agreement", "exact")},
        }
        for row in beside_published(rows, reports)
    ]
    filled = [column for column in SUMMARY_COLUMNS if any(row[column] for row in texts)]
    return [{column: row[column] for column in filled} for row in texts]


def row_name(row: Row) -> str:
    """An experiment with the overrides that make it this run."""
    return f"{row['experiment']} {row['overrides']}".strip()


# What two rows share that differ in training alone.
_ALIKE = ("dataset", "model", "phase1", "phase2")


def beside_plain(rows: Sequence[Row], configurations: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows of results.csv with, under "l1", the strength of their activity regularisation, and what it has saved.

    configurations: what each row's provenance/config.yaml says, empty where it has none. "fewer_spikes" and
    "fewer_operations": by what share a regularised row has fewer spikes for each neuron, and fewer synaptic operations,
    than the row with the same images, network and phases without; None where there is no such row.
    """
    kinds = [[values[group] for group in _ALIKE] if values else None for values in configurations]
    strengths = [
        values["train"]["activity_l1"] if values and row["weights"] == "trained" else None
        for row, values in zip(rows, configurations, strict=True)
    ]
    plain = [
        (kind, row)
        for kind, strength, row in zip(kinds, strengths, rows, strict=True)
        if kind is not None and strength == 0 and row["costs"] is not None
    ]
    found = []
    for row, kind, strength in zip(rows, kinds, strengths, strict=True):
        other = next((each for known, each in plain if known == kind), None) if strength and row["costs"] else None
        saved: Row = {"fewer_spikes": None, "fewer_operations": None}
        if other is not None:
            saved["fewer_spikes"] = _fewer(row["spiking_fraction"], other["spiking_fraction"])
            saved["fewer_operations"] = _fewer(row["costs"].operations, other["costs"].operations)
        found.append({**row, "l1": strength, **saved})
    return found


def _fewer(count: float, other: float) -> float | None:
    return 1 - count / other if other else None


def costs_page(rows: Sequence[Row], settings: Any, suite: str, picture: bytes = b"") -> str:
    """What an image costs each network: operations, and energy by each model of conf/energy/ (settings).

    rows: as `beside_plain` gives them; those without costs are left out. picture: of the energies, as SVG.
    """
    counted = [row for row in rows if row["costs"] is not None]
    prices = [energies(row["costs"], settings) for row in counted]
    models = list(prices[0]) if prices else []
    tables = {model: list(zip(counted, (each[model] for each in prices), strict=True)) for model in models}
    return page("costs", f"Costs of the suite {suite}", rows=counted, tables=tables, settings=settings, picture=picture)


def sweeps_page(rows: Sequence[Row], suite: str) -> str:
    """A table per experiment and sweep: mean and standard deviation over the trials of each value."""
    sweeps: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        sweeps.setdefault((f"{row['experiment']} {row['overrides']}".strip(), row["parameter"]), []).append(row)
    return page("sweeps", f"Robustness: sweeps of the suite {suite}", sweeps=sweeps)


def runtimes(folder: str | Path) -> dict[str, list[Row]]:
    """What the last run of each job took, by experiment (or "all experiments"), in the order in which they ended.

    folder: outputs/<suite>. Jobs that only show results are left out.
    """
    groups: dict[str, list[Row]] = {}
    for file in sorted(_benchmarks(Path(folder)), key=lambda each: each.stat().st_mtime_ns):
        if file.stem.startswith(_VIEWS) or "_track" in file.stem:
            continue
        with file.open(newline="") as text:
            measured = next(csv.DictReader(text, delimiter="\t"), {})
        name, job = _job(file)
        groups.setdefault(name, []).append({"job": job, **{key: _number(measured.get(key)) for key in BENCHMARK}})
    return dict(sorted(groups.items(), key=lambda group: (group[0] != "all experiments", group[0])))


def _benchmarks(folder: Path) -> Iterator[Path]:
    for pattern in ("*.tsv", "datasets/*/*.tsv", "*/benchmarks/*/*.tsv"):
        yield from folder.glob(pattern)


def _job(file: Path) -> tuple[str, str]:
    """The experiment and the job of a benchmark file, with the variant of the job's folder."""
    folder, above = file.parent, file.parents[1]
    if above.name == "benchmarks":
        return above.parent.name, f"{file.stem}, {folder.name}".removesuffix(", base")
    if above.name == "datasets":
        return "all experiments", f"data {folder.name}, {file.stem}".removesuffix(", base")
    return "all experiments", file.stem


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def runtimes_page(folder: str | Path, suite: str) -> str:
    """Wall time, CPU time and memory of every job."""
    return page("runtimes", f"Run times of the suite {suite}", groups=runtimes(folder), columns=BENCHMARK)


def software_page(experiments: Mapping[str, Mapping[str, Any]], suite: str) -> str:
    """The software and machine of each experiment's results; experiments with the same share a column."""
    columns: list[tuple[list[str], Mapping[str, Any]]] = []
    for name, values in experiments.items():
        alike = next((names for names, other in columns if other == values), None)
        if alike is None:
            columns.append(([name], values))
        else:
            alike.append(name)
    keys = list(dict.fromkeys(key for _, values in columns for key in values))
    return page("software", f"Software and machine of the suite {suite}", columns=columns, keys=keys)
