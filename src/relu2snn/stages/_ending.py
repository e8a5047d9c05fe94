"""How a stage ends when it is told to, or when the workflow that has started it is gone: one line, nothing left behind.

Ctrl-C, SIGTERM and SIGHUP end it with the status 128 + the signal's number, as shells have it.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from relu2snn.locks import remove_own
from relu2snn.processes import Process, starter, watch
from relu2snn.progress import report_to, unfinished

# How long a stage may take to tidy up, in seconds, before it is ended as it stands.
_PATIENCE = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_REASONS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "ended by a signal (SIGTERM)",
    signal.SIGHUP: "ended since its terminal was closed (SIGHUP)",
}


class Ended(KeyboardInterrupt):
    """Raised wherever the main thread is when the stage has to end."""


class _State:
    stage = ""
    running = False
    reason = ""
    status = 1
    # TensorFlow's notices are sent nowhere while it starts; a line of ours is not.
    stderr = 2
    # Where the stage writes a log, its last words go to the terminal, too.
    terminal: int | None = None


def begin(stage: str, above: Sequence[int] | None = None) -> None:
    """Heed signals and watch the workflow from now on; once is enough in a process.

    above: the numbers of the processes that it ends with besides; its parent, if not given. Until `running`, the
    process ends at once: nothing has been written.
    """
    begun, _State.stage = bool(_State.stage), stage
    _State.stderr = os.dup(2)
    if begun:
        return
    # For ps and top: a copy of a warm process has its command line.
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(stage)
    _hurry()
    for number in _SIGNALS:
        # What nohup or a shell's & has told to ignore stays ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _heed)
    process = starter()
    if process is not None:
        if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
            signal.signal(signal.SIGTERM, _heed)
        _end_with(process, "the workflow")
        # Snakemake takes the job for failed when its shell is gone, and would start it again beside this one.
        for pid in [os.getppid()] if above is None else above:
            each = Process.parse(str(pid))
            if each is not None and each.pid not in (1, process.pid):
                _end_with(each, "the shell")


def write_log(path: str) -> None:
    """From now on, write to a file what goes to standard output and error; the terminal gets how far the stage is."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    _State.terminal = os.dup(2)
    for each in (1, 2, _State.stderr):
        os.dup2(file, each)
    os.close(file)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    report_to(_State.terminal)


def say(text: str) -> None:
    """Say a stage's last words on stderr, and on the terminal where that is a log."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    line = ("\n" if unfinished() else "") + text + "\n"
    for each in (_State.stderr, _State.terminal):
        # Where there is no space for the log, or no reader any more, only the exit status is left to say it.
        with contextlib.suppress(OSError):
            if each is not None:
                os.write(each, line.encode(errors="replace"))


def _end_with(process: Process, what: str) -> None:
    def end() -> None:
        _State.reason = _State.reason or f"ended, since {what} that started it (process {process.pid}) is gone"
        os.kill(os.getpid(), signal.SIGTERM)

    watch(process, end)


def running() -> None:
    """From now on an end is an exception, `Ended`, so that files and locks are tidied up on its way."""
    _State.running = True


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """End the process when what runs inside ends after a signal, whatever it has become.

    A library may make another exception of `Ended`: C code that is being imported makes it an ImportError.
    """
    try:
        yield
    except BaseException:
        if _State.reason:
            leave()
        raise


def leave() -> NoReturn:
    """Say why, in one line, and end the process, with no lock left."""
    with contextlib.suppress(OSError):
        remove_own()
    say(f"relu2snn {_State.stage}: {_State.reason}; run it again to go on")
    os._exit(_State.status)


def _heed(number: int, frame: FrameType | None) -> None:
    _State.reason = _State.reason or _REASONS[signal.Signals(number)]
    _State.status = 128 + number
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    if not _State.running:
        leave()
    raise Ended


def _hurry() -> None:
    """End the process some seconds after a signal, whatever the main thread does: a library may swallow the exception,
    or not return, and then Python does not even call the handler.
    """
    ending, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)

    def wait() -> None:
        number = 0
        # Other signals than ours come here, too.
        while number not in _SIGNALS:
            number = os.read(ending, 1)[0]
        time.sleep(_PATIENCE)
        _State.reason = _State.reason or _REASONS[signal.Signals(number)]
        _State.status = 128 + number
        leave()

    threading.Thread(target=wait, name="hurry", daemon=True).start()
