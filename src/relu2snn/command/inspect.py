"""relu2snn inspect: what a spiking network is and costs, or what becomes of a ReLU network."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from relu2snn.command.models import as_spiking, is_onnx, is_spiking, open_any
from relu2snn.command.options import ModelOptions

# A table in a file is not folded.
_WIDE = 250


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A spiking network, or a ReLU network.")],
    options: ModelOptions,
) -> None:
    """Show a spiking network's layers, windows, latency and costs, or what segments a ReLU network becomes.

    Of a ReLU network that cannot be mapped it says which layer, why, and what to do; the exit status is 2 then.

    \b
    relu2snn inspect spiking.keras
    relu2snn inspect resnet.keras
    relu2snn inspect detector.onnx --shape images=1,3,224,224
    """
    network = open_any(model, options)
    if is_spiking(network):
        _show_spiking(as_spiking(network, model))
    else:
        _show_relu(network, model)


def _show_spiking(model: Any) -> None:
    from relu2snn.command.spiking import known_range, rows
    from relu2snn.spiking.references import reference_weights

    table = _table("layer", "kind", "shape", ("neurons", "synapses", "from", "to"))
    neurons = wires = 0
    for row in rows(model):
        spikes = row.kind == "spiking"
        neurons, wires = neurons + row.neurons * spikes, wires + row.synapses
        end = "" if row.t_max is None else f"{row.t_max:.6g}"
        counts = (f"{each:,}" if each else "" for each in (row.neurons, row.synapses))
        table.add_row(row.name, row.kind, _size(row.shape), *counts, f"{row.t_min:.6g}", end)
    network = model.network
    _print(table)
    references = any(reference_weights(node, each) is not None for node in network.firing for each in node.populations)
    ranges = f"values from {known_range(model)}" if len(network.encoders) == 1 else f"{len(network.encoders)} inputs"
    print(
        f"{neurons:,} neurons that spike at most once, {wires:,} synapses; latency {network.latency:.6g} input windows"
    )
    print(f"{'reference' if references else 'published'} mapping, {network.precision}, {ranges}")
    if network.noise or network.reference_noise or network.alpha_noise:
        print(f"noise on spike times {network.noise:g}, on references {network.reference_noise:g}")


def _show_relu(model: Any, path: Path) -> None:
    from relu2snn.graph.nodes import Extremum, Readout, Segment, used

    network = _read(model)
    table = _table("segment", "becomes", "shape", ("ReLUs",), "of")
    count = 0
    for node in network:
        relus, kind = 0, "input"
        if isinstance(node, Segment):
            relus, kind = len(node.populations) * _product(node.shape), "spiking neurons"
        elif isinstance(node, Extremum):
            kind = "latest spike" if node.minimum.all() else "earliest spike"
        elif isinstance(node, Readout):
            kind = "read-out" + (f" before its {node.activation}" if node.activation != "linear" else "")
        count += relus
        names = ", ".join(each.name for each in node.populations) if isinstance(node, Segment) else node.name
        table.add_row(names, kind, _size(node.shape), f"{relus:,}" if relus else "", ", ".join(used(node)))
    _print(table)
    print(f"{path} can be mapped: {count:,} ReLUs in {len(network.segments)} segments become neurons that spike once")


def _read(model: Any) -> Any:
    if is_onnx(model):
        import importlib

        return importlib.import_module("relu2snn.mapping.read_onnx").read_onnx(model)
    from relu2snn.mapping import read_keras

    return read_keras(model)


def _table(first: str, second: str, third: str, numbers: tuple[str, ...], *last: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (first, second, third):
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for name in last:
        table.add_column(name, overflow="fold")
    return table


def _print(table: Any) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else _WIDE, markup=False, highlight=False).print(table)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _product(shape: tuple[int, ...]) -> int:
    from math import prod

    return prod(shape)
