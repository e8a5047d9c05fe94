"""The values that any admissible image can give: windows that no neuron of the mapping with a reference ever leaves.

For lo ≤ x ≤ hi a map L gives L x = L lo + L (x − lo), which lies between L lo − Σ L⁻ (hi − lo) and
L lo + Σ L⁺ (hi − lo); from layer to layer the bounds grow, about tenfold in a trained network.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from relu2snn.graph.nodes import Extremum, Network, Segment, Source
from relu2snn.mapping.reference import CONSTRUCTED
from relu2snn.mapping.translate import to_spiking
from relu2snn.spiking.backend import TensorFlowOps
from relu2snn.spiking.certificate import sums_of
from relu2snn.spiking.nodes import SpikingNetwork, inputs_of
from relu2snn.spiking.rounding import LIMITS, Rounding

Array = NDArray[np.float64]

_ROUNDED = 1 + 1e-9
"""Sums of a layer's terms in float64 lose much less."""


def largest_values(network: Network) -> dict[str, float]:
    """At least the largest value that each population takes for any image in its range, by name.

    With windows of this length no neuron of the mapping with a reference spikes early, whatever the image.
    """
    ops = TensorFlowOps("float64")
    known: dict[str, tuple[Any, Any]] = {}
    found: dict[str, float] = {}
    for node in network:
        match node:
            case Source():
                known[node.name] = tf.zeros((1, *node.shape), tf.float64), tf.ones((1, *node.shape), tf.float64)
            case Extremum():
                pairs = [known[name] for name in node.tensors]
                lows, highs = ([pair[place] for pair in pairs] for place in (0, 1))
                known[node.name] = tuple(ops.extremes(each, node.window, node.minimum) for each in (lows, highs))
            case Segment():
                low, high = _between(node, known, ops)
                for each in node.populations:
                    ends = (low, high) if each.sign > 0 else (-high, -low)
                    known[each.name] = tuple(tf.nn.relu(end + each.offset) for end in ends)
                    found[each.name] = float(tf.reduce_max(known[each.name][1])) * _ROUNDED
    return found


def guaranteed(
    network: Network, *, mapping: str, zeta: float, stretch: float | None = None, **options: Any
) -> SpikingNetwork:
    """The spiking network of a network that `unit_maxima` has scaled, in windows that no admissible image leaves.

    Options as of `to_spiking`. Raises ValueError for another mapping than "reference", for zeta < 0, a stretch below
    1.001, and, naming the layer, where windows get too long for the numbers of the precision.

    Example:
        >>> network = read_keras(model)
        >>> measured = measure(relu_model(network), [calibration])
        >>> network, _ = unit_maxima(network, measured.channel_maxima)
        >>> guaranteed(network, mapping="reference", zeta=0.0).latency > spiking.latency
        True
    """
    if mapping != "reference":
        raise ValueError(f'window="guaranteed": mapping={mapping!r} guarantees nothing; take mapping="reference"')
    if not zeta >= 0:
        raise ValueError(f'zeta={zeta}: must be at least 0 with window="guaranteed"')
    if stretch is not None and not stretch >= CONSTRUCTED:
        raise ValueError(f'stretch={stretch}: must be at least {CONSTRUCTED} with window="guaranteed"')
    found = to_spiking(network, largest_values(network), mapping=mapping, zeta=zeta, stretch=stretch, **options)
    check_digits(found)
    return found


def _between(node: Segment, known: dict[str, tuple[Any, Any]], ops: TensorFlowOps) -> tuple[Any, Any]:
    """The smallest and the largest z."""
    low = high = tf.constant(np.broadcast_to(node.bias, (1, *node.shape)), tf.float64)
    for name, map_ in node.maps.items():
        least, width = known[name][0], known[name][1] - known[name][0]
        base = map_.apply(least, ops)
        up, down = (part.apply(width, ops) if part is not None else 0.0 for part in (map_.part(1), map_.part(-1)))
        low, high = low + base - down, high + base + up
    return low, high


def check_digits(network: SpikingNetwork, largest: float = 1.0) -> None:
    """Raise ValueError, naming the layer, where windows are so long that rounding leaves too little of a value.

    largest: what values of a layer are, as calibration has seen them; windows of all admissible images are longer.
    """
    windows = {name: node.window for name, (node, _) in network.populations.items()}
    for node in network.firing:
        sums = sums_of(node)
        inputs = max((windows.get(name, 1.0) for name in inputs_of(node)), default=1.0)
        for each in node.populations:
            error = Rounding.of(node, each, sums, precision=network.precision).absolute(inputs, largest) / largest
            if not error <= LIMITS[network.precision]:
                raise ValueError(
                    f"layer {each.name!r}: its guaranteed window of {node.window:.3g} leaves values of {largest:g} "
                    f"with an error of {error:.1g}, more than {LIMITS[network.precision]:g}; take window='margin'"
                )
