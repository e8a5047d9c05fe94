"""The spikes of images as lists of addresses and times, in order of time: what drives and checks a chip."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relu2snn.files import atomic_path


class Events(NamedTuple):
    """Spikes (k,) of a number of images, by image, then by time: which neuron of which layer, and when."""

    image: NDArray[np.int64]
    layer: NDArray[np.int32]
    neuron: NDArray[np.int32]
    time: NDArray[np.float64]


def events_of(times: dict[str, Any], *, first: int = 0) -> Events:
    """Events of spike times (images, *shape) by layer; `first` is the number of the first image."""
    flat = [np.asarray(each, np.float64).reshape(len(each), -1) for each in times.values()]
    count = len(flat[0])
    layer = np.concatenate([np.full(each.shape[1], k, np.int32) for k, each in enumerate(flat)])
    neuron = np.concatenate([np.arange(each.shape[1], dtype=np.int32) for each in flat])
    time = np.concatenate(flat, axis=1)
    order = np.argsort(time, axis=1, kind="stable")
    image = np.repeat(np.arange(first, first + count), time.shape[1])
    return Events(image, layer[order].ravel(), neuron[order].ravel(), np.take_along_axis(time, order, 1).ravel())


def write_events(path: Path, batches: Iterator[Events], *, layers: list[str]) -> None:
    """Write events to an .npz, or line by line to a .csv. Raises OSError as `atomic_path` does."""
    with atomic_path(path) as temporary:
        if path.suffix == ".npz":
            found = Events(*(np.concatenate(each) for each in zip(*batches, strict=True)))
            np.savez_compressed(
                temporary,
                layers=np.array(layers),
                image=found.image,
                layer=found.layer,
                neuron=found.neuron,
                time=found.time,
            )
            return
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write("image,layer,neuron,time\n")
            for each in batches:
                rows = zip(
                    each.image.tolist(), each.layer.tolist(), each.neuron.tolist(), each.time.tolist(), strict=True
                )
                file.writelines(f"{image},{layers[k]},{neuron},{time!r}\n" for image, k, neuron, time in rows)
