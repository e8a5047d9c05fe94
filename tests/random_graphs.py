"""Random graphs of segments, each map drawn twice: as the library's, and as a matrix.

The matrices are written down by plain loops from what the layers mean, and share no code with the library's maps.
"""

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import oracle
from numpy.typing import NDArray

from relu2snn.graph.convolution import Convolution, average_pool, dense, transposed
from relu2snn.graph.geometry import Window
from relu2snn.graph.linear import LinearMap
from relu2snn.graph.maps import Diagonal, Selection, Shift, add, chain
from relu2snn.graph.nodes import Extremum, Network, Population, Readout, Segment, Source

Array = NDArray[np.float64]
Shape = tuple[int, ...]
Drawn = tuple[LinearMap, Array]
LARGEST = 40
"""Elements of a tensor, at most."""


def taps(shape: Shape, window: Window) -> list[tuple[int, int, int]]:
    """(place, tap, cell) of every cell that a window sees, all counted row by row."""
    sides = shape[:-1]
    found = []
    for place, corner in enumerate(itertools.product(*map(range, window.outputs(sides)))):
        for tap, offset in enumerate(itertools.product(*map(range, window.sizes))):
            cell = [
                at * stride - margin[0] + k * rate
                for at, stride, margin, k, rate in zip(
                    corner, window.strides, window.margins, offset, window.dilation, strict=True
                )
            ]
            if all(0 <= c < side for c, side in zip(cell, sides, strict=True)):
                found.append((place, tap, int(np.ravel_multi_index(cell, sides))))
    return found


def convolution(draw: np.random.Generator, shape: Shape) -> Drawn | None:
    """Any rank, strides, dilation, margins and groups; filter f sees the channels of its group."""
    rank, channels = len(shape) - 1, shape[-1]
    groups = channels if draw.random() < 0.3 else 1
    filters = groups * int(draw.integers(1, 3))
    window = Window.of(
        draw.integers(1, 4, rank).tolist(),
        strides=draw.integers(1, 3, rank).tolist(),
        dilation=draw.integers(1, 3, rank).tolist(),
        margins=[tuple(pair) for pair in draw.integers(0, 3, (rank, 2)).tolist()],
    )
    if min(window.outputs(shape[:-1])) < 1 or np.prod(window.outputs(shape[:-1])) * filters > LARGEST:
        return None
    per_group = channels // groups
    kernel = draw.normal(size=(*window.sizes, per_group, filters)) * 1.4 / np.sqrt(np.prod(window.sizes) * per_group)
    map_, flat = Convolution(shape, kernel, window, groups=groups), kernel.reshape(-1, per_group, filters)
    matrix = np.zeros((int(np.prod(window.outputs(shape[:-1]))), filters, int(np.prod(shape[:-1])), channels))
    for place, tap, cell in taps(shape, window):
        for f in range(filters):
            group = f * groups // filters
            matrix[place, f, cell, group * per_group : (group + 1) * per_group] += flat[tap, :, f]
    return map_, matrix.reshape(-1, int(np.prod(shape)))


def mean_pool(draw: np.random.Generator, shape: Shape) -> Drawn | None:
    """The mean of the cells under a window that are there."""
    rank, channels = len(shape) - 1, shape[-1]
    sizes = draw.integers(1, 4, rank).tolist()
    margins = [(0, int(draw.integers(0, size))) for size in sizes]
    window = Window.of(sizes, strides=draw.integers(1, 3, rank).tolist(), margins=margins)
    if min(window.outputs(shape[:-1])) < 1:
        return None
    places = int(np.prod(window.outputs(shape[:-1])))
    seen = np.zeros((places, int(np.prod(shape[:-1]))))
    for place, _, cell in taps(shape, window):
        seen[place, cell] = 1
    if not seen.sum(axis=1).all():
        return None
    matrix = np.kron(seen / seen.sum(axis=1, keepdims=True), np.eye(channels))
    return average_pool(shape, window), matrix


