"""The page docs/config.md, from what the program itself goes by: python -m relu2snn.config.page writes it.

Types and ranges are those of `schema` and `together`, meanings and defaults those of the files of conf/, and what runs
again follows from `slices`.
"""

import re
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import MISSING as UNSET
from omegaconf import OmegaConf

from relu2snn.config.changes import override_text
from relu2snn.config.comments import comments_of, first_sentence
from relu2snn.config.compose import conf, known
from relu2snn.config.overrides import key_types
from relu2snn.config.ranges import legal
from relu2snn.config.reruns import everywhere, first_stages, stage_order
from relu2snn.config.schema import ByHand, Experiment, Suite, schema_fields, walk_fields
from relu2snn.config.sources import leaves_in
from relu2snn.config.texts import KINDS
from relu2snn.config.together import RULES
from relu2snn.errors import UserError
from relu2snn.files import atomic_path
from relu2snn.shipped import checkout

# As many files' values as a cell may list.
_FEW = 4
# Characters of a value that a cell shows.
_LONGEST = 60
_WIDTH = 120

_INTRODUCTION = """# What can be set

<!-- Written by python -m relu2snn.config.page; change conf/ or src/relu2snn/config/, then run it again. -->

Every value stands in `conf/`, with a comment that says what it means. A call sets others:

    .venv/bin/snakemake --cores 2 --config experiments=mnist_fc overrides="phase2.zeta=0.3 train.epochs=2"

and this prints the whole configuration, each value with the file that it comes from, before anything runs:

    .venv/bin/python -m relu2snn.config experiment=mnist_fc phase2.zeta=0.3 train.epochs=2

`KEY=VALUE` sets a value, `GROUP=NAME` takes another file of a group: `dataset=fmnist_sample`, `train=quickstart`. What
comes later wins: the files that `conf/config.yaml` names or the experiment instead, `conf/config.yaml` itself, the
experiment, the overrides of the suite, yours. A value may refer to another: `${outputs}`. Which images can be taken,
how many, and your own: [data.md](data.md).

**Runs again** names the stages that begin anew when a value changes; of several, those that an experiment has. What is
made of their files is made again, too, and what is logged of them. All other results stay, and so do those of the
values before: each set of values has its own folders. *Nothing* runs again for a value that changes no result.

{order}

**Texts** are of one of these kinds, and print:

{kinds}
"""


@cache
def page() -> str:
    """The whole page."""
    kinds = "\n".join(_wrapped(f"- {kind.one}: {kind.says}") for kind in KINDS.values())
    order = _wrapped(f"The stages in their order: {', '.join(f'`{stage}`' for stage in stage_order())}.")
    parts = [_INTRODUCTION.replace("{order}", order).replace("{kinds}", kinds)]
    parts.append("## The whole call\n\n" + _table(["outputs"]))
    groups = [entry.name for entry in fields(Experiment) if entry.name in key_types() and is_dataclass(entry.type)]
    parts += [_section(group) for group in groups]
    parts.append(_suites())
    parts.append(f"## Experiments\n\n{_files('experiment')}")
    parts.append(_others(groups))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="  " * text.startswith("-"), break_on_hyphens=False)


def _section(group: str) -> str:
    """A group: its files, its keys, and which of them must fit others."""
    title = first_sentence((key_types()[group].__doc__ or "").partition("\n")[0]).rstrip(".")
    words = [f"## {group}", f"{title}."]
    if (conf() / group).is_dir():
        words.append(_files(group))
    words.append(_table(key for key in key_types() if key.startswith(f"{group}.")))
    rules = [rule for rule in RULES if rule.key.startswith(f"{group}.")]
    if rules:
        fitting = (_wrapped(f"- `{rule.key}`: {rule.says}") for rule in rules)
        words.append("\n".join(["Values that must fit each other:", "", *fitting]))
    return "\n\n".join(words)


def _table(keys: Iterable[str]) -> str:
    rows = ["| key | may be | default | meaning | runs again |", "|---|---|---|---|---|"]
    for key in keys:
        entry = schema_fields()[key]
        if not is_dataclass(entry.type):
            rows.append(_row(f"`{key}`", _legal(entry), _default(key, entry), meaning(key), _runs_again(key)))
            for each in _items(entry):
                rows.append(_row(f"`{key}[].{each.name}`", _legal(each), "", meaning(f"{key}.{each.name}"), ""))
    return "\n".join(rows)


def _row(*cells: str) -> str:
    # Markdown takes what stands in angle brackets for tags.
    return f"| {' | '.join(cell.replace('|', '&#124;').replace('<', '&lt;') for cell in cells)} |"


def _items(entry: Field[Any]) -> tuple[Field[Any], ...]:
    """The fields of the groups that a list holds."""
    return fields(ByHand) if entry.type == list[ByHand] else ()


def _legal(entry: Field[Any]) -> str:
    words = legal(entry.type, entry.metadata)
    for choice in entry.metadata.get("choices", ()):
        words = re.sub(rf"(?<= ){choice}\b", f"`{choice}`", words)
    return words.removeprefix("one of ")


