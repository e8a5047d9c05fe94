"""Exact mapping of trained ReLU networks to single-spike networks (arXiv:2212.12522)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relu2snn.mapping import UnsupportedLayerError, Verification, convert, verify
    from relu2snn.spiking import spike_times

__all__ = ["UnsupportedLayerError", "Verification", "convert", "spike_times", "verify"]


def __getattr__(name: str) -> Any:
    """Import the library on first use: the workflow reads the configs without waiting for TensorFlow."""
    if name == "spike_times":
        from relu2snn import spiking

        return spiking.spike_times
    if name in __all__:
        from relu2snn import mapping

        return getattr(mapping, name)
    raise AttributeError(f"module 'relu2snn' has no attribute {name!r}")
