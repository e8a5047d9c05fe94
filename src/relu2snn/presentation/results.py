"""The table of a suite's results: one row per experiment and configuration that is finished."""

import csv
import glob
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from relu2snn.config import Paths, from_slice
from relu2snn.energy import Counts, Energy, EnergyModel
from relu2snn.errors import UserError
from relu2snn.files import write_text
from relu2snn.made import Job, require

Row = dict[str, Any]

COLUMNS = (
    "experiment",
    "overrides",
    "images",
    "accuracy_original",
    "accuracy_scaled",
    "accuracy",
    "agreement",
    "exact",
    "certified",
    "early_spikes",
    "latency",
    "nonzero_fraction",
    "spiking_fraction",
    "data",
    "weights",
    "variant",
)
"""overrides: what a user types to get the row, nothing for what conf/ gives; variant: the folder of its phase 2."""

MAIN_COLUMNS = ("experiment", "accuracy_original", "accuracy", "agreement", "exact", "latency")

COST_COLUMNS = (
    "synaptic_operations",
    "dense_macs",
    "effective_macs",
    "latency_steps",
    "energy_spiking_nj",
    "energy_relu_nj",
    "energy_relu_sparse_nj",
)
"""For one image on average: operations of the spiking network, multiply-accumulates of the ReLU network, latency in
steps of energy.resolution, and energy in float32 with accesses to memory; _sparse: where zeros are skipped."""

POINT_COLUMNS = (
    "parameter",
    "value",
    "trials",
    "images",
    "accuracy_mean",
    "accuracy_std",
    "accuracy_min",
    "accuracy_max",
    "agreement_mean",
    "agreement_std",
    "agreement_min",
    "agreement_max",
    "exact_trials",
    "early_spikes_mean",
    "early_spikes_std",
    "early_spikes_min",
    "early_spikes_max",
    "early_images_mean",
    "certified_mean",
    "spiking_fraction_mean",
    "latency",
    "window",
)
"""window: the mean length of the neurons' windows."""

SWEEP_COLUMNS = ("experiment", "overrides", "mapping", *POINT_COLUMNS, "data", "weights", "variant")


def collect(outputs: str, suite: str) -> list[Row]:
    """The rows of every result of phase 2 under outputs/<suite>, by experiment, those without overrides first.

    A result is left out, with a line on stderr, when a file of its data set, weights or phase 1 is missing or damaged,
    or when they were not made together. "costs" of a row are its `Counts`. Raises UserError when there are none.
    """
    files = result_files(outputs, suite, "*/phase2/*/result.json")
    rows = [row for file in files if (row := _row(outputs, suite, file)) is not None]
    if not rows:
        folder = Paths(outputs, suite).suite_folder
        raise UserError(f"{folder}: no results of phase 2 here; run snakemake for this suite first")
    return sorted(rows, key=lambda row: (row["experiment"], row["overrides"], row["variant"]))


def collect_sweeps(outputs: str, suite: str, *, experiment: str | None = None) -> list[Row]:
    """The points of every sweep under outputs/<suite>, by experiment, sweep, overrides and value.

    experiment: the only one to look for. A sweep is left out as a result is in `collect`. Raises UserError when there
    are none.
    """
    rows = []
    for file in result_files(outputs, suite, f"{glob.escape(experiment) if experiment else '*'}/sweep/*/*/result.json"):
        found = _together(outputs, suite, file, "sweep_gather")
        if found is None:
            continue
        sweep, _, kinds = found
        named = {key: sweep[key] for key in ("experiment", "variant", "mapping")} | {
            "overrides": " ".join(sweep["overrides"])
        }
        rows += [{**named, **row, **kinds} for row in point_rows(sweep)]
    rows.sort(key=lambda row: (row["experiment"], row["parameter"], row["overrides"], row["value"]))
    if not rows:
        folder = Paths(outputs, suite).suite_folder
        raise UserError(f"{folder}: no results of a sweep here; run snakemake with sweep=NAME first")
    return rows


def finished_paths(outputs: str, suite: str, result: Row) -> Paths:
    """The paths of the run that a result file is of: it names the folders that it was made from."""
    names = {"outputs": outputs, "suite": {"name": suite}, "name": result["experiment"]}
    swept = {"sweep": {"name": result["sweep"]}} if "sweep" in result else {}
    config = from_slice({**names, "dataset": {"name": result["dataset"]}, "run": result["run"], **swept})
    return Paths.of(config)


def point_rows(sweep: Row) -> list[Row]:
    """The rows of one sweep's result.json: mean, standard deviation, least and greatest of the trials of each."""
    rows = []
    for point in sweep["points"]:
        row = {key: point[key] for key in ("value", "images", "exact_trials", "latency", "window")}
        row |= {"parameter": sweep["sweep"], "trials": len(point["trials"])}
        for column in POINT_COLUMNS:
            key, _, kind = column.rpartition("_")
            if kind in ("mean", "std", "min", "max"):
                row[column] = point[key][kind] if point[key] else None
        rows.append(row)
    return rows


def write_csv(path: str | Path, rows: list[Row], columns: Sequence[str] = COLUMNS) -> None:
    """Write `rows` with every bit of their numbers; what a data set cannot have (no labels: accuracy) is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def costs_of(result: Row) -> Counts | None:
    """The counts of a run's result.json; None of a file from before they were counted."""
    costs = result.get("costs")
    if costs is None:
        return None
    names = ("synapses", "operations", "forced", "reference", "start", "dense_macs", "effective_macs", "integration")
    totals = {name: costs[name]["total"] for name in names}
    return Counts(**totals, neurons=costs["spiking_neurons"], latency=result["latency"])


