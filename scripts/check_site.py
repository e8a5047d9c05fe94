"""Checks that the pages of the site fetch nothing when they are read.

    python scripts/check_site.py docs/_build/html

Links that a reader follows are fine; what a browser loads by itself is not: pictures, styles, scripts, fonts, frames,
and what scripts ask for. Prints a line for each that would be loaded of elsewhere.
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADING = {
    "img": ("src", "srcset"), "script": ("src",), "iframe": ("src",), "frame": ("src",), "embed": ("src",),
    "object": ("data",), "video": ("src", "poster"), "audio": ("src",), "source": ("src", "srcset"), "track": ("src",),
    "input": ("src",), "use": ("href", "xlink:href"), "image": ("href", "xlink:href"), "body": ("background",),
}  # fmt: skip
"""What a browser loads by itself, by tag; of links it depends on what they are."""

FOLLOWED = frozenset(
    {"next", "prev", "search", "author", "copyright", "license", "help", "index", "canonical", "alternate"}
)
"""Links in the head of a page that no browser loads."""

_ELSEWHERE = re.compile(r"\s*(?:[a-z]+:)?//", re.I)
_STYLE = re.compile(r"""(?:url\(\s*['"]?|@import\s+['"])((?:https?:)?//[^'")\s]+)""", re.I)
_ASKING = re.compile(
    r"""(?:\bfetch\(|\bimport\(|\.open\(\s*['"]GET['"],|\.src\s*=|sendBeacon\(|importScripts\()\s*['"`]((?:https?:)?//[^'"`]+)"""
)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._inside = tag if tag in ("style", "script") else ""
        names = LOADING.get(tag, ())
        if tag == "link" and not set(given.get("rel", "").split()) & FOLLOWED:
            names = ("href",)
        self.found += [given[name] for name in names if _ELSEWHERE.match(given.get(name, ""))]
        self.found += _STYLE.findall(given.get("style", ""))
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh" and "//" in given.get("content", ""):
            self.found.append(given["content"])

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found += (_STYLE if self._inside == "style" else _ASKING).findall(data)


def loaded(file: Path) -> Iterator[str]:
    """The addresses of elsewhere that a browser would load for a file of a site."""
    text = file.read_text(encoding="utf-8", errors="replace")
    match file.suffix:
        case ".html" | ".svg":
            page = _Page()
            page.feed(text)
            yield from page.found
        case ".css":
            yield from _STYLE.findall(text)
        case ".js":
            yield from _ASKING.findall(text)


def main(folder: str) -> None:
    """Check every page, picture, style and script of a site."""
    files = [file for file in sorted(Path(folder).rglob("*")) if file.suffix in (".html", ".svg", ".css", ".js")]
    if not any(file.suffix == ".html" for file in files):
        sys.exit(f"{folder}: no pages in it; make docs makes them")
    found = [f"{file}: {address}" for file in files for address in loaded(file)]
    print("\n".join(found) if found else f"{len(files)} files of {folder} load nothing of elsewhere")
    sys.exit(bool(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
