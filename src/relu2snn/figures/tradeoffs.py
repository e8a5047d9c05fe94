"""Trade-offs: what agreement costs in latency, and what noise changes, for each mapping."""

from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

from matplotlib.figure import Figure, SubFigure

from relu2snn.figures.style import (
    BLUE,
    COLUMN_WIDTH,
    GREEN,
    LABEL,
    ORANGE,
    TICK,
    VERMILLION,
    dress,
    spread_axis,
)
from relu2snn.figures.sweeps import CHANGED, EARLY, Spread, changed, draw_spreads, logarithmic


class Curve(NamedTuple):
    """One sweep of one configuration: its values (n,) ascending, and of each what its trials gave.

    label: how the legend calls the configuration. windows: the mean length of the neurons' windows; latencies: when the
    last output is read, both in units of the input window. agreement: shares of equal predictions; early: early spikes
    for an image.
    """

    label: str
    parameter: str
    values: Sequence[float]
    windows: Sequence[float]
    latencies: Sequence[float]
    agreement: Sequence[Spread]
    early: Sequence[Spread]


class _Panel(NamedTuple):
    parameter: str
    x: str
    label: str


_PANELS = (
    _Panel("zeta", "latencies", "latency, ζ along the line (1 = input window)"),
    _Panel("alpha_noise", "values", "noise on α, standard deviation"),
    _Panel("noise", "values", "noise on spike times (1 = input window)"),
    _Panel("noise", "windows", "noise on spike times (1 = mean window of the neurons)"),
    _Panel("reference_noise", "values", "noise on the references' times (1 = input window)"),
    _Panel("reference_noise", "windows", "noise on the references' times (1 = mean window of the neurons)"),
)
_HALF_WIDTH = 28
_LOOKS = (("o-", BLUE), ("s--", VERMILLION), ("^:", GREEN), ("v-.", ORANGE))


def plot_tradeoffs(curves: Sequence[Curve], images: int | None = None) -> Figure:
    """Changed predictions and early spikes against latency over ζ, and against each noise, for all configurations.

    Noise on spike times stands twice, absolute and relative to the windows. Panels without a curve are left out; bars
    go from the least to the greatest of the trials. The axes of what should be 0 are logarithmic, with 0 at their foot.
    images: how many test images, if that is to be written in.
    Raises ValueError without a curve, and for one whose lengths differ.

    Example:
        >>> same, never = [Spread(0.99, 0.98, 1.0), Spread(1.0, 1.0, 1.0)], [Spread(0.0, 0.0, 0.0)] * 2
        >>> curve = Curve("reference", "zeta", [0.0, 0.5], [1.0, 1.5], [3.0, 4.0], agreement=same, early=never)
        >>> figure = plot_tradeoffs([curve], images=1000)
    """
    for curve in curves:
        if len({len(curve.values), *map(len, curve[3:])}) > 1:
            raise ValueError(f"{curve.label}, {curve.parameter}: give as many windows, latencies and means as values")
    panels = [panel for panel in _PANELS if any(curve.parameter == panel.parameter for curve in curves)]
    if not panels:
        raise ValueError("no curve of a sweep over " + ", ".join(dict.fromkeys(panel.parameter for panel in _PANELS)))
    labels = list(dict.fromkeys(curve.label for curve in curves))
    columns = 2 if max(map(len, labels)) <= _HALF_WIDTH else 1
    above = 0.35 + 0.14 * -(-len(labels) // columns)
    figure = Figure(figsize=(COLUMN_WIDTH, above + 1.45 * len(panels)), layout="constrained")
    looks = dict(zip(labels, cycle(_LOOKS), strict=False))
    for part, panel in zip(figure.subfigures(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
        _draw(part, panel, [curve for curve in curves if curve.parameter == panel.parameter], looks)
    shown = {name: line for axes in figure.axes for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    title = None if images is None else f"{images:,} test images"
    figure.legend(
        list(shown.values()), list(shown), loc="outside upper center", ncols=columns, fontsize=TICK, frameon=False,
        title=title, title_fontsize=LABEL,
    )  # fmt: skip
    return figure


def _draw(part: SubFigure, panel: _Panel, curves: Sequence[Curve], looks: dict[str, tuple[str, str]]) -> None:
    changes = [[changed(each) for each in curve.agreement] for curve in curves]
    left, right = part.subplots(1, 2, sharex=True)
    part.supxlabel(panel.label, fontsize=LABEL)
    for axes, found, label in ((left, changes, CHANGED), (right, [curve.early for curve in curves], EARLY)):
        foot = logarithmic(axes, [point for points in found for point in points])
        for curve, points in zip(curves, found, strict=True):
            line, colour = looks[curve.label]
            draw_spreads(axes, _along(panel, curve), points, foot=foot, fmt=line, color=colour, label=curve.label)
        spread_axis(axes, sorted(x for curve in curves for x in _along(panel, curve)), most=2)
        dress(axes, "", label)


def _along(panel: _Panel, curve: Curve) -> list[float]:
    if panel.x == "latencies":
        return list(curve.latencies)
    if panel.x == "windows":
        return [value / window for value, window in zip(curve.values, curve.windows, strict=True)]
    return list(curve.values)
