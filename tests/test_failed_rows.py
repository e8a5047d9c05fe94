"""A failed row: what is finished is shown, the row is named with its rule and log, and the status is not 0."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runs import OVERRIDES, command, drop_images, environment, make_report

from relu2snn.slurm import Failures
from relu2snn.stages._last_words import Row, failed_lines

ROWS = "fmnist_fc,fmnist_lenet,fmnist_vgg"
SHORT = OVERRIDES.replace("train.epochs=2", "train.epochs=1")


def run(folder: Path, *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    """A call of the workflow, with all that the terminal shows in its stdout."""
    words = command(*arguments, overrides=SHORT, **options)
    return subprocess.run(
        words, cwd=folder, env=environment(), text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def the_end(done: subprocess.CompletedProcess[str]) -> tuple[str, list[str]]:
    """The table at the end of the terminal, and the lines after it."""
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    before, _, after = done.stdout.rpartition("└")
    assert "┏" in before, done.stdout[-3000:]
    return before[before.rindex("┏") :], after.splitlines()[1:]


def finished_rows(folder: Path) -> list[str]:
    with (folder / "outputs" / "paper" / "results.csv").open() as file:
        return [row["experiment"] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images for three rows, and for two of them weights that are no weights."""
    folder = tmp_path_factory.mktemp("failing")
    drop_images(folder / "data" / "raw" / "fmnist")
    for kind, stem in (("LeNet", "fmnist_lenet"), ("VGG", "fmnist_vgg")):
        file = folder / "data" / "models" / "fMNIST" / kind / f"{stem}_relu_original.h5"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"no weights")
    return folder


@pytest.fixture(scope="module")
def failed(folder: Path) -> subprocess.CompletedProcess[str]:
    """A call in which two rows fail and one goes on to its end."""
    return run(folder, "--keep-going", experiments=ROWS)


@pytest.mark.workflow
def test_two_rows_fail_and_the_third_is_shown(failed: subprocess.CompletedProcess[str], folder: Path) -> None:
    table, lines = the_end(failed)
    assert "fmnist_fc" in table
    assert "fmnist_lenet" not in table
    assert finished_rows(folder) == ["fmnist_fc"]
    said = [line for line in lines if line.startswith("  ")]
    assert len(said) == 2
    for line, name in zip(said, ("fmnist_lenet", "fmnist_vgg"), strict=True):
        assert line.startswith(f"  {name} (")
        assert "train.epochs=1" in line
        log = re.search(r"rule weights failed, log (\S+): relu2snn weights: ", line)
        assert log
        assert f"{name}_relu_original.h5" in (folder / log[1]).read_text()
    for page in ("results.html", "summary.csv", "software.html", "runtimes.html"):
        assert "fmnist_fc" in (folder / "outputs" / "paper" / "report" / page).read_text()


@pytest.mark.workflow
def test_the_report_has_the_finished_row_and_says_what_it_lacks(
    failed: subprocess.CompletedProcess[str], folder: Path
) -> None:
    done = make_report(folder, folder / "report.html", SHORT, experiments=ROWS)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("fmnist_lenet", "fmnist_vgg"):
        assert re.search(rf"{name} \(.*\): not in the report, since it is not finished", done.stderr)
    text = (folder / "report.html").read_text()
    assert "outputs/paper/fmnist_fc/figures" in text
    assert "outputs/paper/fmnist_lenet/figures" not in text


@pytest.mark.workflow
def test_a_plain_call_ends_the_same_way(failed: subprocess.CompletedProcess[str], folder: Path) -> None:
    """Without --keep-going; and what an earlier call has finished is still shown."""
    (folder / "outputs" / "paper" / "results.csv").unlink()
    table, lines = the_end(run(folder, experiments=ROWS))
    assert "fmnist_fc" in table
    assert finished_rows(folder) == ["fmnist_fc"]
    assert "fmnist_lenet" in "".join(lines)
    assert "fmnist_vgg" in "".join(lines)
    assert [line for line in lines if re.match(r"  fmnist_(lenet|vgg) \(.*: rule weights failed, log outputs/", line)]


