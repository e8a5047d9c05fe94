"""What one job reads and writes: its files must be of its configuration, and belong together."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from relu2snn.errors import UserError
from relu2snn.made.json_file import load_json, plain, save_json
from relu2snn.made.keras_file import copy, members_digest, read_stamp, stamped
from relu2snn.made.npz_file import Arrays, arrays_digest, load_npz, save_npz
from relu2snn.made.stamp import Stamp, content_digest, digest
from relu2snn.made.text_file import load_text, save_text, text_digest

_THIS_RUN = "this run"
_SHOWN = 60


class Job:
    """A stage at work with one configuration.

    Whatever it reads adds to what it knows: the values of the configuration, and the identities of files. A file that
    contradicts is refused with a UserError. Whatever it writes is stamped with all that it knows by then.

    Attributes:
        values: of the configuration, by dotted key: the stage's own, and those of the files that it has read.
        inputs: identities of the files read or written, and of what they were made from, by "<stage>/<file name>".
    """

    def __init__(self, stage: str, values: Mapping[str, Any], expected: Mapping[str, Any] | None = None) -> None:
        """expected: values that files which are read must have, if they have them at all."""
        self.stage = stage
        self._expected: dict[str, Any] = plain(expected or {})
        self.values: dict[str, Any] = plain(values)
        self.inputs: dict[str, str] = {}
        self._says: dict[str, str] = dict.fromkeys(self.values, _THIS_RUN)

    def read_json(self, path: str | Path, *stages: str, of: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The value in a JSON file that one of `stages` has written; `of`: as in the file's stamp."""
        value, stamp = load_json(path)
        self.accept(path, stamp, stages, of=of)
        return value

    def read_npz(self, path: str | Path, *stages: str, of: Mapping[str, Any] | None = None) -> Arrays:
        """The arrays in an .npz that one of `stages` has written; `of`: as in the file's stamp."""
        arrays, stamp = load_npz(path)
        self.accept(path, stamp, stages, of=of)
        return arrays

    def read_text(self, path: str | Path, *stages: str, of: Mapping[str, Any] | None = None) -> str:
        """The text in a file that one of `stages` has written; `of`: as in the file's stamp."""
        text, stamp = load_text(path)
        self.accept(path, stamp, stages, of=of)
        return text

    def read_model(self, path: str | Path, *stages: str) -> Stamp:
        """The stamp of a .keras that one of `stages` has written, whose network is what it says."""
        stamp = read_stamp(path)
        self.accept(path, stamp, stages)
        return stamp

    def accept(
        self,
        path: str | Path,
        stamp: Stamp,
        stages: Collection[str],
        of: Mapping[str, Any] | None = None,
        apart: Collection[str] = (),
    ) -> None:
        """Take the stamp of a file that is read into account.

        of: what the stamp must say besides. apart: keys of values that may differ, and are not taken over.
        Raises UserError, naming the file, what it says and what is expected, when it contradicts what is known.
        """
        if stamp.stage not in stages:
            raise UserError(f"{path}: a file of the stage {stamp.stage}, where one of {' or '.join(stages)} should be")
        for key, value in (of or {}).items():
            if stamp.of.get(key) != value:
                found = _shown(stamp.of.get(key))
                raise UserError(f"{path}: made for {key} {found} instead of {_shown(value)}; {_again(stamp.stage)}")
        self._add(path, stamp, apart)
        self._add_input(path, f"{stamp.stage}/{Path(path).name}", stamp.identity)

    def join(self, other: "Job", path: str | Path, apart: Collection[str] = ()) -> None:
        """Take over what another job knows; `path` names it in messages, `apart` is as in `accept`."""
        self._add(path, Stamp(other.stage, {}, other.values, other.inputs, ""), apart)

    def combine(self, name: str, inputs: Iterable[str]) -> None:
        """Know several files of `inputs` by one identity from now on, as "<stage>/<name>"."""
        found = {key: self.inputs.pop(key) for key in list(inputs)}
        first = next(iter(found))
        combined = f"{first.partition('/')[0]}/{name}"
        self.inputs[combined] = digest(found)
        self._says[combined] = self._says[first]

    def write_json(self, path: str | Path, value: Mapping[str, Any], **of: Any) -> None:
        """Write JSON; `of` tells the file from others of the stage. Raises ValueError for NaN and infinities."""
        value = plain(value)
        stamp = self.stamp(content_digest(value), of)
        save_json(path, value, stamp)
        self._wrote(path, stamp)

    def write_npz(self, path: str | Path, arrays: Mapping[str, Any], compressed: bool = False, **of: Any) -> None:
        """Write arrays; `of` as in `write_json`."""
        stamp = self.stamp(arrays_digest(arrays), of)
        save_npz(path, arrays, stamp, compressed)
        self._wrote(path, stamp)

    def write_text(self, path: str | Path, text: str, **of: Any) -> None:
        """Write text, which ends with a line's end; `of` as in `write_json`."""
        stamp = self.stamp(text_digest(text), of)
        save_text(path, text, stamp)
        self._wrote(path, stamp)

    def write_model(self, path: str | Path, model: Any, **of: Any) -> None:
        """Write a Keras model as .keras; `of` as in `write_json`."""
        from relu2snn.saved.keras_files import save_model  # Keras takes seconds, so only where it is needed

        written = []

        def describe(folder: Path, metadata: Any) -> dict[str, Any]:
            written.append(self.stamp(members_digest(folder), of))
            return stamped(metadata, written[0])

        save_model(model, path, describe=describe)
        self._wrote(path, written[0])

    def copy_model(self, source: str | Path, path: str | Path, *stages: str, **of: Any) -> str:
        """Write the network of a .keras that one of `stages` has written as one of this job; returns its digest."""
        content = self.read_model(source, *stages).content
        stamp = self.stamp(content, of)
        copy(source, path, stamp)
        self._wrote(path, stamp)
        return content

    def stamp(self, content: str, of: Mapping[str, Any]) -> Stamp:
        """The stamp of a file of this digest that is written now."""
        return Stamp(self.stage, plain(of), dict(self.values), dict(self.inputs), content)

    def _wrote(self, path: str | Path, stamp: Stamp) -> None:
        self.inputs[f"{self.stage}/{Path(path).name}"] = stamp.identity
        self._says[f"{self.stage}/{Path(path).name}"] = str(path)

    def _add(self, path: str | Path, stamp: Stamp, apart: Collection[str]) -> None:
        for key, value in stamp.values.items():
            if key in apart:
                continue
            known = self.values.get(key, self._expected.get(key, value))
            if known != value:
                who = self._says.get(key, _THIS_RUN)
                raise UserError(
                    f"{path}: made with {key}={_shown(value)}, but {who} has {key}={_shown(known)}; "
                    f"{_again(stamp.stage)}"
                )
            self.values[key] = value
            self._says.setdefault(key, str(path))
        for name, identity in stamp.inputs.items():
            self._add_input(path, name, identity)

    def _add_input(self, path: str | Path, name: str, identity: str) -> None:
        if self.inputs.setdefault(name, identity) != identity:
            raise UserError(
                f"{path}: of another {name} ({identity[:12]}) than {self._says[name]} ({self.inputs[name][:12]}); "
                f"{_again(name.partition('/')[0])}"
            )
        self._says.setdefault(name, str(path))


def require(path: str | Path, key: str, found: Any, expected: Any, stage: str) -> None:
    """Raise UserError unless what a file of `stage` says about `key` is what it should."""
    if found != expected:
        raise UserError(f"{path}: {key} is {_shown(found)} instead of {_shown(expected)}; {_again(stage)}")


def _again(stage: str) -> str:
    return f"run the stage {stage} again (snakemake: --forcerun {stage})"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
