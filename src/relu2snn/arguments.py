"""Command lines whose mistakes are one line, as everywhere."""

import argparse
import math
from collections.abc import Callable
from typing import NoReturn

from relu2snn.errors import UserError, printable, shown


class Arguments(argparse.ArgumentParser):
    """argparse's parser, raising UserError where that prints its usage and ends the process; no abbreviations."""

    def __init__(self, prog: str, description: str | None = None, epilog: str | None = None) -> None:
        super().__init__(prog, description=description, epilog=epilog, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{shown(printable(message), 200)}; --help says what can be given")


def whole(least: int, most: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        # Python refuses to read integers of thousands of digits.
        if not text.removeprefix("-").isdecimal() or len(text) > 30 or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{shown(text)} is not a whole number from {least} to {most}")
        return int(text)

    return parse


def share(most: float) -> Callable[[str], float]:
    """The type of an argument that is a number above 0, up to `most`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(f"{shown(text)} is not a number above 0, at most {most:g}")
        return value

    return parse
