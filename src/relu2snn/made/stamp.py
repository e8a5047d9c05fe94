"""The stamp of a file: what made it, as plain values that JSON can hold."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FORMAT = 2
KEY = "made"
"""Where a stamp stands in a file: the key of a JSON file, the member of an .npz, the key of a .keras' metadata.json."""

NO_STAMP = "nothing in it says what made it: it is of an older version, or of another program"

# What a run took, and where it ran and its files stood, make no other content.
_NOT_CONTENT = frozenset({"seconds", "device", "origin", "file", "files"})
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Stamp:
    """What made a file.

    Attributes:
        stage: the stage that wrote it.
        of: what tells it from the other files of its stage and configuration, like the number of its part.
        values: those of the configuration that shaped it, by dotted key, and those that shaped what it was made from.
        inputs: the identities of the files that it was made from, directly or not, by "<stage>/<file name>".
        content: the digest of what it holds, but for run times and places.
    """

    stage: str
    of: Mapping[str, Any]
    values: Mapping[str, Any]
    inputs: Mapping[str, str]
    content: str

    @property
    def identity(self) -> str:
        """SHA-256 of all of it: equal for files of equal content that were made alike from alike files."""
        return digest(asdict(self))

    def as_json(self, **payload: Any) -> dict[str, Any]:
        """What is written: the stamp, and the digest over it and `payload`, the rest of the file if that is JSON."""
        values = {"format": FORMAT, **asdict(self)}
        return {**values, "digest": digest({**payload, KEY: values})}


def parse(found: Any, **payload: Any) -> Stamp:
    """The stamp that `Stamp.as_json` has written; raises ValueError for anything else, and for a wrong digest."""
    if not isinstance(found, dict):
        raise ValueError(NO_STAMP)
    if found.get("format") != FORMAT:
        raise ValueError(f"its stamp has the format {json.dumps(found.get('format'))[:40]}, not {FORMAT}")
    rest = {key: value for key, value in found.items() if key != "digest"}
    kinds = {"stage": str, "of": dict, "values": dict, "inputs": dict, "content": str}
    if set(rest) != {"format", *kinds} or not all(isinstance(rest[key], kind) for key, kind in kinds.items()):
        raise ValueError("its stamp is damaged")
    if not all(isinstance(value, str) and _DIGEST.fullmatch(value) for value in rest["inputs"].values()):
        raise ValueError("its stamp is damaged")
    if found.get("digest") != digest({**payload, KEY: rest}):
        raise ValueError("its content is not what was written: its digest is another one")
    del rest["format"]
    return Stamp(**rest)


def digest(value: Any) -> str:
    """SHA-256 of a value that JSON can hold; raises ValueError for NaN and infinities, which it cannot."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def content_digest(value: Any) -> str:
    """SHA-256 of a JSON value without run times and places, at any depth."""
    return digest(_content(value))


def _content(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _content(each) for key, each in value.items() if key not in _NOT_CONTENT}
    return [_content(each) for each in value] if isinstance(value, list) else value
