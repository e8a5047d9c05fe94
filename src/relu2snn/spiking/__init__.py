"""Single-spike networks: Keras layers, exact simulation, read-out of spike times."""

from relu2snn.spiking.layers import PotentialReadout, SpikeEncoder, SpikingConv2D, SpikingDense
from relu2snn.spiking.perturb import perturb
from relu2snn.spiking.pooling import ExtremumPooling2D
from relu2snn.spiking.run import SpikingRun, latency, spike_times, spiking_layers

__all__ = [
    "ExtremumPooling2D",
    "PotentialReadout",
    "SpikeEncoder",
    "SpikingConv2D",
    "SpikingDense",
    "SpikingRun",
    "latency",
    "perturb",
    "spike_times",
    "spiking_layers",
]
