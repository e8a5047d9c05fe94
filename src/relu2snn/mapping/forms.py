"""A network read layer by layer: every tensor of the user's network as an affine form of spike-coded tensors.

A form u = Σ_s L_s x_s + c grows with every affine layer. An activation makes a segment of it, whose neurons are new
spike-coded tensors; a pool makes an extremum where it commutes with what stands between it and the spikes.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from relu2snn.graph.arrays import NumpyOps
from relu2snn.graph.geometry import Shape, Window
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Diagonal, Selection, Shift, add, chain
from relu2snn.graph.nodes import Extremum, Network, Node, Population, Readout, Segment, Source, made, used
from relu2snn.mapping.form import (
    RELU,
    Array,
    Flags,
    Form,
    Pool,
    Term,
    applied,
    is_relu,
    never_negative,
    shared_bias,
    without_padding,
)
from relu2snn.mapping.ties import Ties

_OPS = NumpyOps()


FAN_IN = 8
"""How many tensors a sum or a concatenation takes through weights of their own before it is relayed.

A join that is not relayed costs no neuron and no time, but each layer that follows computes the sums of all its inputs
again: in a dense block of n layers n² / 2 convolutions instead of n. Relays cost two neurons for each element and a
window, once for every FAN_IN inputs.
"""


@dataclass(frozen=True)
class _Origin:
    """Where a tensor comes from: neurons of a segment, and the windows of the pools since."""

    segment: str
    sign: int
    offset: Array
    windows: tuple[Window, ...] = ()


@dataclass
class Builder:
    """Makes the network while a reader walks through the user's; forms in, forms out.

    reserved: names of the user's layers, which no other tensor is given.
    """

    reserved: frozenset[str] = frozenset()
    nodes: list[Node] = field(default_factory=list)
    _origins: dict[str, _Origin] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _ties: Ties = field(default_factory=Ties)

    def source(self, name: str, shape: Shape, *, low: Array, high: Array) -> Form:
        """The images, with values in [low, high]: x = (high − low) x' + low."""
        name = self._unique(name)
        self._ties.add([name])
        self.nodes.append(Source(name, shape, np.asarray(low, np.float64), np.asarray(high, np.float64)))
        span = np.broadcast_to(np.asarray(high, np.float64) - low, shape[-1:])
        return Form(shape, {name: Diagonal(shape, span)}, np.asarray(low, np.float64), name)

    def affine(self, form: Form, map_: LinearMap, bias: Array | float = 0.0, label: str | None = None) -> Form:
        """map_ u + bias."""
        shift = np.asarray(bias, np.float64)
        label = label or form.label
        if form.pool and isinstance(map_, Diagonal) and map_.factors.ndim < 2 and shift.ndim < 2:
            # A max commutes with what is the same over its window, a negative factor turns it round.
            minimum = form.pool.minimum ^ (map_.factors < 0)
            maps = {name: chain(each, Diagonal(form.inner, map_.factors)) for name, each in form.maps.items()}
            moved = form.bias * map_.factors + shift
            return replace(form, maps=maps, bias=moved, label=label, pool=replace(form.pool, minimum=minimum))
        form = self.settled(form)
        moved = shift if not form.bias.any() else applied(map_, form.bias, form.inner) + shift
        return Form(map_.outputs, {name: chain(each, map_) for name, each in form.maps.items()}, moved, label)

    def total(self, forms: Sequence[Form], coefficients: Sequence[float], label: str) -> Form:
        """Σ coefficient · form, of forms of one shape; shapes that numpy would broadcast are widened first.

        Raises ValueError when they do not fit.
        """
        shape = np.broadcast_shapes(*(form.shape for form in forms))
        parts = [self.widened(self.settled(form), shape) for form in forms]
        maps: dict[str, LinearMap] = {}
        for form, factor in zip(parts, coefficients, strict=True):
            for name, map_ in form.maps.items():
                map_ = map_ if factor == 1 else chain(map_, Diagonal(shape, np.asarray(factor)))
                maps[name] = add(maps[name], map_) if name in maps else map_
        bias = sum((form.bias * factor for form, factor in zip(parts, coefficients, strict=True)), np.zeros(()))
        found = Form(shape, maps, bias, label)
        return self.relayed(found) if sum(map_.terms() > 1 for map_ in maps.values()) > FAN_IN else found

    def widened(self, form: Form, shape: Shape) -> Form:
        """A form repeated along the axes that it lacks or has once, to `shape`."""
        if form.shape == shape:
            return form
        index = np.arange(int(np.prod(form.shape))).reshape(form.shape)
        return self.affine(form, Selection(form.shape, shape, np.broadcast_to(index, shape)))

    def concatenated(self, forms: Sequence[Form], axis: int, label: str) -> Form:
        """Forms side by side along `axis` (0 is the first after the batch)."""
        sizes = [form.shape[axis] for form in forms]
        parts = []
        for number, form in enumerate(forms):
            margin = sum(sizes[:number]), sum(sizes[number + 1 :])
            margins = tuple(margin if each == axis else (0, 0) for each in range(len(form.shape)))
            parts.append(self.affine(form, Shift(form.shape, margins)))
        return self.total(parts, [1.0] * len(parts), label)

    def activated(
        self, form: Form, terms: Sequence[Term], *, constant: Array | float = 0.0, name: str, label: str | None = None
    ) -> Form:
        """Σ_k coefficient_k ReLU(sign_k u + offset_k) + constant: a segment of neurons and the form of their values.

        name: the activation's own; the segment takes the label of the form where that is free.
        """
        terms = [term for term in terms if np.any(term.coefficient)]
        if any(np.ndim(term.coefficient) > 1 for term in terms):
            form = self.settled(form)
        if is_relu(terms) and not np.any(constant) and not form.pool and never_negative(form):
            return form
        if not form.maps:
            z = np.broadcast_to(form.bias, form.inner)
            values = sum((t.coefficient * np.maximum(t.sign * z + t.offset, 0) for t in terms), np.asarray(constant))
            return Form(form.inner, {}, np.asarray(values, np.float64), name)
        return self._fired(form, terms, constant=constant, name=name, label=label or name)

    def _fired(self, form: Form, terms: Sequence[Term], *, constant: Array | float, name: str, label: str) -> Form:
        tensors = self._segment(form, terms, form.label if form.label not in self._names else name)
        result: dict[str, LinearMap] = {}
        for tensor, term in zip(tensors, terms, strict=True):
            if form.pool:
                tensor = self._extremum(
                    [tensor], form.pool.window, form.pool.minimum ^ (term.sign < 0), form.pool.shape
                )
            result[tensor] = Diagonal(form.shape, np.asarray(term.coefficient))
        return Form(form.shape, result, np.asarray(constant, np.float64), label)

    def pooled(self, form: Form, window: Window, *, minimum: bool, label: str) -> Form:
        """The largest (smallest) of every pool."""
        form = self.settled(form)
        if not minimum:
            form, window = without_padding(form, window)
        shape = (*window.outputs(form.shape[:-1]), form.shape[-1])
        if not form.maps:
            values = _OPS.extremum(np.broadcast_to(form.bias, form.shape)[None], window, minimum)[0]
            return Form(shape, {}, values, label)
        flags = np.full(shape[-1], minimum)
        directions = self._directions(form)
        if directions is None:
            return replace(form, pool=Pool(window, flags, shape), label=form.label)
        result: dict[str, LinearMap] = {}
        for tensor, map_ in form.maps.items():
            assert isinstance(map_, Diagonal)
            origin = self._origins.get(tensor)
            turned = flags ^ (directions < 0) ^ (origin is not None and origin.sign < 0)
            result[self._extremum([tensor], window, turned, shape)] = Diagonal(shape, map_.factors)
        return Form(shape, result, form.bias, label)

    def extreme(self, forms: Sequence[Form], *, minimum: bool, label: str) -> Form:
        """The element-wise maximum (minimum) of forms of one shape."""
        parts = [self.settled(form) for form in forms]
        alike = self._alike(parts)
        tensors = [name for form in parts for name in form.maps]
        # Of tensors that feed each other, as of x and ReLU(2 x), no two need have a factor in common.
        if alike is not None and not self._ties.feed_each_other(tensors):
            factors, bias = alike
            shape = parts[0].shape
            window = Window.of((1,) * (len(shape) - 1))
            name = self._extremum(tensors, window, (factors < 0) ^ minimum, shape)
            return Form(shape, {name: Diagonal(shape, factors)}, bias, label)
        result = parts[0]
        for number, other in enumerate(parts[1:], start=1):
            # max(u, v) = u + ReLU(v − u), min(u, v) = u − ReLU(u − v)
            signs = (-1.0, 1.0) if minimum is False else (1.0, -1.0)
            gap = self.total([result, other], signs, f"{label}_gap{number}")
            risen = self.activated(gap, RELU, name=f"{label}_{number}")
            result = self.total([result, risen], (1.0, 1.0 if minimum is False else -1.0), label)
        return replace(result, label=label)

    def settled(self, form: Form) -> Form:
        """A form without a pool to be taken: relays u = ReLU(u) − ReLU(−u) carry what a pool does not commute with."""
        return form if form.pool is None else self.relayed(form)

    def relayed(self, form: Form) -> Form:
        """The same by relays: neurons that fire for u and, where it may be negative, for −u, taken away again."""
        relays = RELU if never_negative(form) else (*RELU, Term(-np.ones(()), sign=-1))
        name = self._free(f"{form.label}_relay")
        return self._fired(replace(form, label=name), relays, constant=0.0, name=name, label=form.label)

    def readout(self, form: Form, name: str, activation: str = "linear") -> None:
        """Make a form an output of the network."""
        form = self.settled(form)
        if not form.maps:
            raise ValueError(f"the output {name!r} does not depend on the images")
        self.nodes.append(
            Readout(self._unique(name), form.shape, dict(form.maps), shared_bias(form.bias, form.shape), activation)
        )

    def network(self) -> Network:
        """The network, without what no read-out needs."""
        needed: set[str] = set()
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if isinstance(node, Segment):
                node = replace(node, populations=tuple(each for each in node.populations if each.name in needed))
            if isinstance(node, Readout | Source) or needed & set(made(node)):
                needed |= set(used(node))
                kept.append(node)
        return Network(kept[::-1])

    def _segment(self, form: Form, terms: Sequence[Term], name: str) -> list[str]:
        name = self._unique(name)
        populations = []
        for number, term in enumerate(terms):
            tensor = name if not number else self._unique(f"{name}_part{number + 1}")
            populations.append(Population(tensor, term.sign, np.asarray(term.offset, np.float64)))
            self._origins[tensor] = _Origin(name, term.sign, populations[-1].offset)
        self._ties.add([each.name for each in populations], form.maps)
        bias = shared_bias(form.bias, form.inner)
        self.nodes.append(Segment(name, form.inner, dict(form.maps), bias, tuple(populations)))
        return [each.name for each in populations]

    def _extremum(self, tensors: Sequence[str], window: Window, minimum: Flags, shape: Shape) -> str:
        name = self._unique(f"{tensors[0]}_{'pool' if len(tensors) == 1 else 'extremum'}")
        self._ties.add_extremum(name, tensors)
        self.nodes.append(Extremum(name, shape, tuple(tensors), window, np.broadcast_to(minimum, shape[-1:])))
        first = self._origins.get(tensors[0])
        if first is not None and len(tensors) == 1:
            self._origins[name] = replace(first, windows=(*first.windows, window))
        else:
            self._origins[name] = _Origin(name, 1, np.zeros(()))
        return name

    def _directions(self, form: Form) -> Array | None:
        """(channels,) +1 where the form rises with the one z that its tensors rectify, −1 where it falls.

        None where it is no monotone function of one z, channel by channel: a pool does not commute with it.
        """
        if form.bias.ndim > 1 or not all(
            isinstance(each, Diagonal) and each.factors.ndim == 1 for each in form.maps.values()
        ):
            return None
        origins = {name: self._origins.get(name) for name in form.maps}
        if any(each is None for each in origins.values()):
            # Images are their own z.
            return None if len(origins) > 1 else np.where(next(iter(form.maps.values())).factors < 0, -1.0, 1.0)  # type: ignore[attr-defined]
        known = {name: each for name, each in origins.items() if each is not None}
        if len({(each.segment, each.windows) for each in known.values()}) > 1:
            return None
        channels = form.shape[-1:]
        knots = sorted({float(v) for each in known.values() for v in np.ravel(-each.sign * each.offset)})
        probes = [knots[0] - 1, *((a + b) / 2 for a, b in itertools.pairwise(knots)), knots[-1] + 1]
        slopes = np.zeros((len(probes), *channels))
        for name, each in known.items():
            map_ = form.maps[name]
            assert isinstance(map_, Diagonal)
            for row, z in enumerate(probes):
                slopes[row] += map_.factors * each.sign * (each.sign * z + each.offset > 0)
        rising, falling = (slopes >= 0).all(axis=0), (slopes <= 0).all(axis=0)
        return np.where(rising, 1.0, -1.0) if (rising | falling).all() else None

    def _alike(self, forms: Sequence[Form]) -> tuple[Array, Array] | None:
        """Factors and bias, where all forms are the same multiple and shift of one tensor each, by channel."""
        found = []
        for form in forms:
            maps = list(form.maps.values())
            if len(maps) != 1 or not isinstance(maps[0], Diagonal) or maps[0].factors.ndim > 1 or form.bias.ndim > 1:
                return None
            if next(iter(form.maps)) not in self._origins or self._origins[next(iter(form.maps))].sign < 0:
                return None
            found.append((maps[0].factors, np.broadcast_to(form.bias, form.shape[-1:])))
        same = all((a == found[0][0]).all() and (b == found[0][1]).all() for a, b in found)
        return found[0] if same else None

    def _free(self, name: str) -> str:
        found, count = name, 1
        while found in self._names or (count > 1 and found in self.reserved):
            count += 1
            found = f"{name}_{count}"
        return found

    def _unique(self, name: str) -> str:
        found = self._free(name)
        self._names.add(found)
        return found
