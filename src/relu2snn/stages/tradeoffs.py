"""Draws the trade-offs of one experiment, all of its sweeps together: a table and a figure in <suite>/tradeoffs/."""

from relu2snn.config import Experiment, Paths
from relu2snn.figures import save_figure
from relu2snn.presentation.results import Row, collect_sweeps, write_csv
from relu2snn.presentation.swept import tradeoffs_figure

COLUMNS = (
    "mapping",
    "overrides",
    "parameter",
    "value",
    "value_per_window",
    "latency",
    "agreement_mean",
    "agreement_std",
    "agreement_min",
    "agreement_max",
    "accuracy_mean",
    "accuracy_std",
    "early_spikes_mean",
    "early_spikes_min",
    "early_spikes_max",
    "early_images_mean",
    "exact_trials",
    "trials",
    "images",
)
"""value_per_window: a noise on spike times in units of the mean window of the neurons, empty for what is none."""


def run(config: Experiment) -> None:
    """Draw the sweeps of one experiment of a suite, with all overrides that have been run."""
    paths = Paths.of(config)
    write_tradeoffs(paths, collect_sweeps(config.outputs, config.suite.name, experiment=config.name))


def write_all_tradeoffs(config: Experiment) -> None:
    """Draw those of every experiment of the suite that has a sweep."""
    rows = collect_sweeps(config.outputs, config.suite.name)
    for name in dict.fromkeys(row["experiment"] for row in rows):
        own = Paths(config.outputs, config.suite.name, name)
        write_tradeoffs(own, [row for row in rows if row["experiment"] == name])


def write_tradeoffs(paths: Paths, rows: list[Row]) -> None:
    """Write the table and the figure of the rows of one experiment, as `collect_sweeps` gives them."""
    timed = ("noise", "reference_noise")
    table = []
    for row in rows:
        relative = row["value"] / row["window"] if row["parameter"] in timed else None
        table.append({column: (row | {"value_per_window": relative})[column] for column in COLUMNS})
    write_csv(f"{paths.tradeoffs}.csv", table, COLUMNS)
    save_figure(tradeoffs_figure(rows), paths.tradeoffs)
