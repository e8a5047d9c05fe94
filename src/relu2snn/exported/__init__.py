"""Spiking networks out to hardware: files that need nothing of this package, graphs in NIR, lists of spikes."""

from relu2snn.exported.api import export, export_events

__all__ = ["export", "export_events"]
