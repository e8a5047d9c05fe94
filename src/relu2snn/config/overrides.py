"""The user's overrides, KEY=VALUE: checked one by one against the schema, and put as Hydra reads them.

Hydra's own grammar has no words for most file names ("Ergebnisse ä", "a,b", "it's"), and takes part of them for sweeps,
functions or numbers. So the value of a key that holds text is taken literally, unless it is quoted or null.
"""

import pickle
import re
import types
import typing
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from relu2snn.config.nearest import choose_from, key_hint
from relu2snn.config.ranges import legal
from relu2snn.config.schema import schema_fields
from relu2snn.config.texts import QUOTED
from relu2snn.config.typed import typed
from relu2snn.errors import UserError, one_line, shown

LONGEST = 4_000
"""Characters of one override: Hydra reads it for every experiment, and takes a second for each ten thousand."""
_DEEPEST = 10
_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
_ELSEWHERE = {
    "experiment": "name experiments with experiments=…, not among the overrides",
    "sweep": "name sweeps with sweep=…, not among the overrides",
}
_OPTIONS = ("suite", "experiments", "overrides")


def hydra_overrides(overrides: Sequence[str], groups: dict[str, list[str]], where: str = "") -> list[str]:
    """The overrides as Hydra reads them.

    groups: the names of each config group; where: a message's beginning, for overrides that stand in a file.

    Raises UserError, one line that names the override, for one that is not KEY=VALUE, an unknown key, a key that is
    set twice, an unknown name of a group, a value of another type, and what Hydra would take for a sweep, a new key,
    a deletion or a value of the environment: none of them means anything here.
    """
    seen: dict[str, str] = {}
    checked = []
    for text in overrides:
        problem, ours = _checked(text, groups)
        key, given, _ = text.partition("=")
        if problem and not given and seen:
            problem += _left_over(text, list(seen.values())[-1])
        if not problem and key in seen:
            problem = f"{key} is set twice, also by '{shown(seen[key])}'; leave one of them out"
        if problem:
            raise UserError(f"{where}override '{shown(text, 120)}': {problem}")
        seen[key] = text
        checked.append(ours)
    return checked


def _checked(text: str, groups: dict[str, list[str]]) -> tuple[str | None, str]:
    """What is wrong with an override, or how Hydra reads it."""
    key, given, value = text.partition("=")
    if len(text) > LONGEST:
        return f"{len(text)} characters; {LONGEST} are the most", ""
    if not text.isprintable():
        return "holds a character that does not print; leave it out", ""
    if not given or not key:
        return "not of the form key=value, as in phase2.zeta=0.3", ""
    if key[0] in "+~":
        return "give one value, key=value, without '+', '~' or a list of choices", ""
    if key in _ELSEWHERE:
        return _ELSEWHERE[key], ""
    if key not in key_types():
        option = "; it is an option of the call, beside overrides" if key in _OPTIONS else ""
        return f"no such key '{shown(key)}'{option or key_hint(key, key_types())}", ""
    if "???" in value:
        return "'???' is no value; leave the override out to keep what conf/ says", ""
    if "${" in value and (problem := _reference_problem(value)):
        return problem, ""
    if key in groups and not value.startswith("{"):
        return (None, f"{key}={quoted(value)}") if value in groups[key] else (_unknown(key, value, groups[key]), "")
    if is_text(key) and value != "null" and not QUOTED.fullmatch(value):
        return None, f"{key}={quoted(value)}"
    return _parsed_problem(key, text), text


def _left_over(text: str, before: str) -> str:
    """What a word without a key may be: the rest of the value before it, which should have been in quotes."""
    key, _, value = before.partition("=")
    # What text processors make of quotes.
    whole = f"{value} {text}".strip("\u2018\u2019\u201c\u201d\u201e")
    quote = '"' if "'" in whole else "'"
    return f"; where a value has blanks, put it in quotes, as in {key}={quote}{shown(whole, 60)}{quote}"


def _unknown(group: str, name: str, names: list[str]) -> str:
    return f"no such {group}; {choose_from(name, names, f'conf/{group}/')}"


@lru_cache(1000)
def _parsed_problem(key: str, text: str) -> str | None:
    deep = most = 0
    for each in QUOTED.sub("", text):
        deep += (each in "[{(") - (each in "]})")
        most = max(most, deep)
    if most > _DEEPEST:
        return f"{most} brackets inside each other; {_DEEPEST} are the most"
    try:
        override = OverridesParser.create().parse_override(text)
        if override.is_sweep_override():
            return _together(text) or "give one value, key=value, without '+', '~' or a list of choices"
        # The value may be whatever Hydra's grammar makes of the text, such as a number of thousands of digits.
        OmegaConf.update(pickle.loads(_nothing()), key, override.value())
    except HydraException as error:
        reason = one_line(error.__cause__ or error)
        why = "" if reason == "None" else f" ({reason})"
        quotes = f"put each text in quotes, as in {key}=['a=b','ä, ö']" if "[" in text else "put text in quotes"
        return _together(text) or f"not a value as Hydra reads it{why}; {quotes}"
    except Exception as error:
        return f"{reason_of(error)}; {_way_out(key)}"
    return None


def _way_out(key: str) -> str:
    """What the value of a key may be."""
    kind = key_types()[key]
    if is_dataclass(kind):
        return f"set the values in it, as in {key}.{fields(kind)[0].name}=…"
    return f"give {legal(kind, schema_fields()[key].metadata)}"


@cache
def _nothing() -> bytes:
    """A config without a value, pickled: so a copy takes a tenth of the time."""
    return pickle.dumps(typed({}))


def _together(text: str) -> str | None:
    """What is wrong with several overrides that were given as one."""
    if text.endswith(",") or re.search(r",\s*[a-z][\w.]*=", text):
        return "part overrides by blanks, not by commas, as in phase2.zeta=0.3 train.epochs=2"
    return None


def reason_of(error: Exception) -> str:
    """What OmegaConf, Hydra or YAML says, without the lines on where it stood and was looked for."""
    places = r" (full_key:|reference_type=|object_type=|Config search path:).*"
    return re.sub(places, "", one_line(error.__cause__ or error))


def _reference_problem(value: str) -> str | None:
    """A value may refer to another key's; what the environment or a file holds is no part of a configuration."""
    for place in re.finditer(r"\$\{", value):
        reference = _REFERENCE.match(value, place.start())
        if not reference:
            return "'${' may only begin a reference to another key, as in ${outputs}"
        if reference[1] not in key_types():
            return f"'{shown(reference[0])}' refers to no key; name one of the configuration, as in ${{outputs}}"
    return None


def quoted(value: str) -> str:
    """`value` as a string of Hydra's grammar, which takes every character but its quote literally."""
    inner = re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", value)
    last = len(inner) - len(inner.rstrip("\\"))
    return f"'{inner}{chr(92) * last}'"


def is_text(key: str) -> bool:
    """Whether the value of a key is text, which is taken as it is."""
    kind = key_types().get(key)
    return kind is str or (isinstance(kind, types.UnionType) and str in typing.get_args(kind))


@cache
def key_types() -> dict[str, Any]:
    """The type of every key that an override may set, groups included."""
    made_here = ("suite", "run", "expected")
    return {key: entry.type for key, entry in schema_fields().items() if key.partition(".")[0] not in made_here}
