"""The ReLU network as the mapping with a reference scales it: phase1/reference.keras, and its maxima, reference.json.

Reads phase1/scaled.keras, phase1/channel_maxima.npz and phase1/result.json; of equal networks it does not matter which
is scaled.
"""

import numpy as np

from relu2snn.config import Experiment, Paths
from relu2snn.errors import UserError
from relu2snn.mapping import relu_model, relu_network, unit_maxima
from relu2snn.networks.written import load_scaled
from relu2snn.stages._job import job


def run(config: Experiment) -> None:
    """Scale one experiment's network anew."""
    paths = Paths.of(config)
    work = job(config, "reference")
    layers = work.read_json(f"{paths.phase1}/result.json", "phase1")["layers"]
    file = f"{paths.phase1}/channel_maxima.npz"
    measured = work.read_npz(file, "phase1")
    if len(measured["channels"]) != len(layers) or measured["channels"].sum() != len(measured["maxima"]):
        raise UserError(f"{file}: not the maxima of {', '.join(layers)}; run the stage phase1 again")
    ends = np.cumsum(measured["channels"])[:-1]
    channels = dict(zip(layers, np.split(measured["maxima"], ends), strict=True))
    scaled = f"{paths.phase1}/scaled.keras"
    try:
        network, maxima = unit_maxima(relu_network(load_scaled(work, scaled)), channels, floor=config.phase1.floor)
    except ValueError as error:
        raise UserError(f"{scaled}: {error}") from None
    work.write_model(f"{paths.phase1}/reference.keras", relu_model(network))
    work.write_json(f"{paths.phase1}/reference.json", {"layers": list(maxima), "layer_maxima": list(maxima.values())})
