"""Writes down where an experiment's results come from: the whole config, the software, the machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from relu2snn.config import Experiment, Paths, stage_slice
from relu2snn.files import write_json, write_text
from relu2snn.presentation.report import page
from relu2snn.shipped import checkout
from relu2snn.software import git_commit, software


def run(config: Experiment) -> None:
    """Write provenance/config.yaml, config.html (the same, to be read) and software.json of one experiment."""
    folder = Path(Paths.of(config).provenance)
    values = stage_slice(config, "provenance")
    write_text(folder / "config.yaml", _text(values))
    # What others report configures nothing; the page of results has it, where it can be compared.
    shown = {key: value for key, value in values.items() if key != "published"}
    write_text(folder / "config.html", page("config", f"Configuration of {config.name}", text=_text(shown)))
    write_json(folder / "software.json", {**software(), "commit": git_commit(checkout())})


def _text(values: Mapping[str, Any]) -> str:
    # Lists and groups without groups of their own take one line each.
    return yaml.safe_dump(values, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
