"""When neurons spike: the raster of one image, and the histogram of a layer over many."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from relu2snn.figures.style import (
    BLUE,
    COLUMN_WIDTH,
    LABEL,
    ORANGE,
    TICK,
    VALUES,
    VERMILLION,
    dress,
    legend_above,
    plain_ticks,
    show_picture,
)

if TYPE_CHECKING:
    from relu2snn.spiking import Raster, SpikeHistogram

_TIME = "time (1 = input window)"
_ZERO = "0.6"
_STAGGERED = 6
_TWO_LINES = 16
# Inches.
_PICTURE = 0.6
_LINE, _HIGHEST = 0.13, 6.0


def plot_raster(raster: "Raster", title: str = "", *, picture: NDArray[Any] | None = None) -> Figure:
    """Spikes of one image, layer under layer from the input to the last hidden one, coloured by the ReLU's value.

    A dot is a neuron of `relu2snn.spiking.raster` at the time of its only spike; a neuron that stands for 0, and is
    forced at t_max, is grey. Behind the dots, each layer's window [t_min, t_max]. Of more than six layers the windows
    stand below each other, each as wide as the figure, and are written at the right; of more than there is room for,
    every second is named, or every third, and so on. picture (h, w) or (h, w, c): the image, grey or RGB, which then
    stands above. Raises ValueError for a picture that is neither.

    Example:
        >>> save_figure(plot_raster(raster(spiking, images[0])), "raster")
    """
    bands = len(raster.layers)
    own = max(0.28 * bands, 0.9) if bands <= _TWO_LINES else min(_LINE * bands, _HIGHEST)
    step = 1 if bands <= _TWO_LINES else math.ceil(_LINE * bands / own - 1e-9)
    height, above = 1.5 + own, 0.0 if picture is None else _PICTURE
    figure = Figure(figsize=(COLUMN_WIDTH, height + above), layout="constrained")
    if picture is None:
        top = axes = figure.add_subplot()
    else:
        top, axes = figure.subplots(2, 1, height_ratios=[above, height])
        show_picture(top, picture)
    starts, lengths = raster.windows[:, 0], np.diff(raster.windows)[:, 0]
    aligned = bands > _STAGGERED
    if aligned:
        times = (raster.time - starts[raster.layer]) / lengths[raster.layer]
        spans = [(0.0, 1.0)] * bands
        at_right = axes.secondary_yaxis("right")
        ends = [f"{t_min:.4g} to {t_max:.4g}" for t_min, t_max in raster.windows]
        at_right.set_yticks(range(0, bands, step), ends[::step])
        at_right.set_ylabel("window, $t_{min}$ to $t_{max}$ (1 = input window)", fontsize=LABEL)
        at_right.tick_params(labelsize=TICK, length=0)
    else:
        times, spans = raster.time, list(zip(starts, lengths, strict=True))
    for band, span in enumerate(spans):
        axes.broken_barh([span], (band - 0.46, 0.92), facecolors="0.93", zorder=0)
    # The neurons of a layer, in order, share the height of its band.
    shown = np.bincount(raster.layer, minlength=bands)
    places = np.concatenate([np.linspace(-0.42, 0.42, count) if count > 1 else np.zeros(count) for count in shown])
    heights = raster.layer + places
    active = raster.value > 0
    axes.scatter(times[~active], heights[~active], s=3.0, c=_ZERO, linewidths=0)
    norm = PowerNorm(0.5, 0, float(raster.value.max(initial=0)) or 1)
    style: dict[str, Any] = {"s": 3.0, "cmap": VALUES, "norm": norm, "linewidths": 0}
    dots = axes.scatter(times[active], heights[active], c=raster.value[active], **style)
    bar = figure.colorbar(dots, ax=axes, location="bottom", aspect=40, pad=0.01)
    bar.set_label("ReLU value (arbitrary units); grey: 0", fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    bar.ax.xaxis.set_major_locator(MaxNLocator(4))
    between = "\n" if bands <= _TWO_LINES else ": "
    names = [
        f"{name}{between}{count} of {size}" if count < size else f"{name}{between}{size}"
        for name, count, size in zip(raster.layers, shown, raster.sizes, strict=True)
    ]
    axes.set_yticks(range(0, bands, step), names[::step])
    axes.set_ylim(bands - 0.4, -0.6)
    dress(axes, "time in the window (0 = $t_{min}$, 1 = $t_{max}$)" if aligned else _TIME, "layer, and neurons shown")
    top.set_title(title, fontsize=LABEL)
    return figure


def plot_spike_times(histogram: "SpikeHistogram") -> Figure:
    """Spike times of one layer over all images of `histogram`, with the share before t_max.

    The number of spikes is on a logarithmic axis. Spikes before t_min are early; the bar at the right are the neurons
    that were forced at t_max.

    Example:
        >>> figure = plot_spike_times(spike_histogram(spiking, [images], layer="dense"))
    """
    figure = Figure(figsize=(COLUMN_WIDTH, 2.5), layout="constrained")
    axes = figure.add_subplot()
    starts, widths = histogram.edges[:-1], np.diff(histogram.edges)
    groups = {
        "early": (starts < histogram.t_min, VERMILLION),
        "in the window": ((starts >= histogram.t_min) & (starts < histogram.t_max), BLUE),
        "late": (starts >= histogram.t_max, ORANGE),
    }
    for name, (own, colour) in groups.items():
        filled = own & (histogram.counts > 0)
        if filled.any():
            counts = histogram.counts[filled]
            label = f"{name}: {counts.sum():,}"
            axes.bar(starts[filled], counts, widths[filled], align="edge", color=colour, label=label)
    if histogram.at_end:
        width = 1.5 * float(widths[-1])
        label = f"forced at $t_{{max}}$: {histogram.at_end:,}"
        axes.bar(histogram.t_max, histogram.at_end, width, align="edge", color="0.75", hatch="////", label=label)
    for time, name, side in ((histogram.t_min, " $t_{min}$", "left"), (histogram.t_max, "$t_{max}$ ", "right")):
        axes.axvline(time, color="black", linewidth=0.7, linestyle=":")
        axes.annotate(name, (time, 0.97), xycoords=("data", "axes fraction"), fontsize=TICK, ha=side, va="top")
    axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    axes.set_ylim(0.5, 5 * max(histogram.counts.max(initial=1), histogram.at_end))
    legend_above(axes)
    total = histogram.images * histogram.neurons
    share = histogram.before_end / total if total else 0.0
    figure.suptitle(
        f"{histogram.layer}: {100 * share:.4g} % of {total:,} spikes before $t_{{max}}$\n"
        f"({histogram.neurons:,} neurons, {histogram.images:,} images)",
        fontsize=LABEL,
    )
    dress(axes, _TIME, "spikes per bin")
    return figure
