"""What a call will take: the jobs that Snakemake would run, the cores they share, what is asked of a cluster."""

import re
import subprocess
import sys
from math import prod
from pathlib import Path

import pytest
from runs import ROOT, drop_images, environment, snakemake

from relu2snn.config import Experiment, compose_experiment, compose_suite
from relu2snn.config.demand import Demand, costs, demand
from relu2snn.config.jobs import Job
from relu2snn.config.schema import known
from relu2snn.config.sizes import network_size
from relu2snn.plan import makespan

STATS = re.compile(r"^(\w+) +(\d+)$", re.M)
ROW = re.compile(r"^│ (\w+) +│ +(\d+) │", re.M)


def composed(name: str, *overrides: str, sweep: str = "") -> Experiment:
    return compose_experiment(name, compose_suite("paper"), overrides, sweep)


def plan(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "relu2snn.plan", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment())


CALLS = [
    {"suite": "smoke", "overrides": ""},
    {"suite": "reference", "overrides": ""},
    {"suite": "quickstart", "overrides": "phase2.window=certified dataset.parts=3"},
    {
        "suite": "smoke",
        "experiments": "cifar10_vgg,pass_vgg",
        "sweep": "noise,zeta",
        "overrides": "sweep.values=[0.1,0.2]",
    },
]


@pytest.mark.workflow
@pytest.mark.parametrize("options", CALLS, ids=lambda options: " ".join(options.values()))
def test_the_jobs_of_a_plan_are_those_that_snakemake_would_run(tmp_path: Path, options: dict[str, str]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    shown = snakemake(tmp_path, "-n", "--quiet", "rules", **options)
    assert shown.returncode == 0, shown.stderr
    expected = {rule: int(count) for rule, count in STATS.findall(shown.stdout + shown.stderr)}
    assert expected.pop("total") == sum(expected.values())
    del expected["all"]
    made = plan(tmp_path, *(f"{key}={value}" for key, value in options.items() if value))
    assert made.returncode == 0, made.stderr
    assert {rule: int(count) for rule, count in ROW.findall(made.stdout)} == expected
    assert f"{sum(expected.values())} jobs, " in made.stdout


def test_what_is_made_is_not_planned_again(tmp_path: Path) -> None:
    drop_images(tmp_path / "data" / "raw" / "fmnist")
    words = ["experiments=fmnist_fc", "overrides=dataset.source.train_images=300 dataset.source.test_images=60"]
    assert dict(ROW.findall(plan(tmp_path, *words).stdout))["data"] == "1"
    run = snakemake(tmp_path, "--until", "data", experiments="fmnist_fc", overrides=words[1].partition("=")[2])
    assert run.returncode == 0, run.stderr
    after = plan(tmp_path, *words)
    assert "data" not in dict(ROW.findall(after.stdout))
    assert "1 more jobs are done already." in after.stdout


def test_rows_that_wait_for_files_are_planned(tmp_path: Path) -> None:
    shown = plan(tmp_path, "suite=paper", "gpu=40")
    rows = dict(ROW.findall(shown.stdout))
    assert (rows["places365_part"], rows["pass_part"], rows["phase2"]) == ("14", "11", "31")
    assert "\npass_vgg waits for data/raw/pass/0.\n" in shown.stdout
    assert re.search(r" h on 64 cores, [\d.]+ h on 16 cores and a GPU of gpu=40\.", shown.stdout)
    own = plan(tmp_path, "experiments=custom")
    assert own.returncode == 1
    assert own.stderr.startswith("relu2snn plan: experiments=custom: weights.file is not set")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["suite=none"], "suite=none: no such suite; choose from "),
        (["suite=smoke", "gpu=fast"], "gpu=fast: not how many times as fast as one core a GPU is"),
        (["smoke"], "smoke: not OPTION=VALUE, as in suite=paper"),
        (["suite=smoke", "overrides=train.epochs=no"], "override 'train.epochs=no': "),
        (["suite=smoke", "suite=paper"], "--config suite=paper: suite is given twice"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, words: list[str], line: str) -> None:
    made = plan(tmp_path, *words)
    assert made.returncode == 1
    assert made.stderr.startswith(f"relu2snn plan: {line}")
    assert made.stderr.count("\n") == 1


