"""Every error that a user can read, of the source: docs/errors.md, which `make docs` writes for its site.

Texts are those of the calls that raise them, with … for what they fill in; what follows the last semicolon is the way
out.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "relu2snn"

SECTIONS = {
    "The command": ("command", "arguments"),
    "Options, overrides and values": ("config",),
    "Images and data sets": ("datasets", "formats"),
    "Files of networks and weights": ("networks", "saved"),
    "Converting and verifying": ("mapping", "graph"),
    "Running a spiking network": ("spiking", "energy"),
    "Exporting": ("exported",),
    "Figures": ("figures",),
    "Stages, tables and the report": ("stages", "presentation"),
    "Results, files and the machine": (
        "clock", "errors", "files", "locks", "made", "plan", "processes", "progress", "runs",
        "secrecy", "shipped", "slurm", "software",
    ),
    "Containers": ("containers", "apptainer"),
    "MLflow": ("tracking", "serving", "ui"),
    "Installation": ("__init__", "extras", "loading"),
}  # fmt: skip
"""By what a user was doing: the parts of the package that say so."""

LIBRARY = ("exported", "figures", "graph", "mapping", "spiking")
"""Parts whose ordinary exceptions users read; in others these become part of a line that names the file."""

RULES = ("config/overrides.py", "config/ranges.py", "config/texts.py", "config/together.py", "config/validate.py")
"""Where what is wrong with a value is returned, for the line that names its key."""

_SAID = ("UserError", "AwayError", "UnsupportedLayerError", "TooManyError")
_ORDINARY = ("ValueError", "TypeError", "ImportError", "ModuleNotFoundError", "OSError", "ChildError", "ForbiddenError")
_REFUSING = {"refuse": ("layer", 2), "refuse_model": ("model", 2)}

HEAD = """\
# Every error

What this package says when something is wrong, as it stands in the source: … is what a message fills in, most often a
name, a value or a file. [Troubleshooting](troubleshooting.md) explains the frequent ones.
"""


class Text(NamedTuple):
    """What is said: the part of the package, the text, and whether that is a line or a part of one, LINE to VALUE."""

    part: str
    text: str
    kind: str


LINE, REASON, VALUE = "line", "In brackets, as the reason why a file is not read:", "After a key and its value:"


def texts() -> Iterator[Text]:
    """Every text of the package, in the order of its files."""
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        rules = path.relative_to(PACKAGE).as_posix() in RULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (found := _said(node, part)):
                yield found
            elif rules and isinstance(node, ast.Return) and (text := _returned(node.value)):
                yield Text(part, text, VALUE)


def _said(call: ast.Call, part: str) -> Text | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = [template(each) for each in call.args]
    if name in _REFUSING:
        # Of a node of ONNX it is a method, without the first argument.
        method = isinstance(call.func, ast.Attribute)
        kind, first = ("node", 0) if method else (_REFUSING[name][0], 1)
        reason, way_out = [*given, None, None, None][first : first + 2]
        return Text(part, f"{kind} '…' (…): {reason}; {way_out}", LINE) if reason and way_out else None
    if name not in (*_SAID, *_ORDINARY) or len(given) != 1 or not given[0] or not given[0].strip("… :;"):
        return None
    return Text(part, given[0], REASON if name in _ORDINARY and part not in LIBRARY else LINE)


def _returned(value: ast.expr | None) -> str | None:
    """What is wrong with a value, by itself, as the first of several, or as one of two."""
    match value:
        case ast.Tuple(elts=[first, *_]):
            return _returned(first)
        case ast.IfExp(body=body, orelse=other):
            return _returned(body) or _returned(other)
        case ast.expr():
            text = template(value)
            return text.removeprefix("…: ") if text and " " in text.strip("… ") and text[:1] != ";" else None
    return None


def template(node: ast.expr) -> str | None:
    """A text with … for what is filled in; None for what is no text here."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr():
            return "".join(each.value if isinstance(each, ast.Constant) else "…" for each in node.values)
        case ast.BinOp(op=ast.Add()):
            pieces = template(node.left), template(node.right)
            return None if pieces == (None, None) else "".join(each or "…" for each in pieces)
    return None


def page() -> str:
    """The page, section by section."""
    found = sorted(set(texts()))
    known = {part for parts in SECTIONS.values() for part in parts}
    if missing := {each.part for each in found} - known:
        raise ValueError(f"{sorted(missing)}: no section of scripts/error_page.py has this part of the package")
    lines = [HEAD]
    for title, parts in SECTIONS.items():
        own = [each for each in found if each.part in parts]
        if not own:
            continue
        lines += [f"## {title}", ""]
        if said := [each for each in own if each.kind == LINE]:
            lines += ["| it says | what to do |", "|---|---|", *(_row(each.text) for each in said), ""]
        for kind in (VALUE, REASON):
            if parts_of_lines := [each for each in own if each.kind == kind]:
                lines += [kind, "", *(f"- {_code(each.text)}" for each in parts_of_lines), ""]
    return "\n".join(lines)


def _row(text: str) -> str:
    what, _, way_out = text.rpartition("; ")
    if not what.strip("… "):
        return f"| {_code(text)} | |"
    return f"| {_code(what)} | {_code(way_out)} |"


def _code(text: str) -> str:
    quote = "``" if "`" in text else "`"
    return f"{quote}{' '.join(text.split())}{quote}".replace("|", "\\|")
