"""How precisely a layer's spike times hold the values they stand for: a bound on rounding, known before any image.

A value comes back from the time as `x_i = B + g_i (α D − ϑ_i) + Σ_j g_i J_ij x_j`, g_i = 1 / (α + Σ_j J_ij), and in it
the bias b_i, as the difference of numbers of the size of the windows: the longer these are, the fewer digits are left.
With A_i = g_i Σ_j |J_ij| (which is Σ_j |W_ij|), T_i = g_i (D + |ϑ_i|), n inputs, u the unit roundoff of the layer's
precision, v = 2⁻⁵³ that of float64, in which the network is made and its offsets are computed, inputs of at most X and
values of at most P, to first order

    |x_i − ReLU(b_i + Σ_j W_ij x_j)| ≤  4 u (B + T_i + (A_i + g_i) B)               ϑ and J as stored, the offset
                                      + u (n + 8) A_i X                             the sum over the inputs
                                      + 2 v (n + 4 + g_i) (B + D + T_i + A_i X)     V as the events sum it up, g
                                      + 2 v (n + 4) (1 + A_i + g_i) max(B, P)       the last slope: S in ϑ and J, ΣJ
                                      + 4 v (1 + g_i) t_max                         windows as differences of times.

An error of the last slope, α + ΣJ = 1 / (1 − S), turns the last line of V about the point where it crosses ϑ for x = B:
it changes z − B by its own share, and not each term of z. Where z is negative the neuron is silent, unless it is so by
less than that share of B.

Sums of n terms lose at most n u of the sum of their sizes in whatever order they are added (Higham, Accuracy and
Stability of Numerical Algorithms, section 4.2). This is about one layer and its own inputs, as the certificate is. As a
share of the layer's largest value it is the layer's `rounding`, and a run is exact only while that is below `LIMITS`.

Measured on FC, LeNet5 and a VGG 16 of an eighth of the width, trained on real images, worst layer of each: in float64
the bound is 6e−12 to 3e−11 at ζ = 0.5, 3e−9 to 1e−8 at 1e3, 3e−6 to 1e−5 at 1e6 and above 3 at 1e12, where the values
that the whole network decodes differ from the ReLUs' by at most 2e−14, 1e−11, 1e−8 and 1e−2 of the layer's largest; in
float32 it is 4e−4 to 2e−3 at ζ = 0.5, 9e−3 to 2e−2 at 1e3 and above 7 at 1e6, where they differ by 1e−6, 1e−3 and 0.8.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Context

import numpy as np

from relu2snn.spiking.certificate import Sums, unit_roundoff
from relu2snn.spiking.events import Floats
from relu2snn.spiking.nodes import Firing, Neurons

LIMITS = {"float64": 1e-3, "float32": 0.05}
"""The largest rounding, as a share of a layer's largest value, with which a run may be called exact, by precision.

It is a bound, which true errors stay two orders below or more: an InceptionV3 of random weights has one of 2e−6 where
its outputs differ by 7e−11, and is exact; with windows of 1e12 maxima no network is.
"""

_THREE_DIGITS_UP = Context(prec=3, rounding=ROUND_CEILING)


@dataclass(frozen=True)
class Rounding:
    """The bound for the units of one layer: fixed + slope · X + turn · max(P − B, 0).

    fixed (units,) or a map (h, w, units); slope, turn, and size A (units,); bias b as the thresholds hold it, shaped as
    `fixed`; window B.
    """

    fixed: Floats
    slope: Floats
    turn: Floats
    size: Floats
    bias: Floats
    window: float

    @classmethod
    def of(cls, node: Firing, neurons: Neurons, sums: Sums, *, precision: str) -> "Rounding":
        """The bound of a population whose maps have these sums, for α = 1."""
        threshold, total = np.asarray(neurons.threshold, np.float64), np.asarray(neurons.total, np.float64)
        strength = np.abs(np.asarray(neurons.gain, np.float64))
        unit, wide = unit_roundoff(precision), unit_roundoff("float64")
        before, window, inputs = node.before, node.window, sums.terms
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            gain = np.where(1 + total > 0, 1 / (1 + total), np.inf)
            size = gain * strength * sums.size
            level = gain * (before + np.abs(threshold))
            turn = 2 * wide * (inputs + 4) * (1 + size + gain)
            fixed = (
                4 * unit * (window + level + (size + gain) * window)
                + 2 * wide * (inputs + 4 + gain) * (window + before + level)
                + turn * window
                + 4 * wide * (1 + gain) * node.t_max
            )
            slope = unit * (inputs + 8) * size + 2 * wide * (inputs + 4 + gain) * size
            bias = window + gain * (before - threshold)
        return cls(fixed, slope, turn, size, bias, window)

    def absolute(self, largest: float, peak: float) -> float:
        """The largest error of a value of this layer, for inputs of at most `largest` and values of at most `peak`."""
        return float(np.max(self.fixed + self.slope * largest + self.turn * max(peak - self.window, 0.0)))

    def relative(self, largest: float, peak: float) -> float:
        """The same as a share of the layer's largest value `peak`; of what is summed where the layer is silent.

        Three digits of it, rounded up: the last ones of `largest` and `peak` depend on how sums were split over cores.
        """
        summed = float(np.max(self.size * largest + np.abs(self.bias)))
        share = self.absolute(largest, peak) / (peak or summed or self.window)
        return float(_THREE_DIGITS_UP.create_decimal(share)) if np.isfinite(share) else np.inf