@pytest.mark.workflow
def test_a_row_that_can_t_be_logged_is_shown_and_named(failed: subprocess.CompletedProcess[str], folder: Path) -> None:
    (logged,) = (folder / "outputs" / "paper" / "fmnist_fc").glob("**/mlflow.json")
    logged.unlink()
    store = folder / "outputs" / "mlflow.db"
    kept = store.read_bytes()
    store.write_bytes(b"no database at all" * 1000)
    try:
        table, lines = the_end(run(folder, experiments="fmnist_fc"))
    finally:
        store.write_bytes(kept)
    assert "fmnist_fc" in table
    assert [line for line in lines if re.match(r"  fmnist_fc \(.*: rule track failed, log outputs/.*track.log", line)]


@pytest.mark.workflow
def test_a_point_of_a_sweep_that_fails_is_named_and_its_row_is_shown(
    failed: subprocess.CompletedProcess[str], folder: Path
) -> None:
    (model,) = (folder / "outputs" / "paper" / "fmnist_fc").glob("phase1/**/scaled.keras")
    status, kept = model.stat(), model.read_bytes()
    model.write_bytes(b"no network")
    # Nothing is to be made again, so the points read it as it is.
    os.utime(model, ns=(status.st_atime_ns, status.st_mtime_ns))
    words = command(
        "--keep-going", overrides=f"{SHORT} sweep.values=[0.0,0.05]", experiments="fmnist_fc", sweep="noise"
    )
    done = subprocess.run(
        words, cwd=folder, env=environment(), text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    model.write_bytes(kept)
    os.utime(model, ns=(status.st_atime_ns, status.st_mtime_ns))
    table, lines = the_end(done)
    assert "fmnist_fc" in table
    said = [
        line for line in lines if re.match(r"  fmnist_fc, sweep noise \(.*: rule sweep_point failed, log \S+", line)
    ]
    assert len(said) == 2, lines


@pytest.mark.workflow
def test_a_data_set_that_fails_names_every_row_that_shares_it(tmp_path: Path) -> None:
    images = tmp_path / "data" / "raw" / "fmnist"
    drop_images(images)
    file = images / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:5000])
    done = run(tmp_path, "--keep-going", experiments="fmnist_fc,fmnist_lenet")
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    *_, nothing, head, first, second = done.stdout.splitlines()
    assert nothing == "Nothing is finished yet."
    assert head.startswith("relu2snn: failed rows")
    for line, name in ((first, "fmnist_fc"), (second, "fmnist_lenet")):
        assert re.match(
            rf"  {name} \(.*\): rule data failed, log outputs/paper/datasets/fmnist\S*log: relu2snn data:", line
        )


# Without a run


class FakeJob:
    def __init__(self, rule: str, log: str | None, *output: str) -> None:
        self.rule = SimpleNamespace(name=rule)
        self.log = [] if log is None else [log]
        self.output = output


class FakeGraph:
    """What is used of Snakemake's graph: jobs, what each needs, what has still to run."""

    def __init__(self, needs: dict[FakeJob, list[FakeJob]], finished: set[FakeJob]) -> None:
        self.dependencies = {job: {each: set() for each in found} for job, found in needs.items()}
        self.jobs = list(needs)
        self.finished = finished

    def needrun_jobs(self) -> Iterator[FakeJob]:
        return (job for job in self.jobs if job not in self.finished)


@pytest.fixture
def graph() -> Any:
    data, a, b = FakeJob("data", "data.log", "data"), FakeJob("train", "a.log", "a"), FakeJob("train", "b.log", "b")
    point, sweep = FakeJob("sweep_point", "point.log", "point"), FakeJob("track_sweep", "sweep.log", "sweep")
    results = FakeJob("results", None, "results")
    needs = {data: [], a: [data], b: [data], point: [a], sweep: [point, a], results: [a, b]}
    rows = [Row("first", "", ("a",)), Row("second", "zeta=0.3", ("b",)), Row("first", "", ("sweep",), "noise")]
    return SimpleNamespace(
        **{job.output[0]: job for job in needs}, rows=rows, of=lambda *finished: FakeGraph(needs, set(finished))
    )


