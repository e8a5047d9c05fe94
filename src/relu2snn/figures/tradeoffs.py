"""Trade-offs: what agreement costs in latency, and what is left of it with noise, for each mapping."""

from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relu2snn.figures.style import (
    BLUE,
    COLUMN_WIDTH,
    GREEN,
    ORANGE,
    TICK,
    VERMILLION,
    dress,
    spread_axis,
)


class Curve(NamedTuple):
    """One sweep of one configuration: its values (n,) ascending, and of each the means over its trials.

    label: how the legend calls the configuration. windows: the mean length of the neurons' windows; latencies: when the
    last output is read, both in units of the input window. spreads: standard deviations of the agreement, 0 for one
    trial.
    """

    label: str
    parameter: str
    values: Sequence[float]
    windows: Sequence[float]
    latencies: Sequence[float]
    agreement: Sequence[float]
    spreads: Sequence[float]


class _Panel(NamedTuple):
    parameter: str
    x: str
    label: str


_PANELS = (
    _Panel("zeta", "latencies", "latency, ζ along the line\n(1 = input window)"),
    _Panel("alpha_noise", "values", "noise on α, standard deviation"),
    _Panel("noise", "values", "noise on spike times\n(1 = input window)"),
    _Panel("noise", "windows", "noise on spike times\n(1 = mean window of the neurons)"),
    _Panel("reference_noise", "values", "noise on the references' times\n(1 = input window)"),
    _Panel("reference_noise", "windows", "noise on the references' times\n(1 = mean window of the neurons)"),
)
_LOOKS = (("o-", BLUE), ("s--", VERMILLION), ("^:", GREEN), ("v-.", ORANGE))


def plot_tradeoffs(curves: Sequence[Curve], images: int | None = None) -> Figure:
    """Agreement with the ReLU network against latency over ζ, and against each noise, for all configurations.

    Noise on spike times stands twice, absolute and relative to the windows. Panels without a curve are left out; bars
    are one standard deviation. images: how many test images, if that is to be written in.
    Raises ValueError without a curve, and for one whose lengths differ.

    Example:
        >>> curve = Curve("reference", "zeta", [0.0, 0.5], [1.0, 1.5], [3.0, 4.0], [0.99, 1.0], [0.0, 0.0])
        >>> figure = plot_tradeoffs([curve], images=1000)
    """
    for curve in curves:
        if len({len(curve.values), *map(len, curve[3:])}) > 1:
            raise ValueError(f"{curve.label}, {curve.parameter}: give as many windows, latencies and means as values")
    panels = [panel for panel in _PANELS if any(curve.parameter == panel.parameter for curve in curves)]
    if not panels:
        raise ValueError("no curve of a sweep over " + ", ".join(dict.fromkeys(panel.parameter for panel in _PANELS)))
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(2 * COLUMN_WIDTH, 0.4 + 2.0 * rows), layout="constrained")
    grid = figure.subplots(rows, 2, squeeze=False).ravel()
    looks = dict(zip(dict.fromkeys(curve.label for curve in curves), cycle(_LOOKS), strict=False))
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, panel, [curve for curve in curves if curve.parameter == panel.parameter], looks)
        share = "agreement" if images is None else f"agreement, {images:,} test images"
        dress(axes, panel.label, share)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    shown = {name: line for axes in grid for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(
        list(shown.values()), list(shown), loc="outside upper center", ncols=2, fontsize=TICK, frameon=False
    )  # fmt: skip
    return figure


def _draw(axes: Axes, panel: _Panel, curves: Sequence[Curve], looks: dict[str, tuple[str, str]]) -> None:
    for curve in curves:
        line, colour = looks[curve.label]
        axes.errorbar(
            _along(panel, curve), curve.agreement, curve.spreads, fmt=line, color=colour, label=curve.label,
            linewidth=0.8, markersize=3.5, capsize=2,
        )  # fmt: skip
    spread_axis(axes, sorted(x for curve in curves for x in _along(panel, curve)))
    axes.set_ylim(-0.03, 1.05)


def _along(panel: _Panel, curve: Curve) -> list[float]:
    if panel.x == "latencies":
        return list(curve.latencies)
    if panel.x == "windows":
        return [value / window for value, window in zip(curve.values, curve.windows, strict=True)]
    return list(curve.values)
