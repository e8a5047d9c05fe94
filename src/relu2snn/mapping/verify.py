"""Verifying that a spiking network computes a ReLU network: by its weights, its values and its evidence."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from relu2snn.mapping.fold import fold
from relu2snn.mapping.images import batches
from relu2snn.mapping.network import Array
from relu2snn.mapping.read import read
from relu2snn.mapping.same import difference
from relu2snn.mapping.write import logits_model
from relu2snn.spiking.network import chain, encoder, readout
from relu2snn.spiking.run import SpikingRun

TOLERANCES = {"float64": 1e-6, "float32": 1e-2}
"""The largest difference of a logit with which a network may be called exact, as a share of the largest logit."""


@dataclass(frozen=True)
class Verification:
    """How a spiking network compares with its ReLU network on `images` images.

    agreement: share of images for which both predict the same class; None where there are no classes, which is with one
    output. largest_difference: the largest absolute difference of a logit. early_spikes: spikes before their window, by
    layer name. certified: share of (neuron, image) pairs for which the closed form is proved; the others were simulated
    event by event. exact: every neuron has computed the ReLU of this network that it stands for; that is, `reasons` is
    empty.

    equal_signs: with one output, the share of images for which both outputs are above zero or both are not; else None.
    largest_logit: the largest size of a logit of the ReLU network; tolerance: the share of it by which logits may
    differ. precision: of the spiking network; rounding: bound on what rounding there can add to a value, as a share of
    the largest value of its layer, of the layer where that is largest. reasons: why the network is not exact.
    """

    images: int
    agreement: float | None
    largest_difference: float
    early_spikes: dict[str, int]
    certified: float
    exact: bool
    equal_signs: float | None
    largest_logit: float
    tolerance: float
    precision: str
    rounding: float
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        if self.agreement is None:
            same = f"equal signs for {self.equal_signs:.2%}"
        else:
            same = f"the same class for {self.agreement:.2%}"
        lines = [
            f"{'exact' if self.exact else 'not exact'}: {same} of {self.images} images",
            *(f"  not exact since {reason}" for reason in self.reasons),
            f"  largest difference of a logit {self.largest_difference:.2g}, of logits up to {self.largest_logit:.4g}",
            f"  {self.certified:.4%} of the pairs of neuron and image certified, the others simulated",
            f"  {sum(self.early_spikes.values())} early spikes in {len(self.early_spikes)} layers",
            f"  rounding in {self.precision} at most {self.rounding:.1g} of a layer's largest value",
        ]
        return "\n".join(lines)


def verify(model: keras.Model, spiking: keras.Model, images: Array, batch: int = 64) -> Verification:
    """Compare a spiking network with the ReLU network it came from on images (n, h, w, c).

    It is exact when (1) its weights are those of the ReLU network, folded and scaled, so that each neuron stands for
    one of its ReLUs, in the same place, also where no image makes it spike; (2) no neuron spiked early, and rounding
    stays below its limit, so that each has computed what it stands for; (3) the logits are those of the ReLU network,
    run by Keras' own layers, within `TOLERANCES`, for every image. What fails is in `reasons`.

    Raises ValueError when there are no images or they do not fit, when `model` is not a ReLU network that can be mapped
    or `spiking` not a spiking network with its input and outputs, and for numbers that are not finite, with the batch
    and the image, or the layer and the weight.
    """
    _check_arguments(model, spiking)
    encoding = encoder(spiking)
    network = fold(read(model, encoding.low, encoding.high))
    run = SpikingRun(spiking)
    other = difference(network, spiking)
    del network
    original = logits_model(model)
    units = spiking.output_shape[-1]
    same, largest, highest = 0, 0.0, 0.0
    for number, chunk in enumerate(batches(images, batch, shape=tuple(model.input_shape[1:]))):
        expected = np.asarray(original(chunk, training=False))
        _check_logits(expected, number, batch, f"layer {model.layers[-1].name!r} of the ReLU network")
        found = run.logits(chunk)
        _check_logits(found, number, batch, f"layer {readout(spiking).name!r} of the spiking network")
        equal = (expected > 0) == (found > 0) if units == 1 else expected.argmax(-1) == found.argmax(-1)
        same += int(np.count_nonzero(equal))
        largest = max(largest, float(np.abs(expected - found).max()))
        highest = max(highest, float(np.abs(expected).max()))
    reasons = list(run.reasons.values())
    tolerance = TOLERANCES[run.precision]
    if not largest <= tolerance * highest:
        reasons.insert(0, f"logits differ by {largest:.3g}, more than {tolerance:g} of the largest, {highest:.3g}")
    if other is not None:
        reasons.insert(0, f"it is not the network of this ReLU network: {other}")
    pairs = int(run.neurons.sum()) * run.images
    return Verification(
        images=run.images,
        agreement=None if units == 1 else same / run.images,
        largest_difference=largest,
        early_spikes=dict(zip(run.layers, run.early.tolist(), strict=True)),
        certified=float(run.certified.sum() / pairs) if pairs else 1.0,
        exact=not reasons,
        equal_signs=same / run.images if units == 1 else None,
        largest_logit=highest,
        tolerance=tolerance,
        precision=run.precision,
        rounding=float(run.rounding.max(initial=0.0)),
        reasons=tuple(reasons),
    )


def _check_arguments(model: Any, spiking: Any) -> None:
    for place, each in (("model", model), ("spiking", spiking)):
        if not isinstance(each, keras.Model):
            raise ValueError(f"{place}: expected a Keras model, not {type(each).__name__}")
    if _is_spiking(model):
        raise ValueError(
            f"model {model.name!r} is a spiking network: give the ReLU network first, verify(model, spiking, images)"
        )
    chain(spiking)
    for name in ("input_shape", "output_shape"):
        expected, found = getattr(model, name, None), getattr(spiking, name)
        if expected is not None and tuple(expected) != tuple(found):
            raise ValueError(f"{name} of the ReLU network is {expected}, of the spiking network {found}")


def _is_spiking(model: keras.Model) -> bool:
    try:
        chain(model)
    except ValueError:
        return False
    return True


def _check_logits(logits: Array, number: int, batch: int, what: str) -> None:
    wrong = ~np.isfinite(logits).all(axis=-1)
    if wrong.any():
        first = int(np.argmax(wrong))
        value = logits[first][~np.isfinite(logits[first])][0]
        raise ValueError(f"batch {number}, image {number * batch + first}: {what} gives {value}")
