"""Robustness: what is left of accuracy and agreement, and how many spikes come early, as one value is disturbed."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from relu2snn.figures.style import BLUE, COLUMN_WIDTH, LABEL, dress, spread_axis, zero_below

PARAMETERS = {
    "zeta": "margin of the windows ζ",
    "noise": "noise on spike times, standard deviation\n(1 = input window)",
    "reference_noise": "noise on the references' spike times, standard deviation\n(1 = input window)",
    "alpha_noise": "noise on α, standard deviation",
}
_WIDEST_TITLE = 60
CHANGED, EARLY = "changed predictions\n(1 − agreement)", "early spikes\nper image"
"""What the logarithmic axes show."""


class Spread(NamedTuple):
    """A number over the trials of one value: its mean, and the least and the greatest."""

    mean: float
    least: float
    greatest: float


def plot_sweep(
    parameter: str,
    values: Sequence[float],
    *,
    agreement: Sequence[Spread],
    early: Sequence[Spread],
    accuracy: Sequence[Spread] | None = None,
    images: int | None = None,
    trials: int | None = None,
    title: str = "",
) -> Figure:
    """What a swept parameter costs: accuracy, share of predictions that change, early spikes, one below the other.

    `values` (n,) ascend; of each there are a share of equal predictions, the early spikes for an image and, where
    images have labels, an accuracy. Bars go from the least to the greatest of the trials. The axes of what should be 0
    are logarithmic, with 0 at their foot; values that span more than a factor of 50 stand on a logarithmic axis, too,
    with 0 at its left end. images and trials: how many each mean is over, if it is to be written in, below the title.
    Raises ValueError when the lengths differ.

    Example:
        >>> agreement = [Spread(1.0, 1.0, 1.0), Spread(0.91, 0.89, 0.94)]
        >>> early = [Spread(0.0, 0.0, 0.0), Spread(3.5, 3.1, 4.2)]
        >>> figure = plot_sweep("noise", [0.0, 0.01], agreement=agreement, early=early, images=1000, trials=4)
    """
    shown = {"agreement": agreement, "early": early} | ({} if accuracy is None else {"accuracy": accuracy})
    for name, points in shown.items():
        if len(points) != len(values):
            raise ValueError(f"{name} has {len(points)} entries for {len(values)} values; give one per value")
    rows = len(shown)
    figure = Figure(figsize=(COLUMN_WIDTH, 0.9 + 1.05 * rows), layout="constrained")
    panels = figure.subplots(rows, 1, sharex=True)
    style: dict[str, Any] = {"fmt": "o-", "color": BLUE}
    if accuracy is not None:
        draw_spreads(panels[0], values, accuracy, **style)
        panels[0].set_ylim(-0.03, 1.05)
        dress(panels[0], "", "accuracy")
    for axes, points, label in (
        (panels[-2], [changed(each) for each in agreement], CHANGED),
        (panels[-1], early, EARLY),
    ):
        draw_spreads(axes, values, points, foot=logarithmic(axes, points), **style)
        dress(axes, "", label)
    spread_axis(panels[-1], values)
    panels[-1].set_xlabel(PARAMETERS[parameter], fontsize=LABEL)
    over = [] if images is None else [f"{images:,} test images"]
    over += [] if trials is None or trials < 2 else [f"mean, least and greatest of {trials} trials"]
    above = [*textwrap.wrap(title, _WIDEST_TITLE), *(["; ".join(over)] if over else [])]
    if above:
        figure.suptitle("\n".join(above), fontsize=LABEL)
    return figure


def changed(agreement: Spread) -> Spread:
    """1 − agreement. Shares of few images come out of a subtraction with the rounding of 1."""
    mean, greatest, least = (0.0 if 1 - each < 1e-12 else 1 - each for each in agreement)
    return Spread(mean, least, greatest)


def logarithmic(axes: Axes, points: Iterable[Spread]) -> float:
    """Make the y axis logarithmic over the spreads, 0 a decade below the smallest; returns the height of 0."""
    positive = [each for point in points for each in point if each > 0] or [1.0]
    return zero_below(axes, math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive))))


def draw_spreads(
    axes: Axes, x: Sequence[float], points: Sequence[Spread], *, foot: float | None = None, **style: Any
) -> None:
    """Means as a line, with bars from the least to the greatest.

    foot: the height of 0 on a logarithmic axis, where marks are hollow.
    """
    at = [[foot if foot is not None and each <= 0 else each for each in point] for point in points]
    means = [mean for mean, *_ in at]
    bars = [[mean - least for mean, least, _ in at], [greatest - mean for mean, _, greatest in at]]
    drawn = axes.errorbar(x, means, bars, linewidth=0.8, markersize=3, capsize=1.5, **style)
    line: Line2D = drawn.lines[0]
    hollow = [(place, mean) for place, mean in zip(x, means, strict=True) if mean == foot]
    axes.plot(
        [place for place, _ in hollow], [mean for _, mean in hollow], linestyle="none", marker=line.get_marker(),
        markersize=3, markerfacecolor="white", color=style["color"], zorder=3,
    )  # fmt: skip
