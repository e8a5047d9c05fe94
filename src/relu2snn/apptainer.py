"""Apptainer as the container engine of Caffe's script: the Dockerfile as a definition file, its image a file.

A cluster has no Docker, and its nodes share a folder: the image is built once from the repository alone, by a user
without root (Apptainer 1.1 or later), and stands as a .sif file there. Not run here with the real program, which no
registry within reach has: the commands follow its documentation.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from relu2snn.errors import UserError

_ARGUMENTS = "arguments"
_PLACE = f"/{_ARGUMENTS}"


def definition(dockerfile: Path, context: Path) -> str:
    """The definition file of what a Dockerfile makes: as many stages, with the files of the folder `context`.

    What a stage declares by ARG it reads from the file "arguments" of that folder (`write_arguments`), so that no value
    gets into the text, which becomes part of the image.

    Raises UserError for an instruction that has no translation here.
    """
    stages: list[_Stage] = []
    for number, words in _instructions(dockerfile):
        name, rest = words.partition(" ")[0], words.partition(" ")[2].strip()
        if name == "FROM":
            stages.append(_Stage(rest))
        elif not stages or not stages[-1].take(name, rest, context):
            raise UserError(f"{dockerfile}: line {number}: {name} can't be part of an image of Apptainer here; mend it")
    return "\n\n".join(stage.text(final=stage is stages[-1]) for stage in stages) + "\n"


def write_arguments(context: Path, values: Mapping[str, str]) -> None:
    """Write the file from which `definition` takes the values of ARG: in no command line, and not in the image."""
    lines = [f"export {key}={shlex.quote(value)}\n" for key, value in values.items()]
    file = context / _ARGUMENTS
    file.touch(0o600)
    file.write_text("".join(lines), encoding="utf-8")


def run_command(image: Path, folder: Path, binds: Sequence[tuple[Path, Path, bool]]) -> list[str]:
    """What runs an image's program with no network, no home and no environment of this machine.

    folder: where it runs. binds: real path, path inside, and whether it can be written.

    Raises UserError for a path that can't be named on Apptainer's command line.
    """
    command = ["apptainer", "run", "--containall", "--cleanenv", "--no-home", "--net", "--network=none"]
    for source, target, writable in binds:
        for path in (source, target):
            if sign := next((each for each in ":," if each in str(path)), None):
                raise UserError(
                    f"{path}: a path with {sign!r} cannot be given to container.engine=apptainer; "
                    "move or rename it, or convert in this environment with container.engine=none"
                )
        command.append(f"--bind={source}:{target}:{'rw' if writable else 'ro'}")
    # Only above what is mounted is there such a folder inside.
    if any(target.is_relative_to(folder) for _, target, _ in binds):
        command.append(f"--pwd={folder}")
    return [*command, str(image)]


class _Stage:
    def __init__(self, source: str) -> None:
        image, _, name = source.partition(" AS ")
        self._head = ["Bootstrap: docker", f"From: {image}", f"Stage: {name or 'final'}"]
        self._folder = "/"
        self._files: dict[str, list[str]] = {}
        self._post: list[str] = []
        self._environment: list[str] = []
        self._entry: list[str] = []
        self._named = bool(name)
        self._arguments = False

    def take(self, name: str, rest: str, context: Path) -> bool:
        """Take in an instruction; False for one that has no translation."""
        if name == "ARG" and self._named:
            self._arguments = True
        elif name == "WORKDIR":
            self._folder = rest
            self._post.append(f"mkdir -p {rest} && cd {rest}")
        # Files are there before the first command runs.
        elif name == "COPY" and not any(each.startswith("(") for each in self._post):
            self._copy(rest.split(), context)
        elif name == "RUN":
            self._post.append(f"( {rest} )")
        elif name == "ENV":
            self._environment.append(f"export {rest}")
        elif name == "ENTRYPOINT":
            self._entry = [part.strip().strip('"') for part in rest.strip("[]").split(",")]
        else:
            return False
        return True

    def _copy(self, words: list[str], context: Path) -> None:
        origin = ""
        if words[0].startswith("--from="):
            origin = words.pop(0).removeprefix("--from=")
        *sources, target = words
        if target.startswith("."):
            target = f"{self._folder}/"
        if not origin:
            sources = [path.name for pattern in sources for path in sorted(context.glob(pattern))]
        self._files.setdefault(origin, []).extend(
            f"{source} {target}{source if target.endswith('/') else ''}" for source in sources
        )

    def text(self, final: bool) -> str:
        files, post = dict(self._files), list(self._post)
        if self._arguments:
            files[""] = [*files.get("", []), f"{_ARGUMENTS} {_PLACE}"]
            post.insert(0, f". {_PLACE}")
        parts = ["\n".join(self._head)]
        parts += [_section(f"%files from {name}" if name else "%files", lines) for name, lines in files.items()]
        if post:
            # As Docker does, it ends at the first command that fails.
            parts.append(_section("%post", ["set -e", *post]))
        if self._environment:
            parts.append(_section("%environment", self._environment))
        if final:
            parts.append(_section("%runscript", [f'exec {shlex.join(self._entry)} "$@"']))
        return "\n\n".join(parts)


def _section(name: str, lines: Iterable[str]) -> str:
    return "\n".join([name, *(f"    {line}" for line in lines)])


def _instructions(dockerfile: Path) -> list[tuple[int, str]]:
    """The instructions of a Dockerfile with their line numbers, each on one line, without comments."""
    found: list[tuple[int, str]] = []
    begun = ""
    for number, line in enumerate(dockerfile.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        begun = f"{begun} {text.removesuffix(chr(92)).strip()}".strip()
        if not text.endswith("\\"):
            found.append((number, begun))
            begun = ""
    return found
