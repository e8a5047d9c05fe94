"""The images on which two networks disagree: the confusion of their labels, and the images."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from relu2snn.figures.style import COLUMN_WIDTH, LABEL, TICK, show_picture

_CLASSES, _PICTURES, _COLUMNS = 12, 12, 6
_MATRIX, _ROW = 2.9, 0.82

Labels = NDArray[np.int64]


def disagreeing(original: Labels, spiking: Labels, count: int = _PICTURES) -> Labels:
    """The first `count` images on which the labels (n,) differ: what plot_disagreement shows the pictures of.

    Example:
        >>> disagreeing(np.array([0, 1, 2]), np.array([0, 2, 2]), 5).tolist()
        [1]
    """
    return np.flatnonzero(original != spiking)[:count]


def plot_disagreement(original: Labels, spiking: Labels, pictures: NDArray[Any] | None = None) -> Figure:
    """Confusion of the images that the original and the spiking network label differently, and these images.

    original and spiking (n,): the labels of all images. pictures (k, h, w, c): of `disagreeing(original, spiking)`,
    or (k, h, w), grey or RGB. Of more than twelve classes, those that differ most often are shown. Where the networks
    agree on every image the figure says so.

    Raises ValueError when the labels are not of the same images, or pictures are neither grey nor RGB, or not of the
    disagreeing images.

    Example:
        >>> original, predicted = (np.argmax(each(images), axis=1) for each in (model, spiking))
        >>> figure = plot_disagreement(original, predicted)
    """
    if len(original) != len(spiking):
        raise ValueError(f"{len(original)} labels of the original network and {len(spiking)} of the spiking network")
    where = np.flatnonzero(original != spiking)
    shown = disagreeing(original, spiking)
    if pictures is not None and len(pictures) != len(shown):
        raise ValueError(f"{len(pictures)} pictures for {len(shown)} disagreeing images")
    if not len(where):
        figure = Figure(figsize=(COLUMN_WIDTH, 1.0), layout="constrained")
        text = f"On all {len(original):,} test images the spiking network\npredicts what the original network predicts."
        figure.text(0.5, 0.5, text, fontsize=LABEL, ha="center", va="center")
        return figure
    heights = [_MATRIX] if pictures is None else [_MATRIX, _ROW * -(-len(pictures) // _COLUMNS)]
    figure = Figure(figsize=(COLUMN_WIDTH, sum(heights)), layout="constrained")
    upper, *lower = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    title = f"{len(where):,} of {len(original):,} images are labelled differently"
    _confusion(upper, original[where], spiking[where], title)
    if pictures is not None:
        titles = [f"#{k}\n{original[k]}\N{RIGHTWARDS ARROW}{spiking[k]}" for k in shown]
        _show(lower[0], pictures, titles)
    return figure


def _confusion(figure: Any, original: Labels, spiking: Labels, title: str) -> None:
    counted = np.bincount(np.concatenate([original, spiking]))
    often = np.argsort(-counted, kind="stable")[:_CLASSES]
    classes = np.sort(often[counted[often] > 0])
    matrix = np.array([[np.count_nonzero((original == a) & (spiking == b)) for b in classes] for a in classes])
    axes = figure.add_subplot()
    image = axes.imshow(matrix, cmap="cividis", vmin=0)
    for row, column in np.argwhere(matrix > 0):
        colour = "black" if matrix[row, column] > matrix.max() / 2 else "white"
        axes.text(column, row, str(matrix[row, column]), fontsize=TICK, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.tick_params(labelsize=TICK)
    axes.set_xlabel("label of the spiking network", fontsize=LABEL)
    axes.set_ylabel("label of the original network", fontsize=LABEL)
    axes.set_title(title, fontsize=LABEL)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    bar.ax.tick_params(labelsize=TICK)
    bar.set_label("images", fontsize=LABEL)


def _show(figure: Any, pictures: NDArray[Any], titles: list[str]) -> None:
    panels = figure.subplots(-(-len(pictures) // _COLUMNS), _COLUMNS, squeeze=False).ravel()
    for axes in panels[len(pictures) :]:
        axes.set_axis_off()
    for axes, picture, title in zip(panels, pictures, titles, strict=False):
        show_picture(axes, picture)
        axes.set_title(title, fontsize=TICK, pad=1.5)
