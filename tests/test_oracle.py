"""The oracle is itself tested: against its definition on a grid, worked examples, and the ReLU where it must be one."""
# The capitals are the paper's symbols, as in the oracle.
# ruff: noqa: N803, N806

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from oracle import Array, Padding, Pair, fire_conv2d, fire_dense, pool_earliest, pool_latest, read_out, spike_time


def eighths(low: int, high: int) -> st.SearchStrategy[float]:
    """Multiples of 1/8, whose sums and products floats hold exactly, so that a tie is a tie."""
    return st.integers(8 * low, 8 * high).map(lambda k: k / 8)


def potential(t: float, J: Sequence[float], alpha: float, inputs: Sequence[float], t_start: float) -> float:
    return alpha * (t - t_start) + sum(j * (t - t_j) for j, t_j in zip(J, inputs, strict=True) if t_j < t)


def spike_time_by_bisection(
    J: Sequence[float], theta: float, alpha: float, inputs: Sequence[float], t_start: float, t_max: float
) -> float:
    """The first crossing, from V alone: the first point of a fine grid at or above theta, then bisection before it."""

    def above(t: float) -> bool:
        return potential(t, J, alpha, inputs, t_start) >= theta

    grid = {t_start + k * (t_max - t_start) / 64 for k in range(65)} | {t for t in inputs if t_start < t < t_max}
    before = t_start
    for after in sorted(grid):
        if above(after):
            for _ in range(60):
                middle = (before + after) / 2
                before, after = (before, middle) if above(middle) else (middle, after)
            return after
        before = after
    return t_max


@settings(deadline=None)
@given(
    synapses=st.lists(st.tuples(eighths(-4, 4), eighths(-1, 5)), max_size=6),
    theta=eighths(-2, 6),
    alpha=eighths(0, 2),
    t_start=eighths(0, 1),
    window=eighths(0, 3),
)
def test_first_crossing_is_the_one_on_the_grid(
    synapses: list[tuple[float, float]], theta: float, alpha: float, t_start: float, window: float
) -> None:
    J, inputs = [j for j, _ in synapses], [t for _, t in synapses]
    expected = spike_time_by_bisection(J, theta, alpha, inputs, t_start, t_start + window)
    assert spike_time(J, theta, alpha, inputs, t_start, t_start + window) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("J", "theta", "alpha", "inputs", "expected"),
    [
        pytest.param([], 2, 1, [], 3, id="drive alone"),
        pytest.param([1], 3, 1, [0], 2, id="input before the start counts from its own time on"),
        pytest.param([4], 3, 1, [0], 1, id="above the threshold at the start"),
        pytest.param([4, -8], 3, 1, [-1, 0], 10, id="above the threshold only before the start"),
        pytest.param([], 0, 1, [], 1, id="threshold zero"),
        pytest.param([1, -4], 3, 1, [1, 2.5], 2.5, id="crosses just as an inhibitory input arrives"),
        pytest.param([1, -4], 3, 1, [1, 2.25], 10, id="inhibited before it crosses"),
        pytest.param([2, -4, 4], 3, 1, [1, 1.75, 3], 3 + 2 / 3, id="rises, falls and rises again"),
        pytest.param([1, 1], 4, 1, [2, 2], 3, id="two inputs at once"),
        pytest.param([-1], 2, 1, [2], 10, id="flat for ever"),
        pytest.param([-1, 2], 2, 1, [2, 4], 4.5, id="flat, then rising"),
        pytest.param([50], 20, 1, [10], 10, id="input at t_max is too late"),
        pytest.param([], 20, 1, [], 10, id="crosses after t_max"),
    ],
)
def test_worked_spike_times(J: list[float], theta: float, alpha: float, inputs: list[float], expected: float) -> None:
    assert spike_time(J, theta, alpha, inputs, t_start=1, t_max=10) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("layer_maximum", "decoded"), [(2.6, 3.9 + 1 - 2.95 / 6), (2.7, 0)])
