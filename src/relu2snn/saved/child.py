"""Native parsers run in a child: what makes them hang or crash, or take all memory, ends the child alone."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO


class ChildError(Exception):
    """A child that did not end by itself, in words that follow the name of the file that it was to read."""


@contextlib.contextmanager
def child(script: Path, arguments: Sequence[str], wall: float) -> Iterator[IO[bytes]]:
    """Run a Python file with `arguments` for at most `wall` seconds, and yield its output as it comes.

    Raises ChildError if it was ended by a signal or by the limit, or failed; its own output should say why.
    """
    # Threads of a library of linear algebra, which a parser has no use for, each take address space; so do plug-ins,
    # which a file could ask HDF5 for, but of code.
    quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"}
    process = subprocess.Popen(
        [sys.executable, "-P", str(script), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **quiet},
    )
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(wall, stop)
    timer.daemon = True
    timer.start()
    assert process.stdout is not None
    whole = False
    try:
        yield process.stdout
        whole = True
    except EOFError:
        # The child ended early, and its status says why.
        pass
    finally:
        timer.cancel()
        if not whole and process.poll() is None:
            # Its output has ended, so it is ending, or its reader has lost interest.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
            process.kill()
        process.stdout.close()
        status = process.wait()
    if late.is_set():
        raise ChildError(f"it was not read in {wall:.0f} s")
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        raise ChildError("reading it does not end, or takes too much memory")
    if status < 0:
        raise ChildError(f"its parser crashed with {signal.Signals(-status).name}")
    if status or not whole:
        raise ChildError(f"its parser ended with status {status}")
