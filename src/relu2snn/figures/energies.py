"""The energy of an image beside the ReLU network's, of several networks and mappings by several models of hardware."""

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from relu2snn.figures.style import BLUE, COLUMN_WIDTH, LABEL, TICK, VERMILLION, dress

_WIDEST_NAME = 24
_COLUMNS = 2
_SERIES = (("ReLU network, zeros skipped", "s", VERMILLION, -0.12), ("spiking network", "o", BLUE, 0.12))


def plot_energies(rows: Sequence[str], models: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """The energy of an image of each row, as a share of that of the whole ReLU network, with a panel for each model.

    rows (n,): the names of networks and mappings, at least one. models: by name the shares (n,) of a ReLU network that
    skips zeros, and of the spiking network.
    Raises ValueError without a row, and when the lengths differ.

    Example:
        >>> figure = plot_energies(["LeNet5"], {"float32": ([0.6], [0.12]), "float32 and memory": ([0.6], [0.69])})
    """
    if not rows or not models:
        raise ValueError("no row, or no model, to be drawn; give at least one")
    for model, series in models.items():
        if any(len(values) != len(rows) for values in series):
            raise ValueError(f"{model}: shares of {[len(values) for values in series]} for {len(rows)} rows")
    names = [textwrap.fill(row, _WIDEST_NAME, break_long_words=False, break_on_hyphens=False) for row in rows]
    lines = sum(max(name.count("\n") + 1, 2) for name in names)
    height = -(-len(models) // _COLUMNS)
    figure = Figure(figsize=(COLUMN_WIDTH, 0.7 + height * (0.4 + 0.13 * lines)), layout="constrained")
    grid = figure.subplots(height, min(len(models), _COLUMNS), sharex=True, sharey=True, squeeze=False)
    panels = grid.ravel()
    for axes in panels[len(models) :]:
        axes.set_axis_off()
    for axes, (model, series) in zip(panels, models.items(), strict=False):
        axes.axvline(1, color="0.3", linewidth=0.8, label="ReLU network")
        for (label, marker, colour, aside), values in zip(_SERIES, series, strict=True):
            places = [place + aside for place in range(len(rows))]
            axes.plot(values, places, marker=marker, color=colour, linestyle="none", markersize=3.5, label=label)
        dress(axes, "", "")
        axes.grid(axis="x", color="0.9", linewidth=0.5)
        axes.set_title(model, fontsize=LABEL)
    largest = max(value for series in models.values() for values in series for value in values)
    panels[0].set_xlim(0, 1.08 * max(largest, 1))
    panels[0].set_yticks(range(len(rows)), names)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.supxlabel("share of the ReLU network's energy", fontsize=LABEL)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=TICK, frameon=False
    )
    return figure