def meaning(key: str) -> str:
    """What the comments of conf/ say of a key.

    Raises UserError where none does, and where two files say different things.
    """
    said = {comments[key]: file for file, comments in _comments().items() if comments.get(key)}
    if not said:
        raise UserError(f"conf/: no comment on {key}; say in a line what it means, where it stands")
    shortest = min(said, key=len)
    for text, file in said.items():
        if text != shortest and not text.startswith(f"{shortest}; "):
            raise UserError(f"{file}: {key}: '{text}' is not what other files say: '{shortest}'; begin alike")
    return shortest


@cache
def _comments() -> dict[str, dict[str, str]]:
    """By file of conf/, the comments on the keys of an experiment and a suite."""
    found = {}
    for file in [conf() / "config.yaml", *sorted(conf().glob("*/*.yaml"))]:
        group = file.parent.name
        prefix = "" if file.parent == conf() or group == "experiment" else f"{group}."
        name = str(file.relative_to(conf().parent))
        found[name] = {f"{prefix}{key}": text for key, text in comments_of(file).keys.items()}
    return found


def _default(key: str, entry: Field[Any]) -> str:
    """The value that conf/ gives, or which files give which."""
    group, unset = key.partition(".")[0], _unset(entry)
    found = {name: _shown(_values(group, name).get(key, unset)) for name in known(group)}
    if key in _values("", "config") or not found:
        found = {"config": _shown(_values("", "config").get(key, unset))}
    standard = _alike(found, group)
    others = {_shown(values[key]) for name in known("experiment") if key in (values := _values("experiment", name))}
    others -= set(found.values())
    if not others:
        return standard
    if standard == _shown(UNSET):
        return "by experiment"
    if len(others) > _FEW or max(map(len, others)) > _LONGEST:
        return f"{standard}, or by experiment"
    return f"{standard}; of experiments also {', '.join(sorted(others))}"


def _alike(found: dict[str, str], group: str) -> str:
    """The value of most files, and what others have."""
    by_value: dict[str, list[str]] = {}
    for name, value in found.items():
        by_value.setdefault(value, []).append(name)
    usual = max(by_value, key=lambda value: len(by_value[value]))
    rest = [f"{value} ({', '.join(names)})" for value, names in by_value.items() if value != usual]
    if max(map(len, by_value)) > _LONGEST or len(found) - len(by_value[usual]) > _FEW:
        return f"by `{group}`"
    return ", ".join([f"{usual} ({', '.join(by_value[usual])})" if len(found) <= _FEW and rest else usual, *rest])


def _unset(entry: Field[Any]) -> Any:
    """What the schema gives a value that no file sets."""
    return entry.default_factory() if callable(entry.default_factory) else entry.default


def _shown(value: Any) -> str:
    return f"`{override_text(value)}`"


@cache
def _values(group: str, name: str) -> dict[str, Any]:
    """The values of a file of conf/ by dotted key."""
    values = OmegaConf.to_container(OmegaConf.load(conf() / group / f"{name}.yaml"))
    return dict(leaves_in(values, "" if group in ("", "experiment") else f"{group}."))


def _runs_again(key: str) -> str:
    if everywhere(key):
        return "everything, in another folder"
    return ", ".join(f"`{stage}`" for stage in first_stages(key)) or "nothing"


def _files(group: str) -> str:
    """The files of a group, and what each is."""
    rows = [f"| `{'experiments' if group == 'experiment' else group}=NAME` | `conf/{group}/` |", "|---|---|"]
    for name in known(group):
        head = comments_of(conf() / group / f"{name}.yaml").head
        if not head:
            raise UserError(f"conf/{group}/{name}.yaml: no comment at its head; say in a line what it is")
        rows.append(_row(f"`{name}`", first_sentence(head)))
    return "\n".join(rows)


def _suites() -> str:
    rows = ["| key of a file | may be | meaning |", "|---|---|---|"]
    rows += [_row(f"`{key}`", _legal(entry), meaning(f"suite.{key}")) for key, entry in walk_fields(Suite)]
    return "\n\n".join(["## Suites", _files("suite"), "\n".join(rows)])


def _others(groups: list[str]) -> str:
    """What else stands in conf/, and is no part of an experiment's configuration."""
    said = ["## Other files", "No override sets what stands in these; their comments say what it means."]
    folders = {path for path in conf().iterdir() if path.is_dir() and path.name not in (*groups, "experiment", "suite")}
    files = {path for path in conf().glob("*.yaml") if path.stem != "config"}
    rows = [
        f"- `conf/{file.relative_to(conf())}`: {first_sentence(comments_of(file).head)}"
        for file in sorted([*files, *(file for folder in folders for file in folder.glob("*.yaml"))])
    ]
    return "\n\n".join([*said, "\n".join(rows)])


def main() -> None:
    """Write docs/config.md of this checkout; a mistake in conf/ is one line and status 1."""
    try:
        top = checkout()
        if top is None:
            raise UserError("docs/config.md: this package is a wheel's; run it in a checkout")
        with atomic_path(top / "docs" / "config.md") as file:
            Path(file).write_text(page(), encoding="utf-8")
    except UserError as error:
        print(f"relu2snn config page: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
