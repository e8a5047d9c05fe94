"""Layer by layer along the network: largest ReLU outputs and windows, and the shares that were not certified."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relu2snn.figures.style import (
    BLUE,
    COLUMN_WIDTH,
    LABEL,
    LOGARITHMIC_FROM,
    TICK,
    VERMILLION,
    dress,
    legend_above,
    plain_ticks,
    zero_below,
)

_UPRIGHT_CHARACTERS = 36
_MOST_NAMES = 22
_LAYERS = "hidden layer, first to last"


def plot_layer_maxima(
    layers: Sequence[str],
    maxima: Sequence[float],
    windows: Sequence[Sequence[float]] | None = None,
    images: int | None = None,
) -> Figure:
    """The largest ReLU output X^(n) of each hidden layer and the length B^(n) of its spiking window.

    `layers` (n,) are names, first layer first; `maxima` (n,) in the arbitrary units of the ReLU outputs; `windows`
    (n, 2) are [t_min, t_max] in units of the input window. A ReLU output of 1 is a time of 1, so both share a scale
    (arXiv:2212.12522, B^(n) = (1 + ζ) X^(n)); it is logarithmic when the values span more than a factor of 50.
    images: how many calibration images the maxima are over, if it is to be written in.
    Raises ValueError when the lengths differ.

    Example:
        >>> maxima = list(spiking.layer_maxima.values())
        >>> figure = plot_layer_maxima(list(spiking.windows), maxima, list(spiking.windows.values()))
    """
    for name, values in (("maxima", maxima), ("windows", windows)):
        if values is not None and len(values) != len(layers):
            raise ValueError(f"{name} has {len(values)} entries for {len(layers)} layers; give one per layer")
    figure, axes, numbers = above_layers(layers)
    style: dict[str, Any] = {"linewidth": 0.8, "markersize": 3.5 if len(layers) <= _MOST_NAMES else 2.0}
    axes.plot(numbers, maxima, "o-", color=BLUE, label="largest ReLU output", **style)
    lengths = [t_max - t_min for t_min, t_max in ([] if windows is None else windows)]
    if windows is not None:
        axes.plot(numbers, lengths, "s--", color=VERMILLION, label="spiking window", **style)
        legend_above(axes)
    shown = [*maxima, *lengths]
    if shown and min(shown) > 0 and max(shown) > LOGARITHMIC_FROM * min(shown):
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
    else:
        axes.set_ylim(0, 1.1 * max(shown, default=0) or 1)
    dress(axes, _LAYERS, "ReLU output (arbitrary units)")
    if images is not None:
        figure.suptitle(f"largest outputs over {images:,} calibration images", fontsize=LABEL)
    if windows is not None:
        # The same scale read as a time; both directions of the conversion are the identity.
        time_axis = axes.secondary_yaxis("right")
        time_axis.set_ylabel("window length in time units\n(1 = input window)", fontsize=LABEL)
        time_axis.tick_params(labelsize=TICK)
        if axes.get_yscale() == "log":
            plain_ticks(time_axis.yaxis)
    return figure


def plot_certified(
    layers: Sequence[str], simulated: Sequence[int], early: Sequence[int], pairs: Sequence[int], images: int
) -> Figure:
    """The share of (neuron, image) pairs of each hidden layer that were simulated event by event, and spiked early.

    All other pairs are certified: their closed form is proved. simulated, early and pairs (n,) count over `images`
    images. Shares are on a logarithmic axis, as nearly all pairs are certified; a share of 0 is hollow, at its foot.
    Raises ValueError when the lengths differ.

    Example:
        >>> run = SpikingRun(spiking)
        >>> potentials = run.logits(images)
        >>> figure = plot_certified(run.layers, run.simulated, run.early, run.neurons * run.images, run.images)
    """
    for name, values in (("simulated", simulated), ("early", early), ("pairs", pairs)):
        if len(values) != len(layers):
            raise ValueError(f"{name} has {len(values)} entries for {len(layers)} layers; give one per layer")
    figure, axes, numbers = above_layers(layers)
    # The smallest share there can be is one pair of all.
    foot = zero_below(axes, math.floor(-math.log10(max(pairs, default=1))), 0)
    series = {
        "simulated event by event": (simulated, "o", BLUE, -0.1),
        "of these, early": (early, "v", VERMILLION, 0.1),
    }
    for name, (counts, marker, colour, aside) in series.items():
        shares = [count / total for count, total in zip(counts, pairs, strict=True)]
        style: dict[str, Any] = {"color": colour, "markersize": 3.5, "linestyle": "none", "marker": marker}
        places = [number + aside for number in numbers]
        axes.plot(places, [share or math.nan for share in shares], label=name, **style)
        axes.plot(places, [math.nan if share else foot for share in shares], fillstyle="none", **style)
    total, left = sum(pairs), sum(simulated)
    certified = f"all but {left:,} of {total:,}" if left else f"all of {total:,}"
    figure.suptitle(f"certified: {certified} pairs ({images:,} images)", fontsize=LABEL)
    legend_above(axes)
    dress(axes, _LAYERS, "share of (neuron, image) pairs")
    return figure


def above_layers(layers: Sequence[str]) -> tuple[Figure, Axes, range]:
    """A figure with one position for each layer, named upright where the names have room; its axes and positions.

    Of more layers than there is room for names, every second is named, or every third, and so on.
    """
    longest = max(map(len, layers), default=0)
    upright = longest * len(layers) <= _UPRIGHT_CHARACTERS
    height = 2.4 if upright else 2.3 + 0.05 * longest
    figure = Figure(figsize=(COLUMN_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    numbers = range(1, len(layers) + 1)
    step = -(-len(layers) // _MOST_NAMES) or 1
    axes.set_xticks(numbers[::step], layers[::step], rotation=0 if upright else 90)
    axes.set_xticks(numbers, minor=True)
    axes.set_xlim(0.5, len(layers) + 0.5)
    return figure, axes, numbers
