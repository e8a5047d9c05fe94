"""relu2snn convert: a ReLU network's file and images to calibrate on, to a spiking network's file."""

from pathlib import Path
from typing import Annotated

import typer

from relu2snn.command.ending import say
from relu2snn.command.images import TO_CALIBRATE, open_images
from relu2snn.command.models import channels_first, image_shape, open_relu, require
from relu2snn.command.options import Conversion, ImageOptions, ModelOptions
from relu2snn.command.output import require_output
from relu2snn.loading import silent
from relu2snn.progress import progress


def convert(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The trained ReLU network.")],
    calibration: Annotated[
        Path, typer.Option(help="Images that set the windows: .npz, .npy, idx, or a folder of pictures.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The spiking network, a .keras file.")],
    images: ImageOptions,
    conversion: Conversion,
    options: ModelOptions,
) -> None:
    """Make the spiking network of a trained ReLU network.

    MODEL is .keras, .h5 of Keras 2 or 3, .onnx, .json with weights, or TensorFlow.js' model.json. The values of images
    lie from --low to --high.

    \b
    relu2snn convert mnist.keras --calibration mnist.npz -o spiking.keras
    relu2snn convert mnist.h5 --calibration train-images-idx3-ubyte.gz --scale 255 -o spiking.keras
    relu2snn convert resnet.keras --calibration photos/ --size 256 \\
        --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 -o spiking.keras
    relu2snn convert vgg.onnx --calibration x.npy --low -2.2 --high 2.7 -o spiking.keras
    """
    require_output(output, (".keras",))
    require(calibration, "images: .npy, .npz, idx, or a folder of pictures")
    network = open_relu(model, options)
    given = open_images(
        calibration,
        image_shape(network, model),
        images,
        keys=TO_CALIBRATE,
        first=channels_first(network, image_shape(network, model)),
    )
    say(" convert", given.said)
    import relu2snn
    from relu2snn.saved.keras_files import save_model

    spiking = relu2snn.convert(
        network,
        progress(given.batches(images.batch), given.batch_count(images.batch), "calibrating"),
        low=given.range.low,
        high=given.range.high,
        mapping=conversion.mapping,
        zeta=conversion.zeta,
        window=conversion.window,
        floor=conversion.floor,
        stretch=conversion.stretch,
        precision=conversion.precision,
        batch=images.batch,
    )
    # HDF5 prints tracebacks of its own where it cannot write a file.
    with silent():
        save_model(spiking, output)
    print(f"{output}: {len(spiking.windows)} spiking layers, latency {spiking.latency:.6g} input windows")
