"""What every figure shares: width, palette, text sizes, axes, and the files it becomes."""

import io
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from relu2snn.files import atomic_path

COLUMN_WIDTH = 85 / 25.4
"""Inches in the 85 mm of a journal's column."""

# Okabe and Ito's palette: told apart under every common colour blindness, and in grey.
BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
VALUES = "viridis"
"""The perceptually uniform map of values."""

LABEL, TICK = 7, 6
LOGARITHMIC_FROM = 50
"""Values that span more than this factor stand on a logarithmic axis."""

_WRITTEN_OUT = range(-3, 4)


def dress(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Label both axes, set the sizes of the text, and lay a pale grid behind the data."""
    axes.set_xlabel(xlabel, fontsize=LABEL)
    axes.set_ylabel(ylabel, fontsize=LABEL)
    axes.tick_params(labelsize=TICK)
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)


def plain_ticks(axis: Axis) -> None:
    """Label the powers of ten of a logarithmic axis by `plain`."""
    axis.set_major_formatter(plain)
    axis.set_minor_formatter(NullFormatter())


def plain(value: float, _: float = 0) -> str:
    """A tick of a logarithmic axis, without an exponent above the line, which would be smaller than all other text.

    Example:
        >>> plain(1e-2), plain(1e-6), plain(0.0)
        ('0.01', '1e−6', '0')
    """
    if not value:
        return "0"
    power = round(math.log10(abs(value)))
    return f"{value:g}" if power in _WRITTEN_OUT else f"{value / 10.0**power:.3g}e{power}".replace("-", "−")


def legend_above(axes: Axes, columns: int = 2) -> None:
    """A legend above the axes, where it hides nothing."""
    axes.legend(fontsize=TICK, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns)


def spread_axis(axes: Axes, values: Sequence[float], most: int = 8) -> None:
    """A logarithmic axis, 0 at its left, for ascending values (n,) that span more than `LOGARITHMIC_FROM`.

    most: how many powers of ten are labelled.
    """
    positive = [value for value in values if value > 0]
    if not positive or values[0] < 0 or positive[-1] <= LOGARITHMIC_FROM * positive[0]:
        return
    if values[0] > 0:
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=positive[0])
    powers = range(math.floor(math.log10(positive[-1])), math.ceil(math.log10(positive[0])) - 1, -1)
    named = sorted(powers[:: -(-len(powers) // most)])
    axes.set_xticks([*([] if values[0] > 0 else [0.0]), *(10.0**power for power in named)])
    plain_ticks(axes.xaxis)
    axes.minorticks_off()


def zero_below(axes: Axes, lowest: int, highest: int) -> float:
    """Make the y axis logarithmic from 10^lowest to 10^highest, with a tick "0" a decade below; returns its height."""
    foot = 10.0 ** (lowest - 1)
    axes.set_yscale("log")
    axes.set_ylim(foot / 3, 3 * 10.0**highest)
    powers = range(highest, lowest - 1, -max(1, (highest - lowest) // 4))
    axes.set_yticks([foot, *(10.0**power for power in powers)], ["0", *(plain(10.0**power) for power in powers)])
    axes.minorticks_off()
    return foot


def show_picture(axes: Axes, picture: NDArray[Any]) -> None:
    """Show an image that `is_picture`; values beyond 0 to 255 are stretched, all others are as bright as they are.

    Raises ValueError for what is none.
    """
    if not is_picture(picture.shape):
        raise ValueError(f"an image of shape {picture.shape} can't be shown; give (h, w), (h, w, 1) or (h, w, 3)")
    low, high = float(picture.min()), float(picture.max())
    if low >= 0:
        low, high = 0.0, next((top for top in (1.0, 255.0) if high <= top), high)
    shown = (picture - low) / ((high - low) or 1.0)
    axes.imshow(shown if shown.shape[2:] == (3,) else shown.reshape(shown.shape[:2]), cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()


def is_picture(shape: Sequence[int]) -> bool:
    """Whether images of this shape are grey or RGB, and not vectors, signals or maps of other channels.

    Example:
        >>> is_picture((32, 32, 3)), is_picture((64,)), is_picture((8, 8, 12))
        (True, False, False)
    """
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))


def _for_svg() -> AbstractContextManager[None]:
    """Settings by which text stays text, and the same figure gives the same bytes."""
    return matplotlib.rc_context({"svg.hashsalt": "relu2snn", "svg.fonttype": "none"})


def svg_of(figure: Figure) -> bytes:
    """`figure` as SVG, its text as text; the same figure gives the same bytes.

    Example:
        >>> svg_of(plot_energies(["LeNet5"], {"float32": ([0.6], [0.12])}))[:5]
        b'<?xml'
    """
    with io.BytesIO() as file, _for_svg():
        figure.savefig(file, format="svg", metadata={"Date": None})
        return file.getvalue()


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write `figure` as `path`.png (200 dpi) and `path`.svg, its text as text; the same figure gives the same bytes.

    Example:
        >>> save_figure(plot_raster(raster(spiking, images[0])), "raster")
        >>> sorted(path.name for path in Path().glob("raster.*"))
        ['raster.png', 'raster.svg']
    """
    # Figure.savefig would draw each twice.
    with _for_svg():
        with atomic_path(f"{path}.png") as temporary:
            dpi = figure.dpi
            figure.dpi = 200
            FigureCanvasAgg(figure).print_png(temporary)  # type: ignore[no-untyped-call]
            figure.dpi = dpi
        # Laid out once, both files show the same.
        figure.set_layout_engine("none")
        with atomic_path(f"{path}.svg") as temporary:
            FigureCanvasSVG(figure).print_svg(temporary, metadata={"Date": None})  # type: ignore[no-untyped-call]
