"""How a command ends: whatever goes wrong is one line on stderr and a status, and nothing half-written is left.

0 done; 1 not exact, of verify alone; 2 a mistake of the user's, or of the machine, such as a full disk; 3 a defect of
this package, with its traceback; 128 + the signal's number after a signal, 130 after Ctrl-C, without a word.
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

import typer

from relu2snn.errors import UserError, machine_error, one_line, printable
from relu2snn.progress import finish

MISTAKE, DEFECT = 2, 3

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What the library raises for what a user gave.
_MISTAKES = (UserError, ValueError, TypeError, OSError)


def _is_mistake(error: Exception) -> bool:
    # The library says itself which extra is missing; Python names the module that it does not find.
    return isinstance(error, _MISTAKES) or (isinstance(error, ImportError) and error.name is None)


class _State:
    signalled = 0
    # Kept until the process ends: HDF5 complains on stderr when a file that it could not write is let go.
    error: BaseException | None = None


def heed_signals() -> None:
    """Make of a signal a KeyboardInterrupt, so that files are tidied up on its way; a second one ends at once."""
    for number in _SIGNALS:
        # What nohup or a shell's & has told to ignore stays ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _heed)


def _heed(number: int, frame: FrameType | None) -> None:
    _State.signalled = number
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    raise KeyboardInterrupt


def ended(name: str, run: Callable[[], object]) -> int:
    """The status of what `run` does, after the one line that says what went wrong, if anything did.

    name: of the command, for that line. What `run` returns is the status, where it is a whole number.
    """
    try:
        status = run()
    except typer.Abort:
        return 128 + signal.SIGINT
    # Native code that is interrupted while it is imported raises whatever it likes.
    except BaseException as error:
        finish()
        _State.error = error
        if _State.signalled or isinstance(error, KeyboardInterrupt):
            return 128 + (_State.signalled or signal.SIGINT)
        if not isinstance(error, Exception):
            raise
        return _failed(name, error)
    if _State.signalled:
        return 128 + _State.signalled
    return status if isinstance(status, int) else 0


def _failed(name: str, error: Exception) -> int:
    line = machine_error(error)
    if line is None:
        if hasattr(error, "format_message"):
            # What typer found wrong with the command line.
            line = f"{printable(error.format_message()).rstrip('.')}; relu2snn{name} --help shows examples"
        elif _is_mistake(error):
            line = printable(str(error)) if isinstance(error, UserError) else one_line(error)
        else:
            traceback.print_exception(error)
            say(name, f"a defect of relu2snn ({type(error).__name__}); report it with the lines above")
            return DEFECT
    say(name, line)
    return MISTAKE


def say(name: str, text: str) -> None:
    """One line on stderr from the command `name`."""
    # Where stderr is full or closed, only the exit status is left to say it.
    with contextlib.suppress(OSError):
        print(f"relu2snn{name}: {text}", file=sys.stderr, flush=True)


def leave(status: int) -> None:
    """End the process with a status.

    At once after a failure, since HDF5 crashes where it could not write a file, and where nobody reads what is printed,
    of which Python would make a status of its own.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        os._exit(status)
    if status >= MISTAKE:
        os._exit(status)
    sys.exit(status)
