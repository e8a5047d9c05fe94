"""Running pipeline/places365/caffe.py: inside its container by docker, podman or apptainer, or in this environment."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock

from relu2snn.apptainer import definition, run_command, write_arguments
from relu2snn.errors import UserError, one_line
from relu2snn.files import temporary_folder
from relu2snn.shipped import shipped_folder

# Seconds; an engine whose service hangs never answers.
_PATIENCE = 60
_CONTEXT = ("Dockerfile", "requirements.txt", "caffe.py")
# The script's exit status after it has said what is wrong with its input.
_MISTAKE = 3


def _folder() -> Path:
    return shipped_folder("pipeline/places365")


def image_name() -> str:
    """The image's name; its tag changes with every file it is made of, so a stale image is never run."""
    digest = hashlib.sha256(b"".join((_folder() / name).read_bytes() for name in _CONTEXT))
    return f"relu2snn-places365:{digest.hexdigest()[:12]}"


def build(engine: str, folder: str | Path) -> str | None:
    """Build the image, unless it is there, and return its name; None for the engine "none".

    folder: where apptainer's image stands, whose name is its file; the others have a place of their own for images.

    Raises UserError when no engine answers, or the build fails.
    """
    if engine == "none":
        return None
    require_engine(engine)
    name = image_name()
    place, file = Path(tempfile.gettempdir()), name.replace(":", "-")
    if engine == "apptainer":
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
    # Jobs that need it side by side build it once.
    with FileLock(place / f"{file}-{os.getuid()}.lock"):
        return _build_file(place / f"{file}.sif") if engine == "apptainer" else _build(engine, name)


def _build(engine: str, name: str) -> str:
    if subprocess.run([engine, "image", "inspect", name], capture_output=True, check=False).returncode == 0:
        return name
    with tempfile.TemporaryDirectory() as context:
        _fill(Path(context))
        # Build arguments without a value take it from the environment, so that no password shows among the processes.
        settings = _pip_settings()
        arguments = [f"--build-arg={key}" for key in settings]
        command = [engine, "build", "--network=host", f"--tag={name}", *arguments, context]
        # Everything on stderr, where the log of a stage is.
        done = subprocess.run(command, stdout=sys.stderr, check=False, env={**os.environ, **settings})
    _require_built(engine, done.returncode)
    return name


def _build_file(image: Path) -> str:
    if image.is_file():
        return str(image)
    with tempfile.TemporaryDirectory() as folder, temporary_folder(image) as made:
        context = Path(folder)
        _fill(context)
        write_arguments(context, _pip_settings())
        (context / "image.def").write_text(definition(_folder() / "Dockerfile", context), encoding="utf-8")
        target = made.absolute() / image.name
        done = subprocess.run(
            ["apptainer", "build", str(target), "image.def"], cwd=context, stdout=sys.stderr, check=False
        )
        _require_built("apptainer", done.returncode)
        target.replace(image)
    return str(image)


def _fill(context: Path) -> None:
    """Copy what an image is made of, and the certificates of this machine, if pip needs any."""
    for file in _CONTEXT:
        shutil.copy(_folder() / file, context)
    certificates = os.environ.get("PIP_CERT")
    if certificates and Path(certificates).is_file():
        shutil.copy(certificates, context / "certificates.pem")


def _require_built(engine: str, status: int) -> None:
    if status:
        raise UserError(
            f"{_folder() / 'Dockerfile'}: {engine} build ended with status {status}, see the lines above; "
            "mend what they say, or convert in this environment with container.engine=none"
        )