def transposition(draw: np.random.Generator, shape: Shape) -> Drawn | None:
    """A transposed convolution: each cell lays the kernel, times its value, where its stride puts it."""
    rank, channels, filters = len(shape) - 1, shape[-1], int(draw.integers(1, 3))
    sizes, strides = (draw.integers(1, 4, rank).tolist() for _ in range(2))
    sides = [(side - 1) * stride + size for side, stride, size in zip(shape[:-1], strides, sizes, strict=True)]
    if np.prod(sides) * filters > LARGEST:
        return None
    kernel = draw.normal(size=(*sizes, channels, filters)) / np.sqrt(channels)
    matrix = np.zeros((*sides, filters, *shape[:-1], channels))
    for cell in itertools.product(*map(range, shape[:-1])):
        for tap in itertools.product(*map(range, sizes)):
            at = tuple(c * stride + k for c, stride, k in zip(cell, strides, tap, strict=True))
            for f in range(filters):
                matrix[(*at, f, *cell)] += kernel[tap][:, f]
    whole = [(size - 1, size - 1) for size in sizes]
    return transposed(shape, kernel, strides, whole), matrix.reshape(-1, int(np.prod(shape)))


def factors(draw: np.random.Generator, shape: Shape) -> Drawn:
    """A normalisation: a factor for each channel, or for each element."""
    values = draw.normal(size=shape if draw.random() < 0.4 else shape[-1:])
    return Diagonal(shape, values), np.diag(np.broadcast_to(values, shape).ravel())


def selection(draw: np.random.Generator, shape: Shape) -> Drawn | None:
    """Up-sampling, permuting, or nothing but another shape."""
    index = np.arange(int(np.prod(shape))).reshape(shape)
    kind = int(draw.integers(3))
    if kind == 0:
        index = np.repeat(index, 2, axis=int(draw.integers(len(shape))))
    elif kind == 1:
        index = index.transpose(draw.permutation(len(shape)))
    else:
        index = index.ravel()
    if index.size > LARGEST:
        return None
    map_ = Selection(shape, index.shape, None if kind == 2 else index)
    return map_, np.eye(int(np.prod(shape)))[index.ravel()]


def margins(draw: np.random.Generator, shape: Shape) -> Drawn | None:
    """Padding with zeros and cropping; channels, too."""
    found = draw.integers(-1, 2, (len(shape), 2)).tolist()
    outputs = [side + sum(pair) for side, pair in zip(shape, found, strict=True)]
    if min(outputs) < 1 or np.prod(outputs) > LARGEST:
        return None
    index = np.full(outputs, -1)
    for place in itertools.product(*map(range, outputs)):
        cell = tuple(at - before for at, (before, _) in zip(place, found, strict=True))
        if all(0 <= c < side for c, side in zip(cell, shape, strict=True)):
            index[place] = np.ravel_multi_index(cell, shape)
    rows = np.vstack([np.eye(int(np.prod(shape))), np.zeros(int(np.prod(shape)))])
    return Shift(shape, tuple(tuple(pair) for pair in found)), rows[index.ravel()]


def dense_layer(draw: np.random.Generator, shape: Shape, units: int | None = None) -> Drawn:
    """Over the last axis, whatever stands before it."""
    kernel = draw.normal(size=(shape[-1], units or int(draw.integers(1, 5)))) * 1.4 / np.sqrt(shape[-1])
    return dense(shape, kernel), np.kron(np.eye(int(np.prod(shape[:-1]))), kernel.T)


STEPS = (convolution, convolution, mean_pool, transposition, factors, selection, margins, dense_layer)


def chained(draw: np.random.Generator, shape: Shape) -> Drawn:
    """One to three layers after each other, the first or last of them with weights."""
    found: Drawn | None = None
    for _ in range(int(draw.integers(1, 4))):
        step = STEPS[int(draw.integers(len(STEPS)))]
        inputs = found[0].outputs if found else shape
        if len(inputs) == 1 and step in (convolution, mean_pool, transposition):
            step = dense_layer
        other = step(draw, inputs)
        if other is not None:
            found = other if found is None else (chain(found[0], other[0]), other[1] @ found[1])
    return found or dense_layer(draw, shape)


