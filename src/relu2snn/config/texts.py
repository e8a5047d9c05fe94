"""Legal texts: what a name, a file's name, a path, an address or a sentence of the configuration may consist of.

Names become folders, shell words, Snakemake's wildcards and keys in MLflow; paths may hold blanks, quotes and letters
of every script, but nothing that Snakemake, a program's options or a terminal take for something else.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

from relu2snn.secrecy import holds_secret

# File systems take 255 bytes; results are first written under a longer, temporary name.
_LONGEST_PART = 200
_LONGEST_PATH = 1000
_LONGEST_WORDS = 1000
_NAME = f"at most {_LONGEST_PART // 2} letters, digits, '_', '-', '+' and '.', the first of them no sign"
_LABEL = f"at most {_LONGEST_PART // 2} ASCII letters, digits, '_', '-' and '.', the first of them no sign"
_NOT_IN_PATHS = "{}$`\\"
_NOT_FIRST = "-~"

QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
"""A text in quotes of its own, which an override loses."""


def text_problem(kind: str, text: str) -> str | None:
    """What is wrong with `text` as a `kind`, or None: name, label (of a network), file, path, address, words."""
    if not all(each.isprintable() for each in text):
        return "holds a character that does not print; leave it out"
    # Quotes are taken off by the shell, by Snakemake's option and by Hydra, each once: none of them can be told these.
    if text == "null":
        return "must not be null, which means that nothing is given"
    if QUOTED.fullmatch(text):
        return "must not begin and end with quotes; leave them out"
    return KINDS[kind].problem(text)


def plain_path(text: str) -> str:
    """`text` without "./", doubled and last slashes, which Snakemake would take for another path."""
    if not text or "://" in text:
        return text
    path = str(PurePosixPath(text))
    return path[1:] if path.startswith("//") else path


def _name(text: str) -> str | None:
    if re.fullmatch(r"\w[\w.+-]*", text) and len(text.encode()) <= _LONGEST_PART // 2:
        return None
    return f"must be {_NAME}"


def _label(text: str) -> str | None:
    # Keras' networks carry it, and TensorFlow knows no other letters.
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text) and len(text) <= _LONGEST_PART // 2:
        return None
    return f"must be {_LABEL}"


def _file(text: str) -> str | None:
    if "/" in text or text in ("", ".", ".."):
        return "must be a file's name, without a folder"
    return _path(text)


def _path(text: str) -> str | None:
    if not text:
        return "must not be empty"
    if text != text.strip():
        return "must not begin or end with a blank"
    if text[0] in _NOT_FIRST:
        return f"must not begin with {text[0]!r}; write the whole path out"
    if wrong := next((each for each in text if each in _NOT_IN_PATHS), None):
        return f"must not hold {wrong}, which Snakemake or a shell may take for more than a letter"
    if "://" in text:
        return "must be a path of this machine, not an address"
    longest = max(len(part.encode()) for part in text.split("/"))
    if longest > _LONGEST_PART or len(text.encode()) > _LONGEST_PATH:
        return f"is too long: at most {_LONGEST_PART} bytes between slashes, {_LONGEST_PATH} in all"
    return None


def _address(text: str) -> str | None:
    if not text.strip():
        return "must not be empty"
    if holds_secret(text):
        return (
            "holds a password or token, which would show in lists of processes and scripts of jobs; set it in the "
            "environment: MLFLOW_TRACKING_URI, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return "must not begin or end with a blank" if text != text.strip() else _words(text)


def _words(text: str) -> str | None:
    return f"is too long: at most {_LONGEST_WORDS} characters" if len(text) > _LONGEST_WORDS else None


class Kind(NamedTuple):
    """A kind of text: what one and several are called, what they are in words, what is wrong with one that is not."""

    one: str
    many: str
    says: str
    problem: Callable[[str], str | None]


KINDS: dict[str, Kind] = {
    "name": Kind("a name", "names", _NAME, _name),
    "label": Kind("an ASCII name", "ASCII names", _LABEL, _label),
    "file": Kind("a file's name", "names of files", "a path without a folder", _file),
    "path": Kind(
        "a path",
        "paths",
        "relative to the folder of the call, or from / on; without braces, dollar signs, backquotes and backslashes, "
        f"not beginning with - or ~, at most {_LONGEST_PART} bytes between slashes and {_LONGEST_PATH} in all",
        _path,
    ),
    "address": Kind(
        "an address", "addresses", "without a password or token, which belong into the environment", _address
    ),
    "words": Kind("a text", "texts", f"at most {_LONGEST_WORDS} characters", _words),
}
"""The kinds of text that the schema's fields name."""
