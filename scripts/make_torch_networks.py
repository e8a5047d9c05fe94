"""Small networks of PyTorch as ONNX files of both of its exporters, and what PyTorch computes in float64, for tests.

Synthetic: weights are drawn, nothing is trained. Needs torch and onnxscript, which the project does not:
python scripts/make_torch_networks.py tests/networks_of_torch
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn


class Residual(nn.Module):
    """Two residual blocks, the second with a projection and a stride, as in torchvision's ResNets."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.one = _block(8, 8, 1)
        self.two = _block(8, 12, 2)
        self.down = nn.Sequential(nn.Conv2d(8, 12, 1, 2, bias=False), nn.BatchNorm2d(12))
        self.head = nn.Linear(12, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(self.one(x) + x)
        x = torch.relu(self.two(x) + self.down(x))
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Mobile(nn.Module):
    """Inverted residuals with depthwise convolutions and ReLU6, as in MobileNetV2."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _unit(3, 8, 3, 2)
        self.one = nn.Sequential(
            _unit(8, 16, 1), _unit(16, 16, 3, 1, 16), nn.Conv2d(16, 8, 1, bias=False), nn.BatchNorm2d(8)
        )
        self.two = nn.Sequential(
            _unit(8, 16, 1), _unit(16, 16, 3, 2, 16), nn.Conv2d(16, 12, 1, bias=False), nn.BatchNorm2d(12)
        )
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(12, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.two(x + self.one(x))
        return self.head(x.mean([2, 3]))


def _unit(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())


def plain() -> nn.Module:
    """Convolutions with batch normalisation, LeakyReLU, a pool that rounds up, dense layers after a Flatten."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.BatchNorm2d(6), nn.LeakyReLU(0.1), nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(3, 2, 1), nn.Flatten(), nn.Linear(72, 16), nn.ReLU(),
        nn.Linear(16, 10), nn.LogSoftmax(1),
    )  # fmt: skip


def sequence() -> nn.Module:
    """Convolutions over a sequence, one of them transposed."""
    return nn.Sequential(
        nn.Conv1d(4, 8, 5, padding=2, stride=2), nn.BatchNorm1d(8), nn.ReLU(),
        nn.Conv1d(8, 8, 3, dilation=2, padding=2), nn.PReLU(8),
        nn.ConvTranspose1d(8, 6, 4, stride=2, padding=1), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(),
        nn.Linear(6, 5),
    )  # fmt: skip


NETWORKS = {
    "plain": (plain, (3, 15, 15)),
    "residual": (Residual, (3, 16, 16)),
    "mobile": (Mobile, (3, 16, 16)),
    "sequence": (sequence, (4, 24)),
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, (build, shape)) in enumerate(NETWORKS.items()):
        torch.manual_seed(number)
        network = build()
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                with torch.no_grad():
                    layer.running_mean.normal_(0, 0.3)
                    layer.running_var.uniform_(0.5, 1.5)
                    layer.weight.uniform_(0.5, 1.5)
                    layer.bias.normal_(0, 0.3)
        network.eval()
        images = torch.rand(12, *shape) * 2 - 1
        with torch.no_grad():
            single = network(images)
            double = network.double()(images.double())
        network.float()
        np.savez_compressed(folder / f"{name}.npz", images=images.numpy(), single=single.numpy(), double=double.numpy())
        options = {"input_names": ["images"], "output_names": ["logits"]}
        torch.onnx.export(
            network, (images[:2],), folder / f"{name}_torchscript.onnx", dynamo=False, opset_version=13,
            dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}}, **options,
        )  # fmt: skip
        torch.onnx.export(
            network, (images[:2],), folder / f"{name}_dynamo.onnx", dynamo=True, external_data=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},), **options,
        )  # fmt: skip
        for exporter in ("torchscript", "dynamo"):
            without_places(folder / f"{name}_{exporter}.onnx")


def without_places(path: Path) -> None:
    """Leave out what the exporter says of the machine: where in its source a node comes from."""
    proto = onnx.load_model(path)
    for each in (
        proto,
        proto.graph,
        *proto.graph.node,
        *proto.graph.input,
        *proto.graph.output,
        *proto.graph.value_info,
    ):
        each.ClearField("doc_string")
        each.ClearField("metadata_props")
    onnx.save_model(proto, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
