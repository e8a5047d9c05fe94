"""What a linear map costs: synapses of each input, products of a ReLU network, sums of weights; in plain numpy."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.convolution import Convolution
from relu2snn.graph.geometry import positions, receptive_fields
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Chain, Diagonal, Selection, Sum
from relu2snn.spiking.synapses import placed, ways_of

Counts = NDArray[np.int64]

_ROWS = 4096
"""Of a large kernel so many rows are looked at at a time."""


def fan_out(map_: LinearMap) -> Counts:
    """How many outputs each input reaches, (elements of the input,): the entries of its column of L that are not 0.

    An output that is reached by several ways has one synapse, with the sum of their weights.
    """
    ways = list(ways_of(map_))
    found = _along(ways[0]) if len(ways) == 1 else None
    return _by_position(map_) if found is None else found


def _along(links: list[LinearMap]) -> Counts | None:
    """The fan-out of maps after each other, where it follows from that of one convolution among them; or None."""
    links = list(links)
    while len(links) > 1 and _keeps(links[-1]):
        links.pop()
    front: list[LinearMap] = []
    while links and not isinstance(links[0], Convolution):
        front.append(links.pop(0))
    if links:
        one = placed(links)
        if one is None:
            return None
        found = fan_out_of(one.map)
    else:
        found = np.ones(int(np.prod(front[-1].outputs)), np.int64)
    for each in reversed(front):
        # Two elements that are the same input may reach the same output: only without a convolution they never do.
        if links and isinstance(each, Selection) and (_uses(each) > 1).any():
            return None
        found = _before(each, found)
    return found


def fan_out_of(map_: Convolution, *, whole: bool = False) -> Counts:
    """The fan-out of a convolution, (elements of the input,); whole: weights that are 0 count, too."""
    cells = positions(map_.inputs)
    fields = receptive_fields(map_.inputs[:-1], map_.window)
    # Over how many places of the window a cell is under each of its taps; margins are no cells.
    reads = np.stack([np.bincount(column[column >= 0], minlength=cells) for column in fields.T], axis=1)
    taps = fields.shape[1]
    channels, filters = map_.kernel.shape[-2], map_.kernel.shape[-1] // map_.groups
    if whole:
        weights = np.full((taps, channels * map_.groups), filters, np.int64)
    else:
        rows = map_.kernel.reshape(-1, map_.groups, filters)
        parts = [np.count_nonzero(rows[k : k + _ROWS], axis=-1) for k in range(0, len(rows), _ROWS)]
        # Channels come group by group.
        weights = np.concatenate(parts).reshape(taps, channels, -1).transpose(0, 2, 1).reshape(taps, -1)
    return np.asarray((reads @ weights).ravel(), np.int64)


def _by_position(map_: LinearMap) -> Counts:
    found = np.zeros(int(np.prod(map_.inputs)), np.int64)
    for position in range(positions(map_.outputs)):
        elements, weights = map_.synapses(position)
        found[elements] += np.count_nonzero(weights, axis=1)
    return found


def _keeps(map_: LinearMap) -> bool:
    """Whether every input of a map goes on as one output, and none is lost."""
    if isinstance(map_, Diagonal):
        return bool((map_.factors != 0).all())
    return isinstance(map_, Selection) and bool((_uses(map_) == 1).all())


def _uses(map_: Selection) -> Counts:
    """How many outputs each input of a selection becomes."""
    size = int(np.prod(map_.inputs))
    if map_.index is None:
        return np.ones(size, np.int64)
    return np.bincount(map_.index[map_.index >= 0], minlength=size)


def _before(map_: LinearMap, counts: Counts) -> Counts:
    """Counts of the outputs of a map without sums as counts of its inputs."""
    if isinstance(map_, Diagonal):
        return np.where(np.broadcast_to(map_.factors, map_.inputs).ravel() != 0, counts, 0)
    assert isinstance(map_, Selection)
    if map_.index is None:
        return counts
    found = np.zeros(int(np.prod(map_.inputs)), np.int64)
    np.add.at(found, map_.index[map_.index >= 0], counts[map_.index >= 0])
    return found


def sums_at(map_: LinearMap) -> NDArray[np.float64]:
    """Σ_j L_ij of every output, without what its margins would have, (*outputs)."""
    plain = map_.second if isinstance(map_, Chain) and map_.begins_with_reshape else map_
    if not isinstance(plain, Convolution):
        return np.asarray(map_.apply(np.ones((1, *map_.inputs)), NumpyOps())[0], np.float64)
    # Of inputs that are all 1 the channels of a tap are one number, however large the kernel.
    taps = plain.kernel.reshape(-1, *plain.kernel.shape[-2:]).sum(axis=1, dtype=np.float64)
    seen = receptive_fields(plain.inputs[:-1], plain.window) >= 0
    return np.asarray(seen.astype(np.float64) @ taps).reshape(plain.outputs)


class Products(NamedTuple):
    """The multiply-accumulates of a map, run layer by layer as a ReLU network does.

    dense: all of them, those with a weight of 0 too, padding apart. each: by input (elements of the input,), those that
    it is a factor of with a weight that is not 0. behind: those of the layers behind the first, whose inputs are sums
    and are taken as not 0. A factor for each channel, and what only moves values, counts nothing.
    """

    dense: int
    each: Counts
    behind: int


def products_of(map_: LinearMap) -> Products:
    """The multiply-accumulates that a ReLU network makes of a map."""
    match map_:
        case Convolution():
            return Products(int(fan_out_of(map_, whole=True).sum()), fan_out_of(map_), 0)
        case Chain():
            first, second = products_of(map_.first), products_of(map_.second)
            if _multiplies(map_.first):
                behind = first.behind + int(second.each.sum()) + second.behind
                return Products(first.dense + second.dense, first.each, behind)
            return Products(second.dense, _moved(map_.first, second.each), second.behind)
        case Sum():
            parts = [products_of(each) for each in map_.parts]
            each = np.sum([part.each for part in parts], axis=0)
            return Products(sum(part.dense for part in parts), each, sum(part.behind for part in parts))
    return Products(0, np.zeros(int(np.prod(map_.inputs)), np.int64), 0)


def _multiplies(map_: LinearMap) -> bool:
    """Whether there is a convolution in a map."""
    match map_:
        case Chain():
            return _multiplies(map_.first) or _multiplies(map_.second)
        case Sum():
            return any(map(_multiplies, map_.parts))
    return isinstance(map_, Convolution)


def _moved(map_: LinearMap, counts: Counts) -> Counts:
    """Counts of the outputs of a map without products as counts of its inputs."""
    match map_:
        case Chain():
            return _moved(map_.first, _moved(map_.second, counts))
        case Sum():
            return np.asarray(np.sum([_moved(each, counts) for each in map_.parts], axis=0))
    return _before(map_, counts)
