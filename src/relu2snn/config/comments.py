"""The comments of the files of `conf/`, which say what each key means: the only place where that is said."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from relu2snn.config.compose import composing


class Comments(NamedTuple):
    """What the comments of a file say: of the file, at its head, and of each key by its dotted name, empty for none."""

    head: str
    keys: dict[str, str]


def comments_of(file: Path) -> Comments:
    """The comments of a file of keys and values.

    A key's comment ends its line, or else stands in the lines right above it. What stands in braces on one line shares
    the comment of its key, and of a list of groups the first has all comments.

    Raises UserError where the file is no YAML.
    """
    text = file.read_text(encoding="utf-8")
    with composing(str(file)):
        root = yaml.compose(text, yaml.SafeLoader)
        ends: dict[int, int] = {}
        for token in yaml.scan(text, yaml.SafeLoader):
            if token.end_mark.index > token.start_mark.index:
                ends[token.end_mark.line] = max(ends.get(token.end_mark.line, 0), token.end_mark.column)
    lines = text.split("\n")
    count = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    head = " ".join(line.strip("# ") for line in lines[:count] if not line.startswith("# @"))
    found: dict[str, str] = {}
    for key, mark in _keys(root, ""):
        after = lines[mark.line][ends[mark.line] :].strip()
        comment = after.lstrip("# ") if after.startswith("#") else _above(lines[count : mark.line], mark.column)
        found.setdefault(key, comment)
    return Comments(head, found)


def _keys(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The keys of block mappings, and where they stand."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _keys(item, prefix)
    elif isinstance(node, yaml.MappingNode) and not node.flow_style:
        for key, value in node.value:
            yield f"{prefix}{key.value}", key.start_mark
            yield from _keys(value, f"{prefix}{key.value}.")


def _above(lines: list[str], column: int) -> str:
    """The lines of comments at the end of `lines`, of a key that stands at `column`."""
    found = []
    for line in reversed(lines):
        if line[:column].strip() or not line[column:].startswith("#"):
            break
        found.append(line.strip("# "))
    return " ".join(reversed(found))


def first_sentence(text: str) -> str:
    """`text` up to the first full stop that ends a sentence."""
    return text.partition(". ")[0].removesuffix(".") + "."
