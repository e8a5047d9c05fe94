"""Random configuration values, from a seed: each is taken, or refused with one printable line, in seconds.

Tests run a cut of `fuzz_values`; all of it: PYTHONPATH=tests python -m fuzz.values 400 0
"""

import contextlib
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from random import Random
from typing import Any

from relu2snn.config import STAGES, Paths, checked_slice, stage_slice
from relu2snn.config.compose import known
from relu2snn.config.overrides import is_text, key_types
from relu2snn.config.rules import slice_text
from relu2snn.config.selection import select
from relu2snn.config.values import value_of
from relu2snn.errors import UserError

FORMATS = ("idx", "cifar10", "cifar100", "places365", "pass")
# No bound on a good machine's speed, but on hanging: a case takes well under a second.
_SECONDS = 60
_MEGABYTES = 500
_LONGEST_MESSAGE = 1000

NASTY = (
    "", " ", "''", '""', "'", '"', "[", "]", "{", "}", "[]", "{}", "[[]]", "[{}]", "[null]", "null", "None", "~",
    "???", "true", "false", "nan", "inf", "-inf", "-0.0", "0", "-1", "1", "2", "0.5", "1e-320", "1e308", "1e400",
    "9" * 400, "9" * 5000, "-" + "9" * 30, "4294967296", "1000000000000", "0x10", "1_000", "١٢", "1e3", "01", "+1",
    "1,2", "[1,2]", "[0]", "[-1]", "[1.5]", "[true]", "[[1]]", "[[64],[64]]", "[1000000,1000000]", "[" * 400,
    "[" * 8 + "1" + "]" * 8, "[" + "1," * 3000 + "1]", "[0.1,0.10]", "{a:1}", "{a:{b:{c:1}}}", "{name:x}", "${nope}",
    "${outputs}", "${suite.name}", "${oc.env:HOME}", "${oc.env:NOPE}", "${oc.decode:'[1]'}", "${hydra:runtime.cwd}",
    "${", "${}", "${${outputs}}", "\\${x}", "${phase2.zeta}", "${dataset}", ".", "..", "../x", "/", "//", "/dev/null",
    "/proc/self/mem", "/nowhere/x", "a//b/./c/", "./x", "-x", "--help", "~/x", "~root", "$HOME", "$(touch stray)",
    "`touch stray`", ";touch stray", "x|touch stray", "a&b", "a>b", "a b", "'a b'", '"a b"', "a\tb", "a\nb", "a\rb",
    "a\x00b", "a\x1b[31mb", "\u202e", "\ufeff", "a\u0308", "ä", "日本", "😀", "\udcff", "a:b", "a: b", "a #b", "a=b",
    "=", "a%sb", "%", "{x}", "{{x}}", "{experiment}", "x" * 101, "x" * 300, "ä" * 150, "x/" * 600, "s3://b/c",
    "http://h", "it's", '"odd"', "my results", "choice(1,2)", "range(1,3)", "glob(*)", "int(2.5)", "shuffle([1])",
    "str(1)", "mnist", "fc", "docker", "margin", "!!python/object:os.system", "*a", "&a", "a\\",
)  # fmt: skip
"""Values that broke a configuration, or that mean something to a shell, YAML, Hydra or a file system."""

TEXTS = (
    "a",
    "Z",
    "9",
    "ä",
    "ß",
    "日",
    " ",
    "'",
    '"',
    ".",
    "..",
    "/",
    "//",
    "-",
    "_",
    "+",
    "=",
    ",",
    ":",
    ";",
    "|",
    "&",
    "#",
)


def fuzz_values(count: int, seed: int) -> list[str]:
    """Try `count` random calls of the workflow; returns what went wrong, a line each, with what the call was."""
    random = Random(seed)
    failures = []
    for _ in range(count):
        call = _call(random)
        with _bounded() as bound:
            problem = try_call(call)
        if problem or bound():
            failures.append(f"{call!r}: {problem or bound()}")
    return failures


def try_call(call: dict[str, Any]) -> str | None:
    """Select what a call asks for; what went wrong, or None: a good configuration and one good line are both right."""
    try:
        selection = select(call, FORMATS)
    except UserError as error:
        return _line_problem(str(error))
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    for config in [*selection.runs, *selection.sweeps]:
        if problem := _config_problem(config, call):
            return f"{config.name}: {problem}"
    return None


def _line_problem(line: str) -> str | None:
    if not line.isprintable():
        return f"not one printable line: {line!r}"
    return f"a line of {len(line)} characters" if len(line) > _LONGEST_MESSAGE else None


