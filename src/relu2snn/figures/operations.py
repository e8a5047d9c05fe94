"""Operations by layer: the synaptic ones of the spiking network beside the multiply-accumulates of the ReLU network."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from relu2snn.figures.layers import above_layers
from relu2snn.figures.style import BLUE, GREEN, LABEL, ORANGE, VERMILLION, dress, legend_above, plain_ticks

_FEW = 8


def plot_operations(
    segments: Sequence[str],
    operations: Sequence[float],
    forced: Sequence[float],
    clocks: Sequence[float],
    dense: Sequence[float],
    effective: Sequence[float],
    images: int,
) -> Figure:
    """Synaptic operations of an image by segment, and the multiply-accumulates of the ReLU network, all and effective.

    All (n,), on average over `images` images, on a logarithmic axis: segments, their names, read-outs last; operations,
    of spikes before the end of their window; forced, of those at its end; clocks; dense and effective
    multiply-accumulates. What is 0 has no mark.
    Raises ValueError when the lengths differ.

    Example:
        >>> found = relu2snn.costs(spiking, images).segments
        >>> counts = [[getattr(each, key) for each in found] for key in ("name", "operations", "forced", "start")]
        >>> macs = [[getattr(each, key) for each in found] for key in ("dense_macs", "effective_macs")]
        >>> figure = plot_operations(*counts, *macs, len(images))
    """
    series = {
        "MACs of the ReLU network": (dense, "s", VERMILLION, "none", -0.24),
        "of these, without zeros": (effective, "s", VERMILLION, "full", -0.12),
        "synaptic operations": (operations, "o", BLUE, "full", 0.0),
        "forced spikes": (forced, "v", ORANGE, "full", 0.12),
        "clocks": (clocks, "^", GREEN, "full", 0.24),
    }
    for name, (values, *_) in series.items():
        if len(values) != len(segments):
            raise ValueError(f"{name}: {len(values)} entries for {len(segments)} segments; give one per segment")
    figure, axes, numbers = above_layers(segments)
    # Where there are many layers, marks of one layer would lie on each other.
    size = 3.5 if len(segments) <= _FEW else 2.5
    for name, (values, marker, colour, fill, aside) in series.items():
        places = [number + aside for number in numbers]
        heights = [value or math.nan for value in values]
        axes.plot(
            places, heights, marker=marker, color=colour, fillstyle=fill, linestyle="none", markersize=size, label=name
        )  # fmt: skip
    axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    dress(axes, "layer, first to last", "operations for one image")
    legend_above(axes)
    total, macs = sum(operations), sum(dense)
    figure.suptitle(
        f"{total:,.0f} synaptic operations, {macs:,.0f} MACs ({images:,} images)", fontsize=LABEL
    )  # fmt: skip
    return figure