def test_published_margin_is_no_guarantee(layer_maximum: float, decoded: float) -> None:
    # J = W / 2, so before the inhibitory input arrives at 0.5 V rises at 1 + 5; theta = 2.95 is below V(0.5) = 3.
    B = 1.5 * layer_maximum
    x, W = np.array([1, 0.5, 0.1]), np.array([[10.0], [-30.0], [19.0]])
    spike = fire_dense(1 - x, W, np.zeros(1), t_min_prev=0, t_min=1, B=B)
    assert 1 + B - spike == pytest.approx([decoded], abs=1e-12)


def scaled(W: Array, b: Array) -> tuple[Array, Array]:
    """Weights (..., n_out) and bias as phase 1 leaves them: no neuron's weights sum to more than 0.9."""
    S = W.sum(axis=tuple(range(W.ndim - 1)))
    factor = np.where(S > 0.9, 0.9 / np.where(S > 0.9, S, 1), 1)
    return W * factor, b * factor


@st.composite
def dense_layers(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """Inputs x (n_in,) in [0, 3], weights and bias of a dense layer after phase 1."""
    n_in, n_out = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    x = draw(arrays(float, n_in, elements=eighths(0, 3)))
    W = draw(arrays(float, (n_in, n_out), elements=eighths(-3, 3)))
    return x, *scaled(W, draw(arrays(float, n_out, elements=eighths(-2, 2))))


@settings(deadline=None)
@given(layer=dense_layers(), t_min_prev=eighths(0, 9), slack=eighths(0, 2))
def test_wide_window_computes_the_relu(layer: tuple[Array, Array, Array], t_min_prev: float, slack: float) -> None:
    x, W, b = layer
    t_min = t_min_prev + 3
    B = max(float(np.max(b + x @ np.maximum(W, 0))), 0.0) + slack
    spikes = fire_dense(t_min - x, W, b, t_min_prev, t_min, B)
    np.testing.assert_allclose(t_min + B - spikes, np.maximum(b + x @ W, 0), rtol=0, atol=1e-9)


@settings(deadline=None)
@given(layer=dense_layers(), zeta=eighths(-1, 1), window=eighths(1, 3))
def test_spikes_early_where_the_equation_in_reversed_time_says_so(
    layer: tuple[Array, Array, Array], zeta: float, window: float
) -> None:
    # (1 - S)(V - theta) = f(s) - B at s = t_min - t, with f(s) = b - (1 - S) s + sum of W max(x - s, 0).
    x, W, b = layer
    B = (1 + zeta) * max(float(np.max(b + x @ W)), 0.0)
    t_min = 4 + window
    spikes = fire_dense(t_min - x, W, b, t_min_prev=4, t_min=t_min, B=B)
    for i, spike in enumerate(spikes):

        def f(s: float, w: Array = W[:, i], bias: float = b[i]) -> float:
            return float(bias - (1 - w.sum()) * s + w @ np.maximum(x - s, 0))

        highest = max(f(s) for s in (0, window, *np.minimum(x, window)))
        if abs(highest - B) > 1e-9:
            assert (spike < t_min) == (highest > B)
        if 4 < spike < t_min:
            assert f(t_min - spike) == pytest.approx(B, abs=1e-9)


def test_perturbed_alpha_leaves_threshold_and_weights_alone() -> None:
    # W = 0.5: J = 1, theta = 5; V = alpha t + (t - 0.25).
    W, b = np.full((1, 3), 0.5), np.zeros(3)
    spikes = fire_dense(np.array([0.25]), W, b, t_min_prev=0, t_min=1, B=2, alpha=[1, 1.5, 0.5])
    assert spikes == pytest.approx([5.25 / 2, 5.25 / 2.5, 3])


def test_late_input_counts_from_when_it_arrives() -> None:
    # W = -1: J = -0.5, theta = 4 + 3 (-0.5) - 0.5 b; for b = 2, 1.5; V = t until the input, which is late, at 2.
    spikes = fire_dense(np.array([2.0]), np.array([[-1.0, -1.0]]), np.array([2.0, 0.0]), t_min_prev=0, t_min=1, B=3)
    assert spikes == pytest.approx([1.5, 3])


@pytest.mark.parametrize("S", [1.0, 1.5])
def test_unscaled_neuron_is_refused(S: float) -> None:
    with pytest.raises(ValueError, match=f"weights sum to {S}; the mapping needs a sum below 1"):
        fire_dense(np.zeros(1), np.array([[S]]), np.zeros(1), t_min_prev=0, t_min=1, B=1)


def convolve(x: Array, W: Array, b: Array, strides: Pair, dilation: Pair, pads: tuple[Pair, Pair]) -> Array:
    x = np.pad(x, (*pads, (0, 0)))
    spans = [(k - 1) * d + 1 for k, d in zip(W.shape[:2], dilation, strict=True)]
    height, width = ((n - span) // s + 1 for n, span, s in zip(x.shape[:2], spans, strides, strict=True))
    total = np.zeros((height, width, W.shape[3]))
    for i, j in np.ndindex(*W.shape[:2]):
        shifted = x[i * dilation[0] :: strides[0], j * dilation[1] :: strides[1]]
        total += shifted[:height, :width] @ W[i, j]
    return total + b


@pytest.mark.parametrize("bias_map", [False, True])
@pytest.mark.parametrize(
    ("kernel", "strides", "padding", "dilation", "pads"),
    [
        # An image of 6 x 5 pixels; pads as TensorFlow's rule gives them by hand.
        pytest.param((3, 2), (1, 1), "same", (1, 1), ((1, 1), (0, 1)), id="same"),
        pytest.param((3, 2), (2, 2), "same", (1, 1), ((0, 1), (0, 1)), id="same, stride 2"),
        pytest.param((3, 3), (2, 1), "same", (1, 1), ((0, 1), (1, 1)), id="same, stride 2 by 1"),
        pytest.param((1, 1), (2, 2), "same", (1, 1), ((0, 0), (0, 0)), id="same, stride beyond the kernel"),
        pytest.param((3, 2), (1, 1), "same", (2, 2), ((2, 2), (1, 1)), id="same, dilation 2"),
        pytest.param((3, 2), (1, 1), "same", (1, 2), ((1, 1), (1, 1)), id="same, dilation 1 by 2"),
        pytest.param((3, 2), (1, 1), "valid", (1, 1), ((0, 0), (0, 0)), id="valid"),
        pytest.param((3, 2), (2, 2), "valid", (1, 1), ((0, 0), (0, 0)), id="valid, stride 2"),
        pytest.param((3, 2), (1, 1), "valid", (2, 2), ((0, 0), (0, 0)), id="valid, dilation 2"),
    ],
)
def test_convolution_computes_the_relu_up_to_the_border(
    kernel: Pair, strides: Pair, padding: Padding, dilation: Pair, pads: tuple[Pair, Pair], bias_map: bool
) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (6, 5, 2))
    W, b = scaled(rng.normal(0, 0.5, (*kernel, 2, 3)), rng.normal(0, 0.5, 3))
    if bias_map:
        b = rng.normal(0, 0.5, convolve(x, W, b, strides, dilation, pads).shape)
    expected = np.maximum(convolve(x, W, b, strides, dilation, pads), 0)
    B = float(np.abs(b).max() + np.maximum(W, 0).sum(axis=(0, 1, 2)).max())
    spikes = fire_conv2d(3 - x, W, b, 2, 3, B, strides, padding, dilation)
    np.testing.assert_allclose(3 + B - spikes, expected, rtol=0, atol=1e-9)


def test_convolution_is_a_dense_layer_at_every_position_when_it_spikes_early_too() -> None:
    rng = np.random.default_rng(1)
    times = rng.uniform(2, 3, (4, 4, 2))
    W, b = scaled(rng.normal(0, 2, (2, 2, 2, 5)), rng.normal(0, 0.5, 5))
    alpha = rng.normal(1, 0.2, (2, 2, 5))
    spikes = fire_conv2d(times, W, b, 2, 3, 0.3, (2, 2), "valid", alpha=alpha)
    per_channel = fire_conv2d(times, W, b, 2, 3, 0.3, (2, 2), "valid", alpha=alpha[0, 0])
    for y, x in np.ndindex(2, 2):
        patch = times[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel()
        flat = W.reshape(8, 5)
        np.testing.assert_array_equal(spikes[y, x], fire_dense(patch, flat, b, 2, 3, 0.3, alpha[y, x]))
        np.testing.assert_array_equal(per_channel[y, x], fire_dense(patch, flat, b, 2, 3, 0.3, alpha[0, 0]))
    assert spikes.min() < 3


def channel(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    return np.array(rows, float)[..., np.newaxis]


TIMES = channel([[5, 4, 9], [3, 8, 7], [6, 2, 1]])


@pytest.mark.parametrize(
    ("pool", "strides", "padding", "earliest", "latest"),
    [
        ((2, 2), (1, 1), "valid", [[3, 4], [2, 1]], [[8, 9], [8, 8]]),
        ((2, 2), (2, 2), "valid", [[3]], [[8]]),
        # One row and one column of padding, after the image: they are not in the pools.
        ((2, 2), (2, 2), "same", [[3, 7], [2, 1]], [[8, 9], [6, 1]]),
        # Padding on both sides.
        ((3, 3), (2, 2), "same", [[3, 4], [2, 1]], [[8, 9], [8, 8]]),
        ((1, 2), (1, 2), "same", [[4, 9], [3, 7], [2, 1]], [[5, 9], [8, 7], [6, 1]]),
    ],
)
def test_pools(
    pool: Pair, strides: Pair, padding: Padding, earliest: list[list[float]], latest: list[list[float]]
) -> None:
    np.testing.assert_array_equal(pool_earliest(TIMES, pool, strides, padding), channel(earliest))
    np.testing.assert_array_equal(pool_latest(TIMES, pool, strides, padding), channel(latest))


def test_pool_keeps_channels_apart() -> None:
    times = np.concatenate([TIMES, 10 - TIMES], axis=2)
    np.testing.assert_array_equal(pool_earliest(times, (3, 3), (1, 1), "valid"), [[[1, 1]]])
    np.testing.assert_array_equal(pool_latest(times, (3, 3), (1, 1), "valid"), [[[9, 9]]])


def test_read_out_is_the_logit_and_late_inputs_are_not_in_it() -> None:
    times, W, b = np.array([6.5, 7.0, 7.25]), np.array([[2.0, -4.0], [3.0, 5.0], [8.0, 8.0]]), np.array([0.5, -1.0])
    np.testing.assert_array_equal(read_out(times, W, b, t_min_prev=5, t_min=7), [1.5, -3.0])
    np.testing.assert_array_equal(read_out(times, W, b, t_min_prev=7, t_min=7), [1.5, -3.0])


def test_layers_in_a_row_compute_the_relu_network() -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 1, 7)
    times, t_min_prev, t_min = 1 - x, 0.0, 1.0
    for n_out in (6, 5):
        W, b = scaled(rng.normal(0, 1, (len(x), n_out)), rng.normal(0, 0.3, n_out))
        B = float(np.max(b + x @ np.maximum(W, 0)))
        times = fire_dense(times, W, b, t_min_prev, t_min, B)
        x, t_min_prev, t_min = np.maximum(b + x @ W, 0), t_min, t_min + B
    W, b = rng.normal(0, 1, (5, 3)), rng.normal(0, 1, 3)
    np.testing.assert_allclose(read_out(times, W, b, t_min_prev, t_min), b + x @ W, rtol=0, atol=1e-9)
