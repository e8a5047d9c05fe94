"""relu2snn verify: whether a spiking network computes its ReLU network, with the evidence."""

from pathlib import Path
from typing import Annotated

import typer

from relu2snn.command.ending import say
from relu2snn.command.images import TO_RUN, open_images
from relu2snn.command.models import channels_first, image_shape, open_relu, open_spiking, require
from relu2snn.command.options import ImageOptions, ModelOptions
from relu2snn.command.spiking import known_range
from relu2snn.progress import progress

NOT_EXACT = 1


def verify(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The ReLU network.")],
    spiking: Annotated[Path, typer.Argument(metavar="SPIKING", help="The spiking network that was made of it.")],
    images: Annotated[Path, typer.Option(help="Images to run both on: .npz, .npy, idx, or a folder of pictures.")],
    scaling: ImageOptions,
    options: ModelOptions,
) -> None:
    """Compare a spiking network with its ReLU network, neuron by neuron, and print what proves that they are the same.

    The exit status is 0 only if they are exactly the same, 1 if they are not, 2 for a mistake. Images are scaled as for
    convert; the range is known from the spiking network.

    \b
    relu2snn verify mnist.keras spiking.keras --images mnist.npz --count 1000
    relu2snn verify mnist.h5 spiking.keras --images t10k-images-idx3-ubyte.gz --scale 255
    relu2snn verify resnet.keras spiking.keras --images photos/ --size 256 \\
        --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
    """
    require(images, "images: .npy, .npz, idx, or a folder of pictures")
    require(spiking, "a spiking network, as relu2snn convert makes it")
    network, made = open_relu(model, options), open_spiking(spiking)
    shape = image_shape(network, model)
    given = open_images(
        images, shape, scaling, keys=TO_RUN, first=channels_first(network, shape), known=known_range(made)
    )
    say(" verify", given.said)
    import relu2snn

    batches = progress(given.batches(scaling.batch), given.batch_count(scaling.batch), "verifying")
    found = relu2snn.verify(network, made, batches, batch=scaling.batch)
    print(found)
    if not found.exact:
        raise typer.Exit(NOT_EXACT)
