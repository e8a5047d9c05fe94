"""Pin the requirements anew, with hashes: requirements/*.txt; environment.yml and the container with the same versions.

    python scripts/lock_requirements.py [--upgrade]

Needs uv on the path. No file that it writes holds a registry's address.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = "--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet"

# What `make quickstart` and a conda environment have beside the library's own requirements.
RUNTIME = ("--extra=workflow", "--extra=onnx", "--extra=nir")

# What pipeline/places365/caffe.py imports, in the container's image.
CONTAINER = "numpy\nopencv-python-headless\ntqdm\n"

HEAD = """\
# The same versions as requirements/runtime.txt, for conda (made by scripts/lock_requirements.py):
#   conda env create -f environment.yml && conda activate relu2snn
#   pip install --no-deps --no-build-isolation -e .
# Snakemake makes it by itself with `--sdm conda`; the package is then taken from src/.
name: relu2snn
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:
"""


def main() -> None:
    """Write requirements/*.txt, pipeline/places365/requirements.txt and environment.yml."""
    runtime = ROOT / "requirements" / "runtime.txt"
    compile_pins("-", ROOT / "requirements" / "uv.txt", given="uv\n")
    compile_pins("pyproject.toml", runtime, *RUNTIME)
    for extra in ("cluster", "kubernetes"):
        compile_pins("pyproject.toml", ROOT / "requirements" / f"{extra}.txt", *RUNTIME, f"--extra={extra}")
    compile_pins("pyproject.toml", ROOT / "requirements" / "dev.txt", "--extra=dev")
    container = ROOT / "pipeline" / "places365" / "requirements.txt"
    compile_pins("-", container, "--constraint", str(runtime), given=CONTAINER)
    lines = re.findall(r"^[\w.-]+==[^\\\n]+", runtime.read_text(), re.M)
    pins = "".join(f"      - {line.strip()}\n" for line in lines)
    (ROOT / "environment.yml").write_text(HEAD + pins)


def compile_pins(source: str, target: Path, *options: str, given: str | None = None) -> None:
    """Resolve `source` into `target`, keeping the versions that still fit unless --upgrade is given."""
    command = ["uv", "pip", "compile", source, "-o", str(target), *OPTIONS.split(), *options, *sys.argv[1:]]
    subprocess.run(command, cwd=ROOT, check=True, input=given, text=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
