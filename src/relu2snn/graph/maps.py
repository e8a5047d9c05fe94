"""The linear maps that are no convolutions: elements chosen, shifted, scaled; and maps chained and added."""

from functools import cached_property
from typing import Any

import numpy as np

from relu2snn.graph.geometry import Indices, Margin, Shape
from relu2snn.graph.linear import Array, LinearMap, Ops, floats, merged


class Selection(LinearMap):
    """Every element of the output is one of the input, or 0: (L x)_i = x[index_i], index −1 for 0.

    Padding, cropping, up-sampling, permuting, flattening, repeating, and a tensor's place in a concatenation.
    """

    def __init__(self, inputs: Shape, outputs: Shape, index: Indices | None = None) -> None:
        """index: (*outputs) into the elements of the input; None only changes the shape."""
        self.inputs, self.outputs = inputs, outputs
        self._index = None if index is None else np.array(index, np.int64).reshape(-1)

    @property
    def index(self) -> Indices | None:
        """(elements of the output,), row by row; None where all of them are those of the input in their order."""
        return self._index

    def apply(self, x: Any, ops: Ops) -> Any:
        if self.index is None:
            return ops.reshape(x, self.outputs)
        return ops.take(x, self.index, self.outputs)

    def part(self, sign: int) -> LinearMap | None:
        return self if sign > 0 else None

    def pull(self, elements: Indices, weights: Array) -> tuple[Indices, Array]:
        if self.index is None:
            return elements, weights
        found = self.index[elements]
        return merged(found[found >= 0], weights[found >= 0])

    def scaled(self, inputs: Array, outputs: Array) -> LinearMap:
        # One factor for each element of the output does for both.
        if (np.asarray(inputs) == 1).all():
            return chain(self, Diagonal(self.outputs, np.broadcast_to(outputs, self.outputs)))
        whole = np.broadcast_to(inputs, self.inputs).ravel()
        taken = whole if self.index is None else np.append(whole, 0.0)[self.index]
        return chain(self, Diagonal(self.outputs, taken.reshape(self.outputs) * outputs))

    def after(self, first: LinearMap) -> LinearMap | None:
        if not isinstance(first, Selection):
            return None
        if isinstance(self, Shift) and isinstance(first, Shift) and not self.crops_padding_of(first):
            return Shift(
                first.inputs, tuple((a + c, b + d) for (a, b), (c, d) in zip(first.margins, self.margins, strict=True))
            )
        if self.index is None or first.index is None:
            # A change of shape changes no order.
            index = first.index if self.index is None else self.index
            return Selection(first.inputs, self.outputs, index)
        index = np.append(first.index, -1)[self.index]
        return Selection(first.inputs, self.outputs, index)

    def is_nonnegative(self) -> bool:
        return True


class Shift(Selection):
    """Padding with zeros and cropping along every axis, channels too: margins (before, after), negative ones crop.

    Along the channels it is a tensor's place in a concatenation, or a slice of it.
    """

    def __init__(self, inputs: Shape, margins: tuple[Margin, ...]) -> None:
        self.margins = margins
        outputs = tuple(side + before + after for side, (before, after) in zip(inputs, margins, strict=True))
        if min(outputs) < 1:
            raise ValueError(f"margins {margins} leave nothing of {inputs}")
        super().__init__(inputs, outputs)

    @cached_property
    def index(self) -> Indices:
        found = np.zeros((1,), np.int64)
        for side, (before, after) in zip(self.inputs, self.margins, strict=True):
            cell = np.arange(side + before + after) - before
            axis = np.where((cell >= 0) & (cell < side), cell, -1)
            missing = (found[:, None] < 0) | (axis < 0)
            found = np.where(missing, -1, found[:, None] * side + axis).reshape(-1)
        return found

    def apply(self, x: Any, ops: Ops) -> Any:
        if any(min(margin) < -side for margin, side in zip(self.margins, self.inputs, strict=True)):
            # What is cut off on one side reaches into the padding of the other.
            return ops.take(x, self.index, self.outputs)
        return ops.shift(x, self.margins)

    def scaled(self, inputs: Array, outputs: Array) -> LinearMap:
        if np.ndim(inputs) > 1 or np.ndim(outputs) > 1:
            return super().scaled(inputs, outputs)
        before, after = self.margins[-1]
        factors = np.broadcast_to(inputs, self.inputs[-1:])[max(-before, 0) : self.inputs[-1] - max(-after, 0)]
        # Of a channel that is padding any factor is right.
        moved = np.pad(factors, (max(before, 0), max(after, 0)), constant_values=1.0)
        return chain(self, Diagonal(self.outputs, moved * outputs))

    def crops_padding_of(self, first: "Shift") -> bool:
        """Whether margins cannot be added up: cells that `first` cut off do not come back as they were."""
        pairs = zip(first.margins, self.margins, strict=True)
        return any(one < 0 < two for a, b in pairs for one, two in zip(a, b, strict=True))


