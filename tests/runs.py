"""Real runs of Snakemake in a temporary folder, with a small part of the shipped sample."""

import contextlib
import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import psutil

from relu2snn.config import STAGES, Paths, compose_experiment, compose_suite, split_overrides
from relu2snn.datasets import read_idx

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample" / "fmnist"
SIZES = {"train": 300, "t10k": 60}
OVERRIDES = "dataset.source.train_images=300 dataset.source.test_images=60 train.epochs=2 dataset.parts=2"
EXPERIMENTS = "fmnist_fc,fmnist_lenet"

SWEEP_OPTIONS = {"suite": "smoke", "experiments": "cifar10_vgg", "sweep": "noise"}
SWEEP_OVERRIDES = (
    "dataset.source.train_images=100 dataset.source.test_images=30 train.epochs=1 phase2.batch=10 dataset.parts=2 "
    "model.width=0.05 model.blocks=[[64],[64],[64,64]] sweep.trials=2 sweep.values="
)


def command_of(process: psutil.Process) -> str:
    """The words with which a process was started; empty for one that has ended since it was found."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def stage_of(process: psutil.Process) -> str:
    """The stage that a process runs, warm or not; empty for those that wait for one, others, and ended ones."""
    if "relu2snn.stages" not in command_of(process):
        return ""
    with contextlib.suppress(psutil.Error):
        # Linux keeps fifteen letters.
        return next((stage for stage in STAGES if stage[:15] == process.name()[:15]), "")
    return ""


def drop_images(folder: Path) -> None:
    """A small part of the sample in the place and format of the full data set."""
    folder.mkdir(parents=True)
    for split, count in SIZES.items():
        images = read_idx(SAMPLE / f"{split}-images-idx3-ubyte.gz", 3)[:count]
        labels = read_idx(SAMPLE / f"{split}-labels-idx1-ubyte.gz", 1)[:count]
        head = struct.pack(">IIII", 0x803, *images.shape)
        (folder / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels.tobytes())


def command(*arguments: str, overrides: str = OVERRIDES, **options: str) -> list[str]:
    settings = [f"{key}={value}" for key, value in options.items()] + ([f"overrides={overrides}"] if overrides else [])
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    return [*snakemake, "--nocolor", *arguments, "--config", *settings]


def snakemake(folder: Path, *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments, **options), cwd=folder, capture_output=True, text=True, check=False, env=environment()
    )


def paths(folder: Path, experiment: str, overrides: str = OVERRIDES, suite: str = "paper", sweep: str = "") -> Paths:
    """Where a run of Snakemake in `folder` puts the files of an experiment."""
    given = [*split_overrides(overrides), f"outputs={folder}/outputs"]
    return Paths.of(compose_experiment(experiment, compose_suite(suite), given, sweep))


def sweep(folder: Path, values: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A small network of the suite smoke, swept over `values` of the noise."""
    return snakemake(folder, *arguments, overrides=SWEEP_OVERRIDES + values, **SWEEP_OPTIONS)


def make_report(folder: Path, file: Path, overrides: str, **options: str) -> subprocess.CompletedProcess[str]:
    """Make a report where any download fails at once."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    words = command("--report", str(file), overrides=overrides, **options)
    cores = words.index("--cores")
    # As a reader of the README calls it.
    del words[cores : cores + 2]
    return subprocess.run(words, cwd=folder, env=environment() | nowhere, capture_output=True, text=True, check=False)


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}


def without_engines(folder: Path) -> dict[str, str]:
    """The environment of a machine that has no container engine: a PATH with all programs but these."""
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(place).glob("*"):
            link = folder / program.name
            if program.name not in ("docker", "podman", "apptainer"):
                link.unlink(missing_ok=True)
                link.symlink_to(program)
    return environment() | {"PATH": str(folder)}


def jobs(output: str) -> dict[str, int]:
    """The rules that a run (or dry run) starts, with their number of jobs, without the target rule."""
    rules: dict[str, int] = {}
    for line in output.splitlines():
        words = line.split()
        if words[:1] in (["rule"], ["localrule"]) and words[1] != "all:":
            name = words[1].removesuffix(":")
            rules[name] = rules.get(name, 0) + 1
    return rules
