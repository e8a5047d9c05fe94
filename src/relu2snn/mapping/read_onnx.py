"""Reading an ONNX network into a network of segments: every node by its operator, never by its name or place.

Only this module and its `onnx_*` neighbours know ONNX.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from relu2snn.graph.nodes import Array, Network, evaluate
from relu2snn.mapping.forms import Builder
from relu2snn.mapping.onnx_elementwise import ELEMENTWISE, ENDS
from relu2snn.mapping.onnx_file import OnnxModel, array, one_line, plain
from relu2snn.mapping.onnx_nodes import Node, constant_of, folded, node_of
from relu2snn.mapping.onnx_pools import POOLS
from relu2snn.mapping.onnx_products import PRODUCTS
from relu2snn.mapping.onnx_resize import RESIZE
from relu2snn.mapping.onnx_shapes import MOVING, SHAPES
from relu2snn.mapping.onnx_slices import SLICES
from relu2snn.mapping.onnx_unsupported import KINDS, UNKNOWN
from relu2snn.mapping.onnx_values import Value, laid_out, whole
from relu2snn.mapping.onnx_weighted import WEIGHTED
from relu2snn.mapping.ranges import input_ranges
from relu2snn.mapping.unsupported import UnsupportedLayerError

HANDLERS = {**WEIGHTED, **PRODUCTS, **SHAPES, **SLICES, **POOLS, **ELEMENTWISE, **RESIZE}
"""By the operator what it is as forms of spike-coded tensors: of a builder, a node, and what it is given."""

PARITY = 1e-9
"""The largest difference of a tensor from the file's own, as a share of its largest number: rounding in float64."""

_DIGITS = 1e-12
"""The share of the largest number in a network that rounding may take of any other."""


def read_onnx(model: OnnxModel, low: Any = 0.0, high: Any = 1.0) -> Network:
    """The network of an ONNX file whose images have values in [low, high].

    low and high: numbers, or one for each channel, of which the range of all is taken; or dictionaries of these by the
    inputs' names. A softmax, sigmoid or tanh at the very end is left out, and named in its read-out.
    Raises UnsupportedLayerError for a node or a weight that cannot be mapped, ValueError for an empty input range.

    Example:
        >>> of_file = read_onnx(relu2snn.load_onnx("resnet.onnx"), -3.0, 3.0)
        >>> [each.name for each in of_file.readouts]
        ['logits']
    """
    return Reading(model, low, high).network()


class Reading:
    """A file while it is read: its tensors by name, arrays or `Value`, as far as the outputs need them."""

    def __init__(self, model: OnnxModel, low: Any = 0.0, high: Any = 1.0) -> None:
        self.model = model
        graph = model.proto.graph
        low, high = (_of_all_channels(each, pick) for each, pick in ((low, np.min), (high, np.max)))
        ranges = input_ranges(model.inputs, low, high)
        self.builder = Builder(reserved=frozenset(plain(each.name) for each in graph.node if each.name))
        self.found: dict[str, Any] = {each.name: array(each) for each in graph.initializer}
        for each in model.given:
            name = model.names[each.name]
            shape = model.inputs[name]
            form = self.builder.source(name, shape, low=ranges[name].low, high=ranges[name].high)
            self.found[each.name] = whole(form, (1, *shape))
        self.nodes = _needed(model)
        for node in self.nodes:
            self._step(node)

    def _step(self, node: Node) -> None:
        for name in node.inputs:
            if name and name not in self.found:
                raise node.refuse(f"its input {name!r} is made by no node before it", "export the network again")
        given = [self.found[name] if name else None for name in node.inputs]
        if node.kind == "Constant":
            made: Any = constant_of(node)
        elif node.kind in ("Shape", "Size") and isinstance(given[0], Value):
            made = _measured(node, given[0])
        elif not any(isinstance(each, Value) for each in given):
            made = folded(node, given)
        else:
            made = self._mapped(node, given)
        several = made if isinstance(made, list) else [made]
        self.found |= {name: each for name, each in zip(node.outputs, several, strict=False) if name}

    def _mapped(self, node: Node, given: list[Any]) -> Any:
        if node.kind not in HANDLERS:
            raise node.refuse(*KINDS.get(node.kind, UNKNOWN))
        ended = next((each.ended for each in given if isinstance(each, Value) and each.ended), "")
        if ended and node.kind not in MOVING:
            raise node.refuse(f"it follows a {ended}, which is not piecewise linear", "let that stand at the end")
        if node.kind in ENDS and node.kind.startswith(("Soft", "Log")):
            _require_classes(node, given[0])
        try:
            return HANDLERS[node.kind](self.builder, node, given)
        except UnsupportedLayerError:
            raise
        except (ValueError, IndexError, TypeError, OverflowError, AttributeError) as error:
            # A file may contradict itself in as many ways as it has numbers.
            raise node.refuse(
                f"it does not fit what it is given ({one_line(error)})", "export the network again"
            ) from error

    def network(self) -> Network:
        """The network, with the file's outputs as read-outs."""
        taken: set[str] = set()
        for name in self.model.outputs:
            value = self.found.get(name)
            if not isinstance(value, Value):
                raise UnsupportedLayerError(f"output {name!r}: it does not depend on the images; leave it out")
            label = plain(name) or "output"
            while label in taken:
                label += "_"
            taken.add(label)
            self._read_out(value, label)
        return self.builder.network()

    def _read_out(self, value: Value, label: str) -> None:
        index = value.index[0] if value.shape[:1] == (1,) and len(value.shape) > 1 else value.index.reshape(-1)
        form = laid_out(self.builder, value, index)
        self.builder.readout(form, label, value.ended or "linear")


