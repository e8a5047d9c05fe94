"""The certificate: where the closed form is the event-by-event simulation, proved by one more matmul or convolution.

Time counts backwards from the arrival of the last input, which lies at t = t_min + L with L ≥ 0 (L = 0 unless noise
has delayed an input). With the inputs' leads x_j ≥ 0 counted from there and D = t_min − t_start, the potential is

    V(s) = α (D + L − s) + Σ_j J_ij max(x_j − s, 0),   0 ≤ s ≤ D + L.

Its line after the last input, and where that crosses ϑ_i, is the closed form; in leads, counted from t_max,

    x_i = max(B + (V(0) − ϑ_i) / (α + Σ_j J_ij) − L, 0),                                        (closed form)

which for α = 1 is the ReLU b_i + Σ_j W_ij x_j. The sum runs over all inputs of all sources: of maps L_s, with
J = gain · L_s, and of clock inputs that arrive at t_min, which have no part in V(0). It is what the neuron does unless
V reaches ϑ_i at some s > 0.

Let M be at least the largest x_j. V is piecewise linear. A positive J_ij makes it convex, so that it stays below the
chord from (0, V(0)) to (M, V(M)); a negative one lifts it above the chord, at most where s = x_j, by |J_ij| g(x_j) with
g(x) = x (1 − x / M). So for all s

    V(s) ≤ max(V(0), V(M)) + Σ_j J⁻_ij g(x_j),   J⁻ = max(−J, 0),   V(M) = α (D + L − M).            (bound)

M is at least L, so that V(M) is at most α D where α is positive; else it is at most 0, but for inputs that noise has
brought before t_start. While the bound is below ϑ_i the closed form holds. Everywhere else, NaN and overflow included,
`decide` looks closer. Divided by α + Σ_j J_ij the bound is compared with B: the first term is then the closed form
itself, already computed, and only the sum of the second, the slack Σ_s L_s⁻ g(x_s), costs something, times `scale`. Of
a chain of maps L⁻ may be a map that is at least that. M may differ from place to place: of one convolution, it is the
largest input of the receptive fields around; of anything else, the largest input of the image.

Of some neurons more is known. Before t_min only inputs of the maps have arrived, no clock input has, and the slope of V
is never below α − Σ_j J⁻_ij. Where that is at least 0, and no input is late, V does not fall until t_min, so that

    the neuron spikes early if and only if z_i > B, whatever the inputs are,                   (construction)

z_i being the closed form before it is rectified. Late inputs can only matter after t_min, which is at s = L: there the
bound holds between s = 0 and s = L, with V(L) in place of V(M) and L in place of M, for the late inputs alone; up to
t_min the largest V is V(L).

The slack runs in float32, or in bfloat16 where the processor has it. No factor of its n products is negative, so in
whatever order they are added up, the result's relative error is at most γ = n u / (1 − n u), u = 2⁻²⁴ (Higham,
Accuracy and Stability of Numerical Algorithms, section 3.1). This holds for every direct, im2col or blocked algorithm,
which is all that TensorFlow uses for convolutions on a CPU, not for Winograd's. Products of bfloat16 numbers are exact
in float32, in which they are summed, so that only the rounding of the result is coarser. Factors are rounded up.
Numbers below 2⁻¹²⁶ may count as 0, which `UNDERFLOW` covers.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.graph.arrays import NumpyOps
from relu2snn.spiking.nodes import Firing, Neurons

Array = NDArray[np.float64]

UNDERFLOW = 2.0**-100
"""Much more than the sums of any layer lose to float32's smallest numbers, for inputs and weights below 2²⁰."""


class Constants(NamedTuple):
    """What the closed form and the certificate need of a population, in float64.

    factor (units,) and offset, per unit or a map: the closed form is relu(factor · L x + offset); factor is exactly the
    sign where α = 1. scale (units,): of the slack Σ L⁻ g(x), with the margin of its sums. floor, per unit or a map, and
    ahead (units,): below the lead floor + ahead · max(M − D − L, 0) − L it is V(M) that counts. rounding (units,): per
    unit of the largest input, what rounding can add to the closed form; missing (units,): per unit of lateness, what
    inputs at lead 0 that the slack does not see can add to it. rise (units,): (α + ΣJ) / |gain|. constructed (units,):
    whether V cannot fall before t_min, so that only z > B is an early spike.
    """

    factor: Array
    offset: Array
    scale: Array
    floor: Array
    ahead: Array
    rounding: Array
    missing: Array
    rise: Array
    constructed: NDArray[np.bool_]


