"""What a row waits for before it can run: files of the user, and what it needs of this machine."""

import glob
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from relu2snn.config.paths import Paths
from relu2snn.config.schema import OWN_FORMAT, Experiment
from relu2snn.errors import UserError


@dataclass(frozen=True)
class Missing:
    """What keeps an experiment from running: an input, where it comes from, where it belongs; or words alone."""

    experiment: str
    what: str
    origin: str = ""
    path: str | None = ""

    @property
    def in_words(self) -> str:
        return f"{self.path} is missing ({self.what}); get it from {self.origin}" if self.path else self.what


def missing_inputs(experiment: Experiment, readable_formats: tuple[str, ...]) -> list[Missing]:
    """The files and folders of `experiment` that only the user can provide and that are not there."""
    source, weights = experiment.dataset.source, experiment.weights
    if words := _own_files(experiment):
        return [Missing(experiment.name, words)]
    missing = [
        Missing(experiment.name, item.what, item.origin, item.path)
        for item in [*source.by_hand, *([] if _given(experiment) else weights.by_hand)]
        if not Path(item.path).exists()
    ]
    if not missing and source.format not in readable_formats:
        reader = f"a reader of {source.format} files, which this version does not have"
        missing.append(Missing(experiment.name, reader, "a later version of relu2snn", source.directory))
    return missing


def _own_files(experiment: Experiment) -> str:
    """What is asked of the user where a network or images of theirs are to be read, and none are named."""
    asked = {
        "weights.file": (experiment.model.family == "custom", experiment.weights.file, "network, as in my.keras"),
        "dataset.file": (
            experiment.dataset.source.format == OWN_FORMAT,
            experiment.dataset.file,
            "images, as in my.npz",
        ),
    }
    for key, (needed, file, what) in asked.items():
        if needed and file is None:
            return f"{key} is not set; name the file of your own {what}, among the overrides: {key}=…"
    return ""


def refused(experiment: Experiment, checks: Iterable[Callable[[Experiment], object]]) -> list[Missing]:
    """What the first of the checks that is not passed has to say."""
    for check in checks:
        try:
            check(experiment)
        except UserError as error:
            return [Missing(experiment.name, str(error))]
    return []


def waiting(missing: Sequence[Missing]) -> str:
    """One line for what keeps all rows from running: what they share, or the first of each."""
    first = {row.experiment: row.in_words for row in reversed(missing)}
    if len(set(first.values())) == 1:
        return next(iter(first.values()))
    return "; ".join(f"{name}: {words}" for name, words in sorted(first.items()))


def needs_container(config: Experiment) -> bool:
    """Whether Caffe's files have still to be read for a run: what reads them runs in its container engine."""
    paths, dataset = Paths.of(config), config.dataset
    made = []
    if dataset.source.format == "places365":
        made += [f"{paths.dataset}/parts/{part}.npy" for part in range(dataset.parts + 1)]
    if config.weights.source == "caffe" and not _given(config):
        made.append(f"{paths.weights}/{config.weights.stem}.npz")
    return bool(made) and not all(Path(each).exists() for each in (paths.container, *made))


def _given(config: Experiment) -> bool:
    """Whether the user has dropped weights in, which then need no files to be made from."""
    weights = config.weights
    folder = Path(weights.root, weights.directory)
    others = any((folder / name).exists() for name in weights.other_names)
    return others or bool(weights.file) or any(folder.glob(f"{glob.escape(weights.stem)}.*"))
