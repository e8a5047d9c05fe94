"""The mathematics of phase 1 and 2: read a network, fold, scale, measure, convert; verify."""

from relu2snn.mapping.api import convert
from relu2snn.mapping.compare import compare_values, scaled_like
from relu2snn.mapping.intervals import guaranteed, largest_values
from relu2snn.mapping.measure import Measurement, measure, measure_bounds
from relu2snn.mapping.onnx_file import OnnxModel, load_onnx
from relu2snn.mapping.original import logits_model
from relu2snn.mapping.read_keras import UnsupportedLayerError, read_keras
from relu2snn.mapping.read_onnx import read_onnx
from relu2snn.mapping.reference import unit_maxima
from relu2snn.mapping.relu_model import relu_model, relu_network, values_model
from relu2snn.mapping.scaling import bounded_sums
from relu2snn.mapping.translate import MAPPINGS, to_spiking
from relu2snn.mapping.verify import Verification, verify

__all__ = [
    "MAPPINGS",
    "Measurement",
    "OnnxModel",
    "UnsupportedLayerError",
    "Verification",
    "bounded_sums",
    "compare_values",
    "convert",
    "guaranteed",
    "largest_values",
    "load_onnx",
    "logits_model",
    "measure",
    "measure_bounds",
    "read_keras",
    "read_onnx",
    "relu_model",
    "relu_network",
    "scaled_like",
    "to_spiking",
    "unit_maxima",
    "values_model",
    "verify",
]
