"""What happens after kill -9: nothing runs on, nobody is locked out, nothing is left, and the same call goes on."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from runs import ROOT, command, command_of, drop_images, environment, jobs, snakemake

from relu2snn.config import STAGES, Paths, compose_experiment, compose_suite, from_slice, stage_slice, written
from relu2snn.errors import UserError
from relu2snn.files import atomic_path, temporary_folder, write_json
from relu2snn.locks import enter_workflow, locked, remove_own, require_free
from relu2snn.processes import STARTER_VARIABLE, Process, watch

TINY = "dataset.source.train_images=300 dataset.source.test_images=60 model.width=0.05 train.batch=64 train.epochs=40"
PATHS = Paths.of(compose_experiment("fmnist_fc", compose_suite("paper"), TINY.split()))
# Longer than anything here takes; a test that waits for it has failed.
PATIENCE = 120


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def program(code: str, folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program that has printed its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment() | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def stage(name: str, *overrides: str) -> list[str]:
    given = {each.partition("=")[0] for each in overrides}
    tiny = [each for each in TINY.split() if each.partition("=")[0] not in given]
    return [sys.executable, "-m", "relu2snn.stages", name, "experiment=fmnist_fc", *tiny, *overrides]


def running_in(folder: Path) -> list[str]:
    """The programs that work in a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
    return found


def leftovers(folder: Path) -> list[Path]:
    return [path for pattern in (".partial-*", ".locks/*", "checkpoint-*") for path in folder.rglob(pattern)]


WRITING = """
import os, time
from relu2snn.files import atomic_path, temporary_folder
with atomic_path("result.json") as file, temporary_folder("model.keras") as folder:
    file.write_text("{}")
    (folder / "weights").write_text("many")
    print("ready", flush=True)
    while not os.path.exists("go on"):
        time.sleep(0.02)
"""


def test_what_a_dead_writer_left_is_swept_and_never_what_a_living_one_writes(tmp_path: Path) -> None:
    def partial() -> set[str]:
        return {path.name for path in tmp_path.glob(".partial-*")}

    with program(WRITING, tmp_path) as dead:
        dead.kill()
        dead.wait()
    left = partial()
    assert len(left) == 2
    with program(WRITING, tmp_path) as living:
        # The second writer has swept, and has its own.
        assert partial().isdisjoint(left)
        kept = partial()
        write_json(tmp_path / "other.json", 1)
        with temporary_folder(tmp_path / "result.json"):
            assert kept < partial()
        assert partial() == kept
        (tmp_path / "go on").touch()
        assert living.wait() == 0
    assert not partial()
    assert (tmp_path / "result.json").read_text() == "{}"


