"""Perturbations of a spiking network: the noise on α and on the spike times, drawn from one seed."""

from dataclasses import replace

import numpy as np

from relu2snn.spiking.nodes import Encoder, Firing, Neurons, SpikingNetwork, SpikingNode


def perturbed(network: SpikingNetwork, seed: int, *, alpha_noise: float = 0.0) -> SpikingNetwork:
    """The network with the perturbations of `seed` in place of those it has.

    α becomes 1 + alpha_noise · N(0, 1), once per hidden neuron (per channel where positions share their weights); J and
    ϑ stay those of α = 1. Every tensor of spikes gets a seed of its own for the noise on its spike times, and so does
    every reference.

    Example:
        >>> noisy = perturbed(network_of(spiking), seed=7, alpha_noise=0.01)
        >>> noisy.alpha_noise
        True
    """
    seeds = np.random.SeedSequence(seed)

    def drawn() -> int:
        return int(seeds.spawn(1)[0].generate_state(1)[0])

    def neurons(each: Neurons) -> Neurons:
        own = drawn()
        draw = np.random.default_rng(seeds.spawn(1)[0])
        drive = np.ones(each.drive.shape[0]) + alpha_noise * draw.standard_normal(each.drive.shape[0])
        return replace(each, seed=own, drive=drive)

    nodes: list[SpikingNode] = []
    for node in network:
        match node:
            case Encoder():
                nodes.append(replace(node, seed=drawn()))
            case Firing():
                nodes.append(replace(node, populations=tuple(neurons(each) for each in node.populations)))
            case _:
                nodes.append(node)
    # After all others, which are then the same whether there are references or not.
    nodes = [replace(node, reference_seed=drawn()) if isinstance(node, Firing) else node for node in nodes]
    return replace(network, nodes=tuple(nodes))
