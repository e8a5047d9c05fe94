"""python -m fuzz: changes small valid files at random and reads them; exit status 1 when one is not read or refused.

Failures are printed, and the files saved, to be read again and to become fixtures in tests/hostile.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from fuzz.files import READERS as FILES
from fuzz.reader import Reader
from fuzz.server import RIGHT, Outcome, Template, make_template, run
from relu2snn.progress import progress

_MEMORY = 1 << 30


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="changed files over all readers (default: 20,000)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed and count give the same files (default: 0)")
    parser.add_argument(
        "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes at a time (default: 2)"
    )
    parser.add_argument("--only", nargs="+", metavar="READER", help="names of readers, or the groups files, networks")
    parser.add_argument("--failures", type=Path, default=Path("outputs/fuzz"), help="where failures are saved")
    given = parser.parse_args()
    readers = chosen(given.only)
    failed, counts = fuzz(readers, given.count, given.seed, given.jobs, given.failures)
    for name in sorted({reader for reader, _ in counts}):
        kinds = {kind: count for (reader, kind), count in sorted(counts.items()) if reader == name}
        print(f"{name}: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
    print(f"{counts.total()} changed files, {failed} failures" + (f", in {given.failures}" if failed else ""))
    return 1 if failed else 0


def chosen(names: list[str] | None) -> list[Reader]:
    """The readers of these names, or of the groups files and networks; all if there are none."""
    groups = {"files": FILES}
    if not names or not set(names) <= {"files", *(reader.name for reader in FILES)}:
        # Takes seconds to import.
        from fuzz.networks import READERS as NETWORKS

        groups["networks"] = NETWORKS
    known = {reader.name: [reader] for group in groups.values() for reader in group} | groups
    unknown = [name for name in names or [] if name not in known]
    if unknown:
        sys.exit(f"python -m fuzz: no reader called {', '.join(unknown)}; there are {', '.join(known)}")
    return [reader for name in names or groups for reader in known[name]]


def fuzz(
    readers: list[Reader], count: int, seed: int, jobs: int, failures: Path
) -> tuple[int, Counter[tuple[str, str]]]:
    """Try `count` changed files, and save and print the failures; their number, and outcomes by reader and kind."""
    whole = sum(reader.share for reader in readers)
    numbers = {reader.name: max(1, -int(-count * reader.share // whole)) for reader in readers}
    counts: Counter[tuple[str, str]] = Counter()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        templates = [make_template(reader, Path(name, "valid", reader.name)) for reader in readers]
        known = {template.reader.name: template for template in templates}
        outcomes = run(templates, numbers, seed, jobs, Path(name), _MEMORY)
        for outcome in progress(outcomes, sum(numbers.values()), "fuzz", "file"):
            counts[outcome.reader, outcome.kind] += 1
            if outcome.kind not in RIGHT:
                failed += 1
                print(f"\n{save(outcome, known[outcome.reader], seed, failures)}: {outcome.text}", file=sys.stderr)
    return failed, counts


def save(outcome: Outcome, template: Template, seed: int, failures: Path) -> Path:
    """Keep the changed file, named as those of tests/hostile are."""
    name, content, _ = template.changed(outcome.number, seed)
    path = failures / outcome.reader / f"{outcome.kind}_{outcome.number}__{Path(name).name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.with_name(f"{path.name}.txt").write_text(f"{name}\n{outcome.text}\n", errors="backslashreplace")
    return path


if __name__ == "__main__":
    sys.exit(main())
