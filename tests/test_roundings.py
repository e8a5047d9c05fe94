"""Sums that rounding makes too small: each is an upper bound only by the margin that is added for it.

Every neuron here spikes early by less than the rounding of one step; a certificate without that step's margin would
prove that it does not.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from slacks import sum_slacks_in
from test_tight_bounds import Neuron, arguments, of_two_tensors, one_tooth, tooth_of

from relu2snn.graph.convolution import dense
from relu2snn.spiking import bins
from relu2snn.spiking.backend import TensorFlowOps
from relu2snn.spiking.engine import _plain_gaps, fire, simulate
from relu2snn.spiking.nodes import Firing, Neurons
from relu2snn.spiking.prepared import Prepared

Array = NDArray[np.float64]


@pytest.fixture(autouse=True)
def _in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a test chooses bfloat16, which rounds up by more than all that is looked at here."""
    sum_slacks_in(monkeypatch, tf.float32)


def bound_of(weights: Array, leads: Array, slack_type: Any) -> tuple[float, float]:
    """The slack of a neuron with weights J⁻ as it is compared, and what it has to be at least, Σ J⁻ g(x)."""
    ones = np.ones(1)
    neurons = Neurons("n", ones, np.zeros(1), ones, ones, 1, ones)
    node = Firing("n", (1,), {"x": dense((len(weights),), -weights[:, None])}, (neurons,), 2.0, 1.0, 1.0)
    segment = Prepared(node, {"x": (len(weights),)}, TensorFlowOps("float64"))
    assert segment.plain is not None
    bits, _, _ = _plain_gaps(segment.plain, tf.constant(leads[None]), False)
    slack = segment.plain.slack(tf.bitcast(bits, slack_type), 1, 1)
    found = float(np.asarray(tf.cast(slack, tf.float64))[0, 0] * segment.constants[0].scale[0])
    return found, float(weights @ (leads * (1 - leads / leads.max())))


