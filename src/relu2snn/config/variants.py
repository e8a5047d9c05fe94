"""The folders of a configuration: each stage's is named by what differs, here or upstream, from what conf/ gives.

A name is "base", or key=value of each value that differs, phase 2's own first and without "phase2.", as in
"zeta=0.3__train.epochs=2". What is not plain, and a file, is told by a digest: "weights.file~1a2b3c4d". A file counts
by its content, so it is the same one under another path and another one after a change.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from relu2snn.config.changes import changed_values, flatten, number_text, override_text
from relu2snn.config.schema import Experiment, Run, schema_fields
from relu2snn.config.slices import STAGES, data_stages
from relu2snn.config.values import plain, value_of
from relu2snn.errors import UserError

BASE = "base"
LONGEST = 100
FILES_VARIABLE = "RELU2SNN_FILES"

GROUPS = ("phase2", "phase1", "train", "model", "weights", "dataset", "figures", "sweep")
"""What the folders of results are named by, in this order."""
_SHOWN = ("figures", "energy")
_FILES = ("dataset.file", "weights.file", "weights.caffemodel", "weights.prototxt")
# Capitals are left out, since some file systems do not tell them apart.
_PLAIN = re.compile(r"(?!null$|true$|false$)[a-z0-9._+-]{1,40}")
_DIGITS = 8
# No comma: Snakemake names a job to another machine by its wildcards, and parts them at commas.
BETWEEN = "__"
_TOKEN = "sha256:"
_ORDER = {key: number for number, key in enumerate(schema_fields())}


def stages_of(config: Experiment) -> dict[str, tuple[str, ...]]:
    """The stages that the files of each folder depend on, by the folder's name in `Run`."""
    dataset = data_stages(config)
    made = {"train": ("train", *dataset), "caffe": ("places365_weights",), "imagenet": ()}
    given = config.weights.file is not None
    weights = ("weights", *(() if given else made[config.weights.source]))
    phase1 = ("phase1", "bounds", "reference", *dataset, *weights)
    phase2 = ("convert", "phase2", "gather", *phase1)
    return {
        "dataset": dataset,
        "train": ("train", *dataset),
        "weights": weights,
        "phase1": phase1,
        "phase2": phase2,
        "figures": ("figures", *phase2),
        "points": ("sweep_point", *phase1),
        "sweep": ("sweep_gather", "sweep_point", *phase2),
    }


def name_run(config: Experiment, standard: Experiment, dataset: Experiment | None) -> Run:
    """What sets `config` apart from `standard`, its config without the user's overrides.

    dataset: `standard` with the data set of conf/dataset/ that has this name. Experiments share a data set by its name,
    so its folder is named by what differs from that; None where conf/ has none.

    Raises UserError for a file that an override names and that is not there.
    """
    after = _leaves(config)
    all_changes = changed_values(_leaves(standard), after)
    changes, files, names = {}, {}, {}
    for folder, stages in stages_of(config).items():
        found = all_changes
        if folder == "dataset":
            found = changed_values(_leaves(dataset), after) if dataset is not None else all_changes
            # The name is the folder above.
            found.pop("dataset.name", None)
        swept = f"phase2.{config.sweep.name}" if folder == "points" else None
        changes[folder] = {key: found[key] for key in found if key != swept and matters(key, stages)}
        for key in _FILES:
            if changes[folder].get(key) is not None:
                files[key] = file_digest(key, changes[folder][key])
        names[folder] = variant_name(changes[folder], files)
    if "train" not in stages_of(config)["weights"]:
        # What is not read must not re-run what does not depend on it.
        names["train"] = ""
    shown = {key: value for key, value in all_changes.items() if key.partition(".")[0] in _SHOWN}
    own, swept_own, of_shown = map(override_list, (changes["phase2"], changes["sweep"], shown))
    return Run(own, swept_own, of_shown, **names, files=files)


def _leaves(config: Experiment) -> dict[str, Any]:
    return dict(flatten({key: plain(value_of(config, key)) for key in ("name", *GROUPS, "energy")}))


