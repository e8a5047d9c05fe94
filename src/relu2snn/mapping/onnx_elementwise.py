"""ONNX's operators element by element: sums, constants, activations; and what may only stand at the very end."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from relu2snn.graph.geometry import Shape
from relu2snn.mapping.activations import Sum, clipped, leaky, shrunk
from relu2snn.mapping.form import RELU, Term
from relu2snn.mapping.forms import Builder
from relu2snn.mapping.onnx_nodes import Node
from relu2snn.mapping.onnx_values import Value, alike, numbers_for
from relu2snn.mapping.onnx_weighted import Given, scaled_by

ENDS = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid", "Tanh": "tanh"}
"""Operators that are no sums of ReLUs, but may stand at the very end, by the names that Keras gives them."""


def _shape_of(node: Node, given: Sequence[Any]) -> Shape:
    shapes = [each.shape if isinstance(each, Value) else np.shape(each) for each in given]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise node.refuse(f"tensors {', '.join(map(str, shapes))} do not fit together", "export it again") from None


def _total(builder: Builder, node: Node, given: Given, factors: Sequence[float]) -> Value:
    """Σ factor · tensor, of which some may be constant."""
    shape = _shape_of(node, given)
    pairs = list(zip(given, factors, strict=True))
    values = [(each, factor) for each, factor in pairs if isinstance(each, Value)]
    constant = sum(
        (factor * node.constant("summand", each) for each, factor in pairs if not isinstance(each, Value)), np.zeros(())
    )
    if len(values) == 1 and values[0][0].shape == shape:
        (value, factor) = values[0]
        return scaled_by(builder, value, factor, constant)
    forms, first = alike(builder, [each for each, _ in values], shape)
    form = builder.total(forms, [factor for _, factor in values], node.name)
    found = replace(first, form=form)
    return scaled_by(builder, found, 1.0, constant) if np.any(constant) else found


def _sum(factors: Any) -> Any:
    def handle(builder: Builder, node: Node, given: Given) -> Value:
        return _total(builder, node, given, factors(len(given)))

    return handle


def _multiply(builder: Builder, node: Node, given: Given) -> Value:
    values = [each for each in given if isinstance(each, Value)]
    if len(values) > 1:
        raise node.refuse("a product of two tensors is not piecewise linear", "multiply by numbers that are constant")
    constant = node.constant("factor", next(each for each in given if not isinstance(each, Value)))
    return _scaled(builder, node, values[0], constant)


def _divide(builder: Builder, node: Node, given: Given) -> Value:
    if not isinstance(given[0], Value) or isinstance(given[1], Value):
        raise node.refuse("dividing by what is computed from the images is not piecewise linear", "divide by constants")
    divisor = node.constant("divisor", given[1])
    if not divisor.all():
        raise node.refuse("its divisor has a 0", "divide by other numbers")
    return _scaled(builder, node, given[0], 1.0 / divisor)


def _scaled(builder: Builder, node: Node, value: Value, factors: Any) -> Value:
    shape = _shape_of(node, [value, factors])
    if shape != value.shape:
        forms, value = alike(builder, [value], shape)
        value = replace(value, form=forms[0])
    return scaled_by(builder, value, factors, 0.0)


def _negative(builder: Builder, node: Node, given: Given) -> Value:
    return scaled_by(builder, given[0], -1.0, 0.0)


def _nothing(builder: Builder, node: Node, given: Given) -> Value:
    value: Value = given[0]
    return value


def _dropout(builder: Builder, node: Node, given: Given) -> Value:
    if len(given) > 2 and given[2] is not None and np.any(node.constant("training_mode", given[2])):
        raise node.refuse("it does at inference what it does in training", "export the network after model.eval()")
    if len([name for name in node.outputs if name]) > 1:
        raise node.refuse("its mask is used", "export the network after model.eval()")
    value: Value = given[0]
    return value


def _cast(builder: Builder, node: Node, given: Given) -> Value:
    # Of TensorProto: DOUBLE, which float32 has become.
    if node.options.get("to") != 11:
        raise node.refuse(f"it rounds what the network computes (to={node.options.get('to')})", "export it in float32")
    value: Value = given[0]
    return value


def _put(builder: Builder, node: Node, value: Value, function: Sum) -> Value:
    terms, constant = function
    return replace(value, form=builder.activated(value.form, terms, constant=constant, name=node.name))


def _relu(builder: Builder, node: Node, given: Given) -> Value:
    return _put(builder, node, given[0], (RELU, 0.0))


def _leaky(builder: Builder, node: Node, given: Given) -> Value:
    return _put(builder, node, given[0], leaky(node.number("alpha", 0.01)))


def _prelu(builder: Builder, node: Node, given: Given) -> Value:
    slope = node.constant("slope", given[1])
    if _shape_of(node, [given[0], slope]) != given[0].shape:
        raise node.refuse(f"a slope {slope.shape} for a tensor {given[0].shape}", "export the network again")
    return _put(builder, node, given[0], leaky(numbers_for(given[0], slope)))


def _between(builder: Builder, node: Node, value: Value, low: Any, high: Any) -> Value:
    """The values between two limits, numbers or None."""
    if low is not None and high is not None:
        if not low < high:
            raise node.refuse(f"limits {low} and {high}", "let min be less than max")
        return _put(builder, node, value, clipped(low, high))
    if low is not None:
        return _put(builder, node, value, ((Term(np.ones(()), 1, -low),), low))
    if high is not None:
        return _put(builder, node, value, ((Term(-np.ones(()), -1, high),), high))
    return value


def _clip(builder: Builder, node: Node, given: Given) -> Value:
    limits: list[float | None] = []
    for place, name in ((1, "min"), (2, "max")):
        found = given[place] if len(given) > place else node.options.get(name)
        if found is not None and np.size(found) != 1:
            raise node.refuse(f"its {name} is of shape {np.shape(found)}", "give one number")
        if found is not None and isinstance(found, Value):
            raise node.refuse(f"its {name} is computed from the images", "give one number")
        number = None if found is None else float(np.ravel(found)[0])
        # What no number can be above or below is no limit.
        limits.append(None if number is None or abs(number) >= _NO_LIMIT else number)
        if number is not None and np.isnan(number):
            raise node.refuse(f"its {name} is {number}", "give one number")
    return _between(builder, node, given[0], *limits)


_NO_LIMIT = 3.4e38


def _hard_sigmoid(builder: Builder, node: Node, given: Given) -> Value:
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    if not alpha > 0:
        raise node.refuse(f"alpha={alpha}", "it must be above 0")
    return _put(builder, node, given[0], (clipped(-beta / alpha, (1 - beta) / alpha, factor=alpha)[0], 0.0))


def _absolute(builder: Builder, node: Node, given: Given) -> Value:
    return _put(builder, node, given[0], ((*RELU, Term(np.ones(()), -1)), 0.0))


def _shrink(builder: Builder, node: Node, given: Given) -> Value:
    lambd, bias = node.number("lambd", 0.5), node.number("bias", 0.0)
    if lambd < 0 or bias != lambd:
        raise node.refuse(f"lambd={lambd} with bias={bias} makes it jump", "train the network with ReLUs")
    return _put(builder, node, given[0], shrunk(lambd))


def _extreme(minimum: bool) -> Any:
    def handle(builder: Builder, node: Node, given: Given) -> Value:
        values = [each for each in given if isinstance(each, Value)]
        constants = [node.constant("limit", each) for each in given if not isinstance(each, Value)]
        shape = _shape_of(node, given)
        if any(each.size != 1 for each in constants):
            raise node.refuse("a limit of more than one number", "give one number, as to Clip")
        if len(values) > 1:
            forms, first = alike(builder, values, shape)
            found = replace(first, form=builder.extreme(forms, minimum=minimum, label=node.name))
        else:
            found = values[0]
        if not constants:
            return found
        limits = [float(each.ravel()[0]) for each in constants]
        return _between(builder, node, found, *((None, min(limits)) if minimum else (max(limits), None)))

    return handle


def _end(builder: Builder, node: Node, given: Given) -> Value:
    value: Value = given[0]
    return replace(value, ended=ENDS[node.kind])


ELEMENTWISE: Mapping[str, Any] = {
    "Add": _sum(lambda count: [1.0] * count),
    "Sum": _sum(lambda count: [1.0] * count),
    "Sub": _sum(lambda count: [1.0, -1.0]),
    "Mean": _sum(lambda count: [1.0 / count] * count),
    "Mul": _multiply,
    "Div": _divide,
    "Neg": _negative,
    "Identity": _nothing,
    "Dropout": _dropout,
    "Cast": _cast,
    "Relu": _relu,
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "Abs": _absolute,
    "Shrink": _shrink,
    "Max": _extreme(False),
    "Min": _extreme(True),
    **dict.fromkeys(ENDS, _end),
}
