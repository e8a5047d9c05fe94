"""The program `relu2snn` and its commands; TensorFlow is loaded by those that compute, never for help."""

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from relu2snn.command.convert import convert
from relu2snn.command.ending import ended, heed_signals, leave
from relu2snn.command.export import export
from relu2snn.command.inspect import inspect
from relu2snn.command.options import grouped
from relu2snn.command.predict import predict
from relu2snn.command.verify import verify


class _Commands(TyperGroup):
    """Commands whose every failure is one line and a status."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        words = list(sys.argv[1:] if args is None else args) or ["--help"]
        name = next((f" {word}" for word in words if word in self.commands), "")
        run: Callable[..., Any] = super().main
        options |= {"standalone_mode": False, "prog_name": "relu2snn"}
        sys.exit(ended(name, lambda: run(words, *others, **options)))


app = typer.Typer(
    cls=_Commands, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False, no_args_is_help=True
)
for _command in (convert, verify, inspect, predict, export):
    app.command()(grouped(_command))


def _version(asked: bool) -> None:
    if asked:
        import relu2snn

        print(relu2snn.__version__)
        raise typer.Exit


@app.callback(epilog="Each command shows examples: relu2snn convert --help")
def relu2snn(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Turn a trained ReLU network into a spiking network that computes the same, and prove it.

    \b
    relu2snn convert resnet.keras --calibration x.npz -o spiking.keras
    relu2snn verify resnet.keras spiking.keras --images x.npz
    """


def main() -> None:
    """Run the program: see `relu2snn --help`."""
    heed_signals()
    # Keras warns those who build a model, not those who were given one.
    warnings.filterwarnings("ignore", module="keras")
    try:
        app()
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else 0)
