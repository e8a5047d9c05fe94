"""The options of one call of the workflow, as Snakemake's command line gives them: numbers, lists and all."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relu2snn.config.nearest import choose_from
from relu2snn.config.overrides import LONGEST, is_text
from relu2snn.config.texts import QUOTED
from relu2snn.errors import UserError, shown

_KEYS = ("suite", "experiments", "sweep", "overrides")
_BY_HAND = ("experiment", "suite", "sweep")
_SUITE = "paper"
_MOST_NAMES = 1000
_LONGEST = 10 * LONGEST
_EXAMPLES = {"'": '"it\'s"', '"': "'a 3\" disk'"}


@dataclass(frozen=True)
class Options:
    """What a call asks for: a suite, experiments and sweeps by name (empty: the suite's), overrides."""

    suite: str
    experiments: list[str]
    sweeps: list[str]
    overrides: list[str]


def read_options(options: Mapping[str, Any], typed: Sequence[str] = ()) -> Options:
    """The options of Snakemake's `--config`, as text or as lists.

    options: what Snakemake has made of them and of its configuration files; typed: its arguments, KEY=VALUE, as they
    were typed. Snakemake takes quotes off their ends, and reads the rest as YAML, which ends at a "#".

    Raises UserError for an unknown option, one given twice, and values that are no names or overrides.
    """
    options = {**options, **_as_typed(options, typed)}
    for key in options:
        if key not in _KEYS:
            raise UserError(
                f"--config {shown(key)}={shown(options[key])}: no such option; choose from {', '.join(_KEYS)}"
            )
        # Snakemake's word for text without a character; without a value all of the suite would run.
        if options[key] is None and key != "overrides":
            raise UserError(f"{key}=: names nothing; name one, or leave {key} out")
    suites = split_names(options.get("suite"), "suite")
    if len(suites) > 1:
        raise UserError(f"suite={shown(options['suite'])}: name one suite")
    return Options(
        (suites or [_SUITE])[0],
        split_names(options.get("experiments"), "experiments"),
        split_names(options.get("sweep"), "sweep"),
        split_overrides(options.get("overrides")),
    )


def _as_typed(options: Mapping[str, Any], typed: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in typed:
        key, _, text = entry.partition("=")
        if key in found:
            raise UserError(f"--config {shown(key)}={shown(text)}: {shown(key)} is given twice; give it once")
        parsed = options.get(key)
        if isinstance(parsed, list) or text == f"'{parsed}'":
            found[key] = parsed
        else:
            found[key] = (_unquoted(text) if QUOTED.fullmatch(text) else text) or None
    return found


@dataclass(frozen=True)
class ByHand:
    """What a command for one experiment asks for; sweep is empty for none."""

    experiment: str
    suite: str
    sweep: str
    overrides: list[str]


def by_hand(words: Sequence[str], experiments: Sequence[str]) -> ByHand:
    """The words of a command for one experiment: experiment=NAME, suite=NAME, sweep=NAME, and overrides.

    experiments: those that there are, for the message where none is named.

    Raises UserError for one that is given twice, and without an experiment.
    """
    named: dict[str, str] = {}
    overrides = []
    for text in words:
        key, _, value = text.partition("=")
        if key not in _BY_HAND:
            overrides.append(text)
        elif key in named:
            raise UserError(f"{shown(text)}: {key} is set twice; give it once")
        else:
            named[key] = value
    if "experiment" not in named:
        raise UserError(f"no experiment given; add experiment=NAME; {choose_from('', experiments, 'conf/experiment/')}")
    return ByHand(named["experiment"], named.get("suite", _SUITE), named.get("sweep", ""), overrides)


def split_names(value: Any, option: str = "experiments") -> list[str]:
    """Names from a command-line value, each once: "a,b", "a b" or a list; none from None.

    Raises UserError for another type, text that holds no name, and more names than there can be.
    """
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    if len(items) > _MOST_NAMES or not all(isinstance(item, str) and len(item) <= _LONGEST for item in items):
        raise UserError(f"{option}={shown(value)}: not names; give one, or several as in {option}=a,b")
    names = list(dict.fromkeys(name for item in items for name in re.split(r"[,\s]+", item) if name))
    if not names:
        raise UserError(f"{option}={shown(value)}: names nothing; name one, or leave {option} out")
    return names


def split_overrides(value: Any) -> list[str]:
    """Overrides from one string, split at blanks outside quotes and brackets, or a list of them; none from None.

    A value in quotes loses them, as in a shell. In a list or dictionary blanks beside its signs go, and quotes stay.

    Raises UserError for another type, and a quote that is not closed.
    """
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    if not isinstance(value, str):
        raise UserError(f"overrides={shown(value)}: not text; give overrides, as in overrides='phase2.zeta=0.3'")
    if len(value) > _LONGEST:
        raise UserError(f"overrides={shown(value)}: {len(value)} characters; {_LONGEST} are the most")
    found = []
    place = 0
    while (start := re.compile(r"\s*").match(value, place).end()) < len(value):  # type: ignore[union-attr]
        text, place = _next_override(value, start)
        found.append(text)
    return found


def _next_override(text: str, start: int) -> tuple[str, int]:
    """The override that begins at `start`, and where it ends."""
    head = re.compile(r"[^\s'\"=]*=(?=[\[{])").match(text, start)
    if head and not is_text(head[0][:-1]):
        return _brackets(text, start, head.end())
    word, place = [], start
    while place < len(text) and not text[place].isspace():
        end = _closing(text, place) if text[place] in "'\"" else place
        word.append(_unquoted(text[place : end + 1]) if end > place else text[place])
        place = end + 1
    return "".join(word), place


def _brackets(text: str, start: int, place: int) -> tuple[str, int]:
    """The override from `start` on, whose list or dictionary begins at `place`, and where it ends."""
    depth = 0
    while place < len(text) and (depth or not text[place].isspace()):
        depth += (text[place] in "[{") - (text[place] in "]}")
        place = (_closing(text, place) if text[place] in "'\"" else place) + 1
    if depth > 0:
        raise UserError(f"overrides='{shown(text)}': no closing bracket in '{shown(text[start:])}'; close it")
    return _closed_up(text[start:place]), place


def _closing(text: str, place: int) -> int:
    quote, place = text[place], place + 1
    while place < len(text) and text[place] != quote:
        place += 2 if text[place] == "\\" else 1
    if place >= len(text):
        raise UserError(
            f"overrides='{shown(text)}': no closing {quote}; quote each override once, as in outputs='my results', "
            f"and a value that has {quote} in it by the other sign, as in outputs={_EXAMPLES[quote]}"
        )
    return place


def _unquoted(text: str) -> str:
    """The text between quotes; as in Hydra, backslashes are themselves but before a quote."""
    quote = text[0]
    return re.sub(rf"(\\+)(?={quote}|$)", lambda match: "\\" * (len(match[1]) // 2), text[1:-1])


def _closed_up(text: str) -> str:
    """Without the blanks beside brackets, commas and colons, outside quotes."""
    parts = re.split(r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")", text)
    parts[::2] = [re.sub(r"\s*([\[\]{},:])\s*", r"\1", part) for part in parts[::2]]
    return "".join(parts)
