"""JSON files with a stamp, under the key "made"."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relu2snn.errors import reading
from relu2snn.files import read_json, write_json
from relu2snn.made.stamp import KEY, Stamp, content_digest, parse

WAY_OUT = "delete it and run the workflow again"


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """`value` as JSON gives it back; raises ValueError for NaN and infinities."""
    found: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    return found


def save_json(path: str | Path, value: Mapping[str, Any], stamp: Stamp) -> None:
    """Write `value`, as `plain` gives it, and its stamp."""
    write_json(path, {**value, KEY: stamp.as_json(**value)})


def load_json(path: str | Path) -> tuple[dict[str, Any], Stamp]:
    """The value that `save_json` has written, and its stamp.

    Raises UserError when the file is missing, has no stamp, or is not what was written.
    """
    value = read_json(path)
    with reading(path, "result file", WAY_OUT):
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        stamp = parse(value.pop(KEY, None), **value)
        if stamp.content != content_digest(value):
            raise ValueError("its content is not what its stamp says")
    return value, stamp
