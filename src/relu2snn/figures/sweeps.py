"""Robustness: what is left of accuracy and agreement as one value is disturbed."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from relu2snn.figures.style import BLUE, COLUMN_WIDTH, LABEL, VERMILLION, dress, legend_above, spread_axis

_PARAMETERS = {
    "zeta": "margin of the windows ζ",
    "noise": "noise on spike times, standard deviation\n(1 = input window)",
    "reference_noise": "noise on the references' spike times, standard deviation\n(1 = input window)",
    "alpha_noise": "noise on α, standard deviation",
}


def plot_sweep(
    parameter: str,
    values: Sequence[float],
    spreads: Mapping[str, Sequence[Any]],
    images: int | None = None,
    trials: int | None = None,
) -> Figure:
    """Shares of the test images, such as accuracy and agreement, against a swept parameter.

    `values` (n,) ascend; `spreads` maps a name to n of {"mean", "std"} over trials, std None for a single trial, or to
    n of None, which is not drawn. Bars are one standard deviation. Values that span more than a factor of 50 stand on
    a logarithmic axis, with 0 at its left end. images and trials: how many each mean is over, if it is to be written
    in. Raises ValueError when the lengths differ.

    Example:
        >>> accuracy = [{"mean": 0.98, "std": 0.0}, {"mean": 0.91, "std": 0.02}]
        >>> figure = plot_sweep("noise", [0.0, 0.01], {"accuracy": accuracy}, images=1000, trials=4)
    """
    figure = Figure(figsize=(COLUMN_WIDTH, 2.4), layout="constrained")
    axes = figure.add_subplot()
    looks = [("o-", BLUE), ("s--", VERMILLION)]
    for (name, points), (line, colour) in zip(spreads.items(), looks, strict=False):
        if len(points) != len(values):
            raise ValueError(f"{name} has {len(points)} entries for {len(values)} values; give one per value")
        if None in points:
            continue
        bars = [point["std"] or 0.0 for point in points]
        style: dict[str, Any] = {"linewidth": 0.8, "markersize": 3.5, "capsize": 2, "color": colour, "label": name}
        axes.errorbar(values, [point["mean"] for point in points], bars, fmt=line, **style)
    spread_axis(axes, values)
    axes.set_ylim(-0.03, 1.05)
    dress(
        axes, _PARAMETERS[parameter], "share of test images" if images is None else f"share of {images:,} test images"
    )
    legend_above(axes)
    if trials is not None and trials > 1:
        figure.suptitle(f"mean and standard deviation of {trials} trials", fontsize=LABEL)
    return figure
