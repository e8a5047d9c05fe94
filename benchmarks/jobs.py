"""What jobs have taken beside what conf/costs.yaml expects of them: python benchmarks/jobs.py [OUTPUTS …]

Reads what Snakemake measured of each finished job (benchmarks/<variant>/<job>.tsv) in folders of results, and the
config that each run left there. Times are CPU seconds of all threads, which other programs change little.
"""

import argparse
import csv
import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import NamedTuple

from relu2snn.config import Experiment, compose_experiment, compose_suite
from relu2snn.config.demand import demand

RULES = {
    r"train": "train",
    r"weights": "weights",
    r"phase1": "phase1",
    r"bounds": "bounds",
    r"reference": "reference",
    r"phase2_convert": "convert",
    r"phase2_part\d+": "phase2",
    r"phase2_gather": "gather",
    r"figures": "figures",
    r"track": "track",
    r"provenance": "provenance",
    r"sweep_\w+_gather": "sweep_gather",
    r"sweep_\w+_track": "track_sweep",
    r"sweep_(zeta|noise|alpha_noise|reference_noise)_.+": "sweep_point",
}


class Measured(NamedTuple):
    """A finished job: CPU seconds, MB, and what was expected of both."""

    rule: str
    experiment: str
    seconds: float
    memory: float
    expected: float
    expected_memory: float


def rule_of(job: str) -> tuple[str, str] | None:
    """The rule of a job, by the name of its file, and the sweep that it belongs to."""
    for pattern, rule in RULES.items():
        if match := re.fullmatch(pattern, job):
            return rule, match[1] if match.groups() else ""
    return None


def measured(outputs: Path) -> list[Measured]:
    """The jobs that have finished in a folder of results, of variants that conf/ still makes."""
    found = []
    for config_file in sorted(outputs.glob("*/*/provenance/*/config.yaml")):
        suite, experiment, variant = config_file.parts[-5], config_file.parts[-4], config_file.parts[-2]
        results = outputs / suite / experiment / "phase2" / variant / "result.json"
        overrides = json.loads(results.read_text())["overrides"]
        defined = compose_suite(suite)
        config = compose_experiment(experiment, defined, [*overrides, f"outputs={outputs}"])
        folders = {config.run.train, config.run.weights, config.run.phase1, config.run.phase2, config.run.figures}
        logs = outputs / suite / experiment / "benchmarks"
        for file in sorted(path for folder in folders for path in (logs / folder).glob("*.tsv")):
            kind = rule_of(file.stem)
            if kind is None:
                continue
            rule, sweep = kind
            of = compose_experiment(experiment, defined, [*overrides, f"outputs={outputs}"], sweep) if sweep else config
            if job := one(rule, of, file):
                found.append(job)
    return list(dict.fromkeys(found))


def one(rule: str, config: Experiment, file: Path) -> Measured | None:
    """A job from its file; None where it was too short to be measured."""
    (row,) = csv.DictReader(file.open(), delimiter="\t")
    if row["cpu_time"] in ("NA", "0.00", "0.0") or row["max_rss"] == "NA":
        return None
    expected = demand(rule, config)
    return Measured(rule, config.name, float(row["cpu_time"]), float(row["max_rss"]), expected.seconds, expected.memory)


def main() -> None:
    """Print a row for each rule: jobs, seconds and memory, and the ratio of what was taken to what was expected."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", nargs="*", type=Path, default=[Path("outputs")])
    parser.add_argument("--jobs", action="store_true", help="a row for each job, too")
    given = parser.parse_args()
    jobs = [job for outputs in given.outputs for job in measured(outputs)]
    if given.jobs:
        for job in jobs:
            taken = f"{job.seconds:9.1f} s of {job.expected:9.1f}   {job.memory:7.0f} MB of {job.expected_memory:7.0f}"
            print(f"{job.rule:12} {job.experiment:16} {taken}")
    rules = defaultdict(list)
    for job in jobs:
        rules[job.rule].append(job)
    print("CPU seconds and largest memory of jobs; what they have taken, over what was expected")
    print(f"{'rule':12} {'jobs':>5} {'CPU s':>9} {'median':>7} {'least':>7} {'most':>7} {'MB':>7} {'most':>6}")
    for rule, each in rules.items():
        ratios = [job.seconds / job.expected for job in each]
        sizes = [job.memory / job.expected_memory for job in each]
        times = f"{median(ratios):7.2f} {min(ratios):7.2f} {max(ratios):7.2f}"
        spent, largest = sum(job.seconds for job in each), max(job.memory for job in each)
        print(f"{rule:12} {len(each):5} {spent:9.1f} {times} {largest:7.0f} {max(sizes):6.2f}")


if __name__ == "__main__":
    main()
