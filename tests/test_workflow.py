"""The workflow, by really running Snakemake on real images: what runs, what runs again, what a user is told.

Every call works in a temporary folder with a few hundred images of the shipped Fashion-MNIST sample, dropped in
as a user would drop the full data set.
"""

import contextlib
import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from runs import EXPERIMENTS, OVERRIDES, SAMPLE, command, drop_images, environment, jobs, paths, snakemake, stage_of

from relu2snn.config import FIGURES
from relu2snn.datasets import read_idx

pytestmark = pytest.mark.workflow


def result(folder: Path, experiment: str, stage: str = "phase2", overrides: str = OVERRIDES) -> dict:
    return json.loads(Path(getattr(paths(folder, experiment, overrides), stage), "result.json").read_text())


def test_a_run_ends_with_exact_results_a_table_and_logs(finished: Path) -> None:
    with (finished / "outputs" / "paper" / "results.csv").open() as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"fmnist_fc", "fmnist_lenet"}
    truth = read_idx(SAMPLE / "t10k-labels-idx1-ubyte.gz", 1)[:60]
    for name, row in rows.items():
        assert (row["images"], row["data"], row["weights"]) == ("60", "real", "trained")
        made = paths(finished, name)
        assert (set(row["overrides"].split()), row["variant"]) == (set(OVERRIDES.split()), Path(made.phase2).name)
        assert float(row["agreement"]) == 1.0
        assert row["accuracy_original"] == row["accuracy_scaled"] == row["accuracy"]
        with np.load(f"{made.phase2}/predictions.npz") as file:
            labels = file["labels"]
        assert float(row["accuracy"]) == np.mean(labels == truth)
        phase1 = result(finished, name, "phase1")
        windows = np.array(result(finished, name)["windows"])
        np.testing.assert_allclose(windows[:, 1] - windows[:, 0], 1.5 * np.array(phase1["layer_maxima"]), rtol=1e-12)
        assert float(row["latency"]) == windows[-1, 1]
        evidence = result(finished, name)
        assert (evidence["exact"], row["exact"], row["early_spikes"]) == (True, "True", "0")
        assert 0.5 < evidence["certified"]["total"] <= 1
        assert (evidence["certified"]["total"] == 1) == (evidence["simulated"]["total"] == 0)
        folder, whole = Path(made.folder), Path(made.phase2).name
        jobs = {"train": Path(made.train).name, "weights": Path(made.weights).name, "phase1": Path(made.phase1).name}
        for job, variant in {**jobs, "phase2_part1": whole, "phase2_gather": whole, "track": whole}.items():
            assert (folder / "benchmarks" / variant / f"{job}.tsv").exists()
            assert (folder / "logs" / variant / f"{job}.log").exists()
        assert "epoch 2/2" in (folder / "logs" / jobs["train"] / "train.log").read_text()
        # What takes less than a minute on one thread has one.
        for job, variant in {"train": jobs["train"], "phase1": jobs["phase1"], "phase2_part1": whole}.items():
            assert ": on CPU, 1 thread\n" in (folder / "logs" / variant / f"{job}.log").read_text()
        assert {result(finished, name, stage)["device"] for stage in ("phase1", "phase2")} == {"CPU"}


def test_a_run_draws_every_figure_of_what_it_found(finished: Path) -> None:
    for name in EXPERIMENTS.split(","):
        folder = Path(paths(finished, name).figures)
        expected = {f"{figure}.{suffix}" for figure in FIGURES for suffix in ("png", "svg")} | {"data.npz"}
        assert {path.name for path in folder.iterdir()} == expected
        evidence = result(finished, name)
        with np.load(folder / "data.npz") as numbers:
            spikes = numbers["spike_times.before_end"] / (numbers["spike_times.neurons"] * 60)
            assert numbers["spike_times.images"] == numbers["certified.images"] == numbers["exactness.images"] == 60
            # No spike is early, so the last hidden layer is shown.
            assert spikes == pytest.approx(evidence["spiking_fraction"]["layers"][-1], rel=1e-12)
            simulated = numbers["certified.simulated"] / numbers["certified.pairs"]
            np.testing.assert_allclose(1 - simulated, evidence["certified"]["layers"], rtol=1e-12)
            assert numbers["exactness.largest"].max() < 1e-9
            assert len(numbers["disagreement.pictures"]) == 0


def test_a_second_call_runs_nothing(finished: Path) -> None:
    run = snakemake(finished, experiments=EXPERIMENTS)
    assert run.returncode == 0
    assert "Nothing to be done" in run.stderr + run.stdout


