"""Where the folders are that come with the package: `conf`, `pipeline/report/pages`, `pipeline/places365`.

In a checkout they stand at its top, where users edit them; in a wheel they are copies inside the package (setup.py).
"""

from pathlib import Path

from relu2snn.errors import UserError

_PACKAGE = Path(__file__).resolve().parent


def checkout() -> Path | None:
    """The top of the checkout that this package is read from; None where it was installed from a wheel."""
    return None if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1]


def shipped_folder(name: str) -> Path:
    """A folder that comes with the package, by its path in a checkout.

    Raises UserError where it is missing.
    """
    folder = (checkout() or _PACKAGE) / name
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder, but relu2snn reads it; install relu2snn or check it out again")
    return folder
