"""relu2snn predict: what a spiking network gives for images, as a table or as arrays."""

import csv
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from relu2snn.command.ending import say
from relu2snn.command.images import TO_RUN, Images, open_images
from relu2snn.command.models import channels_first, image_shape, open_spiking, require
from relu2snn.command.options import ImageOptions
from relu2snn.command.output import require_output
from relu2snn.command.spiking import known_range
from relu2snn.errors import UserError
from relu2snn.files import atomic_path, write_text
from relu2snn.progress import progress


def predict(
    spiking: Annotated[Path, typer.Argument(metavar="SPIKING", help="The spiking network.")],
    images: Annotated[Path, typer.Option(help="Images: .npz, .npy, idx, or a folder of pictures.")],
    scaling: ImageOptions,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A table (.csv), or arrays (.npz); without, the table on stdout."),
    ] = None,
) -> None:
    """Run images through a spiking network and give the class of each.

    The table has a line for each image: its number, or the name of its file, and its class, which is the output with
    the largest potential (1 or 0 of a single output: whether its potential is above 0). An .npz has the arrays classes
    and potentials, and names of pictures; of several outputs classes_NAME and potentials_NAME. Potentials are what a
    softmax or sigmoid at the end of the ReLU network was given.

    \b
    relu2snn predict spiking.keras --images photos/ --mean 0.5 --std 0.5
    relu2snn predict spiking.keras --images x.npy -o predictions.csv
    relu2snn predict spiking.keras --images x.npz --key x_val -o predictions.npz
    """
    if output is not None:
        require_output(output, (".csv", ".npz"))
    require(images, "images: .npy, .npz, idx, or a folder of pictures")
    network = open_spiking(spiking)
    table = output is None or output.suffix == ".csv"
    nodes = network.network.potentials
    if table and (len(nodes) > 1 or len(nodes[0].shape) != 1):
        raise UserError(f"{spiking}: gives more than one class for an image, which no table holds; give -o NAME.npz")
    shape = image_shape(network, spiking)
    given = open_images(
        images, shape, scaling, keys=TO_RUN, first=channels_first(network, shape), known=known_range(network)
    )
    say(" predict", given.said)
    potentials, reasons = _run(network, given, scaling.batch)
    for reason in reasons:
        say(" predict", f"not exact, since {reason}")
    if not table:
        assert output is not None
        with atomic_path(output) as temporary:
            np.savez(temporary, **_arrays(potentials, given))
        return
    (values,) = potentials.values()
    text = _table(_classes(values), given)
    sys.stdout.write(text) if output is None else write_text(output, text)


def _run(network: Any, given: Images, batch: int) -> tuple[dict[str, Any], list[str]]:
    """The potentials of each output, (n, *shape), and why they may not be those of the ReLU network."""
    from relu2snn.spiking import SpikingRun

    run = SpikingRun(network)
    names = [node.name for node in network.network.potentials]
    found: dict[str, list[Any]] = {name: [] for name in names}
    for chunk in progress(given.batches(batch), given.batch_count(batch), "predicting"):
        made = run.logits(chunk)
        for name, values in (made if isinstance(made, Mapping) else {names[0]: made}).items():
            found[name].append(values)
    return {name: np.concatenate(parts) for name, parts in found.items()}, list(run.reasons.values())


def _classes(potentials: Any) -> Any:
    return (potentials[..., 0] > 0).astype(np.int64) if potentials.shape[-1] == 1 else potentials.argmax(axis=-1)


def _arrays(potentials: Mapping[str, Any], given: Images) -> dict[str, Any]:
    several = len(potentials) > 1
    found: dict[str, Any] = {}
    for name, values in potentials.items():
        ending = f"_{name}" if several else ""
        found |= {f"classes{ending}": _classes(values), f"potentials{ending}": values}
    return found if given.names is None else found | {"names": np.array(given.names[: given.count])}


def _table(classes: Any, given: Images) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image", "class"))
    names = given.names if given.names is not None else range(given.count)
    writer.writerows(zip(names, classes.tolist(), strict=False))
    return text.getvalue()
