"""A sweep's point that is ended between trials: the next call goes on with the finished ones, and with no others."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runs import SWEEP_OVERRIDES

from relu2snn.config import Paths, compose_experiment, compose_suite, from_slice, split_overrides, sweep_point
from relu2snn.config.shaping import job_slice
from relu2snn.made import load_npz
from relu2snn.made.npz_file import save_npz
from relu2snn.stages import sweep_point as stage

TRIALS = 4
VALUE = 0.05


class Trials:
    """The stage in a copy of a swept folder; it counts the trials that are run, and can be ended before one of them."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.run_trials, self.last = folder, 0, TRIALS
        run_trial = stage._run_trial

        def counted(*arguments: Any) -> Any:
            if self.run_trials == self.last:
                raise KeyboardInterrupt
            self.run_trials += 1
            return run_trial(*arguments)

        patch.setattr(stage, "_run_trial", counted)
        patch.chdir(folder)

    def config(self, *overrides: str) -> Any:
        text = SWEEP_OVERRIDES.replace("sweep.trials=2", f"sweep.trials={TRIALS}") + f"[{VALUE}]"
        given = [*split_overrides(text), *overrides]
        return sweep_point(compose_experiment("cifar10_vgg", compose_suite("smoke"), given, "noise"), VALUE)

    def paths(self, *overrides: str) -> Paths:
        return Paths.of(self.config(*overrides))

    def run(self, *overrides: str, last: int = TRIALS) -> int:
        """Run the point until it is ended before trial `last` + 1; returns how many trials were run."""
        self.run_trials, self.last = 0, last
        config = from_slice(job_slice(self.config(*overrides), "sweep_point"))
        if last < TRIALS:
            with pytest.raises(KeyboardInterrupt):
                stage.run(config)
        else:
            stage.run(config)
        return self.run_trials

    def kept(self) -> list[str]:
        return sorted(path.name for path in Path(self.paths().trials(VALUE)).glob("*"))

    def results(self, *overrides: str) -> tuple[Any, bytes]:
        """What the point says, its times apart, and the file of its labels; both are removed."""
        files = [Path(f"{self.paths(*overrides).point(VALUE)}{suffix}") for suffix in (".json", ".npz")]
        found = json.loads(files[0].read_text())
        assert found.pop("seconds") > 0
        del found["made"]["digest"]
        labels = files[1].read_bytes()
        for file in files:
            file.unlink()
        return found, labels


@pytest.fixture
def trials(swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trials]:
    (tmp_path / "run").mkdir()
    subprocess.run(["cp", "-r", str(swept / "outputs"), str(tmp_path / "run" / "outputs")], check=True)
    return Trials(tmp_path / "run", monkeypatch)


@pytest.mark.workflow
def test_an_ended_point_goes_on_with_its_finished_trials_alone(trials: Trials) -> None:
    assert trials.run() == TRIALS
    expected = trials.results()
    assert trials.run(last=2) == 2
    assert trials.kept() == ["1.npz", "2.npz"]
    assert not Path(f"{trials.paths().point(VALUE)}.npz").exists()
    # Ended again before it has done anything.
    assert trials.run(last=0) == 0
    assert trials.run() == TRIALS - 2
    assert trials.results() == expected
    assert not Path(trials.paths().trials(VALUE)).exists()

    # One that is damaged is run again.
    assert trials.run(last=3) == 3
    damaged = Path(trials.paths().trials(VALUE), "2.npz")
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert trials.run() == TRIALS - 2
    assert trials.results() == expected

    # So is one whose name another has.
    assert trials.run(last=2) == 2
    folder = Path(trials.paths().trials(VALUE))
    (folder / "1.npz").replace(folder / "2.npz")
    assert trials.run() == TRIALS
    assert trials.results() == expected

    # And one that was made of another input, or with another seed.
    for change in ({"inputs": {"phase1/predictions.npz": "0" * 64}}, {"of": {"seed": 1}}):
        assert trials.run(last=1) == 1
        path = Path(trials.paths().trials(VALUE), "1.npz")
        arrays, stamp = load_npz(path)
        ((name, values),) = change.items()
        save_npz(path, arrays, replace(stamp, **{name: {**getattr(stamp, name), **values}}))
        assert trials.run() == TRIALS
        assert trials.results() == expected
    assert not Path(trials.paths().trials(VALUE)).exists()

    other = "phase2.seed=5"
    assert trials.run(other) == TRIALS
    seeded = trials.results(other)
    assert seeded[0]["trials"] != expected[0]["trials"]
    assert trials.run(last=2) == 2
    Path(trials.paths().trials(VALUE)).replace(trials.paths(other).trials(VALUE))
    assert trials.run(other) == TRIALS
    assert trials.results(other) == seeded
