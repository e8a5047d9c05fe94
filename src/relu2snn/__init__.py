"""Exact mapping of trained ReLU networks to single-spike networks (arXiv:2212.12522).

Example:
    >>> spiking = relu2snn.convert(model, calibration, low=0, high=1)
    >>> relu2snn.verify(model, spiking, images).exact
    True
    >>> relu2snn.costs(spiking, images).images
    20
    >>> spiking.save("spiking.keras")

`keras.models.load_model` loads what was saved wherever this package is imported.
"""

from typing import TYPE_CHECKING, Any

from relu2snn.loading import follow

if TYPE_CHECKING:
    from relu2snn.energy import EnergyModel
    from relu2snn.exported import export, export_events
    from relu2snn.mapping import OnnxModel, UnsupportedLayerError, Verification, convert, load_onnx, verify
    from relu2snn.spiking import Costs, SpikingModel, costs, spike_times

__version__ = "0.1.0"

__all__ = [
    "Costs",
    "EnergyModel",
    "OnnxModel",
    "SpikingModel",
    "UnsupportedLayerError",
    "Verification",
    "convert",
    "costs",
    "export",
    "export_events",
    "load_onnx",
    "spike_times",
    "verify",
]

# Where names are from that are not from mapping.
_ELSEWHERE = {
    **dict.fromkeys(("Costs", "SpikingModel", "costs", "spike_times"), "spiking"),
    **dict.fromkeys(("export", "export_events"), "exported"),
    "EnergyModel": "energy",
}


def __getattr__(name: str) -> Any:
    """Import the library on first use: the workflow reads the configs without waiting for TensorFlow."""
    if name not in __all__:
        raise AttributeError(f"module 'relu2snn' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"relu2snn.{_ELSEWHERE.get(name, 'mapping')}"), name)


def __dir__() -> list[str]:
    own = (name for name in globals() if name.startswith("__"))
    return sorted({*__all__, *own})


follow()