def test_weights_and_sums_that_bfloat16_rounds_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by half of the last of its eight digits, the most there is."""
    sum_slacks_in(monkeypatch, tf.bfloat16)
    half = 2.0**-8
    # g(x) is just below 1 and 2⁻⁸, to which it is rounded up.
    leads = np.array([2.0**20, 1 - 2.0**-17, half * (1 - 2.0**-17)])
    found, least = bound_of(np.array([0.0, 1 + half, 1 + half]), leads, tf.bfloat16)
    assert found >= least
    assert found < 1.03 * least


def test_a_sum_that_loses_all_its_small_terms() -> None:
    """Added to 1 one by one, each is rounded away."""
    leads = np.array([2.0**20, 1.0, *np.full(2**15, 2.0**-25)])
    found, least = bound_of(np.array([0.0, *np.ones(2**15 + 1)]), leads, tf.float32)
    assert found >= least > 1.0009


@pytest.mark.parametrize("slack_type", [tf.float32, tf.bfloat16], ids=["float32", "bfloat16"])
def test_one_input_of_any_size_is_bounded(monkeypatch: pytest.MonkeyPatch, slack_type: Any) -> None:
    """Near the largest one g(x) is a difference of numbers that are nearly the same."""
    sum_slacks_in(monkeypatch, slack_type)
    draw = np.random.default_rng(0)
    for below in (0.9, 0.3, 1e-2, 1e-4, 1e-5, 1e-6):
        for _ in range(40):
            largest = draw.uniform(0.5, 3)
            leads = np.array([largest, largest * (1 - below * draw.uniform(0.5, 1))])
            found, least = bound_of(np.array([0.0, draw.uniform(0.5, 2)]), leads, slack_type)
            assert found >= least, below


@settings(max_examples=60)
@given(
    largest=st.floats(0.2, 3.0), below=st.floats(2e-6, 2e-5), rise=st.floats(0.2, 3.0), positive=st.floats(1e10, 3e10)
)
@pytest.mark.parametrize("tensors", [1, 2])
def test_a_tooth_next_to_the_largest_input(
    tensors: int, largest: float, below: float, rise: float, positive: float
) -> None:
    """Of one tensor, and of two, whose g is computed elsewhere; so high that α D is little beside it."""
    neuron = one_tooth(largest, 0.0, 1.0, 1 - below, rise, positive)
    peak, slack = tooth_of(neuron, 0.0, 1.0)
    neuron = replace(neuron, window=1.5 * slack / rise).below(peak, 1e-3 * slack)
    neuron = neuron if tensors == 1 else of_two_tensors(neuron)
    segment = neuron.segment
    truth = neuron.lead(segment, certify=False)
    assert truth > neuron.window
    assert neuron.lead(segment, certify=True) == pytest.approx(truth, rel=1e-9)


def test_closed_forms_that_float32_rounds_down() -> None:
    """Weights without a sign: V never falls, so that a neuron is early where V(0) ≥ ϑ, by its numbers in float32."""
    draw = np.random.default_rng(0)
    inputs, units, window = 700, 400, 0.5
    # In float32 from the start, so that both simulate the same neurons.
    weights = draw.uniform(0, 1e-3, (inputs, units)).astype(np.float32)
    leads = draw.uniform(0, 1, inputs).astype(np.float32).astype(np.float64)
    sums, ones = weights.astype(np.float64).sum(axis=0), np.ones(units)
    gain = 1 / (1 - sums)
    total = sums * gain
    # V(0) = α D + gain Σ L x, with ϑ below it by a ten millionth.
    before = 1.0
    threshold = (before + gain * (leads @ weights.astype(np.float64))) * (1 - 1e-7 * draw.uniform(0.01, 1, units))
    neurons = Neurons("n", gain, total, threshold, ones, 1, ones)
    node = Firing("n", (units,), {"x": dense((inputs,), weights)}, (neurons,), before, window, 4.0)
    segment = Prepared(node, {"x": (inputs,)}, TensorFlowOps("float32"))
    given = {"x": tf.constant(leads[None], tf.float32)}
    truth, found = (simulate(segment, given), fire(segment, given))
    assert int(truth.counts[0, 4]) > units // 2
    assert int(found.counts[0, 4]) == int(truth.counts[0, 4])


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("kind", ["two", "six", "narrow"])
def test_potentials_at_the_edges_of_bins(kind: str, seed: int) -> None:
    """Inputs at the edges only: V is what the bins say, but for the rounding of their sums."""
    draw = np.random.default_rng(seed)
    largest = draw.uniform(0.5, 3)
    if kind == "narrow":
        _, _, _, _, edges = bins._sort_into_bins(np.array([largest]), largest)
    else:
        edges = largest * (bins.TWO if kind == "two" else bins.SIX)
        # As float32 has them, in which the wide bins are.
        edges = edges.astype(np.float32).astype(np.float64)
    places = draw.choice(len(edges) - 1, 300 if kind != "narrow" else 40) + 1
    leads = np.concatenate([[edges[-1]], edges[places[edges[places] > 0]]])
    weights = draw.normal(0.1, 1, len(leads))
    before = 1.1 * leads.max()
    neuron = Neuron({"x": weights}, {"x": leads}, float(weights.sum()), 0.0, before=before)
    peak = max(neuron.potential(float(s)) for s in edges)
    neuron = neuron.below(peak, 1e-11 * abs(peak))
    rows, level, drive, size = arguments(neuron)
    rise = np.abs(1 + neuron.total) * np.ones(1) + 1e-3
    mask = np.ones(1, bool)
    if kind == "narrow":
        bins.prove(mask, leads, float(leads.max()), rows, level, drive, size, rise, before)
    else:
        closed = (neuron.potential(0.0) - neuron.threshold) / rise
        bins.prove_wide(mask, leads, edges, rows, level, drive, size, rise, before, closed, 0.0)
    assert mask[0], "it reaches its threshold"
