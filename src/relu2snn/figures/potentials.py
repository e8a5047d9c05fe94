"""Membrane potentials: of hidden neurons against their threshold, of the output neurons up to the read-out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from relu2snn.figures.style import (
    BLUE,
    COLUMN_WIDTH,
    GREEN,
    LABEL,
    ORANGE,
    TICK,
    VERMILLION,
    dress,
    legend_above,
)

if TYPE_CHECKING:
    from relu2snn.spiking import MembranePotential, OutputPotentials

_TIME = "time (1 = input window)"
_MARKERS = {"early": ("v", VERMILLION), "on time": ("o", BLUE), "forced": ("s", "0.4"), "late": ("D", ORANGE)}
CLASSES = 10
"""Of more classes, those with the highest potentials are drawn."""

_FOOT = ("data", "axes fraction")
# Over the lines of the other classes.
_COVER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}


def plot_potentials(potentials: Sequence["MembranePotential"], title: str = "") -> Figure:
    """Membrane potentials of neurons of one layer, panel under panel, each against its own threshold.

    The layer's window is shaded. The potential is a full line up to the spike, whose mark tells its kind, and dotted
    where it would have gone from there. Raises ValueError when there are no potentials.

    Example:
        >>> figure = plot_potentials(membrane_potentials(spiking, images[0], layer="conv"))
    """
    if not potentials:
        raise ValueError("no potentials given")
    figure = Figure(figsize=(COLUMN_WIDTH, 0.6 + 0.95 * len(potentials)), layout="constrained")
    panels = figure.subplots(len(potentials), sharex=True, squeeze=False)[:, 0]
    for axes, each in zip(panels, potentials, strict=True):
        axes.axvspan(each.t_min, each.t_max, color="0.93", zorder=0)
        axes.axhline(each.threshold, color="black", linewidth=0.7, linestyle="--")
        at_crossing = float(np.interp(each.crossing, each.times, each.potentials))
        before = each.times < each.crossing
        style: dict[str, Any] = {"color": BLUE, "linewidth": 0.8}
        axes.plot([*each.times[before], each.crossing], [*each.potentials[before], at_crossing], **style)
        axes.plot([each.crossing, *each.times[~before]], [at_crossing, *each.potentials[~before]], ":", **style)
        marker, colour = _MARKERS[each.kind]
        axes.plot([each.spike], [at_crossing], marker, color=colour, markersize=4, label=each.kind)
        place = ", ".join(map(str, each.neuron))
        value = max(each.t_max - each.spike, 0)
        axes.set_title(f"neuron {place}: {each.kind}, decodes to {value:.3g}", fontsize=TICK, loc="left", pad=2)
        axes.tick_params(labelsize=TICK)
        axes.yaxis.set_major_locator(MaxNLocator(3))
    panels[-1].set_xlabel(_TIME, fontsize=LABEL)
    figure.supylabel("membrane potential $V$ (arbitrary units)", fontsize=LABEL)
    heading = f"{potentials[0].layer}, {title}" if title else potentials[0].layer
    figure.suptitle(f"{heading}\nthreshold dashed, window shaded", fontsize=LABEL)
    return figure


def plot_output_potentials(output: "OutputPotentials", label: int | None = None, title: str = "") -> Figure:
    """Potentials of the output neurons up to the read-out, where the highest one is the predicted class.

    label: the true class, if it is known. Of more than ten classes the ten highest at the read-out, and the true one,
    are drawn.

    Example:
        >>> figure = plot_output_potentials(output_potentials(spiking, images[0]), label=2)
    """
    figure = Figure(figsize=(COLUMN_WIDTH, 2.5), layout="constrained")
    axes = figure.add_subplot()
    shown = output.highest(CLASSES, label)
    predicted, *second = shown.classes[:2].tolist()
    named = {predicted: (f"predicted: {predicted}", BLUE, "-")}
    named |= {each: (f"second: {each}", GREEN, "--") for each in second}
    if label == predicted:
        named[predicted] = (f"predicted and true: {label}", BLUE, "-")
    elif label is not None:
        named[label] = (f"true: {label}", VERMILLION, "-.")
    for each, potential in zip(shown.classes.tolist(), shown.potentials.T, strict=True):
        name, colour, line = named.get(each, ("_", "0.75", "-"))
        width, order = (1.0, 2) if each in named else (0.6, 1.5)
        axes.plot(shown.times, potential, line, color=colour, linewidth=width, label=name, zorder=order)
    axes.axvline(output.t_min, color="black", linewidth=0.7, linestyle=":")
    axes.annotate("read-out ", (output.t_min, 0), xycoords=_FOOT, fontsize=TICK, ha="right", va="bottom", bbox=_COVER)
    dress(axes, _TIME, "output potential (arbitrary units)")
    legend_above(axes, 3)
    others = f"; grey: {len(shown.classes) - len(named)} others of {output.units} classes"
    figure.suptitle(f"{title}{others}".lstrip("; "), fontsize=LABEL)
    return figure