def job(file: str, seconds: float, *needs: str, threads: int = 1, rule: str = "other") -> Job:
    class Fixed(Job):
        @property
        def demand(self) -> Demand:
            return Demand(seconds, 0.0, threads, 100.0)

    return Fixed(rule, file, composed("mnist_fc"), needs)


def test_the_time_of_a_plan_is_that_of_its_jobs_on_so_many_cores() -> None:
    apart = [job(str(number), 10.0) for number in range(6)]
    assert [makespan(apart, cores) for cores in (1, 2, 4, 64)] == [60, 30, 20, 10]
    chain = [job("a", 5.0), job("b", 7.0, "a"), job("c", 2.0, "b", "made elsewhere")]
    assert [makespan(chain, cores) for cores in (1, 64)] == [14, 14]
    # What most waits for comes first, though it is listed last.
    assert makespan([job("x", 3.0), job("a", 3.0), job("b", 6.0, "a")], 1) == 12
    assert makespan([job("x", 9.0), job("a", 3.0), job("b", 6.0, "a")], 2) == 9
    # One at a time on the GPU, which leaves the other cores to the rest.
    fast = [job(f"t{number}", 40.0, rule="train") for number in range(3)]
    assert [makespan([*fast, job("x", 9.0)], cores, 20.0) for cores in (1, 2)] == [15, 9]
    wide = job("w", 10.0, threads=4)
    assert makespan([wide], 4) == pytest.approx(10 / (1 + 3 * costs().gain))
    assert makespan([wide, job("x", 10.0)], 1) == 20


def test_what_a_job_asks_for_follows_from_its_network_images_and_attempt() -> None:
    small, large = demand("train", composed("mnist_fc")), demand("train", composed("cifar10_vgg"))
    assert large.seconds > 20 * small.seconds
    assert large.threads == costs().most_threads
    assert demand("train", composed("mnist_fc", "train.epochs=1")).threads == 1
    parts = [demand("phase2", composed("cifar10_vgg", f"dataset.parts={count}")).seconds for count in (10, 1)]
    assert parts[0] < parts[1] / 5
    noisy = demand("sweep_point", composed("cifar10_vgg", sweep="noise"))
    assert noisy.seconds > 100 * demand("sweep_point", composed("cifar10_vgg", sweep="zeta")).alone
    assert [noisy.runtime(2) / noisy.runtime(), noisy.mem_mb(2) / noisy.mem_mb()] == pytest.approx([2, 2], rel=1e-3)
    memory = [demand("phase2", composed("mnist_fc", f"phase2.batch={count}")).memory for count in (4096, 8)]
    assert memory[0] > memory[1]
    other = demand("gather", composed("mnist_fc"))
    assert (other.threads, other.runtime()) == (1, costs().least["runtime"])


def test_costs_are_those_of_rules_that_there_are() -> None:
    rules = set(re.findall(r"^rule (\w+):", "".join(path.read_text() for path in ROOT.glob("pipeline/*.smk")), re.M))
    assert set(costs().rules) - {"other"} <= rules


def test_sizes_of_networks_are_those_that_keras_counts() -> None:
    keras = pytest.importorskip("keras")
    from relu2snn.networks.build import build

    kinds = keras.layers.Dense, keras.layers.Conv2D, keras.layers.DepthwiseConv2D
    for name in ("mnist_fc", "mnist_lenet", "cifar10_vgg", "fmnist_resnet", "fmnist_mobilenet", "fmnist_allconv"):
        config = composed(name)
        shape, classes = known(config.dataset.image_shape), known(config.dataset.classes)
        layers = [layer for layer in build(config.model, shape, classes).layers if isinstance(layer, kinds)]
        weights = [prod(layer.kernel.shape) for layer in layers]
        places = [prod(layer.output.shape[1:-1]) for layer in layers]
        size = network_size(config.model, shape, classes)
        assert size.weights == sum(weights), name
        assert size.macs == sum(count * place for count, place in zip(weights, places, strict=True)), name
