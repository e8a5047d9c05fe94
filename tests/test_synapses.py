"""The inputs of neurons by fields beside those that the maps are asked for, position by position."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.convolution import Convolution, dense
from relu2snn.graph.geometry import Window
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Diagonal, Shift, Sum, chain
from relu2snn.spiking.nodes import Firing, Neurons
from relu2snn.spiking.synapses import Synapses, fields_of

Array = NDArray[np.float64]
SIDES = (3, 4)


def convolution(
    draw: np.random.Generator, channels: int, filters: int, *, side: int = 3, groups: int = 1
) -> Convolution:
    """As many places as SIDES has."""
    margins = [(side // 2, side // 2)] * 2
    kernel = draw.normal(size=(side, side, channels // groups, filters))
    return Convolution((*SIDES, channels), kernel, Window.of((side, side), margins=margins), groups=groups)


def concatenated(draw: np.random.Generator, *, after: str) -> tuple[Firing, dict[str, tuple[int, ...]]]:
    """A segment of one to three tensors side by side, one perhaps twice, each after a map of its own."""
    parts: list[tuple[str, LinearMap]] = []
    for number in range(draw.integers(1, 4)):
        name, channels = f"x{number}", int(draw.integers(1, 4))
        kinds = {
            "convolution": convolution(draw, channels, int(draw.integers(1, 4))),
            "depthwise": convolution(draw, channels, channels * int(draw.integers(1, 3)), groups=channels),
            "factors": Diagonal((*SIDES, channels), draw.normal(size=channels)),
            "itself": Diagonal((*SIDES, channels), np.ones(channels)),
        }
        kind = str(draw.choice(list(kinds)))
        map_: LinearMap = kinds[kind]
        if kind in ("factors", "itself") and draw.random() < 0.5:
            map_ = chain(map_, convolution(draw, map_.outputs[-1], map_.outputs[-1], side=1))
            if draw.random() < 0.5:
                map_ = chain(map_, convolution(draw, map_.outputs[-1], map_.outputs[-1], groups=map_.outputs[-1]))
            else:
                # One row lower, the last one gone.
                map_ = chain(map_, Shift(map_.outputs, ((1, -1), (0, 0), (0, 0))))
        parts.append((name, map_))
    total = sum(map_.outputs[-1] for _, map_ in parts)
    maps, first = {}, 0
    for name, map_ in parts:
        end = first + map_.outputs[-1]
        placed = chain(map_, Shift(map_.outputs, ((0, 0), (0, 0), (first, total - end))))
        placed = chain(placed, Diagonal(placed.outputs, draw.normal(size=total)))
        if after == "summed":
            placed = chain(
                Sum(placed, chain(placed, Diagonal(placed.outputs, draw.normal(size=total)))),
                Diagonal(placed.outputs, draw.normal(size=total)),
            )
        if after == "cropped":
            placed = chain(placed, Shift(placed.outputs, ((0, 0), (0, 0), (-1, 2))))
        if after == "mixed":
            placed = chain(placed, convolution(draw, total, 3, side=1))
        maps[name], first = placed, end
    units = next(iter(maps.values())).outputs[-1]
    draws = draw.normal(size=(2, units))
    neurons = Neurons("n", np.ones(units), draws[0], draws[1], np.ones(units), 1, np.ones(units))
    node = Firing("n", (*SIDES, units), maps, (neurons,), 1.0, 1.0, 1.0)
    return node, {name: map_.inputs for name, map_ in maps.items()}


def by_fields(synapses: Synapses, position: int, elements: int) -> Array:
    """The weights of all elements, the clock's last, (elements + 1, units)."""
    found = np.zeros((elements + 1, synapses.node.shape[-1]))
    for block in synapses.blocks or []:
        runs, units = block.runs, block.columns.shape[1]
        wide = units // runs.groups
        for group in range(runs.groups):
            rows = [
                np.arange(length) + start + group * length if start >= 0 else np.full(length, -1)
                for start, length in zip(runs.starts[position], runs.lengths, strict=False)
            ]
            columns = slice(group * wide, (group + 1) * wide)
            own = found[:, runs.first : runs.first + units]
            np.add.at(own[:, columns], np.concatenate(rows), block.columns[:, columns])
    return found


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32 - 1), after=st.sampled_from(["nothing", "summed", "cropped", "mixed"]))
def test_fields_are_what_the_maps_say_position_by_position(seed: int, after: str) -> None:
    node, shapes = concatenated(np.random.default_rng(seed), after=after)
    elements = sum(int(np.prod(shape)) for shape in shapes.values())
    (neurons,) = node.populations
    one_by_one = Synapses(node, neurons, shapes, lambda: None)
    fields = fields_of(node, shapes)
    assert fields is not None
    synapses = Synapses(node, neurons, shapes, lambda: fields)
    for position in range(int(np.prod(SIDES))):
        which, weights = one_by_one.at(position)
        expected = np.zeros((elements + 1, node.shape[-1]))
        np.add.at(expected, which, weights)
        # Of padding the field has weights, too, and the clock fills up what the map's own have not.
        found = by_fields(synapses, position, elements)
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_units_of_a_concatenation_hold_the_weights_of_their_own_tensor_only() -> None:
    draw = np.random.default_rng(0)
    maps = {
        name: chain(convolution(draw, 2, 5), Shift((*SIDES, 5), ((0, 0), (0, 0), (5 * k, 10 - 5 * k))))
        for k, name in enumerate("abc")
    }
    ones = np.ones(15)
    node = Firing("n", (*SIDES, 15), maps, (Neurons("n", ones, ones, ones, ones, 1, ones),), 1.0, 1.0, 1.0)
    fields = fields_of(node, {name: map_.inputs for name, map_ in maps.items()})
    assert fields is not None
    assert [(each.runs.first, each.kernel.shape) for each in fields] == [(0, (18, 5)), (5, (18, 5)), (10, (18, 5))]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_rounding_leaves_of_a_sum_is_no_synapse(dtype: type) -> None:
    """Nothing is missing in a dense layer, whose weights add up to ΣJ but for the rounding of either sum."""
    draw = np.random.default_rng(0)
    map_ = dense((3000,), draw.normal(size=(3000, 40)).astype(dtype))
    sums = map_.sums(NumpyOps()) - 300
    map_ = dense((3000,), np.concatenate([map_.kernel[:-1], map_.kernel[-1:] - dtype(300)]))
    gain = 1 / (1 - sums)
    node = Firing("n", (40,), {"x": map_}, (Neurons("n", gain, gain * sums, sums, gain, 1, gain),), 1.0, 1.0, 1.0)
    (neurons,) = node.populations
    synapses = Synapses(node, neurons, {"x": (3000,)}, lambda: fields_of(node, {"x": (3000,)}))
    assert synapses.blocks is not None
    assert [len(each.columns) for each in synapses.blocks] == [3000]