class Sums(NamedTuple):
    """What a segment's maps add up to, (units,): Σ|L|, and of the negative part of sign · L by sign; and terms."""

    size: Array
    negative: dict[int, Array]
    terms: int


def sums_of(node: Firing) -> Sums:
    """The sums over the maps of a segment, in float64: offsets are differences of large numbers."""
    ops = NumpyOps()
    up, down = np.zeros(node.shape[-1]), np.zeros(node.shape[-1])
    for map_ in node.maps.values():
        up, down = up + map_.magnitudes(1, ops), down + map_.magnitudes(-1, ops)
    return Sums(up + down, {1: down, -1: up}, sum(map_.terms() for map_ in node.maps.values()))


def unit_roundoff(precision: str) -> float:
    """The largest relative error of one rounding, in "float64" or "float32"."""
    return 2.0**-24 if precision == "float32" else 2.0**-53


def growth(terms: int) -> float:
    """1 + γ': what a float32 sum of products without a sign has to be multiplied by to be an upper bound."""
    relative = (terms + 2) * 2.0**-24
    # The sum is at least (1 − γ) of the true one, hence the second division.
    return 1.0 / (1.0 - relative / (1.0 - relative)) if relative < 0.25 else np.inf


def derive(node: Firing, neurons: Neurons, sums: Sums, *, precision: str, padded: bool) -> Constants:
    """The constants of a population of a segment.

    precision: of the closed form. padded: whether the slack is summed over inputs at lead 0, too, which are late where
    others are.
    """
    drive, gain = np.asarray(neurons.drive, np.float64), np.asarray(neurons.gain, np.float64)
    threshold, total = np.asarray(neurons.threshold, np.float64), np.asarray(neurons.total, np.float64)
    rise, strength = drive + total, np.abs(gain)
    rises = rise > 0
    inverse = np.where(rises, 1 / np.where(rises, rise, 1), 0.0)
    factor = gain * inverse
    # What differs from the sign in its last digits only is what rounding has made of it, and of α + Σ J.
    digits = 2.0 ** (-50 if precision == "float64" else -21)
    last = digits * np.maximum((np.abs(drive) + np.abs(total)) * inverse, 1)
    factor = np.where(np.abs(factor - neurons.sign) <= last, neurons.sign, factor)
    size = strength * sums.size
    unit = unit_roundoff(precision)
    # Rounded up: to bfloat16 where that is the type, (1 + 2⁻⁸)² for the weights and the sum, which have eight digits.
    margin = 1 + (2.0**-7 + 2.0**-15 if slack_type == tf.bfloat16 else 2.0**-20)
    floor = node.window - (threshold - np.maximum(drive, 0) * node.before) * inverse
    clock = 0.0 if padded else np.abs(total) + size
    return Constants(
        factor=factor,
        offset=node.window + (drive * node.before - threshold) * inverse,
        scale=strength * inverse * growth(sums.terms) * margin,
        # A potential that does not rise in the end has no closed form, so nothing is proved of it.
        floor=np.where(rises, floor, np.inf),
        ahead=np.maximum(-drive, 0) * inverse,
        rounding=2 * (sums.terms + 8) * unit * size * inverse,
        missing=np.zeros_like(rise) if padded else (strength * sums.negative[neurons.sign] + clock) * inverse,
        rise=rise / strength,
        # The margin is for sums of weights, which rounding makes smaller by far less.
        constructed=rises & (drive >= strength * sums.negative[neurons.sign] * (1 + 1e-6)),
    )


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 numbers: twice as fast as float32 there, and very slow elsewhere."""
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))


slack_type = tf.bfloat16 if _has_bfloat16() else tf.float32
"""The type in which slacks of plain convolutions are summed."""


def negative_kernel(kernel: Any, sign: int) -> Any:
    """max(−sign · kernel, 0) in `slack_type`, rounded to the nearest; a tensor."""
    return tf.cast(tf.nn.relu(-sign * kernel), slack_type)