def test_temporaries_of_another_machine_are_swept_when_they_are_a_week_old(tmp_path: Path) -> None:
    this = Process.this()
    other = tmp_path / f".partial-{Process(this.pid, this.started, 'afar')}-x-result.json"
    reused = tmp_path / f".partial-{Process(this.pid, '1b1', this.machine)}-x-result.json"
    unnamed = tmp_path / ".partial-abc123-result.json"
    folder = tmp_path / ".partial-abc124"
    folder.mkdir()
    (folder / "weights").touch()
    for path in (other, reused, unnamed):
        path.touch()
    with atomic_path(tmp_path / "result.json") as temporary:
        assert set(tmp_path.iterdir()) == {other, temporary}
    os.utime(other, (0, time.time() - 8 * 24 * 3600))
    write_json(tmp_path / "result.json", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


HOLDING = """
import time
from relu2snn.locks import locked
with locked({targets!r}, "outputs"):
    print("ready", flush=True)
    time.sleep({seconds})
"""


def test_a_second_writer_is_refused_in_one_line_and_a_dead_one_locks_nobody_out(tmp_path: Path) -> None:
    drop_images(tmp_path / "data" / "raw" / "fmnist")
    target = PATHS.dataset
    with program(HOLDING.format(targets=[target], seconds=PATIENCE), tmp_path) as holder:
        refused = subprocess.run(stage("data"), cwd=tmp_path, capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"relu2snn data: {target}: process {holder.pid} on {os.uname().nodename} (")
        assert refused.stderr.rstrip().endswith(
            f"is writing here; wait until it is done, or end it there with: kill {holder.pid}; then run this again"
        )
        assert refused.stderr.count("\n") == 1
        assert not (tmp_path / target).exists()
        # By a path of another form, and beside it, by hand from elsewhere.
        again = stage("data", f"outputs={tmp_path}/outputs")
        assert subprocess.run(again, cwd=tmp_path, capture_output=True, check=False).returncode == 1
    assert leftovers(tmp_path)
    accepted = subprocess.run(stage("data"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert accepted.returncode == 0, accepted.stderr
    assert (tmp_path / target / "source.json").exists()
    assert not leftovers(tmp_path)


def test_parts_are_written_side_by_side_but_not_beside_a_run_of_all_of_them(tmp_path: Path) -> None:
    config = from_slice(
        stage_slice(compose_experiment("fmnist_fc", compose_suite("paper"), ["dataset.parts=2"]), "phase2")
    )
    config.outputs = str(tmp_path)
    first, second, whole = (written("phase2", config, part) for part in (0, 1, None))
    with locked(first, tmp_path), locked(second, tmp_path):
        with (
            pytest.raises(UserError, match=f"phase2/dataset.parts=2/parts/0: process {os.getpid()} on "),
            locked(whole, tmp_path),
        ):
            pass
        # Nothing of the refused one stays locked.
        with locked(written("gather", config, None), tmp_path):
            pass
    with locked(whole, tmp_path), pytest.raises(UserError, match="parts/1"), locked(second, tmp_path):
        pass
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("name", sorted(STAGES))
def test_every_stage_locks_what_it_writes_below_its_outputs(name: str) -> None:
    """From its own slice of the config: to read any other value is an error."""
    experiment = "places365_vgg" if "places365" in name else "pass_vgg" if "pass" in name else "cifar10_vgg"
    config = compose_experiment(experiment, compose_suite("smoke"), [], "noise")
    targets = written(name, from_slice(stage_slice(config, name)), None)
    assert targets
    assert all(target.startswith("outputs/smoke/") for target in targets)
    part = written(name, from_slice(stage_slice(config, name)), 0)
    assert set(part) <= set(targets)
    assert (len(part) < len(targets)) == name.endswith(("_part", "phase2"))


def test_results_are_not_removed_while_they_are_written(tmp_path: Path) -> None:
    held = tmp_path / "outputs" / "suite" / "a" / "phase2" / "base" / "parts" / "0"
    with program(HOLDING.format(targets=[str(held)], seconds=PATIENCE), tmp_path) as holder:
        for folder in (held, held.parents[1]):
            with pytest.raises(UserError, match=f"parts/0: process {holder.pid} on "):
                require_free([folder], tmp_path / "outputs")
        require_free([held.parent / "1", held.parents[2] / "zeta=0.3"], tmp_path / "outputs")
    require_free([held], tmp_path / "outputs")


def test_a_writer_waits_for_one_whose_workflow_is_gone(tmp_path: Path) -> None:
    targets = ["outputs/train"]
    with program("import time; print(1, flush=True); time.sleep(1000)", tmp_path) as workflow:
        variables = {STARTER_VARIABLE: str(Process.parse(str(workflow.pid)))}
        holding = HOLDING.format(targets=targets, seconds=4)
        with program(holding, tmp_path, **variables) as orphan:
            target = tmp_path / targets[0]
            with pytest.raises(UserError, match=f"process {orphan.pid} "), locked([target], tmp_path / "outputs"):
                pass
            workflow.kill()
            workflow.wait()
            with locked([target], tmp_path / "outputs"):
                assert orphan.wait() == 0


def test_a_process_is_told_from_a_later_one_of_its_number(tmp_path: Path) -> None:
    this = Process.this()
    assert Process.parse(str(this)) == this == Process.parse(str(os.getpid()))
    assert this.lives() is True
    assert Process(this.pid, "1b1", this.machine).lives() is False
    assert Process(this.pid, this.started, "elsewhere").lives() is None
    for text in ("", "x", "12-", "1-2", "1-2-3-4", "²", "-1"):
        assert Process.parse(text) is None
    gone = threading.Event()
    watch(Process(this.pid, this.started, "elsewhere"), gone.set)
    with program("print(1, flush=True); input()", tmp_path) as other:
        process = Process.parse(str(other.pid))
        assert process
        watch(process, gone.set)
        assert not gone.wait(1.5)
        other.kill()
        # Dead, though nobody has collected its status yet.
        assert gone.wait(PATIENCE)


def test_a_process_that_ends_inside_a_block_takes_its_locks_along(tmp_path: Path) -> None:
    """A signal may come when a block has just been entered, before anything leaves it."""
    with locked([tmp_path / "a", tmp_path / "b"], tmp_path):
        assert len(leftovers(tmp_path)) == 4
        remove_own()
        assert not leftovers(tmp_path)
    with locked([tmp_path / "a"], tmp_path):
        assert len(leftovers(tmp_path)) == 2
    assert not leftovers(tmp_path)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small data set, from a run of the workflow that ended there."""
    folder = tmp_path_factory.mktemp("prepared")
    drop_images(folder / "data" / "raw" / "fmnist")
    run = snakemake(folder, "--until", "data", experiments="fmnist_fc", overrides=TINY)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "ended by a signal (SIGTERM)")]
)
def test_a_signal_ends_a_stage_with_one_line_and_nothing_left(
    prepared: Path, tmp_path: Path, number: signal.Signals, words: str
) -> None:
    subprocess.run(["cp", "-r", str(prepared / "outputs"), str(tmp_path)], check=True)
    process = subprocess.Popen(
        stage("train", "train.epochs=9999"),
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs tests in the background makes its programs ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    if number == signal.SIGINT:
        wait_for(lambda: list(tmp_path.rglob("state.weights.h5")), "an epoch is done")
    else:
        # While TensorFlow is being imported, which has no stderr then.
        wait_for(lambda: list(tmp_path.rglob(".locks/*.json")), "the stage has begun")
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    (line,) = [line for line in errors.splitlines() if line.startswith("relu2snn ")]
    assert line == f"relu2snn train: {words}; run it again to go on"
    assert "Traceback" not in errors
    # A checkpoint is no leftover: the next call goes on with it.
    assert not [path for path in leftovers(tmp_path) if not path.name.startswith("checkpoint-")]


MADE_ANOTHER = """
import os, signal, time
from relu2snn.stages import _ending
_ending.begin("train")
_ending.running()
with _ending.heeded():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except KeyboardInterrupt:
        raise ImportError("numpy._core.multiarray failed to import")
"""


def test_an_end_that_a_library_makes_another_error_of_is_one_all_the_same(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", MADE_ANOTHER],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 128 + signal.SIGTERM
    assert run.stderr == "relu2snn train: ended by a signal (SIGTERM); run it again to go on\n"


STUCK = """
import ctypes, threading
from relu2snn.stages import _ending
_ending.begin("train")
_ending.running()
threading.Timer(0.1, print, ["ready"], {"flush": True}).start()
mutex = ctypes.create_string_buffer(64)
for _ in range(2):
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""


def test_a_stage_that_a_library_does_not_give_back_ends_too(tmp_path: Path) -> None:
    # The interpreter's lock is free while it waits, as in TensorFlow, but no handler of a signal is called.
    with program(STUCK, tmp_path) as process:
        process.terminate()
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM


def start(folder: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("--until", "train", experiments="fmnist_fc", overrides=TINY),
        cwd=folder,
        env=environment() | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def programs_of(run: subprocess.Popen[str]) -> list[psutil.Process]:
    """The stages that Snakemake runs."""
    return [each for each in psutil.Process(run.pid).children(recursive=True) if command_of(each).startswith("python ")]


def stamp(folder: Path) -> int:
    """When the last epoch was saved."""
    return max((path.stat().st_mtime_ns for path in folder.rglob("state.weights.h5")), default=0)


def trained(folder: Path) -> tuple[list, list]:
    import keras

    history = json.loads((folder / PATHS.train / "history.json").read_text())["epochs"]
    weights = keras.models.load_model(folder / PATHS.train / "trained.keras", compile=False).get_weights()
    return [[epoch["loss"], epoch["test_accuracy"]] for epoch in history], weights


def copy_of(prepared: Path, folder: Path) -> None:
    subprocess.run(["cp", "-rp", f"{prepared}/.", str(folder)], check=True)


@pytest.mark.workflow
def test_whoever_is_killed_nothing_runs_on_and_the_same_call_goes_on(prepared: Path, tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
        copy_of(prepared, folder)
    for victim in ("starter", "Snakemake", "job"):
        before = stamp(killed)
        with program("input(print(1, flush=True) or '')", killed) as starter:
            run = start(killed, **({STARTER_VARIABLE: str(starter.pid)} if victim == "starter" else {}))
            wait_for(lambda: run.poll() is not None or stamp(killed) > before, "an epoch is done")  # noqa: B023
            assert run.poll() is None, f"{victim}: all was done before it could be killed"
            if victim == "starter":
                starter.kill()
                starter.wait()
            elif victim == "Snakemake":
                # A run by hand beside it, while the job is held up so that it cannot be done too soon.
                (job,) = programs_of(run)
                job.suspend()
                beside = subprocess.run(stage("train"), cwd=killed, capture_output=True, text=True, check=False)
                assert beside.returncode == 1, beside.stderr
                assert f"relu2snn train: {PATHS.train}: process {job.pid} on " in beside.stderr
                run.kill()
                job.resume()
            else:
                (job,) = programs_of(run)
                job.kill()
            assert run.wait(PATIENCE) != 0
        wait_for(lambda: not running_in(killed), "nothing runs any more")
        assert not (killed / PATHS.train / "trained.keras").exists()
    done = snakemake(killed, "--until", "train", experiments="fmnist_fc", overrides=TINY)
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(jobs(done.stdout + done.stderr)) == {"train"}
    alone = subprocess.run(stage("train"), cwd=undisturbed, capture_output=True, text=True, check=False)
    assert alone.returncode == 0, alone.stderr[-3000:]
    assert not leftovers(killed) + leftovers(undisturbed)
    (losses, weights), (expected_losses, expected_weights) = trained(killed), trained(undisturbed)
    assert losses == expected_losses
    for found, expected in zip(weights, expected_weights, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.workflow
def test_a_plain_call_goes_on_where_a_kill_left_locks_and_halves_but_unlocks_nobody_else(
    prepared: Path, tmp_path: Path
) -> None:
    copy_of(prepared, tmp_path)
    folder = tmp_path / ".snakemake"
    half = f"{PATHS.dataset}/test_labels.npy"
    marker = folder / "incomplete" / base64.urlsafe_b64encode(half.encode()).decode()
    assert len(marker.name) < 255, "Snakemake puts longer names into folders"
    lock = folder / "locks" / "0.output.lock"

    def kill_halfway() -> None:
        lock.parent.mkdir(exist_ok=True)
        lock.write_text(half + "\n")
        marker.write_text('{"external_jobid": null}')

    entering = "from relu2snn.locks import enter_workflow\nenter_workflow()\nprint(1, flush=True)\ninput()"
    with program(entering, tmp_path):
        kill_halfway()
        refused = snakemake(tmp_path, "--until", "data", experiments="fmnist_fc", overrides=TINY)
        assert refused.returncode != 0
        assert "LockException" in refused.stderr + refused.stdout
        assert lock.exists()
    shown = snakemake(tmp_path, "-n", "--until", "data", experiments="fmnist_fc", overrides=TINY)
    assert set(jobs(shown.stdout + shown.stderr)) == {"data"}
    assert (tmp_path / half).exists()
    kill_halfway()
    done = snakemake(tmp_path, "--until", "data", experiments="fmnist_fc", overrides=TINY)
    assert done.returncode == 0, done.stderr
    assert set(jobs(done.stdout + done.stderr)) == {"data"}
    assert "an earlier run was killed in this folder; its lock is removed" in done.stderr
    assert not marker.exists()


COMPOSING = """
from relu2snn.config.workflow import select_or_exit

def check(experiment):
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        # As OmegaConf does when it is interrupted in the middle of a copy.
        raise AttributeError("'NoneType' object has no attribute '_invalidate_flags_cache'")

select_or_exit({"suite": "quickstart"}, ("idx",), [check])
"""


def test_an_interrupt_while_the_configuration_is_composed_is_no_mistake_in_it(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    run = subprocess.run(
        [sys.executable, "-c", COMPOSING], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert run.returncode == 128 + signal.SIGINT
    assert run.stderr == "relu2snn: interrupted; run it again to go on\n"


def test_two_workflows_in_one_folder_keep_each_others_locks(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "3.input.lock"
    lock.parent.mkdir()
    lock.touch()
    entering = (
        f"from relu2snn.locks import enter_workflow\nprint(enter_workflow({str(tmp_path)!r}), flush=True)\ninput()"
    )
    with program(entering, tmp_path):
        assert not lock.exists()
        lock.touch()
        with program(entering, tmp_path):
            assert lock.exists()
    assert enter_workflow(tmp_path).stale
    assert not lock.exists()


def test_a_script_in_its_own_process_ends_with_the_stage_that_started_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.tsv")
    arguments = ["images", "--root=.", "--list=list.tsv", "--output=images.npy", "--size", "4", "4"]
    code = (
        "import threading, time; from relu2snn.containers import run_script; from pathlib import Path\n"
        f"run = lambda: run_script('none', {[*arguments, '--mean', '0', '0', '0']!r}, [], Path('.'), images='.')\n"
        "threading.Thread(target=run, daemon=True).start(); print(1, flush=True); time.sleep(1000)"
    )
    with program(code, tmp_path) as process:
        wait_for(lambda: any("caffe.py" in words for words in running_in(tmp_path)), "the script runs")
        process.kill()
        process.wait()
        wait_for(lambda: not running_in(tmp_path), "the script has ended")


def test_the_script_that_makes_small_files_ends_with_its_workflow(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "make_smoke_data.py"), "places365", "made", "--width=1"]
    with program("print(1, flush=True); input()", tmp_path) as workflow:
        variables = environment() | {STARTER_VARIABLE: str(workflow.pid)}
        process = subprocess.Popen([*script, "--images=10000"], cwd=tmp_path, env=variables)
        wait_for((tmp_path / "made").exists, "the script has begun")
        workflow.kill()
        workflow.wait()
        assert process.wait(PATIENCE) == 1


def test_make_names_itself_to_snakemake() -> None:
    shown = subprocess.run(
        ["make", "-n", "-C", str(ROOT), "quickstart", "smoke"], capture_output=True, text=True, check=True
    ).stdout
    calls = [line for line in shown.splitlines() if "snakemake" in line]
    assert len(calls) == 2
    assert all(line.startswith(f"{STARTER_VARIABLE}=$PPID ") for line in calls)


def test_an_interrupt_at_the_end_of_a_call_is_one_line(tmp_path: Path) -> None:
    """Where what is finished is about to be shown, its packages are imported first."""
    code = "from relu2snn.config.workflow import interruptible\nwith interruptible():\n    raise KeyboardInterrupt"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert run.returncode == 128 + signal.SIGINT
    assert run.stderr == "relu2snn: interrupted; run it again to go on\n"
