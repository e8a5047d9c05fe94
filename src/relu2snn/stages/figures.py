"""Draws the figures of one experiment, in figures/, and writes the numbers that they show to figures/data.npz.

Reads the results of phase 1 and of the variant of phase 2, both networks, and the prepared data set. The names in
data.npz are <figure>.<number>; the functions of relu2snn.figures draw the figures from them again.
"""

from pathlib import Path
from typing import Any

from relu2snn.config import FIGURES, Experiment, Paths
from relu2snn.figures import save_figure
from relu2snn.made import file_digests
from relu2snn.presentation.drawn import draw
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Draw every figure of `relu2snn.config.FIGURES`."""
    folder = Path(Paths.of(config).figures)
    shown: dict[str, Any] = {}
    work = job(config, "figures")
    for name, figure, numbers in draw(config, work):
        save_figure(figure, folder / name)
        shown |= {f"{name}.{key}": value for key, value in numbers.items()}
    # Pictures have no place for a stamp.
    pictures = [folder / f"{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg")]
    work.write_npz(folder / "data.npz", shown, compressed=True, files=file_digests(pictures))