def matters(key: str, stages: Iterable[str]) -> bool:
    """Whether a key, or its group, is in the slice of one of the stages."""
    return any(key == each or key.startswith(f"{each}.") for stage in stages for each in STAGES[stage])


def variant_name(changes: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """The folder of a stage for these values by their keys: of letters, digits and ".=~+-_", LONGEST at most.

    files: by key, the SHA-256 of what stands for a file.
    """
    parts = [_part(key, changes[key], files.get(key)) for key in sorted(changes, key=_rank)]
    whole = name = BETWEEN.join(parts) or BASE
    while len(name) > LONGEST:
        parts.pop()
        name = BETWEEN.join([*parts, f"~{_digest(whole)}"])
    return name


def override_list(changes: Mapping[str, Any]) -> list[str]:
    """The overrides that make these changes, in the order of the names of folders."""
    return [f"{key}={override_text(changes[key])}" for key in sorted(changes, key=_rank)]


def _rank(key: str) -> tuple[int, int, str]:
    group = key.partition(".")[0]
    return GROUPS.index(group) if group in GROUPS else len(GROUPS), _ORDER.get(key, len(_ORDER)), key


def _part(key: str, value: Any, file: str | None) -> str:
    name = key.removeprefix("phase2.")
    if file is not None:
        return f"{name}~{file[:_DIGITS]}"
    if isinstance(value, bool | None) or (isinstance(value, str) and _PLAIN.fullmatch(value)):
        return f"{name}={value if isinstance(value, str) else json.dumps(value)}"
    if isinstance(value, int | float):
        return f"{name}={number_text(value)}"
    return f"{name}~{_digest(json.dumps(value, sort_keys=True, separators=(',', ':')))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def file_digest(key: str, path: str) -> str:
    """The SHA-256 of the file that the override `key` names, read once by a call of the workflow and its jobs.

    Raises UserError when there is none.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{key}={path}: no such file; name one, or leave {key} out")
    status = file.stat()
    state = [status.st_size, status.st_mtime_ns, status.st_ino]
    known = known_files()
    if known.get(path, {}).get("state") != state:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        known[path] = {"state": state, "sha256": digest}
        known_files(known)
    return str(known[path]["sha256"])


def known_files(found: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """By path, the state and the digest of what this call and the one that started it have read; `found`: from now on.

    They are kept in the environment, which jobs share.
    """
    if found is not None:
        os.environ[FILES_VARIABLE] = json.dumps(found)
    return cast(dict[str, Any], json.loads(os.environ.get(FILES_VARIABLE, "{}")))


def masked(config: Experiment, values: Any) -> Any:
    """A slice of `config` that tells files by their content, since a path must not re-run a job."""
    tokens: dict[str, str] = {}
    for key, digest in config.run.files.items():
        path, token = str(value_of(config, key)), _TOKEN + digest
        tokens |= {path: token, f"{key}={override_text(path)}": f"{key}={token}"}
    return _replaced(values, tokens)


def unmasked(values: Any, check: bool) -> Any:
    """A slice of `masked` with the paths that the call names, which `file_digest` has left in the environment.

    Raises UserError when `check` and such a file has changed since then.
    """
    tokens = {}
    for path, each in known_files().items():
        token = _TOKEN + each["sha256"]
        tokens[token] = path
        tokens |= {f"{key}={token}": f"{key}={override_text(path)}" for key in _FILES}
    found = _replaced(values, tokens)
    for key, path in flatten(found) if check else ():
        if key in _FILES and dict(flatten(values))[key] != path and _TOKEN + file_digest(key, path) not in tokens:
            raise UserError(f"{key}={path}: changed while the workflow ran; run it again")
    return found


def _replaced(values: Any, texts: Mapping[str, str]) -> Any:
    if isinstance(values, Mapping):
        return {key: _replaced(value, texts) for key, value in values.items()}
    if isinstance(values, list):
        return [_replaced(value, texts) for value in values]
    return texts.get(values, values) if isinstance(values, str) else values
