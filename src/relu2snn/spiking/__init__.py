"""Single-spike networks: Keras layers, exact simulation, read-out of spike times and potentials."""

from relu2snn.spiking.compare import Comparison, Decoding
from relu2snn.spiking.layers import PotentialReadout, SpikeEncoder, SpikingConv2D, SpikingDense
from relu2snn.spiking.network import latency, spiking_layer, spiking_layers
from relu2snn.spiking.perturb import perturb
from relu2snn.spiking.pooling import ExtremumPooling2D
from relu2snn.spiking.record import Raster, SpikeHistogram, SpikeRecorder, raster, spike_histogram
from relu2snn.spiking.run import SpikingRun, spike_times
from relu2snn.spiking.trace import (
    EARLY,
    FORCED,
    LATE,
    ON_TIME,
    MembranePotential,
    OutputPotentials,
    membrane_potentials,
    output_potentials,
    spike_kinds,
)

__all__ = [
    "EARLY",
    "FORCED",
    "LATE",
    "ON_TIME",
    "Comparison",
    "Decoding",
    "ExtremumPooling2D",
    "MembranePotential",
    "OutputPotentials",
    "PotentialReadout",
    "Raster",
    "SpikeEncoder",
    "SpikeHistogram",
    "SpikeRecorder",
    "SpikingConv2D",
    "SpikingDense",
    "SpikingRun",
    "latency",
    "membrane_potentials",
    "output_potentials",
    "perturb",
    "raster",
    "spike_histogram",
    "spike_kinds",
    "spike_times",
    "spiking_layer",
    "spiking_layers",
]
