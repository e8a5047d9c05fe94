"""Writes down where an experiment's results come from: the whole config, the software, the machine."""

from pathlib import Path

import yaml

from relu2snn.config import Experiment, Paths, stage_slice
from relu2snn.files import write_json, write_text
from relu2snn.report import page
from relu2snn.software import git_commit, software
from relu2snn.stages._app import stage_app


def run(config: Experiment, part: int | None) -> None:
    """Write provenance/config.yaml, config.html (the same, to be read) and software.json of one experiment."""
    folder = Path(Paths.of(config).provenance)
    values = stage_slice(config, "provenance")
    # Lists and groups without groups of their own take one line each.
    text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
    write_text(folder / "config.yaml", text)
    write_text(folder / "config.html", page("config", f"Configuration of {config.name}", text=text))
    write_json(folder / "software.json", {**software(), "commit": git_commit(Path(__file__).parent)})


if __name__ == "__main__":
    stage_app("provenance", run)
