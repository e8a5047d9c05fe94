"""Figures of results, readable at the width of a journal's column; the only part that imports matplotlib."""

from relu2snn.extras import extra

with extra("figures"):
    from matplotlib.figure import Figure

    from relu2snn.figures.disagreement import disagreeing, plot_disagreement
    from relu2snn.figures.energies import plot_energies
    from relu2snn.figures.exactness import plot_exactness
    from relu2snn.figures.layers import plot_certified, plot_layer_maxima
    from relu2snn.figures.operations import plot_operations
    from relu2snn.figures.potentials import CLASSES, plot_output_potentials, plot_potentials
    from relu2snn.figures.spikes import plot_raster, plot_spike_times
    from relu2snn.figures.style import COLUMN_WIDTH, is_picture, save_figure, svg_of
    from relu2snn.figures.sweeps import Spread, plot_sweep
    from relu2snn.figures.tradeoffs import Curve, plot_tradeoffs

__all__ = [
    "CLASSES",
    "COLUMN_WIDTH",
    "Curve",
    "Figure",
    "Spread",
    "disagreeing",
    "is_picture",
    "plot_certified",
    "plot_disagreement",
    "plot_energies",
    "plot_exactness",
    "plot_layer_maxima",
    "plot_operations",
    "plot_output_potentials",
    "plot_potentials",
    "plot_raster",
    "plot_spike_times",
    "plot_sweep",
    "plot_tradeoffs",
    "save_figure",
    "svg_of",
]
