"""Compiles what the simulation compiles first, once, where several workers would do the same side by side."""

import numpy as np
from networks import conv_network, dense_network, maxima_of, scaled_network, spiking_of

from relu2snn.spiking import SpikingRun

for model in (conv_network(3, "after"), dense_network(3, "after")):
    network = scaled_network(model, -1.0, 2.0)
    images = np.random.default_rng(0).uniform(-1.0, 2.0, (4, *model.input_shape[1:]))
    for noise in (0.0, 0.02):
        # Windows far too short leave something to every bound.
        spiking = spiking_of(network, maxima_of(network, images), zeta=-0.7, noise=noise)
        for certify in (True, False):
            SpikingRun(spiking, certify=certify).logits(images)
