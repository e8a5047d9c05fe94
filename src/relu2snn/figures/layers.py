"""What stands above each hidden layer: its largest ReLU output and the length of its window."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from relu2snn.figures.style import BLUE, COLUMN_WIDTH, LABEL, LOGARITHMIC_FROM, TICK, VERMILLION, dress, legend_above

_UPRIGHT_CHARACTERS = 36


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
    axes.plot(numbers, maxima, "o-", color=BLUE, label="largest ReLU output", **style)
    lengths = [t_max - t_min for t_min, t_max in windows or []]
    if windows is not None:
        axes.plot(numbers, lengths, "s--", color=VERMILLION, label="spiking window", **style)
        legend_above(axes)
    shown = [*maxima, *lengths]
    if shown and min(shown) > 0 and max(shown) > LOGARITHMIC_FROM * min(shown):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.1 * max(shown, default=0) or 1)
    axes.set_xticks(numbers, layers, rotation=0 if upright else 90)
    axes.set_xlim(0.5, len(layers) + 0.5)
    dress(axes, "hidden layer, first to last", "ReLU output (arbitrary units)")
    if windows is not None:
        # The same scale read as a time; both directions of the conversion are the identity.
        time_axis = axes.secondary_yaxis("right")
        time_axis.set_ylabel("window length in time units\n(1 = input window)", fontsize=LABEL)
        time_axis.tick_params(labelsize=TICK)
    return figure
