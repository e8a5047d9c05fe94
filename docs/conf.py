"""How `make docs` makes the site: of the Markdown of this folder and the docstrings, and fetching nothing."""

import inspect
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

import error_page  # noqa: E402

import relu2snn  # noqa: E402

project = "relu2snn"
author = "The relu2snn developers"
version = release = relu2snn.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "_templates"]
# Of headings, so that links within a page are those of a code host.
myst_heading_anchors = 4
# Indented blocks are commands, formulas and sketches.
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
nitpicky = True
# Types of signatures, which are often those of packages that have sites of their own.
nitpick_ignore_regex = [("py:(class|data|obj)", ".*")]

html_theme = "pydata_sphinx_theme"
html_title = "relu2snn"
html_show_sourcelink = False
# It would be fetched, page by page.
html_show_search_summary = False
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_sidebars = {"**": ["pages"]}
html_theme_options = {
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "footer_start": [],
    "footer_end": [],
    "show_prev_next": True,
    "navigation_with_keys": False,
}

_CODE = re.compile(r"(`[^`]+`)", re.S)
_MARKS = re.compile(r"[*|\\]|(?<=\w)_(?!\w)")


def written_in_markdown(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings have `code` in single quotes, and stars and bars that mean themselves; examples stay as they are.

    What is said of an argument, or of several, begins a paragraph.
    """
    text, examples, rest = "\n".join(lines).partition("\nExample:\n")
    pieces = [
        f"`{piece}`" if number % 2 else _MARKS.sub(r"\\\g<0>", piece) for number, piece in enumerate(_CODE.split(text))
    ]
    text = "".join(pieces)
    if names := "|".join(sorted(_arguments(thing), key=len, reverse=True)):
        one = rf"(?:{names})(?: \([^()]*(?:\([^()]*\))?[^()]*\))?"
        text = re.sub(rf"(?<![\w:] )(?<=\s)({one}(?:(?:,\s| and ){one})*):(?=\s)", r"\n\n**\1**:", text)
        text = re.sub(rf"(?m)^({one}(?:(?:,\s| and ){one})*):(?=\s)", r"\n\n**\1**:", text)
    lines[:] = (text + examples + rest).splitlines()


def _arguments(thing: Any) -> set[str]:
    try:
        return set(inspect.signature(thing).parameters) - {"self", "args", "options"}
    except (TypeError, ValueError):
        return set()


def setup(app: Any) -> None:
    """Write the page of all errors, and read docstrings before napoleon does."""
    page, text = HERE / "errors.md", error_page.page()
    if not page.is_file() or page.read_text() != text:
        page.write_text(text)
    app.connect("autodoc-process-docstring", written_in_markdown, priority=400)
