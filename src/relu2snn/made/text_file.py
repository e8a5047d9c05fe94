"""Text with a stamp in its last line, after "# made "."""

import hashlib
import json
from pathlib import Path

from relu2snn.errors import reading
from relu2snn.files import read_text, require_file, write_text
from relu2snn.made.json_file import WAY_OUT
from relu2snn.made.stamp import KEY, NO_STAMP, Stamp, parse

_MARK = f"# {KEY} "


def text_digest(text: str) -> str:
    """SHA-256 of text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def save_text(path: str | Path, text: str, stamp: Stamp) -> None:
    """Write `text`, which ends with a line's end, and its stamp."""
    write_text(path, f"{text}{_MARK}{json.dumps(stamp.as_json())}\n")


def is_stamped(path: str | Path) -> bool:
    """Whether the last line of a text is a stamp."""
    return _MARK in read_text(path).rstrip("\n").rpartition("\n")[2]


def load_text(path: str | Path) -> tuple[str, Stamp]:
    """The text that `save_text` has written, and its stamp.

    Raises UserError when the file is missing, has no stamp, or is not what was written.
    """
    require_file(path)
    with reading(path, "text with a stamp", WAY_OUT):
        text, mark, last = read_text(path).rpartition(_MARK)
        if not mark:
            raise ValueError(NO_STAMP)
        stamp = parse(json.loads(last))
        if stamp.content != text_digest(text):
            raise ValueError("its text is not what its stamp says")
    return text, stamp
