"""Options that several commands share, as dataclasses: each field is an option of its own on the command line."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

_IMAGES, _CONVERSION, _MODEL = "Images", "Conversion", "Network"


@dataclass(frozen=True)
class Numbers:
    """One number, or one for each channel, as given on the command line."""

    values: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> "Numbers":
        """The numbers of "0.5" or "0.485,0.456,0.406"; raises BadParameter for what is no finite number."""
        found = []
        for word in text.split(","):
            try:
                found.append(float(word))
            except ValueError:
                found.append(math.nan)
            if not math.isfinite(found[-1]):
                raise typer.BadParameter(f"{word!r} is no finite number; give one, or one a channel: 0.485,0.456,0.406")
        return cls(tuple(found))


def _numbers(name: str, text: str) -> Any:
    return typer.Option(name, parser=Numbers.parse, metavar="NUMBER[,…]", help=text, rich_help_panel=_IMAGES)


@dataclass(frozen=True)
class ImageOptions:
    """How the images of a file or a folder become what the network takes: (pixel / scale − mean) / std."""

    key: Annotated[
        str | None,
        typer.Option(
            help="The array of an .npz; else x_train (to calibrate), x_test, images or x, or the only one.",
            rich_help_panel=_IMAGES,
        ),
    ] = None
    scale: Annotated[
        float | None,
        typer.Option(help="What pixels are divided by: 255 for pictures, else 1.", rich_help_panel=_IMAGES),
    ] = None
    mean: Annotated[Numbers | None, _numbers("--mean", "Subtracted after --scale, one number or one a channel.")] = None
    std: Annotated[Numbers | None, _numbers("--std", "Divided by after --mean, one number or one a channel.")] = None
    low: Annotated[
        Numbers | None, _numbers("--low", "The least value of an image then; 0 unless --mean and --std say else.")
    ] = None
    high: Annotated[
        Numbers | None, _numbers("--high", "The largest value of an image then; 1 unless --mean and --std say else.")
    ] = None
    size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pictures only: their shorter side before the middle is cut out; by default the network's own.",
            rich_help_panel=_IMAGES,
        ),
    ] = None
    count: Annotated[int | None, typer.Option(min=1, help="Only the first images.", rich_help_panel=_IMAGES)] = None
    batch: Annotated[int, typer.Option(min=1, help="How many images are run at once.", rich_help_panel=_IMAGES)] = 64


@dataclass(frozen=True)
class Conversion:
    """The mapping, and the length of its windows."""

    mapping: Annotated[
        Literal["reference", "published"],
        typer.Option(help="Ours, exact by construction, or that of arXiv:2212.12522.", rich_help_panel=_CONVERSION),
    ] = "reference"
    zeta: Annotated[
        float, typer.Option(help="Margin of the windows over calibration images.", rich_help_panel=_CONVERSION)
    ] = 0.5
    window: Annotated[
        Literal["margin", "certified", "guaranteed"],
        typer.Option(help="What windows are made from: maxima, bounds, or any image.", rich_help_panel=_CONVERSION),
    ] = "margin"
    floor: Annotated[
        float,
        typer.Option(
            help="Reference only: a channel's smallest maximum, as a share of its layer's.", rich_help_panel=_CONVERSION
        ),
    ] = 0.1
    stretch: Annotated[
        float | None,
        typer.Option(
            help="Reference only: K / N, how flat potentials are, 1.02; a smaller one stands more noise of clocks.",
            rich_help_panel=_CONVERSION,
        ),
    ] = None
    precision: Annotated[
        Literal["float64", "float32"], typer.Option(help="In which the network computes.", rich_help_panel=_CONVERSION)
    ] = "float64"


@dataclass(frozen=True)
class ModelOptions:
    """What the file of a ReLU network does not say itself."""

    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of an architecture in .json; else NAME.weights.h5, NAME_weights.h5 or NAME.h5 beside it.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=1,3,224,224",
            help="Sizes that an .onnx leaves open, by its input's name; once for each input.",
            rich_help_panel=_MODEL,
        ),
    ] = None


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the fields of its dataclass arguments in their place, as typer takes them: one option each."""
    given: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = parameter.annotation
        if not dataclasses.is_dataclass(kind):
            given.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
            continue
        groups[parameter.name] = kind
        given += [
            inspect.Parameter(each.name, parameter.KEYWORD_ONLY, default=each.default, annotation=each.type)
            for each in dataclasses.fields(kind)
        ]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        made = {
            name: kind(**{each.name: values.pop(each.name) for each in dataclasses.fields(kind)})
            for name, kind in groups.items()
        }
        command(**values, **made)

    run.__doc__ = "\n\n".join(map(_flowing, (inspect.getdoc(command) or "").split("\n\n")))
    run.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in given}
    return run


def _flowing(paragraph: str) -> str:
    """A paragraph in one line, which help breaks where the terminal ends; examples keep their lines."""
    return paragraph if paragraph.startswith("\b") else " ".join(paragraph.split())