def logits(model: OnnxModel) -> list[str]:
    """The tensors of a file whose values the read-outs give: its outputs, before a softmax or the like."""
    made = {name: node for node in model.proto.graph.node for name in node.output}
    found = []
    for name in model.outputs:
        place = name
        while place in made and made[place].op_type in MOVING:
            place = made[place].input[0]
        ended = place in made and made[place].op_type in ENDS
        found.append(made[place].input[0] if ended else name)
    return found


def check_parity(model: OnnxModel, network: Network, images: Sequence[Array], found: Sequence[Array]) -> None:
    """Compare what a network that is read of a file gives with ONNX's own implementation.

    images: (batch, *shape) of each input; found: (batch, *shape) of each output, of the ReLU network in float64.
    Raises ValueError, which names the first node whose tensor differs by more than `PARITY` of its largest number.
    """
    expected = model.run(images, logits(model))
    if not all(_close(a, b) for a, b in zip(expected, found, strict=True)):
        low, high = ({each.name: getattr(each, name) for each in network.sources} for name in ("low", "high"))
        raise ValueError(f"{model.title}: {_first_difference(model, images, low, high)}")


def _close(expected: Array, found: Array) -> bool:
    if expected.size != found.size or not np.isfinite(expected).all():
        return False
    largest = float(np.abs(expected).max(initial=0.0))
    return bool(np.abs(expected.reshape(found.shape) - found).max(initial=0.0) <= PARITY * largest + 1e-300)


def _first_difference(model: OnnxModel, images: Sequence[Array], low: Any, high: Any) -> str:
    """Which node's tensor is the first that differs, and by how much."""
    if not _is_by_image(model, images):
        return "the batch is no axis like others: images together give other values than one by one; export it again"
    reading = Reading(model, low, high)
    places = [
        (node, name) for node in reading.nodes for name in node.outputs if isinstance(reading.found.get(name), Value)
    ]
    places = [(node, name) for node, name in places if not reading.found[name].ended]
    expected = model.run(images, [name for _, name in places])
    for number, (_, name) in enumerate(places):
        form = laid_out(reading.builder, reading.found[name], reading.found[name].index.reshape(-1))
        if form.maps:
            reading.builder.readout(form, f"tensor {number}")
    network = reading.builder.network()
    with np.errstate(all="ignore"):
        values = evaluate(network, {each.name: chunk for each, chunk in zip(network.sources, images, strict=True)})
    before = 0.0
    for number, (node, name) in enumerate(places):
        right, found = expected[number], values.get(f"tensor {number}")
        largest = float(np.abs(right).max(initial=0.0))
        if not np.isfinite(largest):
            return f"node {node.name!r} ({node.kind}) gives numbers that are not finite; mend the weights before it"
        if found is not None and not _close(right, found):
            gap = float(np.abs(right.reshape(found.shape) - found).max()) if right.size == found.size else np.inf
            said = f"node {node.name!r} ({node.kind}) differs from ONNX's own by {gap:.3g} of {largest:.3g} in {name!r}"
            if gap <= _DIGITS * before:
                return f"{said}; numbers of up to {before:.3g} before it leave it no digits: mend the weights before it"
            return f"{said}; it is read wrongly: report it with the file"
        before = max(before, largest)
    return (
        f"its outputs differ from ONNX's own, though no node's do, after numbers of up to {before:.3g}; "
        "mend the weights where that is huge, else report it with the file"
    )


def _is_by_image(model: OnnxModel, images: Sequence[Array]) -> bool:
    """Whether the file gives for images together what it gives for each by itself."""
    wanted = logits(model)
    together = model.run(images, wanted)
    if not all(np.isfinite(each).all() for each in together):
        return True
    try:
        several = [model.run([chunk[k : k + 1] for chunk in images], wanted) for k in range(len(images[0]))]
        return all(_close(np.concatenate(each), own) for *each, own in zip(*several, together, strict=True))
    except ValueError:
        return False


def _needed(model: OnnxModel) -> list[Node]:
    """The nodes that the outputs need, in order, and of each the outputs that are needed; "" in the place of others."""
    needed, opset = set(model.outputs), model.opsets.get("ai.onnx", 1)
    kept = []
    for proto in reversed(model.proto.graph.node):
        if needed & set(proto.output):
            needed |= set(proto.input)
            node = node_of(proto, opset)
            kept.append(replace(node, outputs=tuple(name if name in needed else "" for name in node.outputs)))
    return kept[::-1]


def _of_all_channels(value: Any, pick: Any) -> Any:
    if isinstance(value, dict):
        return {name: _of_all_channels(each, pick) for name, each in value.items()}
    return pick(value) if np.size(value) > 1 else value


def _measured(node: Node, value: Value) -> Any:
    if node.kind == "Size":
        return np.asarray(value.index.size, np.int64)
    sides = np.asarray(value.shape, np.int64)
    return sides[slice(node.options.get("start", 0), node.options.get("end"))]


def _require_classes(node: Node, value: Value) -> None:
    usual = 1 if node.opset < 13 else -1
    axis = node.whole("axis", node.options.get("axis", usual))[0]
    if axis % max(len(value.shape), 1) == 0:
        raise node.refuse(f"axis={axis} is the batch", "let the classes be another axis")
