"""What to say where an optional part of the package meets a package that was not installed with it."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Let imports in the block that find no package end with the extra of relu2snn that brings it.

    Raises ModuleNotFoundError in the place of another one.

    Example:
        with extra("figures"):
            from matplotlib.figure import Figure
    """
    try:
        yield
    except ModuleNotFoundError as error:
        # A module of ours that is missing is no matter of extras.
        if error.name is None or error.name.partition(".")[0] == "relu2snn":
            raise
        message = f"{error.name} is not installed; pip install 'relu2snn[{name}]' brings it"
        raise ModuleNotFoundError(message, name=error.name) from None