class Diagonal(LinearMap):
    """(L x)_i = factor_i x_i, with factors (channels,) or of the whole shape."""

    def __init__(self, shape: Shape, factors: Array) -> None:
        self.inputs = self.outputs = shape
        factors = floats(factors)
        if factors.ndim > 1 and (factors == factors.reshape(-1, shape[-1])[0]).all():
            factors = factors.reshape(-1, shape[-1])[0]
        self.factors = np.broadcast_to(factors, shape[-1:]) if factors.ndim < 2 else factors

    def apply(self, x: Any, ops: Ops) -> Any:
        return x * ops.constant(self.factors)

    def part(self, sign: int) -> LinearMap | None:
        factors = np.maximum(sign * self.factors, 0)
        return Diagonal(self.outputs, factors) if factors.any() else None

    def pull(self, elements: Indices, weights: Array) -> tuple[Indices, Array]:
        factors = np.broadcast_to(self.factors, self.outputs).ravel()
        return elements, weights * factors[elements, None]

    def after(self, first: LinearMap) -> LinearMap | None:
        return Diagonal(self.outputs, first.factors * self.factors) if isinstance(first, Diagonal) else None

    def plus(self, other: LinearMap) -> LinearMap | None:
        return Diagonal(self.outputs, self.factors + other.factors) if isinstance(other, Diagonal) else None

    def is_nonnegative(self) -> bool:
        return bool((self.factors >= 0).all())

    def scaled(self, inputs: Array, outputs: Array) -> LinearMap:
        return Diagonal(self.outputs, self.factors * inputs * outputs)


class Chain(LinearMap):
    """One map after another, which no single kernel can be made of; `chain` makes it."""

    def __init__(self, first: LinearMap, second: LinearMap) -> None:
        if first.outputs != second.inputs:
            raise ValueError(f"a map to {first.outputs} cannot be followed by one from {second.inputs}")
        self.first, self.second = first, second
        self.inputs, self.outputs = first.inputs, second.outputs

    @property
    def begins_with_reshape(self) -> bool:
        """Whether the first map only gives the tensor another shape, as a Flatten does."""
        return isinstance(self.first, Selection) and self.first.index is None

    def apply(self, x: Any, ops: Ops) -> Any:
        return self.second.apply(self.first.apply(x, ops), ops)

    def part(self, sign: int) -> LinearMap | None:
        """(A B)⁺ ≤ A⁺ B⁺ + A⁻ B⁻ and (A B)⁻ ≤ A⁺ B⁻ + A⁻ B⁺; equal where no entry is a sum of several products."""
        found = None
        for outer in (1, -1):
            first, second = self.first.part(sign * outer), self.second.part(outer)
            if first is not None and second is not None:
                both = chain(first, second)
                found = both if found is None else add(found, both)
        return found

    def pull(self, elements: Indices, weights: Array) -> tuple[Indices, Array]:
        return self.first.pull(*self.second.pull(elements, weights))

    def is_nonnegative(self) -> bool:
        return self.first.is_nonnegative() and self.second.is_nonnegative()

    def terms(self) -> int:
        return self.first.terms() + self.second.terms()

    def scaled(self, inputs: Array, outputs: Array) -> LinearMap:
        one = np.ones(1)
        return chain(self.first.scaled(inputs, one), self.second.scaled(one, outputs))


class Sum(LinearMap):
    """Several maps from the same tensor, added up: a tensor that reaches a layer by several ways."""

    def __init__(self, *parts: LinearMap) -> None:
        if len({(each.inputs, each.outputs) for each in parts}) != 1:
            raise ValueError(f"maps between {[(each.inputs, each.outputs) for each in parts]} cannot be added")
        self.parts = parts
        self.inputs, self.outputs = parts[0].inputs, parts[0].outputs

    def apply(self, x: Any, ops: Ops) -> Any:
        return sum(each.apply(x, ops) for each in self.parts[1:]) + self.parts[0].apply(x, ops)

    def part(self, sign: int) -> LinearMap | None:
        """(A + B)⁺ ≤ A⁺ + B⁺."""
        found = None
        for each in self.parts:
            part = each.part(sign)
            if part is not None:
                found = part if found is None else add(found, part)
        return found

    def pull(self, elements: Indices, weights: Array) -> tuple[Indices, Array]:
        pulled = [each.pull(elements, weights) for each in self.parts]
        return merged(np.concatenate([each for each, _ in pulled]), np.concatenate([each for _, each in pulled]))

    def is_nonnegative(self) -> bool:
        return all(each.is_nonnegative() for each in self.parts)

    def terms(self) -> int:
        return sum(each.terms() for each in self.parts)

    def scaled(self, inputs: Array, outputs: Array) -> LinearMap:
        return Sum(*(each.scaled(inputs, outputs) for each in self.parts))


def chain(first: LinearMap, second: LinearMap) -> LinearMap:
    """`second` after `first`, as one map where that is no larger than the two.

    Raises ValueError when the shapes do not meet.
    """
    if first.outputs != second.inputs:
        raise ValueError(f"a map to {first.outputs} cannot be followed by one from {second.inputs}")
    joined = second.after(first)
    if joined is not None:
        return joined
    one = np.ones(1)
    for each, other in ((first, second), (second, first)):
        if isinstance(each, Diagonal) and (each.factors == 1).all():
            return other
    if isinstance(first, Diagonal) and first.factors.ndim == 1 and not isinstance(second, Chain | Sum):
        return second.scaled(first.factors, one)
    if isinstance(second, Diagonal) and second.factors.ndim == 1 and not isinstance(first, Selection | Chain | Sum):
        return first.scaled(one, second.factors)
    if isinstance(first, Chain):
        rest = chain(first.second, second)
        if not isinstance(rest, Chain):
            return chain(first.first, rest)
        # What the second of the two has passed on to the front may be one with the first.
        joined = rest.first.after(first.first)
        return Chain(first.first, rest) if joined is None else chain(joined, rest.second)
    return Chain(first, second)


def add(first: LinearMap, second: LinearMap) -> LinearMap:
    """The sum of two maps from one tensor, as one map where they are alike."""
    joined = first.plus(second)
    if joined is not None:
        return joined
    parts = [part for each in (first, second) for part in (each.parts if isinstance(each, Sum) else (each,))]
    return Sum(*parts)
