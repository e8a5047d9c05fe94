"""Linear maps between spike-coded tensors: what a segment is made of, whatever layers it came from."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.geometry import Indices, Margin, Shape, Window, positions

Array = NDArray[np.float64]


class Ops(Protocol):
    """What a backend computes with; tensors are (batch, *shape)."""

    def constant(self, values: Array) -> Any:
        """The backend's tensor of `values`."""

    def matmul(self, x: Any, kernel: Array) -> Any:
        """x (…, inputs) times kernel (inputs, units)."""

    def conv(self, x: Any, kernel: Array, window: Window, groups: int) -> Any:
        """x (batch, *sides, channels) with kernel (*sizes, channels / groups, filters); margins are zeros."""

    def reshape(self, x: Any, shape: Shape) -> Any:
        """Each image of x to `shape`, row by row."""

    def take(self, x: Any, index: Indices, shape: Shape) -> Any:
        """Each image of x to `shape`: the elements `index` of it, row by row; 0 where that is −1."""

    def shift(self, x: Any, margins: tuple[Margin, ...]) -> Any:
        """x with zeros around each image, or cells cut off where a margin is negative, along every axis."""


class LinearMap(ABC):
    """A linear map L from tensors of shape `inputs` to tensors of shape `outputs`, both without the batch."""

    inputs: Shape
    outputs: Shape

    @abstractmethod
    def apply(self, x: Any, ops: Ops) -> Any:
        """L x, for x (batch, *inputs)."""

    @abstractmethod
    def part(self, sign: int) -> "LinearMap | None":
        """A map whose entries are at least max(sign L_ij, 0), equal to them where that is cheap; None for no entries.

        Of x ≥ 0 it gives an upper bound of Σ_j max(sign L_ij, 0) x_j.
        """

    @abstractmethod
    def pull(self, elements: Indices, weights: Array) -> tuple[Indices, Array]:
        """`weights` (n, units) on `elements` (n,) of L x, as weights on elements of x: the transposed map.

        Elements are counted row by row; none comes twice in the result.
        """

    def after(self, first: "LinearMap") -> "LinearMap | None":
        """This map of what `first` gives as one map no larger than the two; None where there is none."""
        return None

    def plus(self, other: "LinearMap") -> "LinearMap | None":
        """The sum of both as one map of this kind; None where there is none."""
        return None

    def is_nonnegative(self) -> bool:
        """Whether no entry is below 0, as far as that is seen without much work."""
        return False

    def terms(self) -> int:
        """At most how many numbers are added up, one after the other, for an element of the output."""
        return 1

    @abstractmethod
    def scaled(self, inputs: Array, outputs: Array) -> "LinearMap":
        """diag(outputs) L diag(inputs); each (channels,) or the whole shape."""

    def synapses(self, position: int) -> tuple[Indices, Array]:
        """The elements (n,) of x that the neurons at a position of the output see, and L there, (n, channels)."""
        channels = self.outputs[-1]
        return self.pull(np.arange(channels) + position * channels, np.eye(channels))

    def sums(self, ops: Ops) -> Array:
        """S_i = Σ_j L_ij per channel, (channels,): the largest over positions.

        Positions with less are filled up by synapses at lead 0, which change no value.
        """
        return _per_channel(self.apply(np.ones((1, *self.inputs)), ops), self.outputs)

    def magnitudes(self, sign: int, ops: Ops) -> Array:
        """At least Σ_j max(sign L_ij, 0) per channel, (channels,): the largest over positions."""
        part = self.part(sign)
        if part is None:
            return np.zeros(self.outputs[-1])
        return _per_channel(part.apply(np.ones((1, *self.inputs)), ops), self.outputs)


def input_sums(maps: Mapping[str, LinearMap], channels: int) -> Array:
    """S_i = Σ_s Σ_j L_s,ij, one number per channel, (channels,); of a convolution over its whole kernel."""
    return sum((map_.sums(NumpyOps()) for map_ in maps.values()), np.zeros(channels))


def floats(values: Any) -> Array:
    """As float64, or float32 where the values are: those of a network in float32 are not held twice."""
    found: Array = np.asarray(values)
    return found if found.dtype == np.float32 else np.asarray(found, np.float64)


def merged(elements: Indices, weights: Array) -> tuple[Indices, Array]:
    """Weights on the same element added up."""
    unique, where = np.unique(elements, return_inverse=True)
    if len(unique) == len(elements):
        return elements, weights
    total = np.zeros((len(unique), weights.shape[1]))
    np.add.at(total, where.ravel(), weights)
    return unique, total


def _per_channel(values: Any, shape: Shape) -> Array:
    found: Array = np.asarray(values, np.float64).reshape(positions(shape), shape[-1]).max(axis=0)
    return found
