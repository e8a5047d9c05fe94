"""The two calls that write for hardware: `export` a network, `export_events` the spikes of images."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from relu2snn.exported.contents import contents
from relu2snn.exported.events import Events, events_of, write_events
from relu2snn.exported.nir_graph import nir_graph
from relu2snn.exported.write import HDF5, NPZ, write_arrays
from relu2snn.files import atomic_path
from relu2snn.spiking.network import check_images, check_weights, network_of
from relu2snn.spiking.nodes import SpikingNetwork
from relu2snn.spiking.simulation import images_by_name

MOST_SYNAPSES = 50_000_000
"""Synapses of one file: of 16 bytes each, before they are compressed."""

_NIR, _BATCH = (".nir",), 32


def export(spiking: Any, path: str | os.PathLike[str], *, synapses: bool = True) -> None:
    """Write a spiking network to a file for other simulators, and for hardware; docs/export.md says what is in it.

    spiking: what `convert` has made. path: its suffix says which file: `.npz` and `.h5` (or `.hdf5`) hold windows,
    delays, thresholds, slopes, kernels and synapses in plain arrays, with times in units of the input window; `.nir` is
    a graph of the Neuromorphic Intermediate Representation, https://neuroir.org. Numbers are those of the network as it
    is, in float64; noise on α is in the slopes. synapses: whether `.npz` and `.h5` list every synapse, beside the
    kernels that these come from. The file appears when it is complete.

    Raises ValueError for what is no spiking network, for one with jitter of its spike times, which is no part of a
    network, for one of more than 50 million synapses with synapses=True, and, naming the layer, for what NIR cannot
    express; ImportError where the package nir is missing; OSError where nothing can be written.

    Example:
        >>> relu2snn.export(spiking, "network.h5")
        >>> relu2snn.export(spiking, "network.nir")
        >>> relu2snn.export(spiking, "network.npz")
        >>> float(np.load("network.npz")["latency"])
        4.0
    """
    target, network = Path(path), network_of(spiking)
    _require_suffix(target, (*NPZ, *HDF5, *_NIR))
    check_weights(spiking)
    _require_no_jitter(network)
    if target.suffix in _NIR:
        nir = _nir()
        graph = nir_graph(network, nir)
        with atomic_path(target) as temporary:
            nir.write(temporary, graph)
    else:
        write_arrays(target, contents(network, synapses=synapses, most=MOST_SYNAPSES))


def export_events(spiking: Any, images: Any, path: str | os.PathLike[str]) -> None:
    """Write the spikes of images (batch, *shape) as a list of addresses and times, by image, then by time.

    A spike is the number of its image, its layer (an encoder's or a population's name), the neuron's index among the
    layer's elements, row by row, and its time in units of the input window; every neuron has one, those that are forced
    at t_max, too. `.csv` has a line for each, `.npz` arrays `image`, `layer` (an index into `layers`), `neuron`,
    `time`. Of a network with noise they are one draw of it.

    Raises ValueError for what is no spiking network, for a pixel that is not finite, and for another suffix; OSError
    where nothing can be written.

    Example:
        >>> relu2snn.export_events(spiking, images[:10], "spikes.csv")
        >>> open("spikes.csv").readline().strip()
        'image,layer,neuron,time'
    """
    target, network = Path(path), network_of(spiking)
    _require_suffix(target, (*NPZ, ".csv"))
    check_weights(spiking)
    given = {name: np.asarray(each) for name, each in images_by_name(network, images).items()}
    check_images(given)
    spans = network.spans

    def batches() -> Iterator[Events]:
        # One simulation for all, so that noise goes on from batch to batch.
        simulation = spiking.simulation(keep=spans)
        for first in range(0, max(len(next(iter(given.values()))), 1), _BATCH):
            leads = simulation({name: each[first : first + _BATCH] for name, each in given.items()}).leads
            yield events_of({name: end - leads[name] for name, (_, end) in spans.items()}, first=first)

    write_events(target, batches(), layers=list(spans))


def _require_suffix(path: Path, known: tuple[str, ...]) -> None:
    if path.suffix not in known:
        raise ValueError(f"{path}: the suffix {path.suffix!r} is no format; choose from {', '.join(known)}")


def _require_no_jitter(network: SpikingNetwork) -> None:
    for name in ("noise", "reference_noise"):
        value = getattr(network, name)
        if value:
            raise ValueError(
                f"{name}={value}: jitter of spike times is no part of a network; map it with {name}=0 to export it"
            )


def _nir() -> Any:
    try:
        import nir
    except ImportError:
        raise ImportError("the package nir, which .nir files need, is missing; pip install 'relu2snn[nir]'") from None
    return nir
