"""Processes by number, start and machine: whether one still lives, and ending with the one that started this one."""

import functools
import hashlib
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

STARTER_VARIABLE = "RELU2SNN_STARTED_BY"
"""Names the process that the programs below it end with: make for Snakemake, Snakemake for its jobs."""

_INTERVAL = 0.5
_UNKNOWN = "0"


@dataclass(frozen=True)
class Process:
    """A process: its number, what tells it from a later process of that number, and its machine.

    A machine is a host, and on Linux a namespace of process numbers in it: a container is a machine of its own.
    """

    pid: int
    started: str
    machine: str

    @classmethod
    def this(cls) -> Self:
        return cls(os.getpid(), _started(os.getpid()) or _UNKNOWN, _machine())

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `str` has made of a process, or a bare number, of a process of this machine; None for other texts."""
        pid, *rest = text.split("-")
        if not (pid.isascii() and pid.isdecimal()) or len(rest) not in (0, 2):
            return None
        started, machine = rest or (_started(int(pid)) or _UNKNOWN, _machine())
        return cls(int(pid), started, machine)

    def __str__(self) -> str:
        return f"{self.pid}-{self.started}-{self.machine}"

    def lives(self) -> bool | None:
        """Whether the process runs; None for one of another machine. One that only waits to be collected does not."""
        if self.machine != _machine():
            return None
        started = _started(self.pid)
        return started is not None and (started == self.started or _UNKNOWN in (started, self.started))


def watch(process: Process, end: Callable[[], None]) -> None:
    """Call `end`, in a thread of its own, as soon as `process` is gone; never for a process of another machine."""
    if process.lives() is None:
        return

    def wait() -> None:
        while process.lives():
            time.sleep(_INTERVAL)
        end()

    threading.Thread(target=wait, name="watch", daemon=True).start()


def starter() -> Process | None:
    """The process that this one is to end with, if the environment names one."""
    return Process.parse(os.environ.get(STARTER_VARIABLE, ""))


def end_with_starter() -> None:
    """From now on, end this process at once, with status 1, when the one that the environment names is gone."""
    process = starter()
    if process is not None:
        watch(process, lambda: os._exit(1))


def end_with(pid: int) -> None:
    """From now on, end this process at once, with status 1, when that of this number is gone; never with the first."""
    process = Process.parse(str(pid))
    if process is not None and pid != 1:
        watch(process, lambda: os._exit(1))


def publish() -> None:
    """Name this process as the one that the programs it starts end with."""
    os.environ[STARTER_VARIABLE] = str(Process.this())


def _started(pid: int) -> str | None:
    """When a process was started, in the kernel's ticks and with the boot; None if there is no such process."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass
    try:
        # After the program's name, which may hold anything: the state first, the start nineteen further.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except ProcessLookupError:
        return None
    except OSError:
        return _UNKNOWN
    return None if fields[0] in "ZX" else fields[19] + _boot()


@functools.cache
def _machine() -> str:
    try:
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbers = ""
    return hashlib.sha256(f"{platform.node()} {numbers}".encode()).hexdigest()[:8]


@functools.cache
def _boot() -> str:
    try:
        return "b" + Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return ""