SHOWN = {"figures", "track", "results", "provenance", "report_results", "report_runtimes"}
AGAIN = [
    ("phase2.zeta=0.3", {"convert", "phase2", "gather", *SHOWN}),
    ("phase1.upper=0.5", {"phase1", "convert", "phase2", "gather", *SHOWN}),
    ("train.seed=1", {"train", "weights", "phase1", "convert", "phase2", "gather", *SHOWN}),
    ("phase2.noise=0.01", {"convert", "phase2", "gather", *SHOWN}),
    ("phase2.mapping=reference", {"reference", "convert", "phase2", "gather", *SHOWN}),
    ("phase2.window=certified", {"bounds", "convert", "phase2", "gather", *SHOWN}),
    ("published.accuracy=0.5", {"provenance", "report_results", "report_runtimes"}),
    ("figures.neurons=5", {"figures", "track", "provenance", "report_results", "report_runtimes"}),
    ("energy.float32.mac=5", {"track", "results", "provenance", "report_results", "report_runtimes"}),
    ("tracking.lock_timeout=5", set()),
    ("tracking.models=[]", {"track"}),
    ("tracking.register=true", {"track"}),
]


@pytest.mark.parametrize(("override", "expected"), AGAIN, ids=[override for override, _ in AGAIN])
def test_a_changed_value_runs_exactly_the_jobs_that_depend_on_it(finished: Path, override: str, expected: set) -> None:
    run = snakemake(finished, "-n", experiments=EXPERIMENTS, overrides=f"{OVERRIDES} {override}")
    assert run.returncode == 0, run.stderr
    assert set(jobs(run.stdout + run.stderr)) == expected


