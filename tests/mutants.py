"""Wrong certificates, counters and delays, one at a time, each of which some test must notice: `make mutants`.

Each mutant of mutants.toml replaces one piece of the source, in a copy; the tests named with it run first, then all of
ALL, until one fails; before all, every test must pass on a copy as it is. Prints a table; the exit status is 1 if a
mutant survives. NAMES chooses some, by parts of their names.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ALL = "tight_bounds roundings synapses certificate segments spiking evidence linear_maps graph_oracle"


class Mutant(NamedTuple):
    """What is wrong, the file under src/relu2snn, its text and what that becomes, and which tests should notice."""

    name: str
    file: str
    old: str
    new: str
    tests: str


def run(mutant: Mutant) -> tuple[str, float]:
    """Which test file notices a mutant, or "" if none does, and how long that took; ValueError for a text not there."""
    started = time.monotonic()
    first = mutant.tests.split()
    with tempfile.TemporaryDirectory() as folder:
        text = (ROOT / "src" / "relu2snn" / mutant.file).read_text()
        # What numba has compiled it takes again, whatever has changed in what that calls.
        kept = "*.pyc" if "njit" not in text else "__pycache__"
        shutil.copytree(ROOT / "src", f"{folder}/src", ignore=shutil.ignore_patterns(kept))
        for each in ("conf", "data"):
            Path(folder, each).symlink_to(ROOT / each)
        file = Path(folder, "src", "relu2snn", mutant.file)
        if mutant.old and text.count(mutant.old) != 1:
            raise ValueError(f"{mutant.name}: {mutant.file} has {text.count(mutant.old)} times: {mutant.old}")
        file.write_text(text.replace(mutant.old, mutant.new))
        environment = os.environ | {"PYTHONPATH": f"{folder}/src:{ROOT / 'tests'}", "PYTHONDONTWRITEBYTECODE": "1"}
        for name in [*first, *(each for each in ALL.split() if each not in first)]:
            pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
            pytest += ["--hypothesis-profile", "noticed", f"tests/test_{name}.py"]
            found = subprocess.run(pytest, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            if found.returncode not in (0, 1):
                raise ValueError(f"{mutant.name}: pytest ended with {found.returncode}: {found.stdout[-500:]}")
            if found.returncode:
                failed = next((line for line in found.stdout.splitlines() if line.startswith("FAILED ")), "FAILED ?")
                return failed.split()[1].removeprefix("tests/"), time.monotonic() - started
    return "", time.monotonic() - started


def main() -> None:
    """Run the tests as they are, then the chosen mutants; print the table."""
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    known = [Mutant(**each) for each in tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["mutant"]]
    chosen = [each for each in known if not given.names or any(name in each.name for name in given.names)]
    if failed := run(Mutant("none", "__init__.py", "", "", ""))[0]:
        sys.exit(f"{failed} fails without any mutant; mend that first")
    survivors = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        for mutant, (noticed, seconds) in zip(chosen, pool.map(run, chosen), strict=True):
            survivors += not noticed
            print(f"| {mutant.name} | {noticed or 'SURVIVES'} | {seconds:.0f} s |", flush=True)
    print(f"{len(chosen)} mutants, {survivors} survive")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
