"""The identity line: the ReLU's value against the value that the spike time stands for."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from relu2snn.figures.style import COLUMN_WIDTH, LABEL, TICK, VALUES, dress, zero_below

if TYPE_CHECKING:
    from relu2snn.spiking import Decoding


def plot_exactness(decoding: "Decoding") -> Figure:
    """The ReLU's value against the value that the spike time stands for, and their difference, coloured by layer.

    The ReLU's values come from the scaled ReLU network, not from the spiking one. Dots on the identity line are exact;
    below, the size of each difference on a logarithmic axis, with those that are 0 at its foot.

    Example:
        >>> values = mapping.compare_values(mapping.scaled_like(model, spiking), spiking, [images], images=20)
        >>> figure = plot_exactness(values)
    """
    # In no order, so that no layer lies on top of the others.
    order = np.random.default_rng(0).permutation(len(decoding.layer))
    relu, decoded, layer = decoding.relu[order], decoding.decoded[order], decoding.layer[order]
    figure = Figure(figsize=(COLUMN_WIDTH, 4.2), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    reach = max(relu.max(initial=0), decoded.max(initial=0)) or 1.0
    above.plot([0, reach], [0, reach], color="0.6", linewidth=0.7, zorder=0, label="identity")
    above.legend(fontsize=TICK, frameon=False, loc="upper left")
    norm = Normalize(1, max(len(decoding.layers), 2))
    style: dict[str, Any] = {"c": layer + 1, "cmap": VALUES, "norm": norm, "s": 3.0, "linewidths": 0}
    dots = above.scatter(relu, decoded, **style)
    difference = np.abs(decoded - relu)
    powers = np.log10(difference[difference > 0]) if difference.any() else np.array([-16.0])
    foot = zero_below(below, math.floor(powers.min()), math.ceil(powers.max()))
    below.scatter(relu, np.where(difference > 0, difference, foot), **style)
    dress(above, "", "value decoded from\nthe spike time, $t_{max} - t$")
    dress(below, "value of the ReLU (arbitrary units)", "|difference|")
    largest = decoding.largest.max(initial=0)
    above.set_title(
        f"largest difference: {largest:.2g}, of {decoding.pairs:,} pairs\n"
        f"of a neuron and an image ({decoding.images:,} images)",
        fontsize=LABEL,
    )
    if len(decoding.layers) > 1:
        bar = figure.colorbar(dots, ax=[above, below], location="bottom", aspect=40, pad=0.01)
        bar.ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        bar.set_label("hidden layer, first to last", fontsize=LABEL)
        bar.ax.tick_params(labelsize=TICK)
    return figure