def _config_problem(config: Any, call: dict[str, Any]) -> str | None:
    """What a configuration that was taken must keep to: safe names, literal text, slices that every stage takes."""
    paths = Paths.of(config)
    for path in (f"{paths.dataset}/x.npy", f"{paths.weights}/{config.weights.stem}.npz", f"{paths.phase2}/x.json"):
        if not path.isprintable() or set(path) & set("{}$`\\") or path[0] in "-~" or "//" in path:
            return f"unsafe path {path!r}"
        if max(len(part.encode()) for part in path.split("/")) > 255:
            return f"path too long {path!r}"
    for stage in STAGES:
        values = stage_slice(config, stage)
        try:
            again = stage_slice(checked_slice(values, stage), stage)
        except UserError as error:
            return f"the stage {stage} refuses its slice: {error}"
        if again != values or "\n" in slice_text(config, stage):
            return f"the slice of {stage} does not survive"
    given = call.get("overrides")
    if isinstance(given, list) and len(given) == 1:
        key, _, text = given[0].partition("=")
        if is_text(key) and text not in ("null",) and text[:1] not in "'\"" and "${" not in text:
            found = value_of(config, key)
            # Of paths, what changes nothing is taken out.
            if str(found) not in (text, str(PurePosixPath(text))):
                return f"{key} is {found!r} for {text!r}"
    return None


@contextlib.contextmanager
def _bounded() -> Iterator[Callable[[], str | None]]:
    """Interrupt a block that hangs; afterwards, the call says whether it took too long or too much."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    seconds, grown = 0.0, 0.0

    def interrupt(*_: object) -> None:
        raise TimeoutError(f"no end after {_SECONDS} s")

    def found() -> str | None:
        if seconds > _SECONDS / 4:
            return f"took {seconds:.1f} s"
        return f"took {grown:.0f} MB" if grown > _MEGABYTES else None

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(_SECONDS)
    try:
        yield found
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        seconds = time.process_time() - started
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def _call(random: Random) -> dict[str, Any]:
    call: dict[str, Any] = {"suite": "quickstart", "experiments": "fmnist_fc"}
    kind = random.random()
    if kind < 0.6:
        overrides = [_override(random) for _ in range(random.choice((1, 1, 1, 2, 3)))]
        call["overrides"] = overrides if random.random() < 0.6 else " ".join(overrides)
    elif kind < 0.75:
        call["overrides"] = _value(random) if random.random() < 0.5 else _noise(random)
    elif kind < 0.9:
        call[random.choice(("suite", "experiments", "sweep", "overrides", "other"))] = _option(random)
    else:
        call["experiments"] = ",".join(random.choices(known("experiment"), k=2))
        call["suite"] = random.choice(("paper", "smoke", "quickstart"))
        call["sweep"] = random.choice((*known("sweep"), _value(random)))
        call["overrides"] = [_override(random)]
    return call


def _override(random: Random) -> str:
    """Half of them of the key's type, so that what is legal, but odd, is met too."""
    key = _key(random)
    kind = str(key_types().get(key))
    if random.random() < 0.5:
        return f"{key}={_value(random)}"
    if "list" in kind:
        return f"{key}=[{','.join(random.choices(('1', '2', '0.5', '1e9', 'a b', 'scaled'), k=random.randrange(4)))}]"
    if is_text(key):
        text = "".join(random.choices(TEXTS, k=random.randrange(1, 6)))
        return f"{key}={random.choice((text, text, repr(text)))}"
    return f"{key}={random.choice(('null', 'true', '1', '3', '64', '2e-5', '0.25', '-0.5', '1e7', '1e17', '-3'))}"


def _key(random: Random) -> str:
    keys = [
        *key_types(),
        *key_types(),
        "nope",
        "+phase2.zeta",
        "~train",
        "suite",
        "hydra.run.dir",
        "dataset@x",
        _noise(random),
    ]
    return random.choice(keys)


def _value(random: Random) -> str:
    kind = random.random()
    if kind < 0.7:
        return random.choice(NASTY)
    if kind < 0.85:
        return random.choice(NASTY) + random.choice(NASTY)
    return _noise(random)


def _noise(random: Random) -> str:
    letters = random.choice(("abc[]{}'\"\\$:,=# \t\n()", "0123456789.e-+_", "aä日😀\u0301\u202e\x00\x7f\udc80\udcff"))
    text = "".join(random.choices(letters, k=random.choice((1, 3, 10, 40, 300))))
    # As bytes of a command line that are no UTF-8.
    return (
        text if random.random() < 0.7 else bytes(random.choices(range(1, 256), k=12)).decode(errors="surrogateescape")
    )


def _option(random: Random) -> Any:
    options = [
        None,
        True,
        False,
        0,
        1.5,
        float("nan"),
        float("inf"),
        10**400,
        [],
        {},
        [[]],
        [None],
        [1],
        {"a": 1},
        b"x",
        (),
    ]
    endless: list[Any] = []
    endless.append(endless)
    return random.choice([*options, endless, _value(random), [_value(random)], ["quickstart"], _noise(random)])


if __name__ == "__main__":
    found = fuzz_values(int(sys.argv[1]), int(sys.argv[2]))
    print(*(line.encode(errors="backslashreplace").decode() for line in found), f"{len(found)} failures", sep="\n")
    sys.exit(bool(found))
