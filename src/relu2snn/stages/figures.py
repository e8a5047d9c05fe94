"""Draws the layer maxima of phase 1 and the spiking windows of phase 2."""

from pathlib import Path

from relu2snn.config import Experiment, Paths, variant_name
from relu2snn.figures import plot_layer_maxima, save_figure
from relu2snn.files import read_json
from relu2snn.stages._app import stage_app


def run(config: Experiment, part: int | None) -> None:
    """Write figures/layer_maxima.png and .svg of one experiment."""
    paths = Paths(config.outputs, config.suite.name, config.name)
    phase1 = read_json(Path(paths.phase1, "result.json"))
    phase2 = read_json(Path(paths.phase2(variant_name(config.phase2)), "result.json"))
    figure = plot_layer_maxima(phase1["layers"], phase1["layer_maxima"], phase2["windows"])
    save_figure(figure, Path(paths.figures, "layer_maxima"))


if __name__ == "__main__":
    stage_app("figures", run)
