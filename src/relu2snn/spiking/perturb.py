"""Perturbations of a spiking network: the noise on α and on the spike times, drawn from one seed."""

import keras
import numpy as np

from relu2snn.spiking.layers import SpikingConv2D, SpikingDense


def perturb(model: keras.Model, seed: int, alpha_noise: float = 0.0) -> None:
    """Draw the perturbations of `seed` for a whole spiking network, in place of those it had.

    α becomes 1 + alpha_noise · N(0, 1), once per hidden neuron (per channel in a convolution); J and ϑ stay those of
    α = 1. Every layer gets a seed of its own for the noise on its spike times. The network is then what `to_spiking`
    makes with this seed. A SpikingRun that has begun goes on with the perturbations it began with, and takes these
    from its next `SpikingRun.start` on, in the same graph.
    """
    seeds = np.random.SeedSequence(seed)
    for layer in model.layers:
        if not hasattr(layer, "reseed"):
            continue
        layer.reseed(int(seeds.spawn(1)[0].generate_state(1)[0]))
        if isinstance(layer, SpikingDense | SpikingConv2D):
            draw = np.random.default_rng(seeds.spawn(1)[0])
            layer.drive.assign(1.0 + alpha_noise * draw.standard_normal(layer.drive.shape[0]))
