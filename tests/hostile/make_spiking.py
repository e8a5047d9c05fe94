"""Makes spiking/*.keras: the damage that random changes once did to files of spiking networks, in files of today.

PYTHONPATH=src:tests python tests/hostile/make_spiking.py
"""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from networks import conv_network

import relu2snn
from relu2snn.saved.keras_files import save_model

FOLDER = Path(__file__).parent / "spiking"
CONFIG, WEIGHTS = "config.json", "model.weights.h5"


def policy(members: dict[str, bytes]) -> None:
    """A layer's dtype is an object of a class that there is not."""
    before, mark, after = members[CONFIG].rpartition(b'"DTypePolicy"')
    members[CONFIG] = before + b'"system"' + after
    assert mark


def tree(members: dict[str, bytes]) -> None:
    """A node of a B-tree in HDF5 has lost its signature and all below it."""
    data = bytearray(members[WEIGHTS])
    place = data.index(b"TREE", len(data) // 4)
    data[place : place + 64] = bytes(64)
    members[WEIGHTS] = bytes(data)


def heap(members: dict[str, bytes]) -> None:
    """The free list of a heap in HDF5 points to nowhere, among other flipped bits."""
    data = bytearray(members[WEIGHTS])
    place = data.index(b"HEAP")
    data[place + 16] ^= 8
    for each in np.random.default_rng(0).integers(1000, len(data), 12):
        data[each] ^= 2
    members[WEIGHTS] = bytes(data)


def byte(members: dict[str, bytes]) -> None:
    """Of the weights one byte is left."""
    members[WEIGHTS] = b"\0"


def write(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(FOLDER / "whole.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def main() -> None:
    images = np.random.default_rng(0).uniform(0, 1, (4, 7, 8, 2))
    save_model(relu2snn.convert(conv_network(0), images), FOLDER / "whole.keras")
    for number, change in enumerate((policy, tree, heap, byte)):
        write(FOLDER / f"trace_{number}.keras", change)
    (FOLDER / "whole.keras").unlink()


if __name__ == "__main__":
    main()
