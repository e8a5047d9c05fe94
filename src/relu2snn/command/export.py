"""relu2snn export: a spiking network for other simulators and hardware, or its spikes as events."""

from pathlib import Path
from typing import Annotated

import typer

from relu2snn.command.ending import say
from relu2snn.command.images import TO_RUN, open_images
from relu2snn.command.models import channels_first, image_shape, open_spiking, require
from relu2snn.command.options import ImageOptions
from relu2snn.command.output import require_output
from relu2snn.command.spiking import known_range
from relu2snn.errors import UserError


def export(
    spiking: Annotated[Path, typer.Argument(metavar="SPIKING", help="The spiking network.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A network: .npz, .h5, .nir; events: .csv, .npz.")],
    scaling: ImageOptions,
    events: Annotated[
        Path | None, typer.Option(help="Images whose spikes are written, as events, in place of the network.")
    ] = None,
    synapses: Annotated[bool, typer.Option(help="In .npz and .h5 every synapse, too, or kernels alone.")] = True,
) -> None:
    """Write a spiking network in a format that other programs read, or the spikes that images give.

    \b
    relu2snn export spiking.keras -o network.npz
    relu2snn export spiking.keras -o network.nir
    relu2snn export spiking.keras --events x.npy --count 10 -o events.csv
    """
    require_output(output, (".csv", ".npz") if events is not None else (".npz", ".h5", ".nir"))
    if events is not None:
        require(events, "images: .npy, .npz, idx, or a folder of pictures")
        if not synapses:
            raise UserError("--no-synapses: events have no synapses; leave it out")
    network = open_spiking(spiking)
    import relu2snn

    if events is None:
        relu2snn.export(network, output, synapses=synapses)
        return
    shape = image_shape(network, spiking)
    given = open_images(
        events, shape, scaling, keys=TO_RUN, first=channels_first(network, shape), known=known_range(network)
    )
    say(" export", given.said)
    relu2snn.export_events(network, next(given.batches(given.count)), output)
