"""Figures of results, readable at the width of a journal's column; the only module that imports matplotlib."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from relu2snn.files import atomic_path

COLUMN_WIDTH = 85 / 25.4
"""Inches in the 85 mm of a journal's column."""

# Okabe and Ito's palette: told apart under every common colour blindness, and in grey.
_BLUE, _VERMILLION = "#0072B2", "#D55E00"
_LABEL, _TICK = 7, 6
_UPRIGHT_CHARACTERS = 36
_LOGARITHMIC_FROM = 50


def plot_layer_maxima(
    layers: Sequence[str], maxima: Sequence[float], windows: Sequence[Sequence[float]] | None = None
) -> Figure:
    """The largest ReLU output X^(n) of each hidden layer and the length B^(n) of its spiking window.

    `layers` (n,) are names, first layer first; `maxima` (n,) in the arbitrary units of the ReLU outputs; `windows`
    (n, 2) are [t_min, t_max] in units of the input window. A ReLU output of 1 is a time of 1, so both share a scale
    (arXiv:2212.12522, B^(n) = (1 + ζ) X^(n)); it is logarithmic when the values span more than a factor of 50.
    Raises ValueError when the lengths differ.
    """
    for name, values in (("maxima", maxima), ("windows", windows)):
        if values is not None and len(values) != len(layers):
            raise ValueError(f"{name} has {len(values)} entries for {len(layers)} layers; give one per layer")
    longest = max(map(len, layers), default=0)
    upright = longest * len(layers) <= _UPRIGHT_CHARACTERS
    height = 2.4 if upright else 2.3 + 0.05 * longest
    figure = Figure(figsize=(COLUMN_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    numbers = range(1, len(layers) + 1)
    style: dict[str, Any] = {"linewidth": 0.8, "markersize": 3.5}
    axes.plot(numbers, maxima, "o-", color=_BLUE, label="largest ReLU output", **style)
    lengths = [t_max - t_min for t_min, t_max in windows or []]
    if windows is not None:
        axes.plot(numbers, lengths, "s--", color=_VERMILLION, label="spiking window", **style)
        axes.legend(fontsize=_TICK, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    shown = [*maxima, *lengths]
    if shown and min(shown) > 0 and max(shown) > _LOGARITHMIC_FROM * min(shown):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.1 * max(shown, default=0) or 1)
    axes.set_xticks(numbers, layers, rotation=0 if upright else 90)
    axes.set_xlim(0.5, len(layers) + 0.5)
    axes.set_xlabel("hidden layer, first to last", fontsize=_LABEL)
    axes.set_ylabel("ReLU output (arbitrary units)", fontsize=_LABEL)
    axes.tick_params(labelsize=_TICK)
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
    if windows is not None:
        # The same scale read as a time; both directions of the conversion are the identity.
        time_axis = axes.secondary_yaxis("right")
        time_axis.set_ylabel("window length in time units\n(1 = input window)", fontsize=_LABEL)
        time_axis.tick_params(labelsize=_TICK)
    return figure


_PARAMETERS = {
    "zeta": "margin of the windows ζ",
    "noise": "noise on spike times, standard deviation\n(1 = input window)",
    "alpha_noise": "noise on α, standard deviation",
}


def plot_sweep(parameter: str, values: Sequence[float], spreads: Mapping[str, Sequence[Any]]) -> Figure:
    """Shares of the test images, such as accuracy and agreement, against a swept parameter.

    `values` (n,) ascend; `spreads` maps a name to n of {"mean", "std"} over trials, std None for a single trial, or to
    n of None, which is not drawn. Bars are one standard deviation. Values that span more than a factor of 50 stand on
    a logarithmic axis, with 0 at its left end. Raises ValueError when the lengths differ.
    """
    figure = Figure(figsize=(COLUMN_WIDTH, 2.4), layout="constrained")
    axes = figure.add_subplot()
    looks = [("o-", _BLUE), ("s--", _VERMILLION)]
    for (name, points), (line, colour) in zip(spreads.items(), looks, strict=False):
        if len(points) != len(values):
            raise ValueError(f"{name} has {len(points)} entries for {len(values)} values; give one per value")
        if None in points:
            continue
        bars = [point["std"] or 0.0 for point in points]
        style: dict[str, Any] = {"linewidth": 0.8, "markersize": 3.5, "capsize": 2, "color": colour, "label": name}
        axes.errorbar(values, [point["mean"] for point in points], bars, fmt=line, **style)
    positive = [value for value in values if value > 0]
    if positive and values[0] >= 0 and positive[-1] > _LOGARITHMIC_FROM * positive[0]:
        if values[0] > 0:
            axes.set_xscale("log")
        else:
            axes.set_xscale("symlog", linthresh=positive[0])
            powers = range(math.ceil(math.log10(positive[0])), math.floor(math.log10(positive[-1])) + 1)
            axes.set_xticks([0.0, *(10.0**power for power in powers)])
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel(_PARAMETERS[parameter], fontsize=_LABEL)
    axes.set_ylabel("share of test images", fontsize=_LABEL)
    axes.legend(fontsize=_TICK, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    axes.tick_params(labelsize=_TICK)
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write `figure` as `path`.png (200 dpi) and `path`.svg; the same figure gives the same bytes."""
    for suffix in ("png", "svg"):
        with atomic_path(f"{path}.{suffix}") as temporary, matplotlib.rc_context({"svg.hashsalt": "relu2snn"}):
            figure.savefig(temporary, dpi=200, metadata={"Date": None} if suffix == "svg" else None)