def energy_models(settings: Any) -> dict[str, EnergyModel]:
    """The models of hardware that conf/energy/ describes, by what they are called where energies are shown."""
    found = {}
    for name in ("float32", "int8"):
        numbers = getattr(settings, name)
        common = {"mac": numbers.mac, "accumulate": numbers.accumulate, "resolution": settings.resolution}
        words = {"mac_accesses": settings.mac_accesses, "accumulate_accesses": settings.accumulate_accesses}
        found[name] = EnergyModel(**common)
        found[f"{name} and memory"] = EnergyModel(**common, **words, access=numbers.access)
    return found


def energies(counts: Counts, settings: Any) -> dict[str, Energy]:
    """The energy of an image by each of these models."""
    return {name: counts.energy(model) for name, model in energy_models(settings).items()}


def cost_values(counts: Counts | None, settings: Any) -> Row:
    """The values of COST_COLUMNS; None where nothing was counted."""
    if counts is None:
        return dict.fromkeys(COST_COLUMNS)
    energy = energies(counts, settings)["float32 and memory"]
    return {
        "synaptic_operations": counts.operations,
        "dense_macs": counts.dense_macs,
        "effective_macs": counts.effective_macs,
        "latency_steps": counts.latency / settings.resolution,
        # A thousand pJ.
        "energy_spiking_nj": energy.spiking / 1e3,
        "energy_relu_nj": energy.dense / 1e3,
        "energy_relu_sparse_nj": energy.effective / 1e3,
    }


def write_results(path: str | Path, rows: list[Row], settings: Any) -> None:
    """Write results.csv: the rows of `collect` with their costs by the settings of conf/energy/."""
    priced = [{**row, **cost_values(row["costs"], settings)} for row in rows]
    write_csv(path, priced, (*COLUMNS, *COST_COLUMNS))


def print_main(rows: list[Row], file: TextIO | None = None) -> None:
    """Print what a reader of results looks for first, in six columns and at most a hundred characters."""
    named = [{**row, "experiment": f"{row['experiment']} {row['overrides']}".strip()} for row in rows]
    print_table(named, file, MAIN_COLUMNS, width=100)


def print_table(
    rows: list[Row], file: TextIO | None = None, columns: Sequence[str] = COLUMNS, *, width: int = 400
) -> None:
    """Print `rows` as a table; in a file or pipe it is as wide as it needs to be, up to `width` characters."""
    output = file or sys.stdout
    table = Table()
    for column in columns:
        numeric = isinstance(next((row[column] for row in rows if row[column] is not None), None), int | float)
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(shown(row[column]) for column in columns))
    console = Console(file=output, width=None if output.isatty() else width)
    console.print(table, width=min(console.width, width) if output.isatty() else None)


def result_files(outputs: str, suite: str, pattern: str) -> list[Path]:
    """The files of a suite's experiments at a pattern from the folder of the suite on, in their order."""
    folder = Path(Paths(outputs, suite).suite_folder)
    # Data sets stand beside the experiments.
    return [file for file in sorted(folder.glob(pattern)) if file.relative_to(folder).parts[0] != "datasets"]


def _together(outputs: str, suite: str, file: Path, stage: str) -> tuple[Row, Row, dict[str, str]] | None:
    """A result of `stage`, that of phase 1, and the kinds of data and weights; None if they don't belong together."""
    job = Job("results", {})
    try:
        result = job.read_json(file, stage)
        paths = finished_paths(outputs, suite, result)
        own = Path(paths.phase2 if stage == "gather" else paths.sweep)
        require(file, "the folder", str(file.parent), str(own), stage)
        phase1 = job.read_json(f"{paths.phase1}/result.json", "phase1")
        data = job.read_json(f"{paths.dataset}/source.json", "data", "custom_data", "photographs")
        weights = job.read_json(f"{paths.weights}/source.json", "weights")
    except UserError as error:
        print(f"{file}: left out of the table; {error}", file=sys.stderr)
        return None
    # Real, sample or synthetic; trained or pretrained.
    return result, phase1, {"data": data["kind"], "weights": weights["kind"]}


def _row(outputs: str, suite: str, file: Path) -> Row | None:
    found = _together(outputs, suite, file, "gather")
    if found is None:
        return None
    phase2, phase1, kinds = found
    return {
        "experiment": phase2["experiment"],
        "overrides": " ".join(phase2["overrides"]),
        "variant": phase2["variant"],
        "images": phase2["images"],
        "accuracy_original": phase1["accuracy_original"],
        "accuracy_scaled": phase1["accuracy_scaled"],
        "accuracy": phase2["accuracy"],
        "agreement": phase2["agreement"],
        "exact": phase2["exact"],
        "certified": phase2["certified"]["total"],
        "early_spikes": phase2["early_spikes"]["total"],
        "latency": phase2["latency"],
        "nonzero_fraction": phase1["nonzero_fraction"]["test"]["total"],
        "spiking_fraction": phase2["spiking_fraction"]["total"],
        "costs": costs_of(phase2),
        **kinds,
    }


def _whole(file: Path, paths: Paths) -> bool:
    """Whether all that a result was made from is still there."""
    made_from = (f"{paths.phase1}/result.json", f"{paths.dataset}/source.json", f"{paths.weights}/source.json")
    for needed in made_from:
        if not Path(needed).exists():
            print(f"{file}: left out of the table, since {needed} is missing; run it again", file=sys.stderr)
            return False
    return True


def shown(value: Any) -> str:
    """Four decimals; 1.0 and 0.0 are exactly that: what would only round to 1 stays below, and to 0 is 0.0000."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if value in (0, 1):
        return f"{value:.1f}"
    return f"{min(value, 0.9999) if value < 1 else value:.4f}"
