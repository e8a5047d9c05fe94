"""Stages in copies of a warm process: as they are in a process of their own, and ended like these."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from kill_runs import comparable, result_files
from runs import ROOT, environment, stage_of

from relu2snn.config import STAGES as SLICES
from relu2snn.stages import _warm
from relu2snn.stages._table import STAGES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets without a file")

PATIENCE = 120
SMALL = (
    "dataset.source.train_images=200",
    "dataset.source.test_images=60",
    "dataset.parts=1",
    "model.width=0.05",
    "train.epochs=1",
)
CHAIN = ("data", "train", "weights", "phase1", "reference", "phase2", "figures")


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def offered() -> Iterator[str]:
    """What names a warm process to stages."""
    before = os.environ.pop("RELU2SNN_STARTED_BY", None)
    _warm.offer(["phase1", "phase2"])
    name = os.environ.pop(_warm.VARIABLE)
    if before is not None:
        os.environ["RELU2SNN_STARTED_BY"] = before
    yield name
    with contextlib.suppress(ProcessLookupError):
        os.kill(number_of(name), signal.SIGTERM)


def words(stage: str, *overrides: str) -> list[str]:
    given = ["experiment=mnist_fc", "suite=smoke", *SMALL, "phase2.mapping=reference", *overrides]
    return [sys.executable, "-m", "relu2snn.stages", stage, *given]


def run(stage: str, folder: Path, *overrides: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words(stage, *overrides), cwd=folder, env=environment() | variables, capture_output=True, text=True, check=False
    )


def place(folder: Path) -> Path:
    """A folder that has the sample."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that phase 1 reads."""
    folder = place(tmp_path_factory.mktemp("trained") / "run")
    for stage in ("data", "train", "weights"):
        ran = run(stage, folder)
        assert ran.returncode == 0, ran.stderr
    return folder


def heeding() -> None:
    """In a program that is started: a shell that runs tests in the background makes it ignore signals."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def number_of(offered: str) -> int:
    return int(offered.partition("-")[0])


def copies_of(name: str) -> list[psutil.Process]:
    return psutil.Process(number_of(name)).children()


def test_every_stage_that_reads_a_slice_can_be_run() -> None:
    assert sorted(STAGES) == sorted(SLICES)
    for stage in STAGES.values():
        assert callable(stage.load())


def test_results_are_those_of_processes_of_their_own(tmp_path: Path, offered: str) -> None:
    warm, cold = place(tmp_path / "warm"), place(tmp_path / "cold")
    for stage in CHAIN:
        for folder, variables in ((warm, {_warm.VARIABLE: offered, "OMP_NUM_THREADS": "1"}), (cold, {})):
            ran = run(stage, folder, **({"OMP_NUM_THREADS": "1"} | variables))
            assert ran.returncode == 0, ran.stderr
    found, expected = (dict(result_files(each / "outputs")) for each in (warm, cold))
    assert sorted(found) == sorted(expected)
    assert len(found) > 20
    assert not [name for name in found if comparable(found[name]) != comparable(expected[name])]


def test_a_copy_has_the_folder_environment_streams_and_threads_of_its_caller(tmp_path: Path, offered: str) -> None:
    place(tmp_path / "run")
    log, took = tmp_path / "logs" / "data.log", tmp_path / "took" / "data.tsv"
    given = ["--log", str(log), "--benchmark", str(took), "outputs=elsewhere"]
    variables = {_warm.VARIABLE: offered, "MLFLOW_TRACKING_URI": "sqlite:///mine.db", "OMP_NUM_THREADS": "2"}
    ran = run("data", tmp_path / "run", *given, **variables)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (tmp_path / "run" / "elsewhere").is_dir()
    assert log.read_text().startswith("mnist_small: 200 training and 60 test images")
    head, values = took.read_text().splitlines()
    assert head.split("\t") == ["s", "h:m:s", "max_rss", "cpu_time", "mean_load"]
    seconds, _, memory, cpu, _ = values.split("\t")
    assert 0 < float(cpu) < 60
    assert 0 < float(seconds) < 60
    assert 50 < float(memory) < 10_000


def test_a_mistake_is_one_line_and_the_status_is_the_stages(tmp_path: Path, offered: str) -> None:
    for variables in ({_warm.VARIABLE: offered}, {}):
        ran = run("phase1", tmp_path, **variables)
        assert ran.returncode == 1
        (line,) = ran.stderr.splitlines()
        assert line.startswith("relu2snn phase1: outputs/smoke/datasets/")
        assert line.endswith("no such file; run the stage that makes it first")


def test_what_a_stage_lacks_is_said_before_tensorflow_loads(tmp_path: Path) -> None:
    """So a user who forgot a step does not wait for it."""
    code = (
        "import sys; from relu2snn.stages._launcher import launch; "
        f"launch({words('phase1')[3:]!r}); sys.exit('tensorflow' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), check=False)
    assert ran.returncode == 0


@contextlib.contextmanager
def at_work(
    trained: Path, folder: Path, offered: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A caller and the copy that runs phase 1 for it, which waits for a pipe instead of its data."""
    shutil.copytree(trained / "outputs", folder / "outputs")
    (images,) = (folder / "outputs" / "smoke" / "datasets").rglob("test_labels.npy")
    images.unlink()
    os.mkfifo(images)
    process = subprocess.Popen(
        words("phase1"),
        cwd=folder,
        env=environment() | {_warm.VARIABLE: offered} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding,
    )
    copy = None
    try:
        wait_for(lambda: [each for each in copies_of(offered) if stage_of(each) == "phase1"], "phase 1 is at work")
        (copy,) = [each for each in copies_of(offered) if stage_of(each) == "phase1"]
        wait_for(lambda: list((folder / "outputs" / ".locks").glob("*")), "it has its lock")
        yield process, copy
    finally:
        for each in (process, copy):
            with contextlib.suppress(psutil.NoSuchProcess):
                if each:
                    each.kill()
        process.communicate()