def test_the_rows_of_failed_jobs(graph: Any) -> None:
    head, *lines = failed_lines(graph.rows, graph.of(graph.data, graph.b), [graph.a])
    assert "failed rows" in head
    # Its sweep can't run either, which says nothing more.
    assert lines == ["  first: rule train failed, log a.log"]
    _, *lines = failed_lines(graph.rows, graph.of(graph.data, graph.a), [graph.point, graph.b])
    assert lines == [
        "  first, sweep noise: rule sweep_point failed, log point.log",
        "  second (zeta=0.3): rule train failed, log b.log",
    ]
    _, *lines = failed_lines(graph.rows, graph.of(), [graph.data])
    assert [line.partition(":")[0] for line in lines] == ["  first", "  second (zeta=0.3)"]
    _, *lines = failed_lines(graph.rows, graph.of(graph.data, graph.a, graph.b), [graph.results])
    left = "relu2snn: not finished: first, sweep noise; the same call goes on with them"
    assert lines == ["  all rows: rule results failed", left]


def test_rows_that_were_not_reached_are_named(graph: Any) -> None:
    lines = list(failed_lines(graph.rows, graph.of(graph.data), [graph.a]))
    assert lines[-1].startswith("relu2snn: not finished: second (zeta=0.3); ")
    # A call that was interrupted has no failed job.
    (line,) = failed_lines(graph.rows, graph.of(graph.data, graph.b), [])
    assert line.startswith("relu2snn: not finished: first; first, sweep noise; ")


def test_jobs_of_a_group_are_named_one_by_one(graph: Any) -> None:
    group = SimpleNamespace(jobs=[graph.a, graph.b])
    _, *lines = failed_lines(graph.rows, graph.of(graph.data), [group])
    assert len(lines) == 2


def test_of_a_group_that_has_failed_the_jobs_that_say_why_are_named(
    graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.log").write_text("relu2snn train: no space left\n")
    group = SimpleNamespace(jobs=[graph.point, graph.a])
    _, *lines = failed_lines(graph.rows, graph.of(graph.data, graph.b), [group])
    assert lines[0] == "  first: rule train failed, log a.log: relu2snn train: no space left"


def test_what_a_cluster_has_ended_is_one_line_for_a_group(graph: Any) -> None:
    """Whatever the logs of its jobs say: they were told to end."""
    group = SimpleNamespace(jobs=[graph.a, graph.b], is_group=lambda: True)
    reasons = Failures()
    executor = SimpleNamespace(report_job_error=lambda *words, **more: None)
    reasons.watch(executor)
    executor.report_job_error(SimpleNamespace(job=group, external_jobid="7"), "SLURM status is: 'TIMEOUT'")
    _, *lines = failed_lines(graph.rows, graph.of(graph.data), [group], reasons)
    assert [line.partition(":")[0] for line in lines] == ["  first", "  second (zeta=0.3)"]
    assert all(": rule train failed: Slurm job 7: over its time; give it more: " in line for line in lines)


def test_what_the_log_says_last_is_said_again(graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.log").write_bytes(b"\xff" * 9000 + b"\nepoch 1\nrelu2snn train: no space left\nmore\n")
    _, line = failed_lines(graph.rows, graph.of(graph.data, graph.b), [graph.a])
    assert line.endswith("log a.log: relu2snn train: no space left")


def test_the_end_does_not_need_snakemake() -> None:
    heavy = "{'snakemake', 'tensorflow', 'mlflow', 'keras'}"
    code = f"import sys, relu2snn.stages._last_words; sys.exit(bool({heavy} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
