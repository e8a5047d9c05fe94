"""The values that spikes stand for beside those of the ReLUs, which something else has computed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relu2snn.spiking.events import Floats


@dataclass(frozen=True)
class Decoding:
    """Pairs of a neuron and an image: the ReLU's value, and what the spike time decodes to, `t_max − t`.

    layers: names, first layer first. layer, relu and decoded (n,): of a sample of the pairs with a value above zero,
    and of each layer's worst pair, the index of the layer and both values. images, pairs: how many were compared in
    all. largest (layers,): the largest |decoded − relu| of each layer, over all of its pairs.
    """

    layers: list[str]
    layer: NDArray[np.int64]
    relu: Floats
    decoded: Floats
    images: int
    pairs: int
    largest: Floats


class Comparison:
    """Collects a Decoding over batches of images.

    images: how many are to come; points: about how many pairs to keep, the same from each layer, drawn with `seed`.
    """

    def __init__(self, layers: Iterable[str], images: int, points: int = 1000, seed: int = 0) -> None:
        self._layers = list(layers)
        self._images, self._pairs, self._seen = max(images, 1), 0, 0
        self._quota = max(points // max(len(self._layers), 1), 1)
        self._draw = np.random.default_rng(seed)
        self._kept: list[list[Floats]] = [[] for _ in self._layers]
        self._worst: list[Floats] = [np.zeros((1, 2)) for _ in self._layers]

    def add(self, values: Mapping[str, Floats], leads: Mapping[str, Floats]) -> None:
        """Compare the ReLU's values of a batch with its leads, both by layer name and of the layers' shapes."""
        self._seen += len(leads[self._layers[0]])
        for index, name in enumerate(self._layers):
            relu, decoded = np.ravel(values[name]), np.ravel(leads[name])
            self._pairs += relu.size
            worst = int(np.argmax(np.abs(decoded - relu)))
            pair = np.array([[relu[worst], decoded[worst]]])
            if _difference(pair) >= _difference(self._worst[index]):
                self._worst[index] = pair
            active = np.flatnonzero((relu > 0) | (decoded > 0))
            # Enough of each batch; what is too much in all is thinned out at the end.
            count = min(active.size, -(-2 * self._quota * len(leads[name]) // self._images))
            chosen = self._draw.choice(active, count, replace=False)
            self._kept[index].append(np.stack([relu[chosen], decoded[chosen]], axis=1))

    def result(self) -> Decoding:
        """What the batches so far have given."""
        draw = np.random.default_rng(self._draw.integers(2**32))
        pieces = []
        for kept, worst in zip(self._kept, self._worst, strict=True):
            pairs = np.concatenate([*kept, np.zeros((0, 2))])
            pieces.append(np.concatenate([draw.permutation(pairs)[: self._quota], worst]))
        layer = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
        both = np.concatenate([*pieces, np.zeros((0, 2))])
        largest = np.array([_difference(worst) for worst in self._worst])
        return Decoding(self._layers, layer, both[:, 0], both[:, 1], self._seen, self._pairs, largest)


def _difference(pair: Floats) -> float:
    return float(np.abs(pair[0, 1] - pair[0, 0]))
