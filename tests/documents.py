"""The commands of the documentation, and how each of them is tried: the classes of commands.toml.

PYTHONPATH=tests python -m documents    # what is left to try by hand, and why no test does
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
CLASSES = tomllib.loads((Path(__file__).parent / "commands.toml").read_text(encoding="utf-8"))

SHELLS = ("sh", "bash", "shell", "console")
# In running text a command is told by its program.
_IN_TEXT = re.compile(
    r"(\w+=\S+ )*(\.venv/bin/)?"
    r"((make|snakemake|python|pip|pre-commit|mlflow|docker|git|conda|jupyter|ssh|sinfo|sacctmgr) \S"
    r"|relu2snn (convert|verify|inspect|predict|export|--)).*"
)


class Command(NamedTuple):
    """A line that a reader may type, or a block of Python: where it stands, and its text without comments."""

    page: str
    line: int
    text: str
    python: bool = False

    @property
    def key(self) -> str:
        """What commands.toml calls it: of Python the page and its first line."""
        return f"{self.page}: {self.text.strip().splitlines()[0]}" if self.python else self.text


def pages() -> list[Path]:
    """The pages of the documentation, but the one that `make docs` makes."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md")]
    made = {ROOT / "docs" / "errors.md"}
    return found + sorted({path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts} - made)


def commands() -> list[Command]:
    """Every command of every page, in their order."""
    return [each for page in pages() for each in _of(page)]


def _of(page: Path) -> Iterator[Command]:
    name = str(page.relative_to(ROOT))
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        first = (token.map or [0])[0] + 1
        if token.type == "code_block" and token.content.strip().splitlines()[0] not in CLASSES["text"]:
            yield from (Command(name, first + number, text) for number, text in lines(token.content))
        elif token.type == "fence" and token.info in SHELLS:
            yield from (Command(name, first + 1 + number, text) for number, text in lines(token.content))
        elif token.type == "fence" and token.info == "python":
            yield Command(name, first, token.content, python=True)
        elif token.type == "inline":
            yield from (Command(name, first, each) for each in _in_text(token))


def _in_text(token: Token) -> Iterator[str]:
    for child in token.children or ():
        if child.type == "code_inline" and _IN_TEXT.fullmatch(child.content):
            yield child.content


def lines(block: str) -> Iterator[tuple[int, str]]:
    """The commands of a block, those that go on after a backslash in one, with the number of their first line."""
    begun, start = "", 0
    for number, line in enumerate(block.splitlines()):
        start = start if begun else number
        text = re.split(r"(?:^|\s+)#\s", line)[0].strip()
        if text.endswith("\\"):
            begun += text.removesuffix("\\").rstrip() + " "
        elif begun or text:
            yield start, begun + text
            begun = ""


def known() -> dict[str, str]:
    """The class of every command that commands.toml has; of those that a test of its own tries, that test."""
    found: dict[str, str] = {}
    for name in ("run", "dry", "waits"):
        found |= dict.fromkeys(CLASSES[name], name)
    return found | CLASSES["tested"] | {key: "by hand" for each in CLASSES["by_hand"] for key in each["commands"]}


def main() -> None:
    """Print what is tried by hand."""
    places: dict[str, list[str]] = {}
    for each in commands():
        places.setdefault(each.key, []).append(f"{each.page}:{each.line}")
    for group in CLASSES["by_hand"]:
        print(f"{group['why']}:")
        for key in group["commands"]:
            print(f"  {key}    ({', '.join(places[key])})")


if __name__ == "__main__":
    main()
