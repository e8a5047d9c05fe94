"""Gaussian noise on spike times, drawn without state: a seed, a part of the images and a batch say all of it."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

_LARGEST = 2**31 - 2


def noise_state(seed: int, part: int) -> NDArray[np.int64]:
    """Where the draws of one part of the images begin: two numbers, of which the second counts batches."""
    return np.random.SeedSequence([seed, part]).generate_state(2).astype(np.int64)


def batch_seed(state: NDArray[np.int64], batch: int) -> NDArray[np.int32]:
    """The seed (2,) of the draws of batch number `batch`: what keras.random.SeedGenerator gives from `state` on."""
    return np.asarray((state + np.array([0, batch])) % _LARGEST, np.int32)


def disturb(leads: Any, noise: float, seed: Any) -> Any:
    """Leads with Gaussian noise of standard deviation `noise` on the spike times: a later spike has a smaller lead."""
    return leads - tf.random.stateless_normal(tf.shape(leads), seed, stddev=noise, dtype=leads.dtype)
