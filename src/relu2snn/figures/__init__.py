"""Figures of results, readable at the width of a journal's column; the only part that imports matplotlib."""

from relu2snn.figures.layers import plot_layer_maxima
from relu2snn.figures.style import COLUMN_WIDTH, save_figure
from relu2snn.figures.sweeps import plot_sweep

__all__ = ["COLUMN_WIDTH", "plot_layer_maxima", "plot_sweep", "save_figure"]
