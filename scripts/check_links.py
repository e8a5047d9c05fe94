"""Checks what the Markdown of this repository points to: pages, their headings, pictures, and files named in `code`.

    python scripts/check_links.py

Nothing is fetched: addresses of the network are left alone. Prints a line for each that leads nowhere.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]

# Names of files that users have or that runs make, which are no files of the repository.
_USERS = re.compile(
    r"(outputs|stored|my-cluster|docs/_build|data/(raw|models|smoke))(/|$)|conf/\w+/mine\w*\.yaml|.*[<>…{}*=\s].*|.*(\.\.|//).*"
)
_NAMED = re.compile(r"[\w./-]+\.(py|md|smk|rst|ya?ml|toml|ipynb|txt|sh|cff|in|css)")
_FOLDER = re.compile(
    r"(conf|docs|pipeline|src|scripts|tests|notebooks|benchmarks|requirements|config|\.ci|\.github)/[\w./-]*"
)
_OTHERS = frozenset({"places365_val.txt"})


def tokens(path: Path) -> Iterator[Token]:
    """The tokens of a Markdown file, those of its lines of text included."""
    for token in MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


@cache
def anchors(path: Path) -> frozenset[str]:
    """The headings of a page, as a code host makes addresses of them."""
    parsed = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    titles = [after.content for token, after in pairwise(parsed) if token.type == "heading_open"]
    slugs: list[str] = []
    for title in titles:
        plain = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        slugs.append(f"{slug}-{slugs.count(slug)}" if slug in slugs else slug)
    return frozenset(slugs)


def faults(root: Path, pages: Iterable[str], files: frozenset[str]) -> Iterator[str]:
    """What is wrong in these pages of a repository, of which `files` are the names."""
    for name in pages:
        page = root / name
        for token in tokens(page):
            if token.type in ("link_open", "image"):
                target = str(token.attrs.get("href") or token.attrs.get("src"))
                if reason := _link(root, page, target):
                    yield f"{name}: {target}: {reason}"
            elif token.type == "code_inline" and not _is_there(token.content, files):
                yield f"{name}: `{token.content}`: no such file"


def _link(root: Path, page: Path, target: str) -> str:
    if re.match(r"[a-z]+:", target):
        return ""
    place, _, anchor = target.partition("#")
    there = (page.parent / place).resolve() if place else page
    if not there.is_relative_to(root):
        return "leads out of the repository"
    if not there.is_file():
        return "no such file"
    if anchor and anchor not in anchors(there):
        return f"no such heading; there are {', '.join(sorted(anchors(there)))}"
    return ""


def _is_there(text: str, files: frozenset[str]) -> bool:
    """Whether a text in `code` is no name of a file, or that of one in the repository, by its last folders."""
    if _USERS.match(text) or text in _OTHERS or not (_NAMED.fullmatch(text) or _FOLDER.fullmatch(text)):
        return True
    return any(f"/{each}".endswith(f"/{text}") or each.startswith(f"{text.rstrip('/')}/") for each in files)


def main() -> None:
    """Check every Markdown file that git knows, new ones included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    files = frozenset(name for name in listed.stdout.decode().split("\0") if (ROOT / name).is_file())
    found = list(faults(ROOT, sorted(name for name in files if name.endswith(".md")), files))
    print("\n".join(found) if found else f"links of {sum(name.endswith('.md') for name in files)} pages lead somewhere")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
