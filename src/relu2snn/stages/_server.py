"""The warm process that `relu2snn.stages._warm` asks: it imports what stages need, and copies itself for each."""

import array
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import struct
import sys
import warnings
from typing import Any

from relu2snn.processes import starter
from relu2snn.stages._warm import _LENGTH, _SIGNALS, _STATUS, _STREAMS, _receive

# How often it looks whether its workflow is still there, in seconds.
_INTERVAL = 0.5
# How long it waits for the words of who asks.
_PATIENCE = 10.0
_CREDENTIALS = struct.Struct("3i")


def serve(name: str) -> dict[str, Any] | None:
    """Copy this process for each stage that is asked for, until the workflow ends.

    Returns, in a copy, what was asked for; in the process itself, when it has to end, None.
    """
    workflow = starter()
    children: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX) as door, selectors.DefaultSelector() as ready:
        door.bind(b"\0" + name.encode())
        door.listen(64)
        woken, wake = socket.socketpair()
        wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        ready.register(door, selectors.EVENT_READ)
        ready.register(woken, selectors.EVENT_READ)
        while workflow is None or workflow.lives() is not False:
            for key, _ in ready.select(_INTERVAL):
                if key.fileobj is woken:
                    woken.recv(4096)
                    _report(children)
                    continue
                connection, _ = door.accept()
                # Who asks may be killed, or stopped, in the middle of it.
                connection.settimeout(_PATIENCE)
                found = None
                with contextlib.suppress(OSError):
                    found = _asked(connection)
                if found is None:
                    connection.close()
                    continue
                asked, streams = found
                with warnings.catch_warnings():
                    # OpenBLAS has threads, and sees to them itself.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    child = os.fork()
                if child == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for each in (woken, wake, connection, *children.values()):
                        each.close()
                    return {**asked, "streams": streams}
                for stream in streams:
                    os.close(stream)
                children[child] = connection
                _send(connection, child)
    return None


def _asked(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """What a caller wants, and its streams; None for another user's process, or one that is gone."""
    given = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    if _CREDENTIALS.unpack(given)[1] != os.getuid():
        return None
    space = socket.CMSG_SPACE(len(_STREAMS) * array.array("i").itemsize)
    head, data, _, _ = connection.recvmsg(_LENGTH.size, space)
    streams = array.array("i")
    for level, kind, content in data:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            streams.frombytes(content[: len(content) - len(content) % streams.itemsize])
    if len(head) < _LENGTH.size:
        return None
    text = _receive(connection, _LENGTH.unpack(head)[0])
    if not text:
        for each in streams:
            os.close(each)
        return None
    return json.loads(text), list(streams)


def _report(children: dict[int, socket.socket]) -> None:
    """Tell those who wait how their stages have ended."""
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        connection = children.pop(child, None)
        if connection is not None:
            _send(connection, os.waitstatus_to_exitcode(status))
            connection.close()


def _send(connection: socket.socket, number: int) -> None:
    # Who waited may have been killed; the stage watches it, and ends.
    with contextlib.suppress(OSError):
        connection.sendall(_STATUS.pack(number))


def become(asked: dict[str, Any]) -> int:
    """Run a stage in this copy as its caller would have; the status to exit with."""
    for number, each in zip(_STREAMS, asked["streams"], strict=True):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    os.umask(asked["mask"])
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN if number in asked["ignored"] else signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN if signal.SIGINT in asked["ignored"] else signal.default_int_handler)
    sys.argv = ["relu2snn.stages", *asked["arguments"]]
    from relu2snn.stages._launcher import launch
    from relu2snn.stages._tensorflow import take_threads

    take_threads()
    return launch(asked["arguments"], asked["above"])


def prepare() -> bool:
    """Import what stages need; whether copies of this process can compute: not where a GPU's driver is loaded."""
    import relu2snn.stages._launcher
    import relu2snn.stages._tensorflow  # noqa: F401

    # isort: split
    import tensorflow

    from relu2snn.stages._table import STAGES
    from relu2snn.tracking import load_mlflow

    if tensorflow.config.list_physical_devices("GPU"):
        return False
    for stage in STAGES.values():
        # A stage whose packages are not there says so itself.
        with contextlib.suppress(ImportError):
            stage.load()
    with contextlib.suppress(ImportError):
        load_mlflow()
    # What is never written to stays shared by all copies.
    gc.collect()
    gc.freeze()
    return True


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Its starter has held them back.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    request = serve(sys.argv[1]) if prepare() else None
    sys.exit(become(request) if request else 0)
