"""A fork server: one parent that has imported the libraries, and for every small batch of files a forked child.

The child has limits on memory, and the parent ends it when one file takes too long; so whatever a reader does, the
file is known. The parent runs no reader itself.
"""

import faulthandler
import json
import os
import resource
import selectors
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzz.mutate import mutate, mutate_inside
from fuzz.reader import Reader
from relu2snn.errors import UserError

# Right outcomes: read as it was; refused in one line; read as something else, where the format has no checksum.
READ, REFUSED, OTHER = "read", "refused", "read otherwise"
TRACEBACK, MESSAGE, SILENT, MEMORY = "traceback", "message", "silent", "memory"
HANG, CRASH = "hang", "crash"
RIGHT = (READ, REFUSED, OTHER)

_BATCH = 40
_LONGEST_MESSAGE = 1500


@dataclass(frozen=True)
class Outcome:
    """What came of one changed file; `text` is the message, or says what went wrong."""

    reader: str
    number: int
    kind: str
    text: str
    file: str = ""


@dataclass
class Template:
    """The small valid files of a reader, and what it reads from them."""

    reader: Reader
    folder: Path
    expected: str

    def __post_init__(self) -> None:
        patterns = self.reader.changed or ("**/*",)
        found = {path for pattern in patterns for path in self.folder.glob(pattern) if path.is_file()}
        self.files = sorted(str(path.relative_to(self.folder)) for path in found)

    def changed(self, number: int, seed: int) -> tuple[str, bytes, bool]:
        """The file that is changed as number `number`, its contents, and whether its own checksums are to see it."""
        random = Random(f"{seed} {self.reader.name} {number}")
        name = random.choice(self.files)
        content = (self.folder / name).read_bytes()
        inside = random.random() < 0.5 and content[:2] in (b"\x1f\x8b", b"PK")
        return name, (mutate_inside if inside else mutate)(content, random), not inside


def make_template(reader: Reader, folder: Path) -> Template:
    """Make the valid files of a reader in `folder`, in a child; raises RuntimeError when it cannot read them."""
    folder.mkdir(parents=True)
    place = folder / reader.name
    result = folder / "expected.txt"

    def work() -> None:
        place.mkdir()
        reader.make(place)
        result.write_text(reader.read(place))

    status = os.waitpid(_fork(work, None), 0)[1]
    if status or not result.exists():
        raise RuntimeError(f"{reader.name}: its own valid files are not read")
    return Template(reader, place, result.read_text())


def run(
    templates: list[Template], numbers: dict[str, int], seed: int, jobs: int, folder: Path, memory: int
) -> Iterator[Outcome]:
    """Try `numbers[name]` changed files of every reader, `jobs` children at a time.

    memory: bytes that a child may take beyond what it begins with.
    """
    work = [
        (template, start, min(start + _BATCH, numbers[template.reader.name]))
        for template in templates
        for start in range(0, numbers[template.reader.name], _BATCH)
    ]
    Random(seed).shuffle(work)
    free = [folder / f"slot{slot}" for slot in range(jobs)]
    with selectors.DefaultSelector() as selector:
        children: list[_Child] = []
        while work or children:
            while work and free:
                child = _Child(*work.pop(), seed, free.pop(), memory)
                children.append(child)
                selector.register(child.output, selectors.EVENT_READ, child)
            for key, _ in selector.select(0.2):
                yield from key.data.receive()
            for child in list(children):
                child.end_if_late()
                if child.ended:
                    selector.unregister(child.output)
                    children.remove(child)
                    free.append(child.folder)
                    outcome, rest = child.collect()
                    if outcome:
                        yield outcome
                    if rest:
                        work.append((child.template, *rest))


class _Child:
    """A forked process that reads the changed files [start, stop) of one reader."""

    def __init__(self, template: Template, start: int, stop: int, seed: int, folder: Path, memory: int) -> None:
        self.template, self.folder, self.ended = template, folder, False
        self._next, self._stop, self._seed = start, stop, seed
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template.folder, folder)
        self._late = False
        reading, writing = os.pipe()
        self._pid = _fork(lambda: _work(template, start, stop, seed, folder, writing), memory)
        os.close(writing)
        self.output = os.fdopen(reading, "rb", buffering=0)
        self._text = b""
        self._since = time.monotonic()

    def receive(self) -> Iterator[Outcome]:
        data = self.output.read(1 << 16)
        if not data:
            self.ended = True
            return
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            outcome = Outcome(**json.loads(line))
            self._next, self._since = outcome.number + 1, time.monotonic()
            yield outcome

    def end_if_late(self) -> None:
        if not self.ended and time.monotonic() - self._since > self.template.reader.seconds:
            self._late = True
            os.kill(self._pid, signal.SIGKILL)
            self._since = float("inf")

    def collect(self) -> tuple[Outcome | None, tuple[int, int] | None]:
        """What ended the child, if it was no good end, and the numbers that are left."""
        self.output.close()
        status = os.waitpid(self._pid, 0)[1]
        if self._next >= self._stop:
            return None, None
        kind, text = CRASH, f"ended by {_ending(status)}"
        if self._late:
            kind, text = HANG, f"not read within {self.template.reader.seconds:g} s"
        name = self.template.changed(self._next, self._seed)[0]
        outcome = Outcome(self.template.reader.name, self._next, kind, text, name)
        rest = (self._next + 1, self._stop)
        return outcome, rest if rest[0] < rest[1] else None


def _ending(status: int) -> str:
    return (
        f"signal {os.WTERMSIG(status)}"
        if os.WIFSIGNALED(status)
        else f"exit status {os.waitstatus_to_exitcode(status)}"
    )


def _fork(work: Callable[[], None], memory: int | None) -> int:
    """Run `work` in a forked child, silently, with a limit on the memory that it takes beyond what it has."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if memory is not None:
            faulthandler.disable()
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + memory
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _work(template: Template, start: int, stop: int, seed: int, folder: Path, writing: int) -> None:
    for number in range(start, stop):
        name, content, seen = template.changed(number, seed)
        path = folder / name
        original = path.read_bytes()
        path.write_bytes(content)
        kind, text = _try(template, folder, name, seen and content != original)
        path.write_bytes(original)
        outcome = {"reader": template.reader.name, "number": number, "kind": kind, "text": text, "file": name}
        os.write(writing, json.dumps(outcome).encode() + b"\n")


def _try(template: Template, folder: Path, name: str, seen: bool) -> tuple[str, str]:
    """Read the folder; `seen` says that the checksums of the file, where it has any, do not fit any more."""
    reader = template.reader
    try:
        found = reader.read(folder)
    except UserError as error:
        text = str(error)
        good = text.isprintable() and 0 < len(text) <= _LONGEST_MESSAGE and (str(folder) in text or name in text)
        return (REFUSED if good else MESSAGE), text[: 2 * _LONGEST_MESSAGE]
    except MemoryError:
        return MEMORY, traceback.format_exc()[-_LONGEST_MESSAGE:]
    except BaseException:
        return TRACEBACK, traceback.format_exc()[-_LONGEST_MESSAGE:]
    if found == template.expected:
        return READ, ""
    return (SILENT, "read as something else") if reader.checksum and seen else (OTHER, "")
