"""ONNX's own reference implementation, over what of a network some tensors need."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def evaluator(proto: Any, wanted: Sequence[str]) -> Callable[[Mapping[str, Any]], list[Any]]:
    """A function of inputs by name that gives the tensors `wanted` by name, of a network that computes in float64.

    It raises what the implementation raises.
    """
    from onnx.reference import ReferenceEvaluator

    run = ReferenceEvaluator(_giving(proto, wanted), new_ops=_replaced(proto))

    def evaluate(feeds: Mapping[str, Any]) -> list[Any]:
        with np.errstate(all="ignore"):
            return [np.asarray(each) for each in run.run(None, dict(feeds))]

    return evaluate


def _replaced(proto: Any) -> list[Any]:
    """Operators in the place of those that the implementation has wrong, or cannot run."""
    from onnx.reference.op_run import OpRun

    class BatchNormalization(OpRun):
        """At inference; the implementation normalises by the images at hand where a file is older than opset 14."""

        op_domain = ""

        def _run(self, x: Any, scale: Any, bias: Any, mean: Any, var: Any, **options: Any) -> tuple[Any]:
            scale, bias, mean, var = (each.reshape(-1, *(1,) * (x.ndim - 2)) for each in (scale, bias, mean, var))
            return (scale * (x - mean) / np.sqrt(var + options["epsilon"]) + bias,)

    class ConvTranspose(OpRun):
        """Each element of x times the kernel, laid `strides` apart; the implementation fails for groups."""

        op_domain = ""

        def _run(self, x: Any, kernel: Any, bias: Any = None, **options: Any) -> tuple[Any]:
            return (transposed(x, kernel, bias, options),)

    class MaxPool(OpRun):
        """Over the cells inside alone; the implementation mixes the order of pads up, and loops over elements."""

        op_domain = ""

        def _run(self, x: Any, **options: Any) -> tuple[Any]:
            return (pooled(x, options, mean=False),)

    class AveragePool(OpRun):
        """As MaxPool."""

        op_domain = ""

        def _run(self, x: Any, **options: Any) -> tuple[Any]:
            return (pooled(x, options, mean=True),)

    class Pad(OpRun):
        """With negative pads cropped first, which the implementation refuses."""

        op_domain = ""

        def _run(
            self, x: Any, pads: Any = None, value: Any = None, axes: Any = None, mode: str = "constant"
        ) -> tuple[Any]:
            places = range(x.ndim) if axes is None else [int(axis) % x.ndim for axis in axes]
            margins = np.zeros((x.ndim, 2), int)
            for number, axis in enumerate(places):
                margins[axis] = pads[number], pads[number + len(places)]
            cut = tuple(slice(max(-a, 0), side - max(-b, 0)) for (a, b), side in zip(margins, x.shape, strict=True))
            filling = {"constant_values": 0 if value is None else np.ravel(value)[0]} if mode == "constant" else {}
            kind: Any = mode
            return (np.pad(x[cut], np.maximum(margins, 0), mode=kind, **filling),)

    version = next((each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")), 1)
    return [
        ConvTranspose,
        MaxPool,
        AveragePool,
        *([BatchNormalization] if version < 14 else []),
        *([Pad] if version >= 11 else []),
    ]


def pooled(x: Any, options: Mapping[str, Any], *, mean: bool) -> Any:
    """ONNX's MaxPool or AveragePool of x (batch, channels, *sides)."""
    rank, sizes = x.ndim - 2, list(options["kernel_shape"])
    strides, rates = (list(options.get(name) or [1] * rank) for name in ("strides", "dilations"))
    pads = np.array(options.get("pads") or [0] * 2 * rank).reshape(2, rank)
    counts_pads = bool(options.get("count_include_pad"))
    places = []
    for axis, side in enumerate(x.shape[2:]):
        extent, auto = (sizes[axis] - 1) * rates[axis] + 1, options.get("auto_pad") or "NOTSET"
        if auto.startswith("SAME"):
            count = -(-side // strides[axis])
            total = max((count - 1) * strides[axis] + extent - side, 0)
            first = total // 2 if auto == "SAME_UPPER" else total - total // 2
            pads[:, axis] = first, total - first
        room = side + pads[:, axis].sum() - extent
        count = (-(-room // strides[axis]) if options.get("ceil_mode") else room // strides[axis]) + 1
        # No window begins behind the image and the pads before it.
        places.append(count - ((count - 1) * strides[axis] >= side + pads[0, axis]))
    beyond = [max((n - 1) * s + (k - 1) * r + 1, 0) for n, s, k, r in zip(places, strides, sizes, rates, strict=True)]
    around = [(b, max(end - b - side, a)) for end, (b, a), side in zip(beyond, pads.T, x.shape[2:], strict=True)]
    inside = [(b, a) for b, a in pads.T] if counts_pads else [(0, 0)] * rank
    cells = np.ones([side + sum(own) for side, own in zip(x.shape[2:], inside, strict=True)])
    cells = np.pad(cells, [(b - c, a - d) for (b, a), (c, d) in zip(around, inside, strict=True)])
    padded = np.pad(x, [(0, 0), (0, 0), *around], constant_values=0.0 if mean else -np.inf)
    parts, counted = [], []
    for tap in np.ndindex(*sizes):
        cut: Any = tuple(
            slice(t * r, t * r + (n - 1) * s + 1, s) for t, r, n, s in zip(tap, rates, places, strides, strict=True)
        )
        parts.append(padded[(..., *cut)])
        counted.append(cells[cut])
    return sum(parts) / sum(counted) if mean else np.max(parts, axis=0)


def transposed(x: Any, kernel: Any, bias: Any, options: Mapping[str, Any]) -> Any:
    """ONNX's ConvTranspose of x (batch, channels, *sides), kernel (channels, filters / group, *sizes)."""
    rank, groups = x.ndim - 2, int(options.get("group") or 1)
    strides, rates = (list(options.get(name) or [1] * rank) for name in ("strides", "dilations"))
    extra, pads = list(options.get("output_padding") or [0] * rank), list(options.get("pads") or [0] * 2 * rank)
    sides, sizes = x.shape[2:], kernel.shape[2:]
    whole = [(n - 1) * s + (k - 1) * r + 1 for n, s, k, r in zip(sides, strides, sizes, rates, strict=True)]
    auto, wanted = options.get("auto_pad") or "NOTSET", options.get("output_shape")
    if not wanted and auto.startswith("SAME"):
        wanted = [n * s for n, s in zip(sides, strides, strict=True)]
    for axis, size in enumerate(wanted or []):
        total = whole[axis] + extra[axis] - size
        first = total // 2 if auto == "SAME_UPPER" else total - total // 2
        pads[axis], pads[axis + rank] = first, total - first
    filters = kernel.shape[1]
    found = np.zeros((len(x), groups * filters, *(n + e for n, e in zip(whole, extra, strict=True))), x.dtype)
    parts = np.split(np.arange(x.shape[1]), groups)
    for tap in np.ndindex(*sizes):
        place = tuple(
            slice(t * r, t * r + (n - 1) * s + 1, s) for t, r, n, s in zip(tap, rates, sides, strides, strict=True)
        )
        for group, part in enumerate(parts):
            weights = kernel[(part, slice(None), *tap)]
            rows = slice(group * filters, (group + 1) * filters)
            found[(slice(None), rows, *place)] += np.einsum("bc...,cf->bf...", x[:, part], weights)
    # What is cut off may be less than nothing.
    margins = [(max(-pads[axis], 0), max(-pads[axis + rank], 0)) for axis in range(rank)]
    found = np.pad(found, [(0, 0), (0, 0), *margins])
    cut = (slice(max(pads[a], 0), found.shape[a + 2] - max(pads[a + rank], 0)) for a in range(rank))
    found = found[(slice(None), slice(None), *cut)]
    return found if bias is None else found + bias.reshape(-1, *(1,) * rank)


def _giving(proto: Any, wanted: Sequence[str]) -> Any:
    """The network with these tensors as its outputs, and nothing that they do not need."""
    import onnx

    made = {name: node for node in proto.graph.node for name in node.output}
    needed: set[str] = set()
    ahead = list(wanted)
    while ahead:
        name = ahead.pop()
        if name not in needed:
            needed.add(name)
            ahead += made[name].input if name in made else []
    graph = onnx.GraphProto()
    graph.name = "wanted"
    graph.node.extend(node for node in proto.graph.node if needed & set(node.output))
    graph.input.extend(proto.graph.input)
    graph.initializer.extend(each for each in proto.graph.initializer if each.name in needed)
    graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted)
    return onnx.helper.make_model(graph, opset_imports=proto.opset_import, ir_version=proto.ir_version)
