"""The spiking network of phase 2 as a Keras model: phase1/scaled.keras and layer maxima to spiking.keras."""

import relu2snn.stages._tensorflow  # noqa: F401

# isort: split
import keras

from relu2snn.config import Experiment, Paths
from relu2snn.errors import UserError
from relu2snn.made import Job
from relu2snn.mapping import to_spiking
from relu2snn.stages._app import stage_app
from relu2snn.stages._described import described
from relu2snn.stages._job import job
from relu2snn.stages._models import load_network


def run(config: Experiment, part: int | None = None) -> None:
    """Convert one experiment's network; `part` is not used.

    run.json beside it says which folders the run uses, before it has a result.
    """
    paths = Paths.of(config)
    # It stands there for a list of runs, and is part of none.
    job(config, "convert").write_json(f"{paths.phase2}/run.json", described(config))
    work = job(config, "convert")
    model, maxima = spiking_network(config, work)
    work.write_model(f"{paths.phase2}/spiking.keras", model, layer_maxima=maxima)


def spiking_network(config: Experiment, work: Job) -> tuple[keras.Model, list[float]]:
    """The spiking network of an experiment's phase 2, made from what phase 1 has left, and the maxima of its layers."""
    paths = Paths.of(config)
    scaled = f"{paths.phase1}/scaled.keras"
    network = load_network(work, scaled)
    settings = config.phase2
    if settings.window == "certified":
        maxima = work.read_json(f"{paths.phase1}/bounds.json", "bounds")["layer_bounds"]
    else:
        maxima = work.read_json(f"{paths.phase1}/result.json", "phase1")["layer_maxima"]
    perturbations = settings.noise, settings.alpha_noise, settings.seed
    try:
        return to_spiking(network, maxima, settings.zeta, *perturbations, settings.precision), maxima
    except ValueError as error:
        raise UserError(f"{scaled}: {error}") from None


def main() -> None:
    """Command-line entry point."""
    stage_app("convert", run)


if __name__ == "__main__":
    main()
