"""Linear maps against the matrix that they stand for: application, bounds, sums, scaling, synapses, chains, sums."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.convolution import Convolution, average_pool, dense, transposed
from relu2snn.graph.geometry import Window
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Chain, Diagonal, Selection, Shift, Sum, chain

OPS = NumpyOps()


def matrix(map_: LinearMap) -> NDArray[Any]:
    """The whole map, (outputs, inputs), column by column."""
    size = int(np.prod(map_.inputs))
    columns = map_.apply(np.eye(size).reshape(size, *map_.inputs), OPS)
    return np.asarray(columns).reshape(size, -1).T


@st.composite
def windows(draw: st.DrawFn, rank: int, plain: bool = False) -> Window:
    def axis(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    margins = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(rank))
    one = (1,) * rank
    return Window(axis(1, 3), axis(1, 2), one if plain else axis(1, 2), margins, one if plain else axis(1, 2))


@st.composite
def convolutions(draw: st.DrawFn, inputs: tuple[int, ...] | None = None) -> Convolution:
    rank = draw(st.integers(0, 3)) if inputs is None else len(inputs) - 1
    if inputs is None:
        groups = draw(st.sampled_from([1, 1, 2]))
        inputs = (*(draw(st.integers(3, 5)) for _ in range(rank)), groups * draw(st.integers(1, 2)))
    else:
        groups = draw(st.sampled_from([1, inputs[-1]]))
    window = draw(windows(rank))
    if 0 in window.outputs(inputs[:-1]):
        window = Window.of((1,) * rank)
    filters = groups * draw(st.integers(1, 2))
    kernel = _random(draw, (*window.sizes, inputs[-1] // groups, filters))
    return Convolution(inputs, kernel, window, groups=groups)


@st.composite
def selections(draw: st.DrawFn, inputs: tuple[int, ...]) -> Selection:
    count = draw(st.integers(1, 6))
    size = int(np.prod(inputs))
    index = [draw(st.integers(-1, size - 1)) for _ in range(count * 2)]
    return Selection(inputs, (count, 2), np.array(index))


def _random(draw: st.DrawFn, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(size=shape)


@st.composite
def maps(draw: st.DrawFn, inputs: tuple[int, ...] | None = None, depth: int = 2) -> LinearMap:
    if inputs is None:
        inputs = (*(draw(st.integers(2, 4)) for _ in range(draw(st.integers(0, 2)))), draw(st.integers(1, 3)))
    kind = draw(
        st.sampled_from(["conv", "dense", "select", "shift", "diagonal", "pool", *["chain", "sum"] * (depth > 0)])
    )
    match kind:
        case "conv":
            return draw(convolutions(inputs))
        case "dense":
            return dense(inputs, _random(draw, (inputs[-1], draw(st.integers(1, 3)))))
        case "select":
            return draw(selections(inputs))
        case "shift":
            return Shift(inputs, tuple((draw(st.integers(-(side > 1), 2)), draw(st.integers(0, 2))) for side in inputs))
        case "diagonal":
            return Diagonal(inputs, _random(draw, draw(st.sampled_from([inputs, inputs[-1:]]))))
        case "pool":
            window = draw(windows(len(inputs) - 1, plain=True))
            if 0 in window.outputs(inputs[:-1]):
                window = Window.of((1,) * (len(inputs) - 1))
            return average_pool(inputs, window, count_margins=draw(st.booleans()))
        case "chain":
            first = draw(maps(inputs, depth - 1))
            return chain(first, draw(maps(first.outputs, depth - 1)))
    first = draw(maps(inputs, depth - 1))
    second = Diagonal(first.outputs, _random(draw, first.outputs))
    return Sum(first, chain(first, second))


@given(maps(), st.integers(0, 2**32 - 1))
def test_everything_a_map_says_is_that_of_its_matrix(map_: LinearMap, seed: int) -> None:
    draw = np.random.default_rng(seed)
    whole = matrix(map_)
    x = draw.random((2, *map_.inputs))
    size = np.abs(whole) @ x.reshape(2, -1).T + 1e-9

    found = map_.apply(x, OPS)
    assert found.shape == (2, *map_.outputs)
    assert (np.abs(found.reshape(2, -1).T - whole @ x.reshape(2, -1).T) <= 1e-12 * size).all()

    for sign in (1, -1):
        part = map_.part(sign)
        bound = np.zeros((len(whole), 2)) if part is None else np.asarray(part.apply(x, OPS)).reshape(2, -1).T
        exact = np.maximum(sign * whole, 0) @ x.reshape(2, -1).T
        assert (bound >= exact - 1e-12 * size).all()
        assert bound.shape == exact.shape
        per_channel = np.maximum(sign * whole, 0).sum(axis=1).reshape(-1, map_.outputs[-1])
        assert (map_.magnitudes(sign, OPS) >= per_channel.max(axis=0) - 1e-9).all()

    channels = map_.outputs[-1]
    for position in range(len(whole) // channels):
        elements, weights = map_.synapses(position)
        assert len(np.unique(elements)) == len(elements)
        rows = np.zeros((channels, whole.shape[1]))
        rows[:, elements] = weights.T
        np.testing.assert_allclose(rows, whole[position * channels : (position + 1) * channels], atol=1e-12)

    before = draw.normal(size=[map_.inputs, map_.inputs[-1:]][seed % 2])
    after = draw.normal(size=[map_.outputs, map_.outputs[-1:]][seed // 2 % 2])
    expected = (
        np.broadcast_to(after, map_.outputs).reshape(-1, 1) * whole * np.broadcast_to(before, map_.inputs).ravel()
    )
    np.testing.assert_allclose(matrix(map_.scaled(before, after)), expected, atol=1e-10)


@given(st.data())
def test_a_chain_is_the_product_of_the_matrices(data: st.DataObject) -> None:
    first = data.draw(maps())
    second = data.draw(maps(first.outputs))
    np.testing.assert_allclose(matrix(chain(first, second)), matrix(second) @ matrix(first), atol=1e-9)


@given(convolutions())
def test_the_bound_of_a_single_convolution_is_exact(map_: Convolution) -> None:
    whole = matrix(map_)
    x = np.random.default_rng(1).random((1, *map_.inputs))
    for sign in (1, -1):
        exact = np.maximum(sign * whole, 0) @ x.ravel()
        part = map_.part(sign)
        found = 0.0 if part is None else np.asarray(part.apply(x, OPS)).ravel()
        np.testing.assert_allclose(found, exact, atol=1e-12)


@given(convolutions())
def test_the_sum_of_a_convolution_is_over_its_whole_kernel(map_: Convolution) -> None:
    np.testing.assert_allclose(map_.sums(OPS), map_.kernel.sum(axis=tuple(range(map_.kernel.ndim - 1))), atol=1e-12)


def test_what_one_kernel_can_do_becomes_one_kernel() -> None:
    draw = np.random.default_rng(0)
    conv = Convolution((6, 6, 4), draw.normal(size=(3, 3, 4, 2)), Window.of((3, 3)))
    pad = Shift((4, 4, 4), ((1, 1), (1, 1), (0, 0)))
    part = Shift((6, 6, 1), ((0, 0), (0, 0), (2, 1)))
    for map_ in (
        chain(pad, conv),
        chain(part, conv),
        chain(Diagonal((6, 6, 4), draw.normal(size=4)), conv),
        chain(conv, Diagonal((4, 4, 2), draw.normal(size=2))),
        chain(chain(pad, conv), Diagonal((4, 4, 2), draw.normal(size=2))),
    ):
        assert isinstance(map_, Convolution)
    assert chain(part, conv).kernel.shape == (3, 3, 1, 2)
    assert isinstance(chain(conv, conv_after(conv)), Chain)


def conv_after(conv: Convolution) -> Convolution:
    return dense(conv.outputs, np.ones((conv.outputs[-1], 3)))


def test_shapes_that_do_not_meet_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a map to \(3,\) cannot be followed by one from \(4,\)"):
        chain(dense((2,), np.ones((2, 3))), dense((4,), np.ones((4, 1))))
    with pytest.raises(ValueError, match="do not fit a tensor"):
        Convolution((4, 4, 1), np.ones((3, 3, 1, 1)), Window.of((2, 2)))
    with pytest.raises(ValueError, match="does not fit 3 channels"):
        Convolution((4, 3), np.ones((3, 1, 2)), Window.of((3,)), groups=2)
    with pytest.raises(ValueError, match="cannot be added"):
        Sum(dense((2,), np.ones((2, 3))), dense((2,), np.ones((2, 1))))


def test_a_transposed_convolution_is_the_transposed_matrix() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 2, 2, 5))  # sizes, channels in, filters
    up = transposed((3, 4, 2), kernel, (2, 1), ((2, 2), (1, 1)))
    down = Convolution(up.outputs, kernel.transpose(0, 1, 3, 2), Window.of((3, 2), strides=(2, 1)))
    assert down.outputs == up.inputs
    np.testing.assert_allclose(matrix(up), matrix(down).T, atol=1e-12)


@pytest.mark.parametrize("margins", [((4, -4),), ((-4, 4),), ((5, -3),), ((-2, 1),), ((3, -1),)])
def test_what_is_cut_off_may_reach_into_the_padding(margins: tuple[tuple[int, int], ...]) -> None:
    (before, after), side = margins[0], 3
    x = np.arange(1.0, 1 + side)
    wide = np.pad(x, (max(before, 0), max(after, 0)))
    expected = wide[max(-before, 0) : len(wide) - max(-after, 0)]
    map_ = Shift((side,), margins)
    np.testing.assert_array_equal(map_.apply(x[None], NumpyOps())[0], expected)
    elements, weights = map_.synapses(0)
    matrix = np.zeros((side, len(expected)))
    matrix[elements] = weights
    np.testing.assert_array_equal(x @ matrix, expected)
