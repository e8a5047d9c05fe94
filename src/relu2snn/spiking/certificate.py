"""The certificate: where the closed form is the event-by-event simulation, proved by one more matmul or convolution.

Time counts backwards from t_min, s = t_min − t, as in `events`. Once all inputs have arrived, the potential is the
line V(s) = α D + Σ_j J_ij x_j − s (α + Σ_j J_ij) with D = t_min − t_start, so the neuron's lead is

    x_i = max(B + (α D + Σ_j J_ij x_j − ϑ_i) / (α + Σ_j J_ij), 0),                                   (closed form)

which for α = 1 is the ReLU b_i + Σ_j W_ij x_j. Before the last input, at s = −L with L ≥ 0 (L = 0 when none comes
after t_min), negative inputs can only lower V, so V can't exceed

    α⁺ (D + L) + Σ_j J⁺_ij (x⁺_j + L).                                                               (bound)

Where that stays below ϑ_i the neuron can't have crossed before it knew all its inputs: the closed form holds.
Everywhere else, NaN and overflow included, `decide` looks closer.

The sum of the bound runs in float32. Both factors of its n products are not negative, so in whatever order they are
added, the result's relative error is at most γ = (n + 2) u / (1 − (n + 2) u) with u = 2⁻²⁴: n roundings of products
and sums and two of the factors (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). This holds for
every direct, im2col or blocked algorithm, which is all that TensorFlow uses for convolutions on a CPU, not for
Winograd's. Numbers below 2⁻¹²⁶ may count as 0, which `_UNDERFLOW` covers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

_UNDERFLOW = 2.0**-120
"""Much more than the sums of any layer lose to float32's smallest numbers, for inputs and weights below 2²⁰."""


def growth(inputs: int) -> float:
    """1 + γ': what a float32 sum of `inputs` products without a sign has to be multiplied by to be an upper bound."""
    relative = (inputs + 2) * 2.0**-24
    # The sum is at least (1 − γ) of the true one, hence the second division.
    return 1.0 / (1.0 - relative / (1.0 - relative)) if relative < 0.25 else np.inf


def _sums(kernel: Any) -> Any:
    """Per unit, in float64 whatever the precision of the layer: the offsets of the closed form are differences."""
    return tf.reduce_sum(tf.cast(kernel, tf.float64), axis=range(kernel.shape.rank - 1))


def closed_form(
    leads: Any, kernel: Any, threshold: Any, drive: Any, before: float, window: float, apply: Callable[[Any, Any], Any]
) -> Any:
    """The leads if nothing crosses before its inputs are there; `apply(leads, kernel)` is the layer's linear map.

    leads (batch, …), kernel J (…, units), threshold ϑ (units,) or a map, drive α (units,); before D and window B are
    durations. Units whose potential does not rise in the end get 0.
    """
    threshold, drive = tf.cast(threshold, tf.float64), tf.cast(drive, tf.float64)
    rise = drive + _sums(kernel)
    gain = tf.where(rise > 0, 1.0 / rise, tf.zeros_like(rise))
    offset = tf.cast(window + (drive * before - threshold) * gain, leads.dtype)
    gain = tf.cast(gain, leads.dtype)
    if kernel.shape.rank > 2:
        # A convolution has fewer weights than outputs, a dense layer fewer outputs than weights.
        return tf.nn.relu(apply(leads, kernel * gain) + offset)
    return tf.nn.relu(apply(leads, kernel) * gain + offset)


def uncertified(
    leads: Any,
    kernel: Any,
    threshold: Any,
    drive: Any,
    before: float,
    apply: Callable[[Any, Any], Any],
    lateness: Callable[[Any], Any],
) -> Any:
    """True for each (neuron, position) pair whose bound does not stay below its threshold: booleans (batch, …, units).

    Arguments as for `closed_form`; `lateness(leads)` is L, at least how long after t_min the last input of each
    position comes, (batch, …, 1).
    """
    threshold, drive = tf.cast(threshold, tf.float64), tf.cast(drive, tf.float64)
    positive = tf.nn.relu(kernel)
    rise = drive + _sums(kernel)
    strength = tf.nn.relu(drive)
    total = _sums(positive)
    inputs = int(np.prod(kernel.shape[:-1]))
    bound = apply(tf.cast(tf.nn.relu(leads), tf.float32), tf.cast(positive, tf.float32))
    # The bound's margin goes into the threshold, which is one number per unit instead of one per pair.
    room = tf.where(rise > 0, (threshold - strength * before) / growth(inputs) - _UNDERFLOW, -np.inf)

    def punctual() -> Any:
        # Rounding the room to float32 loses at most 2⁻²⁴ of it, and is made good downwards.
        limit = tf.cast(room - tf.abs(room) * 2.0**-23, tf.float32)
        return tf.logical_not(bound < limit)

    def late() -> Any:
        slack = tf.cast(lateness(leads), tf.float64) * (strength + total) * (1 + 2.0**-40)
        return tf.logical_not(tf.cast(bound, tf.float64) < room - slack)

    return tf.cond(tf.reduce_min(leads) < 0, late, punctual)