def reaching(draw: np.random.Generator, shape: Shape, wanted: Shape) -> Drawn:
    """A map to a shape that others have set: a factor where it is the same, else a dense layer between reshapes."""
    if shape == wanted and draw.random() < 0.6:
        return factors(draw, shape)
    size = int(np.prod(wanted))
    before, after = Selection(shape, (int(np.prod(shape)),)), Selection((size,), wanted)
    layer, matrix = dense_layer(draw, before.outputs, size)
    return chain(chain(before, layer), after), matrix


@dataclass
class Graph:
    """A ReLU network, and all of it once more in matrices: by tensor, and of each node."""

    nodes: list[Any] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    matrices: dict[str, dict[str, Array]] = field(default_factory=dict)
    cells: dict[str, list[list[int]]] = field(default_factory=dict)


def affine(draw: np.random.Generator, graph: Graph, sources: list[str]) -> tuple[Shape, dict[str, LinearMap], Any]:
    maps: dict[str, LinearMap] = {}
    matrices: dict[str, Array] = {}
    wanted: Shape | None = None
    for name in sources:
        map_, matrix = (
            chained(draw, graph.shapes[name]) if wanted is None else reaching(draw, graph.shapes[name], wanted)
        )
        wanted = map_.outputs
        # A tensor that reaches a layer by two ways.
        maps[name] = add(maps[name], map_) if name in maps else map_
        matrices[name] = matrices[name] + matrix if name in matrices else matrix
    assert wanted is not None
    return wanted, maps, matrices


def chosen(draw: np.random.Generator, names: list[str], most: int) -> list[str]:
    """Late ones rather than early ones, so that graphs get deep; the same one twice, too."""
    weights = np.arange(1, len(names) + 1) ** 2.0
    return [str(each) for each in draw.choice(names, int(draw.integers(1, most + 1)), p=weights / weights.sum())]


def random_graph(draw: np.random.Generator, size: int) -> Graph:
    graph = Graph()
    neurons: list[str] = []
    for number in range(int(draw.integers(1, 3))):
        shape = [(int(draw.integers(2, 7)),), (5, 2), (3, 4, 2), (2, 2, 2, 2)][int(draw.integers(4))]
        low = draw.uniform(-2, 0, shape[-1])
        graph.nodes.append(Source(f"x{number}", shape, low, low + draw.uniform(0.5, 3, shape[-1])))
        graph.shapes[f"x{number}"] = shape
    for number in range(size):
        name = f"n{number}"
        pools = [each for each in graph.shapes if len(graph.shapes[each]) > 1]
        if pools and neurons and draw.random() < 0.3:
            extremum(draw, graph, name, pools, neurons)
            continue
        shape, maps, matrices = affine(draw, graph, chosen(draw, list(graph.shapes), 3))
        bias = draw.normal(0, 0.3, shape if draw.random() < 0.3 else shape[-1:])
        populations = [Population(name, int(draw.choice([1, 1, -1])), draw.normal(0, 0.2, shape[-1:]))]
        if draw.random() < 0.4:
            populations.append(Population(f"{name}_2", int(draw.choice([1, -1])), draw.normal(0, 0.3, ())))
        graph.nodes.append(Segment(name, shape, maps, bias, tuple(populations)))
        graph.matrices[name] = matrices
        graph.shapes |= {each.name: shape for each in populations}
        neurons += [each.name for each in populations]
    for number in range(int(draw.integers(1, 3))):
        shape, maps, matrices = affine(draw, graph, chosen(draw, list(graph.shapes), 2))
        graph.nodes.append(Readout(f"out{number}", shape, maps, draw.normal(size=shape[-1:])))
        graph.matrices[f"out{number}"] = matrices
    return graph


