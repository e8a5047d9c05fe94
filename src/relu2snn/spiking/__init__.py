"""Single-spike networks: exact simulation, the Keras model, read-out of spike times and potentials."""

from relu2snn.spiking.compare import Comparison, Decoding
from relu2snn.spiking.costs import Costs, SegmentCosts, costs, costs_of, segment_sums
from relu2snn.spiking.evidence import Evidence
from relu2snn.spiking.model import SpikingModel, spiking_model
from relu2snn.spiking.network import latency, network_of, neurons_of
from relu2snn.spiking.nodes import SpikingNetwork
from relu2snn.spiking.perturb import perturbed
from relu2snn.spiking.record import Raster, SpikeHistogram, SpikeRecorder, leads_of, raster, spike_histogram
from relu2snn.spiking.run import SpikingRun, spike_times
from relu2snn.spiking.simulation import Simulation
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
    "Costs",
    "Decoding",
    "Evidence",
    "MembranePotential",
    "OutputPotentials",
    "Raster",
    "SegmentCosts",
    "Simulation",
    "SpikeHistogram",
    "SpikeRecorder",
    "SpikingModel",
    "SpikingNetwork",
    "SpikingRun",
    "costs",
    "costs_of",
    "latency",
    "leads_of",
    "membrane_potentials",
    "network_of",
    "neurons_of",
    "output_potentials",
    "perturbed",
    "raster",
    "segment_sums",
    "spike_histogram",
    "spike_kinds",
    "spike_times",
    "spiking_model",
]
