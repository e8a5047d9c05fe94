"""Clocks that are wrong or set back: dates of files that lie in the future, or before all calendars."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from kill_runs import wait_for
from runs import command, drop_images, environment, jobs, paths, snakemake

from relu2snn.clock import date_back, now_in, require_past, shown_date
from relu2snn.errors import UserError
from relu2snn.files import write_json
from relu2snn.processes import Process

TINY = "dataset.source.train_images=300 dataset.source.test_images=60 model.width=0.05 train.batch=64 train.epochs=20"
DAY = 24 * 3600.0


def test_only_what_lies_in_the_future_is_dated_now(tmp_path: Path) -> None:
    now = now_in(tmp_path)
    assert now == pytest.approx(time.time(), abs=5)
    (tmp_path / "deep").mkdir()
    dates = {"past": 1e9, "recent": now - 1, "future": now + DAY, "deep/other": now + 2 * DAY}
    for name, date in dates.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (date, date))
    (tmp_path / "link").symlink_to("past")
    assert date_back(tmp_path, now) == 2
    found = {name: (tmp_path / name).stat().st_mtime for name in dates}
    # What was made of the other keeps its place: no input is newer than an output.
    assert found["future"] == found["deep/other"] == pytest.approx(now, abs=1e-3)
    assert (found["past"], found["recent"]) == (1e9, pytest.approx(now - 1, abs=1e-3))
    assert date_back(tmp_path, now) == date_back(tmp_path / "missing", now) == 0


def test_a_users_file_of_the_future_is_named_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "a b.npz"
    file.touch()
    now = now_in(tmp_path)
    require_past([file, tmp_path / "missing"], now)
    os.utime(file, (now + DAY, now + DAY))
    with pytest.raises(UserError, match=r"a b\.npz: dated in the future \(20.*or date the file now with: touch '/"):
        require_past([file], now)


def test_dates_that_no_calendar_has_are_shown() -> None:
    assert shown_date(1e12) == "1000000000000 s after 1970"
    assert shown_date(1e9).startswith("2001-09-0")


def test_the_age_of_a_temporary_file_is_told_by_its_own_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of this machine is a month ahead of that of the file server."""
    this = Process.this()
    living = tmp_path / f".partial-{Process(this.pid, this.started, 'afar')}-x-result.json"
    living.touch()
    ahead = time.time() + 30 * DAY
    monkeypatch.setattr(time, "time", lambda: ahead)
    write_json(tmp_path / "result.json", 1)
    assert living.exists()


def dated_in_the_future(folder: Path) -> None:
    ahead = time.time() + DAY
    for path in folder.rglob("*"):
        os.utime(path, (ahead, ahead))


@pytest.mark.workflow
def test_a_clock_that_is_set_back_costs_no_more_than_the_jobs_of_that_moment(tmp_path: Path) -> None:
    raw = tmp_path / "data" / "raw" / "fmnist"
    drop_images(raw)
    options = {"experiments": "fmnist_fc", "overrides": TINY}
    made = paths(tmp_path, "fmnist_fc", TINY)

    dated_in_the_future(raw)
    refused = snakemake(tmp_path, "--until", "train", **options)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert ": dated in the future (" in refused.stderr
    for path in raw.iterdir():
        path.touch()

    run = subprocess.Popen(
        command("--until", "train", **options),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: run.poll() is not None or list(Path(made.train).rglob("state.weights.h5")), "an epoch is done")
    assert run.poll() is None, run.communicate()[0][-3000:]
    dated_in_the_future(Path(made.dataset))
    said, _ = run.communicate()
    assert run.returncode == 1
    assert "than input" in said
    assert "clock skew" in said
    assert "Traceback" not in said
    assert not Path(made.train, "trained.keras").exists()

    again = snakemake(tmp_path, "--until", "train", **options)
    assert again.returncode == 0, again.stderr[-3000:]
    assert set(jobs(again.stdout + again.stderr)) == {"train"}
    assert "results were dated in the future, and are now dated today" in again.stderr

    # And set back when all is done.
    dated_in_the_future(tmp_path / "outputs")
    shown = snakemake(tmp_path, "-n", "--until", "train", **options)
    assert shown.returncode == 0, shown.stderr
    assert not jobs(shown.stdout + shown.stderr)
