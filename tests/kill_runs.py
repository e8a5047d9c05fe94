"""Runs of Snakemake that are killed at random moments and started again, and what they must have left in the end."""

import contextlib
import csv
import itertools
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from runs import command_of, environment, jobs, stage_of

# Longer than anything here takes once nothing is killed any more.
PATIENCE = 3600
# What of a file may differ between two runs: how long they took, when they ran, what was committed meanwhile.
_OF_THE_RUN = ("seconds", "date_saved", "commit")
# Lines with which stages and the workflow say that they were ended.
_SAID = (
    r"relu2snn: an earlier run was killed in this folder; its lock is removed",
    r"relu2snn: an earlier call has ended.*",
    r"relu2snn: (failed rows:|not finished: .*)",
    r"relu2snn: interrupted; run it again to go on",
    r"relu2snn \w+: (ended, since the (?:workflow|shell) that started it \(process \d+\) is gone"
    r"|interrupted|ended by a signal \(SIGTERM\)|its warm process was killed); run it again to go on",
)


@dataclass(frozen=True)
class Injection:
    """Whom a signal hits: "job", a stage; "part", its shell, tee or own Snakemake; "Snakemake"; "all"."""

    victim: str
    number: signal.Signals = signal.SIGKILL

    def __str__(self) -> str:
        return f"{self.victim} {self.number.name}"


KILLS = [Injection(victim) for victim in ("job", "part", "Snakemake", "all")]
SIGNALS = [
    Injection("job", signal.SIGTERM),
    Injection("job", signal.SIGINT),
    Injection("Snakemake", signal.SIGTERM),
    Injection("Snakemake", signal.SIGINT),
    Injection("all", signal.SIGINT),
]


@dataclass
class Summary:
    """What a disturbed run took."""

    injected: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    started: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def again(self, undisturbed: dict[str, int]) -> int:
        """How many jobs were started more often than in an undisturbed run."""
        return self.started.total() - sum(undisturbed.values())

    def text(self, undisturbed: dict[str, int], seconds: float) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.injected.items()))
        return (
            f"{self.injected.total()} injected ({kinds}), all survived; {self.calls} calls, "
            f"{self.started.total()} jobs started, {self.again(undisturbed)} of them again; "
            f"{self.seconds:.0f} s instead of {seconds:.0f} s"
        )


def seed_of_the_day() -> int:
    """RELU2SNN_SEED, or another seed every time; it is printed, since it draws the same moments again."""
    seed = int(os.environ.get("RELU2SNN_SEED", time.time()))
    print(f"\nRELU2SNN_SEED={seed}", flush=True)
    return seed


def plan(draw: random.Random, kills: int) -> list[Injection]:
    """`kills` times SIGKILL of every kind in turn, and a third as many other signals, in random order."""
    found = list(itertools.islice(itertools.cycle(KILLS), kills))
    found += itertools.islice(itertools.cycle(draw.sample(SIGNALS, len(SIGNALS))), kills // 3)
    draw.shuffle(found)
    return found


def undisturbed(words: Sequence[str], folder: Path) -> tuple[dict[str, int], float]:
    """Run a call to its end; its jobs by rule, and the seconds it took."""
    started = time.monotonic()
    with (folder / "calls.log").open("ab") as log:
        assert _start(words, folder, log).wait(PATIENCE) == 0, _end_of(folder)
    return jobs((folder / "calls.log").read_text(errors="replace")), time.monotonic() - started


def disturbed(words: Sequence[str], folder: Path, *, seed: int, kills: int, between: float) -> Summary:
    """Run a call again and again while signals come, `between` seconds apart on average, and then to its end.

    Job processes are found by their folder, so they may be children of Snakemake or of a scheduler's daemon.
    """
    draw, summary, first, said = random.Random(seed), Summary(), time.monotonic(), 0
    with (folder / "calls.log").open("ab") as log:

        def start() -> subprocess.Popen[bytes]:
            nonlocal said
            summary.calls, said = summary.calls + 1, os.fstat(log.fileno()).st_size
            return _start(words, folder, log)

        def begun() -> bool:
            """Until then an interrupt meets Python itself, in the middle of an import."""
            return b"Job stats" in (folder / "calls.log").read_bytes()[said:]

        call = start()
        try:
            for injection in plan(draw, kills):
                moment = time.monotonic() + draw.uniform(0, 2 * between)
                victims: list[psutil.Process] = []
                while not victims:
                    if call.poll() is not None:
                        if call.returncode == 0:
                            break
                        call = start()
                    time.sleep(0.05)
                    if time.monotonic() > moment:
                        victims = _victims(injection, call, folder, draw, begun())
                if not victims:
                    # Nothing is left to hit.
                    assert summary.injected.total() >= kills, f"all was done after {summary.text({}, 0)}"
                    break
                for victim in victims:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        victim.send_signal(injection.number)
                summary.injected[str(injection)] += 1
                log.write(f"\ninjected: {injection} into {[victim.pid for victim in victims]}\n".encode())
                log.flush()
                if injection.number == signal.SIGKILL and call.pid in {victim.pid for victim in victims}:
                    call.wait()
            # The last injection may have left a call that still goes on, and then fails.
            if call.wait(PATIENCE) != 0:
                call = start()
                assert call.wait(PATIENCE) == 0, _end_of(folder)
        finally:
            for process in processes_in(folder):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            call.wait()
    summary.seconds = time.monotonic() - first
    summary.started = Counter(jobs((folder / "calls.log").read_text(errors="replace")))
    return summary


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.05)


