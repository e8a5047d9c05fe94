"""Stages in a process that has loaded TensorFlow already: most of a short stage's time is Python's imports.

A *warm* process imports what stages need and computes nothing. For each stage that is asked for it makes a copy of
itself (fork), which runs that stage with the caller's environment, folder and standard streams, and ends. The caller
waits, passes signals on and exits with the stage's status. So every stage has a process of its own, as without.

Both sides talk over a socket that has a name but no file, so that nothing is left behind when all is killed; only
Linux has that. Where no warm process is offered, or it is gone, a stage imports what it needs itself.
"""

import array
import atexit
import contextlib
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence

from relu2snn.processes import Process

VARIABLE = "RELU2SNN_WARM"
"""Names the warm process to the stages: as `Process` does, and by its socket."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STREAMS = (0, 1, 2)
_LENGTH = struct.Struct("!I")
_STATUS = struct.Struct("!i")
# A warm process takes seconds to get ready; a stage that does not need TensorFlow is done before.
_PAUSE = 0.05


def run_warm(arguments: Sequence[str]) -> int | None:
    """Let a warm process run a stage; its status, or None where the stage has to run here."""
    offered = os.environ.get(VARIABLE, "")
    if not offered or sys.platform != "linux":
        return None
    from relu2snn.stages._table import STAGES

    stage = STAGES.get(arguments[0]) if arguments else None
    if stage is None:
        return None
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        # Nothing has begun, so nothing is to be tidied up.
        signal.signal(signal.SIGINT, lambda number, frame: _interrupted(arguments[0]))
    connection = _connect(offered, patient=stage.tensorflow)
    if connection is None:
        return None
    with connection:
        try:
            _ask(connection, arguments)
        except OSError:
            return None
        started = _receive(connection, _STATUS.size)
        if not started:
            return None
        (child,) = _STATUS.unpack(started)
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda number, frame: _pass_on(child, number))
        ended = _receive(connection, _STATUS.size)
    if not ended:
        # Nobody is left to say how the stage ends.
        _pass_on(child, signal.SIGKILL)
        print(f"relu2snn {arguments[0]}: its warm process was killed; run it again to go on", file=sys.stderr)
        return 1
    status = int(_STATUS.unpack(ended)[0])
    return status if status >= 0 else 128 - status


def _interrupted(stage: str) -> None:
    os.write(2, f"relu2snn {stage}: interrupted; run it again to go on\n".encode())
    os._exit(128 + signal.SIGINT)


def _pass_on(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def _connect(offered: str, *, patient: bool) -> socket.socket | None:
    number, _, name = offered.partition(" ")
    server = Process.parse(number)
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(b"\0" + name.encode())
        except OSError:
            connection.close()
            # One that was killed stays in the list of processes as long as Snakemake, which has started it, does.
            if not patient or server is None or not server.lives():
                return None
            time.sleep(_PAUSE)
        else:
            return connection


def _ask(connection: socket.socket, arguments: Sequence[str]) -> None:
    ignored = [int(number) for number in _SIGNALS if signal.getsignal(number) == signal.SIG_IGN]
    asked = {
        "arguments": list(arguments),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "mask": _mask(),
        "above": [os.getpid(), os.getppid()],
        "ignored": ignored,
    }
    text = json.dumps(asked).encode()
    streams = array.array("i", _STREAMS)
    connection.sendmsg([_LENGTH.pack(len(text))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
    connection.sendall(text)


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _receive(connection: socket.socket, size: int) -> bytes:
    """`size` bytes, or none where the other side is gone."""
    found = b""
    while len(found) < size:
        try:
            piece = connection.recv(size - len(found))
        except OSError:
            return b""
        if not piece:
            return b""
        found += piece
    return found


def offer(rules: Iterable[str]) -> None:
    """Start a warm process for the stages of the jobs that this process will start, if two of them can use it.

    rules: those of the jobs, by their names, which for these are their stages'.
    """
    from relu2snn.stages._table import STAGES

    if sys.platform != "linux" or sum(STAGES[each].tensorflow for each in rules if each in STAGES) < 2:
        return
    name = f"relu2snn-{secrets.token_hex(16)}"
    # Each stage takes the threads of its own job.
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    # Until it ignores them itself, an interrupt would meet Python in the middle of an import.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "relu2snn.stages._server", name],
            env=environment,
            stdin=subprocess.DEVNULL,
            # What a terminal sends to all goes through those who wait for the stages.
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.environ[VARIABLE] = f"{Process.parse(str(process.pid))} {name}"
    atexit.register(_end, process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()
