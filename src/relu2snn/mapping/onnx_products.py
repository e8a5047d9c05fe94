"""ONNX's matrix products, and sums along axes, which are products with ones."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from relu2snn.graph.convolution import dense
from relu2snn.graph.geometry import Window
from relu2snn.mapping.form import Array
from relu2snn.mapping.forms import Builder
from relu2snn.mapping.onnx_nodes import Node
from relu2snn.mapping.onnx_values import Value, channels_first, grid, laid_out
from relu2snn.mapping.onnx_weighted import Given, averaged


def linear_last(builder: Builder, value: Value, kernel: Array, bias: Any, label: str) -> Value:
    """x (…, inputs) times kernel (inputs, units), plus a bias that is broadcast to the result."""
    *sides, inputs = value.shape
    places = int(np.prod(sides))
    shape = (*sides, kernel.shape[1])
    if places == 1:
        # The rows of the kernel go where the form has them, so that nothing is moved at run time.
        rows = np.empty_like(kernel)
        rows[value.index.ravel()] = kernel
        form, kernel = builder.settled(value.form), rows
        flat = laid_out(builder, replace(value, form=form), np.arange(inputs))
    else:
        flat = laid_out(builder, value, value.index.reshape(places, inputs))
    wide = np.broadcast_to(np.asarray(bias, np.float64), shape)
    rows_ = wide.reshape(places, -1)
    shift = rows_[0] if (rows_ == rows_[0]).all() else rows_
    form = builder.affine(flat, dense(flat.shape, kernel), shift, label)
    return Value(form, np.arange(places * kernel.shape[1]).reshape(shape))


def _gemm(builder: Builder, node: Node, given: Given) -> Value:
    if not isinstance(given[0], Value):
        raise node.refuse("its first matrix is constant and its second is not", "exchange them")
    value = given[0]
    kernel = node.constant("matrix", given[1])
    if len(value.shape) != 2 or kernel.ndim != 2:
        raise node.refuse(f"matrices {value.shape} and {kernel.shape}", "give two axes to each")
    if node.options.get("transA"):
        value = replace(value, index=value.index.T)
    kernel = kernel.T if node.options.get("transB") else kernel
    if value.shape[1] != kernel.shape[0]:
        raise node.refuse(f"matrices {value.shape} and {kernel.shape}", "export the network again")
    shape = (value.shape[0], kernel.shape[1])
    bias = np.zeros(())
    if len(given) > 2 and given[2] is not None:
        bias = node.constant("bias", given[2]) * node.number("beta", 1.0)
    if np.broadcast_shapes(shape, bias.shape) != shape:
        raise node.refuse(f"a bias {bias.shape} for {shape}", "export the network again")
    return linear_last(builder, value, kernel * node.number("alpha", 1.0), bias, node.name)


def _matmul(builder: Builder, node: Node, given: Given) -> Value:
    turned = not isinstance(given[0], Value)
    value, other = (given[1], given[0]) if turned else (given[0], given[1])
    if isinstance(other, Value):
        raise node.refuse("a product of two tensors is not piecewise linear", "multiply by weights that are constant")
    kernel = node.constant("matrix", other)
    while kernel.ndim > 2 and kernel.shape[0] == 1:
        kernel = kernel[0]
    vector = kernel.ndim == 1
    kernel = kernel[:, None] if vector and not turned else kernel[None] if vector else kernel
    if kernel.ndim != 2 or len(value.shape) < 2:
        raise node.refuse(f"matrices {value.shape} and {np.shape(other)}", "give two axes to the weights")
    if turned:
        value, kernel = replace(value, index=value.index.swapaxes(-1, -2)), kernel.T
    if value.shape[-1] != kernel.shape[0]:
        raise node.refuse(f"matrices {value.shape} and {np.shape(other)}", "export the network again")
    found = linear_last(builder, value, kernel, 0.0, node.name)
    index = found.index.swapaxes(-1, -2) if turned else found.index
    if vector:
        index = index[..., 0, :] if turned else index[..., 0]
    return replace(found, index=index)


def _reduce(mean: bool) -> Any:
    def handle(builder: Builder, node: Node, given: Given) -> Value:
        value, axes = given[0], reduced_axes(node, given)
        count = int(np.prod([value.shape[axis] for axis in axes]))
        factor = 1.0 / count if mean else 1.0
        spatial = tuple(range(2, len(value.shape)))
        keep = bool(node.options.get("keepdims", 1))
        if axes == spatial and len(spatial) in (1, 2, 3) and value.shape[0] == 1:
            sides = value.shape[2:]
            counts = np.full((1,) * len(sides), 1.0 / factor)
            found = channels_first(averaged(builder, grid(builder, value), Window.of(sides), counts))
            return replace(found, index=found.index if keep else found.index.reshape(value.shape[:2]))
        kept = [axis for axis in range(len(value.shape)) if axis not in axes]
        index = value.index.transpose(*kept, *axes).reshape(-1, count)
        whole = linear_last(builder, replace(value, index=index), np.full((count, 1), factor), 0.0, value.form.label)
        shape = [1 if axis in axes else side for axis, side in enumerate(value.shape)]
        return replace(whole, index=whole.index.reshape(shape if keep else [value.shape[axis] for axis in kept]))

    return handle


def reduced_axes(node: Node, given: Given) -> tuple[int, ...]:
    """The axes that are taken together: an attribute or, in newer files, an input; all where there is none."""
    rank = len(given[0].shape)
    axes: Any = given[1] if len(given) > 1 and given[1] is not None else node.options.get("axes")
    found = [] if axes is None else node.whole("axes", axes)
    if not found:
        return () if node.options.get("noop_with_empty_axes") else tuple(range(rank))
    if any(not -rank <= axis < rank for axis in found):
        raise node.refuse(f"axes={found} of a tensor {given[0].shape}", "export the network again")
    return tuple(sorted({axis % rank for axis in found}))


PRODUCTS: Mapping[str, Any] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "ReduceMean": _reduce(True),
    "ReduceSum": _reduce(False),
}
