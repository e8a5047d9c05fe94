"""What sets a config apart from another one, as values and as the overrides that a user would type."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[\w./-]+")
# Hydra reads these as something other than text.
_WORDS = re.compile(r"(?i)null|true|false|nan|inf|[+-]?(\d|\.\d|inf|nan).*")


def changed_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of `after`, by their dotted keys in alphabetical order, that `before` has not or has otherwise."""
    old = dict(flatten(before))
    return {key: value for key, value in sorted(flatten(after)) if key not in old or old[key] != value}


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries by their dotted keys; lists are leaves."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def number_text(value: float) -> str:
    """The shortest text that is this number with every digit: 0.30 and 3e-1 are 0.3, 1.0 is 1."""
    return repr(value if value else 0.0).removesuffix(".0")


def override_text(value: Any) -> str:
    """A value as it stands behind `key=` on the command line of Hydra."""
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and not _WORDS.fullmatch(value) else _in_quotes(value, "'")
    if isinstance(value, float):
        return number_text(value)
    return _item_text(value)


def _item_text(value: Any) -> str:
    """What no text of its own is, or stands in a list: as JSON, but for its backslashes, which Hydra takes as such."""
    if isinstance(value, str):
        return _in_quotes(value, '"')
    if isinstance(value, list):
        return f"[{','.join(map(_item_text, value))}]"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _in_quotes(text: str, quote: str) -> str:
    """Text in Hydra's quotes, in which a backslash is one but before a quote."""
    inner = re.sub(rf"(\\*)({quote}|$)", lambda end: end[1] * 2 + ("\\" + quote if end[2] else ""), text)
    return f"{quote}{inner}{quote}"
