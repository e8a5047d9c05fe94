"""What every figure shares: width, palette, text sizes, axes, and the files it becomes."""

import io
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
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


def dress(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Label both axes, set the sizes of the text, and lay a pale grid behind the data."""
    axes.set_xlabel(xlabel, fontsize=LABEL)
    axes.set_ylabel(ylabel, fontsize=LABEL)
    axes.tick_params(labelsize=TICK)
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)


def legend_above(axes: Axes, columns: int = 2) -> None:
    """A legend above the axes, where it hides nothing."""
    axes.legend(fontsize=TICK, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns)


def spread_axis(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis, 0 at its left, for ascending values (n,) that span more than `LOGARITHMIC_FROM`."""
    positive = [value for value in values if value > 0]
    if not positive or values[0] < 0 or positive[-1] <= LOGARITHMIC_FROM * positive[0]:
        return
    if values[0] > 0:
        axes.set_xscale("log")
        return
    axes.set_xscale("symlog", linthresh=positive[0])
    powers = range(math.ceil(math.log10(positive[0])), math.floor(math.log10(positive[-1])) + 1)
    axes.set_xticks([0.0, *(10.0**power for power in powers)])


def zero_below(axes: Axes, lowest: int, highest: int) -> float:
    """Make the y axis logarithmic from 10^lowest to 10^highest, with a tick "0" a decade below; returns its height."""
    foot = 10.0 ** (lowest - 1)
    axes.set_yscale("log")
    axes.set_ylim(foot / 3, 3 * 10.0**highest)
    powers = range(highest, lowest - 1, -max(1, (highest - lowest) // 4))
    axes.set_yticks([foot, *(10.0**power for power in powers)], ["0", *(f"$10^{{{power}}}$" for power in powers)])
    axes.minorticks_off()
    return foot


def show_picture(axes: Axes, picture: NDArray[Any]) -> None:
    """Show an image (h, w, c), RGB or grey: the mean of any other number of channels; a vector is one row."""
    if picture.ndim < 3:
        picture = np.atleast_2d(picture)
    elif picture.ndim > 3 or picture.shape[-1] not in (3, 4):
        picture = picture.mean(axis=tuple(range(2, picture.ndim)))
    axes.imshow(picture, cmap="gray")
    axes.set_axis_off()


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
