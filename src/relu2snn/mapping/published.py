"""The published mapping (arXiv:2212.12522): the weights add up to what they do, S < 1 after scaling.

A neuron computes its ReLU unless its potential reaches ϑ before all of its inputs are there, which each run has to
prove (see `relu2snn.spiking.certificate`).
"""

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.nodes import Population, Segment

Array = NDArray[np.float64]


def full_sums(node: Segment, each: Population, sums: Array) -> Array:
    """S' = S of every neuron of a population, (channels,); sums: Σ_j L_ij of the segment.

    Raises ValueError for an S of 1 or more.
    """
    own: Array = each.sign * sums
    if (own >= 1).any():
        raise ValueError(f"layer {node.name!r}: S_i = {own.max()} must be less than 1; scale the network first")
    return own