def test_an_interrupt_before_the_stage_has_begun_is_one_line(tmp_path: Path) -> None:
    name = f"relu2snn-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(b"\0" + name.encode())
        door.listen()
        variables = {_warm.VARIABLE: f"{os.getpid()} {name}"}
        process = subprocess.Popen(
            words("phase1"),
            cwd=tmp_path,
            env=environment() | variables,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heeding,
        )
        with door.accept()[0]:
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
    # Its streams may have been on their way here.
    assert process.communicate()[1] == "relu2snn phase1: interrupted; run it again to go on\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_caller_ends_the_copy(
    trained: Path, tmp_path: Path, offered: str, number: signal.Signals
) -> None:
    with at_work(trained, tmp_path, offered) as (process, copy):
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 128 + number
        line = errors.splitlines()[-1]
        assert line.startswith("relu2snn phase1: ")
        assert line.endswith("; run it again to go on")
        assert not copy.is_running()


def test_the_caller_has_the_status_of_a_copy_that_is_killed(trained: Path, tmp_path: Path, offered: str) -> None:
    with at_work(trained, tmp_path, offered) as (process, copy):
        copy.kill()
        assert process.wait(PATIENCE) == 128 + signal.SIGKILL


def test_a_copy_of_a_workflow_ends_with_a_caller_that_is_killed(trained: Path, tmp_path: Path, offered: str) -> None:
    with at_work(trained, tmp_path, offered, RELU2SNN_STARTED_BY=str(os.getpid())) as (process, copy):
        process.kill()
        wait_for(lambda: not copy.is_running(), "the copy has ended")


def test_a_caller_whose_warm_process_is_killed_ends_its_copy_and_says_so(trained: Path, tmp_path: Path) -> None:
    _warm.offer(["phase1", "phase2"])
    offered = os.environ.pop(_warm.VARIABLE)
    with at_work(trained, tmp_path, offered) as (process, copy):
        os.kill(number_of(offered), signal.SIGKILL)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        line = "relu2snn phase1: its warm process was killed; run it again to go on"
        assert errors.splitlines()[-1] == line
        wait_for(lambda: not copy.is_running(), "the copy has ended")
    # The next stage does without, also where nobody has taken note of that end.
    assert psutil.Process(number_of(offered)).status() == psutil.STATUS_ZOMBIE
    (images,) = (tmp_path / "outputs" / "smoke" / "datasets").rglob("test_labels.npy")
    images.unlink()
    shutil.copy(next((trained / "outputs" / "smoke" / "datasets").rglob("test_labels.npy")), images)
    ran = run("phase1", tmp_path, **{_warm.VARIABLE: offered})
    assert ran.returncode == 0, ran.stderr


def test_a_warm_process_serves_only_its_own_user(offered: str) -> None:
    if os.getuid():
        pytest.skip("only root can be another user")
    code = f"""
import os, sys
from relu2snn.stages import _warm
os.setgid(65534)
os.setuid(65534)
connection = _warm._connect({offered!r}, patient=True)
try:
    _warm._ask(connection, ["data"])
except OSError:
    sys.exit(0)
sys.exit(len(_warm._receive(connection, 4)))
"""
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_caller_that_is_killed_while_it_asks_disturbs_nobody(tmp_path: Path, offered: str) -> None:
    for sent in (b"", b"\0", b"\0\0\0\x09", b"\0\0\0\x09{"):
        connection = _warm._connect(offered, patient=True)
        assert connection is not None
        connection.sendall(sent)
        connection.close()
    ran = run("data", place(tmp_path / "run"), **{_warm.VARIABLE: offered})
    assert ran.returncode == 0, ran.stderr
    assert psutil.pid_exists(number_of(offered))


def test_no_warm_process_is_started_for_a_single_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_warm.VARIABLE, raising=False)
    _warm.offer(["data", "weights", "phase1", "gather", "all"])
    assert _warm.VARIABLE not in os.environ