def run_script(
    engine: str, arguments: Sequence[str], inputs: Collection[Path], output: Path, *, images: str | Path
) -> None:
    """Run the script with `arguments`; inside a container it can read `inputs` and write into the folder `output`.

    images: the folder of `build`.

    Files and folders have the same paths inside as outside, so arguments and messages need no translation.

    Raises UserError when no engine answers or the container cannot run, SystemExit(1) when the script has already
    said on stderr what is wrong.
    """
    name = build(engine, images)
    if name is None:
        command = [sys.executable, str(_folder() / "caffe.py")]
    elif engine == "apptainer":
        binds = [(source, target, False) for source, target in _mounts(inputs)]
        binds.append((output.resolve(), output.absolute(), True))
        command = run_command(Path(name), Path.cwd(), binds)
    else:
        mounts = [_volume(engine, source, target, ":ro") for source, target in _mounts(inputs)]
        mounts.append(_volume(engine, output.resolve(), output.absolute()))
        # Podman without root already runs as the user.
        user = [] if engine == "podman" else [f"--user={os.getuid()}:{os.getgid()}"]
        command = [
            engine,
            "run",
            "--rm",
            "--init",
            "--interactive",
            "--network=none",
            f"--workdir={Path.cwd()}",
            *user,
            *mounts,
            name,
        ]
    sys.stderr.flush()
    # The script ends when this pipe closes, so with this process, however that ends; an engine's container, too.
    with subprocess.Popen([*command, *arguments, "--end-with-input"], stdin=subprocess.PIPE) as process:
        status = process.wait()
    if status == _MISTAKE:
        sys.exit(1)
    if status:
        given = ", ".join(sorted(map(str, inputs)))
        raise UserError(
            f"{_folder() / 'caffe.py'}: ended with status {status} (container.engine={engine}), see above; "
            f"it was to read {given}"
        )


def _mounts(inputs: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Real path and path inside; a link inside a folder leads nowhere in a container, so what it names is mounted."""
    for path in inputs:
        yield path.resolve(), path.absolute()
        if path.is_dir():
            for link in sorted(each for each in path.iterdir() if each.is_symlink()):
                yield link.resolve(), link.absolute()


def _volume(engine: str, source: Path, target: Path, access: str = "") -> str:
    for path in (source, target):
        if ":" in str(path):
            raise UserError(
                f"{path}: a path with ':' cannot be given to container.engine={engine}; "
                "move or rename it, or convert in this environment with container.engine=none"
            )
    return f"--volume={source}:{target}{access}"


def require_engine(engine: str) -> None:
    """Make sure that `engine` can run the script here: that it answers or, for "none", that OpenCV is installed.

    Raises UserError, which says what is wrong and what else there is to choose.
    """
    if engine == "none":
        if importlib.util.find_spec("cv2") is None:
            raise UserError(
                "container.engine=none: this environment has no OpenCV (cv2); install opencv-python-headless 4.14 or "
                "a later 4.x, or choose container.engine=podman, docker or apptainer"
            )
        return
    others = "container.engine=podman, docker, apptainer or none (the same conversion in this environment)"
    # Nothing of Apptainer's runs before it is called.
    way_out = f"{'mend' if engine == 'apptainer' else 'start'} it, or choose {others}"
    if shutil.which(engine) is None:
        raise UserError(f"container.engine={engine}: no such program on the path; install it, or choose {others}")
    try:
        answer = subprocess.run([engine, "version"], capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise UserError(f"container.engine={engine}: no answer after {_PATIENCE} s; {way_out}") from None
    except OSError as error:
        raise UserError(f"container.engine={engine}: can't be run ({one_line(error)}); {way_out}") from None
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["no answer"])[-1]
        raise UserError(f"container.engine={engine}: no engine answers ({reason}); {way_out}")


def _pip_settings() -> dict[str, str]:
    """How pip is told to reach its packages here, by its files or by the environment; local folders left out."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings = {}
    for key in ("index-url", "extra-index-url", "trusted-host"):
        found = re.findall(rf"^[\w:]+\.{key}='(.*)'$", listing.stdout, re.M)
        addresses = [word for value in found[:1] for word in value.split() if not word.startswith("file:")]
        if addresses:
            settings[f"PIP_{key.upper().replace('-', '_')}"] = " ".join(addresses)
    return settings
