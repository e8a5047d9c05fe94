"""The whole configuration of an experiment, before anything runs: each value as it is typed, and its source."""

import sys
from collections.abc import Iterator, Sequence

from relu2snn.arguments import Arguments
from relu2snn.config.changes import override_text
from relu2snn.config.compose import compose_suite, composing, known
from relu2snn.config.options import by_hand
from relu2snn.config.sources import COMMAND_LINE, DEFAULT, Sourced, sourced
from relu2snn.errors import UserError, printable

WIDTH = 100
# Of values; longer ones stand on lines of their own.
_MOST = 62


def lines(values: Sequence[Sourced], column: int) -> Iterator[str]:
    """A line KEY=VALUE for each value, its source from `column` on, and a blank line before each group."""
    group = None
    for key, value, source in values:
        if group not in (None, key.partition(".")[0]):
            yield ""
        group = key.partition(".")[0]
        *folded, last = _folded(f"{key}={override_text(value)}")
        yield from folded
        if len(last) > column - 2:
            yield last
            last = ""
        yield f"{last:<{column}}{source}"


def _folded(text: str) -> Iterator[str]:
    """`text` in lines of WIDTH characters at most, where it has commas."""
    head, *rest = text.split(",")
    for part in rest:
        if len(head) + len(part) + 2 > WIDTH:
            yield f"{head},"
            head = f"    {part}"
        else:
            head = f"{head},{part}"
    yield head


def main(words: Sequence[str]) -> None:
    """Print the configuration of one experiment; a mistake in it is one line and status 1."""
    parser = Arguments(
        "python -m relu2snn.config",
        description=__doc__,
        epilog="Example: experiment=mnist_fc phase2.zeta=0.3. What each key means, and may be: docs/config.md.",
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="experiment=…, suite=…, sweep=…, overrides")
    try:
        asked = by_hand(parser.parse_args(words).words, known("experiment"))
        with composing():
            suite = compose_suite(asked.suite)
            files, values = sourced(asked.experiment, suite, asked.overrides, asked.sweep)
        named = any(word.startswith("suite=") for word in words)
        head = [
            Sourced("experiment", asked.experiment, COMMAND_LINE),
            Sourced("suite", asked.suite, COMMAND_LINE if named else DEFAULT),
        ]
        widths = [len(f"{key}={override_text(value)}") for key, value, _ in values]
        column = max(width for width in widths if width <= _MOST) + 2
        # The files chosen are one group.
        for each in (*head, *files):
            print(f"{f'{each.key}={override_text(each.value)}':<{column}}{each.source}")
        print(*("", *lines(values, column)), sep="\n")
    except UserError as error:
        print(f"relu2snn config: {printable(str(error))}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
