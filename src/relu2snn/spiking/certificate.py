"""The certificate: where the closed form is the event-by-event simulation, proved by one more matmul or convolution.

Time counts backwards from the arrival of the last input, which lies at t = t_min + L with L ≥ 0 (L = 0 unless noise
has delayed an input). With the inputs' leads x_j ≥ 0 counted from there and D = t_min − t_start, the potential is

    V(s) = α (D + L − s) + Σ_j J_ij max(x_j − s, 0),   0 ≤ s ≤ D + L.

Its line after the last input, and where that crosses ϑ_i, is the closed form; in leads, counted from t_max,

    x_i = max(B + (V(0) − ϑ_i) / (α + Σ_j J_ij) − L, 0),                                        (closed form)

which for α = 1 is the ReLU b_i + Σ_j W_ij x_j. It is what the neuron does unless V reaches ϑ_i at some s > 0.

Let M be at least the largest x_j. V is piecewise linear. A positive J_ij makes it convex, so that it stays below the
chord from (0, V(0)) to (M, V(M)); a negative one lifts it above the chord, at most where s = x_j, by |J_ij| g(x_j) with
g(x) = x (1 − x / M). So for all s

    V(s) ≤ max(V(0), V(M)) + Σ_j J⁻_ij g(x_j),   J⁻ = max(−J, 0),   V(M) = α (D + L − M).            (bound)

While that is below ϑ_i the closed form holds. Everywhere else, NaN and overflow included, `decide` looks closer.
Divided by α + Σ_j J_ij the bound is compared with B: the first term is then the closed form itself, already computed,
and only the sum of the second, the slack, costs something. M may differ from place to place; `slack` takes the largest
input of the receptive fields around.

The slack runs in float32, or in bfloat16 where the processor has it. No factor of its n products is negative, so in
whatever order they are added up, the result's relative error is at most γ = n u / (1 − n u), u = 2⁻²⁴ (Higham,
Accuracy and Stability of Numerical Algorithms, section 3.1). This holds for every direct, im2col or blocked algorithm,
which is all that TensorFlow uses for convolutions on a CPU, not for Winograd's. Products of bfloat16 numbers are exact
in float32, in which they are summed, so that only the rounding of the result is coarser. Factors are rounded up.
Numbers below 2⁻¹²⁶ may count as 0, which `UNDERFLOW` covers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

UNDERFLOW = 2.0**-100
"""Much more than the sums of any layer lose to float32's smallest numbers, for inputs and weights below 2²⁰."""


class Constants(NamedTuple):
    """What the closed form and the certificate need of a layer's weights; tensors.

    kernel and offset: the closed form is relu(apply(leads, kernel) + offset), or in a dense layer, where kernel is None
    relu(apply(leads, J) · gain + offset): a convolution has fewer weights than outputs, a dense layer more. gain
    (units,): 1 / (α + ΣJ), 0 where that is not positive. negative: J⁻ · gain with the margin of the sums, in
    `slack_type`. floor, per unit or a map, and pull (units,): below the lead floor + (pull − 1) L it is V(M) that
    counts.
    rounding (units,): per unit of the largest input, what rounding can add to the closed form. size and rise (units,):
    Σ|J| and α + ΣJ. rows (units, inputs): J in float32, a row for each neuron.
    """

    kernel: Any
    gain: Any
    offset: Any
    negative: Any
    floor: Any
    pull: Any
    rounding: Any
    size: Any
    rise: Any
    rows: Any


def growth(inputs: int) -> float:
    """1 + γ': what a float32 sum of `inputs` products without a sign has to be multiplied by to be an upper bound."""
    relative = (inputs + 2) * 2.0**-24
    # The sum is at least (1 − γ) of the true one, hence the second division.
    return 1.0 / (1.0 - relative / (1.0 - relative)) if relative < 0.25 else np.inf


def derive(kernel: Any, threshold: Any, drive: Any, before: float, window: float) -> Constants:
    """The constants of a layer with kernel J (…, units), threshold ϑ (units,) or a map, drive α (units,).

    before D and window B are durations. Sums over weights run in float64 whatever the precision of the layer: the
    offsets are differences of large numbers.
    """
    wide, threshold, drive = (tf.cast(each, tf.float64) for each in (kernel, threshold, drive))
    axes = range(kernel.shape.rank - 1)
    inputs = int(np.prod(kernel.shape[:-1]))
    rise = drive + tf.reduce_sum(wide, axes)
    size = tf.reduce_sum(tf.abs(wide), axes)
    gain = tf.where(rise > 0, 1.0 / rise, tf.zeros_like(rise))
    offset = window + (drive * before - threshold) * gain
    floor = window - (threshold - tf.nn.relu(drive) * before) * gain
    # A potential that does not rise in the end has no closed form, so nothing is proved of it.
    floor = tf.where(rise > 0, floor, np.inf * tf.ones_like(floor))
    unit = 2.0**-24 if kernel.dtype == tf.float32 else 2.0**-53
    return Constants(
        kernel=tf.cast(wide * gain, kernel.dtype) if kernel.shape.rank > 2 else None,
        gain=tf.cast(gain, kernel.dtype),
        offset=tf.cast(offset, kernel.dtype),
        negative=_rounded_up(wide, -gain * growth(inputs)),
        floor=floor,
        pull=tf.nn.relu(drive) * gain,
        rounding=2 * (inputs + 8) * unit * size * gain,
        size=size,
        rise=rise,
        rows=tf.transpose(tf.reshape(tf.cast(kernel, tf.float32), (inputs, -1))),
    )


def closed_form(leads: Any, kernel: Any, constants: Constants, apply: Callable[[Any, Any], Any]) -> Any:
    """The leads if nothing crosses before its inputs are there; `apply(leads, kernel)` is the layer's linear map of J.

    Units whose potential does not rise in the end get B or 0, which nobody may take for their spike.
    """
    sums = apply(leads, kernel) * constants.gain if constants.kernel is None else apply(leads, constants.kernel)
    if constants.offset.shape.rank == 1:
        # What TensorFlow fuses with the convolution is the addition by this name.
        return tf.nn.relu(tf.nn.bias_add(sums, constants.offset))
    return tf.nn.relu(sums + constants.offset)


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 numbers: twice as fast as float32 there, and very slow elsewhere."""
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))


slack_type = tf.bfloat16 if _has_bfloat16() else tf.float32
"""The type in which slacks are summed."""


def _rounded_up(values: Any, factor: Any) -> Any:
    """Not below max(values · factor, 0) (float64) in `slack_type`, whose sums may lose what is added here too."""
    # With bfloat16, nearest rounding of the factor here and of the result later, 2⁻⁹ each.
    margin = 2.0**-22 if slack_type == tf.float32 else 2.0**-7
    return tf.cast(tf.nn.relu(values * (factor * (1 + margin))), slack_type)
