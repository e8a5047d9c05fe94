"""Servers that tests start on the loopback interface: MLflow's, on SQLite or PostgreSQL, its UI, and served models."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_PATIENCE = 120


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@contextlib.contextmanager
def mlflow(
    folder: Path, *arguments: str, ready: str = "/health", port: int | None = None, **environment: str
) -> Iterator[str]:
    """Run `mlflow <arguments>` in `folder`; yields its address when it answers."""
    port = port or free_port()
    command = [sys.executable, "-m", "mlflow", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    log = folder / f"server-{port}.log"
    with log.open("w") as output, _process(command, output, folder, **environment) as process:
        address = f"http://127.0.0.1:{port}"
        _wait(process, log, lambda: urllib.request.urlopen(address + ready, timeout=5).status == 200)
        yield address


@contextlib.contextmanager
def tracking_server(
    folder: Path, backend: str, *places: str, port: int | None = None, **environment: str
) -> Iterator[str]:
    """`mlflow server` that keeps artifacts in `folder`, or where `places`, options of it, say."""
    folder.mkdir(exist_ok=True)
    places = places or ("--artifacts-destination", str(folder / "artifacts"))
    # In the environment, where a list of processes shows no password.
    environment["MLFLOW_BACKEND_STORE_URI"] = backend
    # Of its twelve processes ten wait for jobs that nothing here asks for, and take seconds each to start.
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    with mlflow(folder, "server", *places, "--workers", "1", port=port, **environment) as address:
        yield address


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[dict[str, str]]:
    """A storage of the S3 protocol with a bucket "runs"; yields the environment of its users."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = folder / f"s3-{port}.log"
    address = f"http://127.0.0.1:{port}"
    with log.open("w") as output, _process(command, output, folder) as process:
        _wait(process, log, lambda: urllib.request.urlopen(f"{address}/moto-api/", timeout=5).status == 200)
        bucket = urllib.request.Request(f"{address}/runs", method="PUT", headers={"Host": f"127.0.0.1:{port}"})
        urllib.request.urlopen(bucket, timeout=60).close()
        yield {
            "MLFLOW_S3_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "relu2snn",
            "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-bucket",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """A throw-away cluster; yields the address of its database. Skips where PostgreSQL is not installed.

    It trusts everybody, whatever the password.
    """
    programs = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    binaries = Path(programs).resolve().parent
    # It refuses to run as root, and the folders of pytest are open to their owner only.
    user = "nobody" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="relu2snn-postgresql-"))
    try:
        if user:
            shutil.chown(folder, user)
        cluster, port = folder / "cluster", free_port()
        make = [binaries / "initdb", "--auth=trust", "--username=mlflow", "--no-sync", "--encoding=UTF8", cluster]
        subprocess.run(make, cwd=folder, user=user, check=True, capture_output=True)
        run = [str(binaries / "postgres"), "-D", str(cluster), "-k", str(folder), "-h", "127.0.0.1", "-p", str(port)]
        log = folder / "log"
        with log.open("w") as output, _process([*run, "-F"], output, folder, user) as process:
            client = [binaries / "psql", "-h", "127.0.0.1", "-p", str(port), "-U", "mlflow", "-d", "postgres"]
            question = [*client, "-qc", "create database mlflow"]
            _wait(process, log, lambda: subprocess.run(question, capture_output=True, check=False).returncode == 0)
            yield f"postgresql://mlflow@127.0.0.1:{port}/mlflow"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(address: str, name: str) -> str:
    """The address of an empty database beside another one."""
    import psycopg2

    connection = psycopg2.connect(address)
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(f"create database {name}")
    return f"{address.rpartition('/')[0]}/{name}"


@contextlib.contextmanager
def _process(
    command: list[str], output: object, folder: Path, user: str | None = None, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its children, all ended at the end."""
    settings = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"} | environment
    process = subprocess.Popen(
        command, cwd=folder, env=settings, stdout=output, stderr=subprocess.STDOUT, user=user, start_new_session=True
    )
    try:
        yield process
    finally:
        # PostgreSQL takes it for a fast shutdown, MLflow's processes for the end.
        os.killpg(process.pid, signal.SIGINT if user else signal.SIGTERM)
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError, urllib.error.URLError):
            if ready():
                return
        time.sleep(0.2)
    raise AssertionError(f"no answer in {_PATIENCE} s: {log.read_text()[-3000:]}")
