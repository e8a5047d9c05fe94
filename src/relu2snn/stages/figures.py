"""Draws the figures of one experiment, in figures/, and writes the numbers that they show to figures/data.npz.

Reads the results of phase 1 and of the variant of phase 2, both networks, and the prepared data set. The names in
data.npz are <figure>.<number>; the functions of relu2snn.figures draw the figures from them again.
"""

import relu2snn.stages._tensorflow  # noqa: F401

# isort: split
from pathlib import Path
from typing import Any

import numpy as np

from relu2snn.config import Experiment, Paths
from relu2snn.figures import save_figure
from relu2snn.files import atomic_path
from relu2snn.stages._app import stage_app
from relu2snn.stages._drawn import draw


def run(config: Experiment, part: int | None = None) -> None:
    """Draw every figure of `relu2snn.config.FIGURES`; `part` is not used."""
    folder = Path(Paths.of(config).figures)
    shown: dict[str, Any] = {}
    for name, figure, numbers in draw(config):
        save_figure(figure, folder / name)
        shown |= {f"{name}.{key}": value for key, value in numbers.items()}
    with atomic_path(folder / "data.npz") as temporary:
        np.savez_compressed(temporary, **shown)


if __name__ == "__main__":
    stage_app("figures", run)
