"""The spiking network of phase 2 as a Keras model: phase 1's network, as its mapping scales it, to spiking.keras."""

from typing import Any

from relu2snn.config import Experiment, Paths
from relu2snn.errors import UserError
from relu2snn.made import Job
from relu2snn.mapping import guaranteed, relu_network, to_spiking
from relu2snn.networks.written import load_scaled
from relu2snn.presentation.described import described
from relu2snn.spiking import SpikingModel, spiking_model
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Convert one experiment's network.

    run.json beside it says which folders the run uses, before it has a result.
    """
    paths = Paths.of(config)
    # It stands there for a list of runs, and is part of none.
    job(config, "convert").write_json(f"{paths.phase2}/run.json", described(config))
    work = job(config, "convert")
    model, maxima = spiking_network(config, work)
    work.write_model(f"{paths.phase2}/spiking.keras", model, layer_maxima=maxima)


def spiking_network(config: Experiment, work: Job) -> tuple[SpikingModel, dict[str, float]]:
    """The spiking network of an experiment's phase 2, of what phase 1 has left, and its layers' maxima."""
    paths = Paths.of(config)
    settings = config.phase2
    measured = work.read_json(paths.maxima, "phase1", "bounds", "reference")
    key = "layer_bounds" if "layer_bounds" in measured else "layer_maxima"
    maxima = dict(zip(measured["layers"], measured[key], strict=True))
    chosen: dict[str, Any] = {"zeta": settings.zeta, "precision": settings.precision, "seed": settings.seed}
    chosen |= {"noise": settings.noise, "alpha_noise": settings.alpha_noise}
    chosen |= {"reference_noise": settings.reference_noise, "mapping": settings.mapping, "stretch": settings.stretch}
    try:
        network = relu_network(load_scaled(work, paths.scaled))
        if settings.window == "guaranteed":
            spiking = guaranteed(network, **chosen)
            maxima = {name: float(each.maximum or 0) for name, (_, each) in spiking.populations.items()}
        else:
            spiking = to_spiking(network, maxima, **chosen)
    except ValueError as error:
        raise UserError(f"{paths.scaled}: {error}") from None
    return spiking_model(spiking), maxima