def _start(words: Sequence[str], folder: Path, log: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        words,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        # A shell that runs tests in the background makes its programs ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def _end_of(folder: Path) -> str:
    return (folder / "calls.log").read_text(errors="replace")[-6000:]


def processes_in(folder: Path) -> list[psutil.Process]:
    """The processes that work in a folder, or below it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _victims(
    injection: Injection, call: subprocess.Popen[bytes], folder: Path, draw: random.Random, begun: bool
) -> list[psutil.Process]:
    """The processes that an injection hits; none where there is no such process now.

    begun: whether Snakemake is ready to be interrupted.
    """
    if call.poll() is not None:
        return []
    if injection.victim == "Snakemake":
        return [psutil.Process(call.pid)] if begun or injection.number != signal.SIGINT else []
    if injection.victim == "all" and injection.number == signal.SIGINT and not begun:
        return []
    everything = processes_in(folder)
    if injection.victim == "all":
        return everything
    chosen = [each for each in everything if each.pid != call.pid and _PROGRAMS[injection.victim](each)]
    return [draw.choice(chosen)] if chosen else []


_SCRIPT = re.compile(r"\S*python\S* \S*make_smoke_data\.py")


def _is_job(process: psutil.Process) -> bool:
    return bool(stage_of(process) or _SCRIPT.match(command_of(process)))


_PROGRAMS: dict[str, Callable[[psutil.Process], object]] = {
    "job": _is_job,
    # The shell that has started the stage, who waits for it, and the warm process; on a cluster the Snakemake that runs
    # a job there.
    "part": lambda each: not _is_job(each) and re.search(r"relu2snn\.stages|^tee | --target-jobs ", command_of(each)),
}


# What is left


def require_clean(words: Sequence[str], folder: Path) -> None:
    """Nothing runs, nothing is left over, no error but those of the kills was met, and there is nothing to do."""
    assert not [command_of(each) for each in processes_in(folder)]
    patterns = (".partial-*", ".locks/*", "checkpoint-*", "trials-*")
    assert not [path for pattern in patterns for path in (folder / "outputs").rglob(pattern)]
    left = [*folder.glob(".snakemake/locks/*"), *folder.glob(".snakemake/incomplete/*")]
    assert not left
    said = (folder / "calls.log").read_text(errors="replace")
    assert not [part[-6000:] for part in re.split("^injected: ", said, flags=re.M) if _has_fault(part)]
    lines = [line for line in said.splitlines() if line.startswith("relu2snn")]
    assert not [line for line in lines if not any(re.fullmatch(text, line) for text in _SAID)]
    shown = subprocess.run(
        [*words[: words.index("--config")], "-n", *words[words.index("--config") :]],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Nothing to be done" in shown.stdout + shown.stderr, (shown.stdout + shown.stderr)[-3000:]


def _has_fault(said: str) -> bool:
    """Whether Python has shown a fault after an injection, but an interrupt that met its own imports (<frozen …>)."""
    met_imports = re.match(r"\w+ SIGINT", said) and "<frozen " in said and "KeyboardInterrupt" in said
    return "Traceback" in said and not met_imports


def require_equal(folder: Path, expected: Path) -> int:
    """The outputs of two folders are the same but for what they took; returns the number of files compared."""
    found, wanted = (dict(result_files(each / "outputs")) for each in (folder, expected))
    assert sorted(found) == sorted(wanted)
    different = [name for name in found if comparable(found[name]) != comparable(wanted[name])]
    assert not different
    assert logged(folder) == logged(expected)
    return len(found)


def result_files(outputs: Path) -> Iterator[tuple[str, Path]]:
    """The results below a folder, by their names there."""
    for path in filter(Path.is_file, outputs.rglob("*")):
        name = path.relative_to(outputs)
        # What a job took and said is no result: a kill may have come before it was written down.
        if not name.parts[0].startswith("ml") and path.suffix != ".log" and not _is_benchmark(path):
            yield str(name), path


def comparable(path: Path) -> Any:
    """What a result file says, without what differs between two runs of one computation."""
    if path.name == "mlflow.json":
        return _names(json.loads(path.read_text()))
    if path.name in ("runtimes.html", "software.html"):
        return None
    if path.suffix == ".json":
        return _without_times(json.loads(path.read_text()))
    if path.suffix == ".csv":
        with path.open() as file:
            return [_without_times(row) for row in csv.DictReader(file)]
    if path.suffix == ".npz":
        with np.load(path) as file:
            return {name: (file[name].dtype.str, file[name].shape, file[name].tobytes()) for name in file}
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        return {**content, "metadata.json": _without_times(json.loads(content["metadata.json"]))}
    return path.read_bytes()


def _is_benchmark(path: Path) -> bool:
    return path.suffix == ".tsv" and path.read_bytes().startswith(b"s\th:m:s")


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if not any(key.endswith(name) for name in _OF_THE_RUN)}
        # The digest of a JSON file's bytes, in which the seconds are.
        if {"inputs", "content"} <= set(kept):
            kept.pop("digest")
        return {key: _without_times(each) for key, each in kept.items()}
    return [_without_times(each) for each in value] if isinstance(value, list) else value


def _names(value: Any) -> Any:
    return {key: _names(each) for key, each in value.items()} if isinstance(value, dict) else None


# MLflow, read from its database


_OWN_TAGS = (
    "relu2snn.key",
    "relu2snn.content",
    "relu2snn.writer",
    "relu2snn.family",
    "mlflow.parentRunId",
    "mlflow.note.content",
)


def logged(folder: Path) -> dict[str, Any]:
    """Every run of the store, by the names from its topmost run down, with all that it shows but for times.

    Raises AssertionError for a run that is not whole or twice, a point of a curve that is twice, files of no run.
    """
    with contextlib.closing(sqlite3.connect(folder / "outputs" / "mlflow.db")) as store:

        def rows(text: str) -> list[Any]:
            return store.execute(text).fetchall()

        runs = rows("select run_uuid, name, status, lifecycle_stage from runs")
        assert {(status, stage) for _, _, status, stage in runs} == {("FINISHED", "active")}
        tags = _by_run(rows("select run_uuid, key, value from tags"))
        params = _by_run(rows("select run_uuid, key, value from params"))
        points = rows("select run_uuid, key, step, value from metrics")
        models = rows("select model_id, source_run_id, name, status from logged_models")
        data = rows(
            "select destination_id, name, digest from inputs join datasets on source_id = dataset_uuid "
            "where destination_type = 'RUN'"
        )
    keys = [tags[run]["relu2snn.key"] for run, *_ in runs]
    assert len(set(keys)) == len(keys)
    points = [point for point in points if "seconds" not in point[1]]
    assert len({point[:3] for point in points}) == len(points)
    assert len({status for *_, status in models}) <= 1
    names = {run: name for run, name, *_ in runs}

    def path(run: str) -> str:
        parent = tags[run].get("mlflow.parentRunId")
        return (f"{path(parent)} / " if parent else "") + names[run]

    files = _artifacts(folder)
    found: dict[str, Any] = {path(run): {} for run in names}
    assert len(found) == len(names)
    for run in names:
        found[path(run)] = {
            "tags": {key: value for key, value in tags[run].items() if key not in _OWN_TAGS and "commit" not in key},
            "params": params.get(run, {}),
            "metrics": sorted(point[1:] for point in points if point[0] == run),
            "data": sorted(each[1:] for each in data if each[0] == run),
            "models": sorted((*each[2:], files[each[0]]) for each in models if each[1] == run),
            "files": files.get(run, []),
        }
    assert not set(files) - {*names, *(each[0] for each in models)}, "files of no run"
    return found


def _by_run(rows: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for run, key, value in rows:
        found.setdefault(run, {})[key] = value
    return found


def _artifacts(folder: Path) -> dict[str, list[str]]:
    """The files of every run and model that has a folder of artifacts."""
    suites = list((folder / "outputs" / "mlartifacts").iterdir())
    owners = [path for suite in suites for path in (*suite.iterdir(), *suite.glob("models/*")) if path.name != "models"]
    return {owner.name: sorted(str(path.relative_to(owner)) for path in owner.rglob("*")) for owner in owners}