def extremum(draw: np.random.Generator, graph: Graph, name: str, pools: list[str], neurons: list[str]) -> None:
    """A pool over one tensor, or the extremum of several of one shape."""
    first = str(draw.choice(neurons))
    alike = [each for each in neurons if graph.shapes[each] == graph.shapes[first] and each != first]
    if alike and draw.random() < 0.6:
        tensors: tuple[str, ...] = (first, str(draw.choice(alike)))
        window = Window.of((1,) * (len(graph.shapes[first]) - 1))
    else:
        tensors = (str(draw.choice(pools)),)
        sizes = draw.integers(1, 4, len(graph.shapes[tensors[0]]) - 1).tolist()
        window = Window.of(
            sizes,
            strides=draw.integers(1, 3, len(sizes)).tolist(),
            margins=[(int(draw.integers(0, size)), 0) for size in sizes],
        )
    shape = graph.shapes[tensors[0]]
    places = oracle.cells_of_pools(shape[:-1], window.sizes, window.strides, window.dilation, window.margins)
    if not places or not all(places):
        return
    channels = shape[-1]
    minimum = draw.random(channels) < 0.5
    outputs = (*window.outputs(shape[:-1]), channels)
    graph.nodes.append(Extremum(name, outputs, tensors, window, minimum))
    graph.cells[name] = [[cell * channels + c for cell in each] for each in places for c in range(channels)]
    graph.shapes[name] = outputs


def flat(values: Any, shape: Shape) -> Array:
    return np.broadcast_to(np.asarray(values, float), shape).ravel()


def values_of(graph: Graph, images: dict[str, Array]) -> dict[str, Array]:
    """Every ReLU, pool and read-out for one image, in matrices alone."""
    found: dict[str, Array] = {}
    for node in graph.nodes:
        match node:
            case Source():
                found[node.name] = ((images[node.name] - node.low) / (node.high - node.low)).ravel()
            case Extremum():
                minimum = flat(node.minimum, node.shape)
                found[node.name] = np.array(
                    [
                        (min if low else max)(found[name][k] for name in node.tensors for k in cells)
                        for cells, low in zip(graph.cells[node.name], minimum, strict=True)
                    ]
                )
            case _:
                z = sum(matrix @ found[name] for name, matrix in graph.matrices[node.name].items())
                z = z + flat(node.bias, node.shape)
                if isinstance(node, Readout):
                    found[node.name] = z
                for each in getattr(node, "populations", ()):
                    found[each.name] = np.maximum(each.sign * z + flat(each.offset, node.shape), 0)
    return found


def scaled_matrices(graph: Graph, network: Network) -> Graph:
    """The same graph with x' = f x, f being the scales that the network says its neurons have."""
    scales = {name: flat(1.0, shape) for name, shape in graph.shapes.items()}
    nodes, matrices = [], {}
    for node in graph.nodes:
        if isinstance(node, Extremum):
            repeats = int(np.prod(node.shape[:-1]))
            scales[node.name] = np.tile(scales[node.tensors[0]][: node.shape[-1]], repeats)
        if isinstance(node, Segment | Readout):
            own = np.ones(int(np.prod(node.shape)))
            if isinstance(node, Segment):
                own = flat(network.populations[node.name][1].scale, node.shape)
                scales |= {each.name: own for each in node.populations}
                moved = [
                    replace(p, offset=(flat(p.offset, node.shape) * own).reshape(node.shape)) for p in node.populations
                ]
                node = replace(node, populations=tuple(moved))
            matrices[node.name] = {
                name: own[:, None] * matrix / scales[name] for name, matrix in graph.matrices[node.name].items()
            }
            node = replace(node, bias=(flat(node.bias, node.shape) * own).reshape(node.shape))
        nodes.append(node)
    return Graph(nodes, graph.shapes, matrices, graph.cells)
