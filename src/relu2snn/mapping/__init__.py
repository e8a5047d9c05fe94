"""The mathematics of phase 1 and 2: read a Keras network, fold, scale, measure, convert."""

from relu2snn.mapping.api import convert
from relu2snn.mapping.compare import compare_values
from relu2snn.mapping.convert import to_spiking
from relu2snn.mapping.fold import fold, input_sums, scale
from relu2snn.mapping.measure import Measurement, measure, measure_bounds
from relu2snn.mapping.network import Network, UnsupportedLayerError
from relu2snn.mapping.read import read
from relu2snn.mapping.verify import Verification, verify
from relu2snn.mapping.write import logits_model, to_keras, values_model

__all__ = [
    "Measurement",
    "Network",
    "UnsupportedLayerError",
    "Verification",
    "compare_values",
    "convert",
    "fold",
    "input_sums",
    "logits_model",
    "measure",
    "measure_bounds",
    "read",
    "scale",
    "to_keras",
    "to_spiking",
    "values_model",
    "verify",
]
