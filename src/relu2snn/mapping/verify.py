"""Verifying that a spiking network computes a ReLU network: by its weights, its values and its evidence."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from relu2snn.mapping.compare import read_like
from relu2snn.mapping.images import source_batches
from relu2snn.mapping.onnx_file import OnnxModel
from relu2snn.mapping.originals import Given, given, original
from relu2snn.mapping.same import difference
from relu2snn.spiking.model import SpikingModel
from relu2snn.spiking.network import network_of
from relu2snn.spiking.nodes import SpikingNetwork
from relu2snn.spiking.run import SpikingRun
from relu2snn.spiking.tables import aligned

Array = NDArray[np.float64]

TOLERANCES = {"float64": 1e-6, "float32": 1e-2}
"""The largest difference of an output with which a network may be called exact, as a share of the largest one."""


@dataclass(frozen=True)
class Layer:
    """What a spiking layer has done for all images of a verification.

    neurons of one image; window [t_min, t_max]; pairs of a neuron and an image: certified, simulated, of these early;
    largest deviation of a simulated one from the closed form; spikes before t_max.
    """

    name: str
    neurons: int
    window: tuple[float, float]
    certified: int
    simulated: int
    early: int
    deviation: float
    spikes: int


@dataclass(frozen=True)
class Verification:
    """How a spiking network compares with its ReLU network on `images` images; `print` shows it as a table.

    agreement: share of images for which both predict the same class; None where there are no classes, which is with one
    output unit, several outputs, or one with positions. largest_difference: the largest absolute difference of an
    output. early_spikes: spikes before their window, by layer name. certified: share of (neuron, image) pairs for which
    the closed form is proved; the others were simulated event by event. constructed: of all pairs, those for which it
    is by construction (see `relu2snn.spiking.certificate`), by a comparison of z with B alone. exact: every neuron has
    computed the ReLU of this network that it stands for; that is, `reasons` is empty. layers: what each has done.

    equal_signs: with one output unit, the share of images for which both outputs are above zero or both are not; else
    None. largest_logit: the largest size of an output of the ReLU network, before a softmax or the like; tolerance: the
    share of it by which outputs may differ. precision: of the spiking network; rounding: bound on what rounding there
    can add to a value, as a share of the largest value of its layer, of the layer where that is largest. reasons: why
    the network is not exact. latency: when the last output is read, in units of the input window.
    """

    images: int
    agreement: float | None
    largest_difference: float
    early_spikes: dict[str, int]
    certified: float
    constructed: float
    exact: bool
    equal_signs: float | None
    largest_logit: float
    tolerance: float
    precision: str
    rounding: float
    reasons: tuple[str, ...]
    layers: tuple[Layer, ...]
    latency: float

    def __str__(self) -> str:
        if self.agreement is not None:
            same = f"the same class for {self.agreement:.2%} of {self.images} images"
        elif self.equal_signs is not None:
            same = f"equal signs for {self.equal_signs:.2%} of {self.images} images"
        else:
            same = f"{self.images} images"
        lines = [
            f"{'exact' if self.exact else 'not exact'}: {same}",
            *(f"  not exact since {reason}" for reason in self.reasons),
            f"  largest difference of a logit {self.largest_difference:.2g}, of logits up to {self.largest_logit:.4g}",
            f"  {self.certified:.4%} of the pairs of neuron and image certified"
            + (f" ({self.constructed:.4%} by construction)" if self.constructed else "")
            + ", the others simulated",
            f"  {sum(self.early_spikes.values())} early spikes in {len(self.early_spikes)} layers",
            f"  rounding in {self.precision} at most {self.rounding:.1g} of a layer's largest value",
            f"  latency {self.latency:.6g} input windows",
            *self._table(),
        ]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        rows = [("layer", "neurons", "window", "certified", "simulated", "early", "largest deviation", "spikes")]
        for each in self.layers:
            pairs = max(each.certified + each.simulated, 1)
            rows.append(
                (
                    each.name,
                    f"{each.neurons:,}",
                    f"{each.window[0]:.4g} to {each.window[1]:.4g}",
                    f"{each.certified / pairs:.4%}",
                    f"{each.simulated:,}",
                    f"{each.early:,}",
                    f"{each.deviation:.2g}",
                    f"{each.spikes / pairs:.2%}",
                )
            )
        return [f"  {line}" for line in aligned(rows)]


def verify(model: Given, spiking: keras.Model, images: Any, *, batch: int = 64) -> Verification:
    """Compare a spiking network with the ReLU network it came from on images (n, *shape), of several inputs by name.

    It is exact when (1) its weights are those of the ReLU network, folded and scaled, so that each neuron stands for
    one of its ReLUs, in the same place, also where no image makes it spike; (2) no neuron spiked early, and rounding
    stays below its limit, so that each has computed what it stands for; (3) the outputs are those of the ReLU network,
    run by Keras' own layers or ONNX's own implementation, within `TOLERANCES`, for every image. What fails is in
    `reasons`.

    Raises ValueError when there are no images or they do not fit, when `model` is not a ReLU network that can be mapped
    or `spiking` not a spiking network with its inputs and outputs, and for numbers that are not finite, with the batch
    and the image, or the layer and the weight.

    Example:
        >>> found = relu2snn.verify(model, spiking, images)
        >>> found.exact, found.agreement, found.early_spikes
        (True, 1.0, {'conv': 0, 'dense': 0})
        >>> print(found)  # doctest: +ELLIPSIS
        exact: the same class for 100.00% of 20 images
        ...
    """
    model = given(model)
    _check_arguments(model, spiking)
    network = network_of(spiking)
    read = read_like(model, network)
    run = SpikingRun(spiking)
    other, sources = difference(read, network), read.sources
    # Of a large network it holds copies of its weights.
    del read
    compared = _Outputs(network)
    own = original(model)
    for number, chunk in enumerate(source_batches(images, sources, batch=batch, anywhere=True)):
        inputs = [chunk[source.name] for source in sources]
        compared.add(run, inputs, own.outputs(inputs), number, batch, own.ends)
    return compared.verification(run, other, network)


class _Outputs:
    """The outputs of both networks, compared batch by batch."""

    def __init__(self, network: SpikingNetwork) -> None:
        self.nodes = network.potentials
        only = self.nodes[0].shape if len(self.nodes) == 1 else ()
        self.units = only[0] if len(only) == 1 else None
        self.same = 0
        self.largest = self.highest = 0.0

    def add(self, run: SpikingRun, chunk: Any, expected: list[Any], number: int, batch: int, names: list[str]) -> None:
        for values, name in zip(expected, names, strict=True):
            _check_outputs(values, number, batch, f"{name} of the ReLU network")
        logits = run.logits(chunk)
        found = [logits[node.name] for node in self.nodes] if isinstance(logits, dict) else [logits]
        for values, node in zip(found, self.nodes, strict=True):
            _check_outputs(values, number, batch, f"layer {node.name!r} of the spiking network")
        for a, b in zip(expected, found, strict=True):
            self.largest = max(self.largest, float(np.abs(a - b).max()))
            self.highest = max(self.highest, float(np.abs(a).max()))
        if self.units is not None:
            a, b = expected[0], found[0]
            equal = (a > 0) == (b > 0) if self.units == 1 else a.argmax(-1) == b.argmax(-1)
            self.same += int(np.count_nonzero(equal))

    def verification(self, run: SpikingRun, other: str | None, network: SpikingNetwork) -> Verification:
        reasons = list(run.reasons.values())
        tolerance = TOLERANCES[run.precision]
        if not self.largest <= tolerance * self.highest:
            reasons.insert(
                0, f"logits differ by {self.largest:.3g}, more than {tolerance:g} of the largest, {self.highest:.3g}"
            )
        if other is not None:
            reasons.insert(0, f"it is not the network of this ReLU network: {other}")
        pairs = int(run.neurons.sum()) * run.images
        share = self.same / run.images if self.units is not None else None
        columns = (run.layers, run.neurons.tolist(), run.windows, run.certified.tolist(), run.simulated.tolist())
        others = (run.early.tolist(), run.deviation.tolist(), run.spikes.tolist())
        return Verification(
            images=run.images,
            agreement=None if self.units == 1 else share,
            largest_difference=self.largest,
            early_spikes=dict(zip(run.layers, run.early.tolist(), strict=True)),
            certified=float(run.certified.sum() / pairs) if pairs else 1.0,
            constructed=float(run.constructed.sum() / pairs) if pairs else 0.0,
            exact=not reasons,
            equal_signs=share if self.units == 1 else None,
            largest_logit=self.highest,
            tolerance=tolerance,
            precision=run.precision,
            rounding=float(run.rounding.max(initial=0.0)),
            reasons=tuple(reasons),
            layers=tuple(Layer(*row) for row in zip(*columns, *others, strict=True)),
            latency=network.latency,
        )


def _check_arguments(model: Any, spiking: Any) -> None:
    for place, each in (("model", model), ("spiking", spiking)):
        if not isinstance(each, keras.Model) and not (place == "model" and isinstance(each, OnnxModel)):
            raise ValueError(f"{place}: expected a Keras model, not {type(each).__name__}")
    if isinstance(model, SpikingModel):
        raise ValueError(
            f"model {model.name!r} is a spiking network: give the ReLU network first, verify(model, spiking, images)"
        )
    network_of(spiking)
    if isinstance(model, OnnxModel):
        return
    for name in ("input_shape", "output_shape"):
        expected, found = getattr(model, name, None), getattr(spiking, name)
        if expected is not None and _listed(expected) != _listed(found):
            raise ValueError(f"{name} of the ReLU network is {expected}, of the spiking network {found}")


def _listed(shapes: Any) -> Any:
    """Shapes of several tensors, however they are held, in a list."""
    if isinstance(shapes, dict):
        shapes = list(shapes.values())
    several = bool(shapes) and isinstance(shapes[0], list | tuple)
    return [tuple(each) for each in shapes] if several else [tuple(shapes)]


def _check_outputs(outputs: Any, number: int, batch: int, what: str) -> None:
    wrong = ~np.isfinite(outputs).reshape(len(outputs), -1).all(axis=-1)
    if wrong.any():
        first = int(np.argmax(wrong))
        value = outputs[first][~np.isfinite(outputs[first])][0]
        raise ValueError(f"batch {number}, image {number * batch + first}: {what} gives {value}")