def test_a_stage_by_hand_gives_what_the_workflow_gave(finished: Path) -> None:
    before = result(finished, "fmnist_fc")
    stage = [sys.executable, "-m", "relu2snn.stages", "phase2", "experiment=fmnist_fc", *OVERRIDES.split()]
    copy = finished / "by_hand"
    subprocess.run(["cp", "-r", str(finished / "outputs"), str(copy)], check=True)
    run = subprocess.run([*stage, f"outputs={copy}"], cwd=finished, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    place = Path(paths(finished, "fmnist_fc").phase2).relative_to(finished / "outputs")
    after = json.loads((copy / place / "result.json").read_text())
    # What it took is in this digest, but is no part of what a file is.
    for each in (before, after):
        del each["seconds"], each["made"]["digest"]
    assert after == before


def test_other_windows_and_precisions_stand_beside_the_published_ones(finished: Path) -> None:
    """And a run whose windows are too short says how many neurons spiked early, and where."""
    copy = finished / "variants"
    subprocess.run(["cp", "-r", str(finished / "outputs"), str(copy)], check=True)
    stage = [sys.executable, "-m", "relu2snn.stages", "phase2", "experiment=fmnist_lenet", *OVERRIDES.split()]
    stage.append(f"outputs={copy}")
    short_windows = ["phase2.noise=1e-9", "phase2.zeta=-0.9"]
    variants = (["phase2.window=certified"], ["phase2.precision=float32"], short_windows)
    for override in variants:
        run = subprocess.run([*stage, *override], cwd=finished, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
    folder = copy / "paper" / "fmnist_lenet" / "phase2"
    base, certified, single, short = (
        json.loads((folder / Path(paths(copy, "fmnist_lenet", given).phase2).name / "result.json").read_text())
        for given in (f"{OVERRIDES} {' '.join(own)}" for own in ([], *variants))
    )
    assert certified["exact"]
    assert certified["certified"]["total"] == 1.0
    assert certified["latency"] > base["latency"]
    assert (certified["agreement"], certified["window"]) == (1.0, "certified")
    assert (single["precision"], base["precision"]) == ("float32", "float64")
    assert single["agreement"] > 0.95
    assert not short["exact"]
    early = short["early_spikes"]
    assert 0 < early["total"] == sum(early["layers"])
    said = next(line for line in (run.stdout + run.stderr).splitlines() if "not exact, " in line)
    assert f"{early['total']} spikes came before their window: " in said


def runs_in_store(folder: Path) -> list[str]:
    """Names of the runs that MLflow shows, read back from its store."""
    code = (
        "from mlflow import MlflowClient; c = MlflowClient('sqlite:///outputs/mlflow.db');"
        "e = [x.experiment_id for x in c.search_experiments() if x.name.endswith('/paper')];"
        "print(*sorted(r.info.run_name for r in c.search_runs(e)), sep='\\n')"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.split("\n")[:-1]


def test_a_killed_phase_2_job_is_done_again_and_nothing_else(finished: Path) -> None:
    names = runs_in_store(finished)
    # One image at a time makes the job long enough to be killed in its middle.
    overrides = f"{OVERRIDES} phase2.batch=1"
    kept = {path: path.stat().st_mtime_ns for path in (finished / "outputs" / "paper").glob("*/phase1/*/*")}
    process = subprocess.Popen(
        command(experiments="fmnist_lenet", overrides=overrides),
        cwd=finished,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed = None
    while process.poll() is None and killed is None:
        for job in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if stage_of(job) == "phase2":
                    killed = job.pid
                    job.kill()
        time.sleep(0.05)
    _, errors = process.communicate()
    assert killed, "no phase 2 job was seen"
    assert process.returncode != 0
    assert "phase2" in errors

    run = snakemake(finished, experiments="fmnist_lenet", overrides=overrides)
    assert run.returncode == 0, run.stderr[-2000:]
    assert set(jobs(run.stdout + run.stderr)) <= {"phase2", "gather", *SHOWN}
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert result(finished, "fmnist_lenet", overrides=overrides)["agreement"] == 1.0
    # Another batch is another configuration: one more parent with its children, and none of them twice.
    after = runs_in_store(finished)
    assert len(after) == len(names) + 4


MISTAKES = [
    ({"experiments": "fmnist_fcc"}, "experiment=fmnist_fcc: no such experiment; did you mean fmnist_fc?"),
    ({"experiments": "fmnist_fc", "overrides": "phase2.zta=1"}, "did you mean 'phase2.zeta'?"),
    ({"experiments": "fmnist_fc", "overrides": "train.epochs=many"}, "override 'train.epochs=many': Value 'many'"),
    ({"experiments": "fmnist_fc", "overrides": "phase2.zeta=-2"}, "phase2.zeta=-2.0: must be greater than -1"),
    ({"experiments": "pass_vgg", "overrides": ""}, "experiments=pass_vgg: data/raw/pass/0 is missing"),
    ({"experiment": "fmnist_fc", "overrides": ""}, "--config experiment=fmnist_fc: no such option"),
]


def test_two_files_of_weights_for_one_network_end_before_any_job(tmp_path: Path) -> None:
    drop_images(tmp_path / "data" / "raw" / "fmnist")
    folder = tmp_path / "data" / "models" / "fMNIST" / "FC"
    folder.mkdir(parents=True)
    for suffix in (".h5", ".keras"):
        (folder / f"fmnist_fc_relu_original{suffix}").write_bytes(b"")
    run = snakemake(tmp_path, experiments="fmnist_fc")
    assert run.returncode != 0
    assert "2 files of weights for one network" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_ends_before_any_job_with_one_line(tmp_path: Path, options: dict, message: str) -> None:
    run = snakemake(tmp_path, **options)
    assert run.returncode != 0
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert [line for line in run.stderr.splitlines() if line.strip()] == [run.stderr.strip()]
    assert not (tmp_path / "outputs").exists()


def test_rows_that_wait_for_files_are_listed_and_the_others_run(tmp_path: Path) -> None:
    drop_images(tmp_path / "data" / "raw" / "fmnist")
    drop_images(tmp_path / "data" / "raw" / "mnist")
    run = snakemake(tmp_path, "-n", overrides="")
    assert run.returncode == 0, run.stderr
    for text in ("Not run", "pass_vgg", "data/raw/places365/train", "places2.csail.mit.edu", "places365_vgg"):
        assert text in run.stderr
    # Every other row; CIFAR would be downloaded. And the sweeps of the suite, a job for each value.
    assert jobs(run.stdout + run.stderr)["phase1"] == 8
    assert jobs(run.stdout + run.stderr)["sweep_point"] == 23


def test_a_corrupt_gzip_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "raw" / "fmnist"
    drop_images(folder)
    file = folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:5000])
    run = snakemake(tmp_path, experiments="fmnist_fc")
    assert run.returncode != 0
    (line,) = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("relu2snn data:")]
    assert "data/raw/fmnist/train-images-idx3-ubyte.gz" in line
    assert "Traceback" not in run.stdout + run.stderr
    assert not list((tmp_path / "outputs").rglob("*.npy"))


def test_weights_of_another_architecture_are_named_and_nothing_is_left(tmp_path: Path) -> None:
    import keras

    drop_images(tmp_path / "data" / "raw" / "fmnist")
    other = keras.Sequential([keras.Input((784,)), keras.layers.Dense(50), keras.layers.Dense(10)])
    path = tmp_path / "data" / "models" / "fMNIST" / "FC" / "fmnist_fc_relu_original.weights.h5"
    path.parent.mkdir(parents=True)
    other.save_weights(path)
    run = snakemake(tmp_path, experiments="fmnist_fc")
    assert run.returncode != 0
    (line,) = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("relu2snn weights:")]
    assert "fmnist_fc_relu_original.weights.h5" in line
    assert "(784, 50)" in line
    assert "(784, 600)" in line
    assert not list((tmp_path / "outputs").rglob("*.keras"))
    assert "train" not in jobs(run.stdout + run.stderr)
