"""Networks that PyTorch has written, by both of its exporters (scripts/make_torch_networks.py)."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from relu2snn import convert, load_onnx, verify

FOLDER = Path(__file__).parent / "networks_of_torch"
NAMES = ("plain", "residual", "mobile", "sequence")
EXPORTERS = ("torchscript", "dynamo")


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_torch_becomes_an_exact_spiking_one(name: str, exporter: str) -> None:
    known = np.load(FOLDER / f"{name}.npz")
    model = load_onnx(FOLDER / f"{name}_{exporter}.onnx")
    # Images drawn like these are within their range; what calibration has seen of a channel, others exceed.
    spiking = convert(model, known["images"], low=-1, high=1, zeta=1.0)
    result = verify(model, spiking, known["images"])
    assert result.exact, result
    assert result.agreement == 1.0
    assert result.largest_difference <= 1e-9 * result.largest_logit
    found = np.asarray(spiking(known["images"].astype(np.float64)))
    if name == "plain":
        # Of a log-softmax at the end the potentials are the logits.
        found = found - np.log(np.exp(found).sum(axis=1, keepdims=True))
    largest = np.abs(known["double"]).max()
    # The exporters fold batch normalisation into convolutions, in float32.
    assert np.abs(found - known["double"]).max() <= 1e-7 * largest
    assert np.abs(found - known["single"]).max() <= 1e-6 * largest
    assert (found.argmax(1) == known["single"].argmax(1)).all()


def test_the_files_are_those_of_two_exporters() -> None:
    for name in NAMES:
        first, second = (onnx.load(FOLDER / f"{name}_{exporter}.onnx") for exporter in EXPORTERS)
        assert first.producer_name == second.producer_name == "pytorch"
        assert first.opset_import[0].version == 13 < second.opset_import[0].version
