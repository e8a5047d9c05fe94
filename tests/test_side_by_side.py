"""Results of several configurations side by side, by really running Snakemake on a tiny network of the quickstart."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from runs import ROOT, SWEEP_OVERRIDES, drop_images, environment, jobs, paths, snakemake, sweep

from relu2snn.config import compose_experiment, compose_suite
from relu2snn.networks.build import build

pytestmark = pytest.mark.workflow

# The suite has both mappings of each network; a value that is given leaves the suite's own out.
SMALL = "model.width=0.02 train.epochs=1 figures.images=8 tracking.models=[] phase2.mapping=published"
OTHER = f"{SMALL} phase2.zeta=0.3"
OPTIONS = {"suite": "quickstart", "experiments": "fmnist_fc"}


def call(folder: Path, overrides: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return snakemake(folder, *arguments, overrides=overrides, **OPTIONS)


def table(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of results.csv by their overrides."""
    with (folder / "outputs" / "quickstart" / "results.csv").open() as file:
        return {row["overrides"]: row for row in csv.DictReader(file)}


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file that a stage or a table has left, with the time it was written."""
    files = [path for path in (folder / "outputs" / "quickstart").rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two configurations have run, one after the other."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "data").mkdir()
    (folder / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    first = call(folder, SMALL)
    assert first.returncode == 0, first.stderr[-3000:]
    kept = contents(folder)
    second = call(folder, OTHER)
    assert second.returncode == 0, second.stderr[-3000:]
    # Training and phase 1 do not depend on ζ, and what the first call has made is as it was.
    made = set(jobs(second.stdout + second.stderr))
    views = {"results", "report_results", "report_runtimes"}
    assert made == {"convert", "phase2", "gather", "figures", "track", "provenance", *views}
    after = contents(folder)
    changed = {Path(path).name for path in kept if after[path] != kept[path]}
    assert changed <= {f"{each}{end}" for each in views for end in (".csv", ".html", ".log", ".tsv")} | {
        "summary.csv",
        "results.html",
        "software.html",
        "costs.html",
        "runtimes.html",
    }
    return folder


def test_two_configurations_in_alternation_find_their_results_again(both: Path) -> None:
    before = contents(both)
    rows = table(both)
    base, other = rows["train.epochs=1 model.width=0.02"], rows["phase2.zeta=0.3 train.epochs=1 model.width=0.02"]
    assert len(rows) == 2
    assert float(base["latency"]) > float(other["latency"])
    for overrides, row in ((SMALL, base), (OTHER, other)):
        folder = paths(both, "fmnist_fc", overrides, "quickstart").phase2
        assert row["variant"] == Path(folder).name
        assert json.loads(Path(folder, "result.json").read_text())["latency"] == float(row["latency"])
    for overrides in [SMALL, OTHER] * 2:
        again = call(both, overrides)
        assert again.returncode == 0, again.stderr[-2000:]
        assert "Nothing to be done" in again.stdout + again.stderr
    assert contents(both) == before


def test_a_run_by_hand_stands_beside_and_shows_in_the_table_of_the_next_call(both: Path) -> None:
    kept, rows = contents(both), table(both)
    given = [*SMALL.split(), "phase2.zeta=0.7"]
    done = run(both, "relu2snn.stages", "phase2", "experiment=fmnist_fc", "suite=quickstart", *given)
    assert done.returncode == 0, done.stderr
    assert {path: each for path, each in contents(both).items() if path in kept} == kept
    ordinary = call(both, SMALL)
    assert ordinary.returncode == 0, ordinary.stderr
    assert set(jobs(ordinary.stdout + ordinary.stderr)) == {"results", "report_results", "report_runtimes"}
    now = table(both)
    mine = now.pop("phase2.zeta=0.7 train.epochs=1 model.width=0.02")
    assert now == rows
    assert float(mine["latency"]) > max(float(row["latency"]) for row in rows.values())

    # It can be removed again, with what it alone has.
    listed = run(both, "relu2snn.runs", "list", "suite=quickstart").stdout
    name = f"quickstart/fmnist_fc/{mine['variant']}"
    assert name in listed
    assert listed.count("quickstart/fmnist_fc/") == 3
    wrong = run(both, "relu2snn.runs", "remove", name.replace("0.7", "0.8"))
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith(f"relu2snn runs: {name.replace('0.7', '0.8')}: no such run; did you mean ")
    assert wrong.stderr.count("\n") == 1
    dry = run(both, "relu2snn.runs", "remove", name, "--dry-run")
    assert f"would remove outputs/quickstart/fmnist_fc/phase2/{mine['variant']}\n" in dry.stdout
    assert Path(paths(both, "fmnist_fc", " ".join(given), "quickstart").phase2).exists()
    removed = run(both, "relu2snn.runs", "remove", name)
    assert removed.returncode == 0, removed.stderr
    views = ("results", "report", "runtimes", "summary", "software", "costs")
    left = {path for path in contents(both) if not Path(path).name.startswith(views)}
    assert left == {path for path in kept if not Path(path).name.startswith(views)}
    last = call(both, OTHER)
    assert set(jobs(last.stdout + last.stderr)) == {"results", "report_results", "report_runtimes"}
    assert table(both) == rows


def test_removing_a_run_leaves_what_another_uses_and_takes_the_last_ones_all(both: Path, tmp_path: Path) -> None:
    shutil.copytree(both / "outputs", tmp_path / "outputs")
    first, second = (paths(tmp_path, "fmnist_fc", each, "quickstart") for each in (SMALL, OTHER))
    for each in (first, second):
        assert (
            run(tmp_path, "relu2snn.runs", "remove", f"quickstart/fmnist_fc/{Path(each.phase2).name}").returncode == 0
        )
        assert not Path(each.phase2).exists()
        assert not Path(each.figures).exists()
        assert Path(first.phase1).exists() == Path(first.dataset).exists() == (each is first)
    assert not list((tmp_path / "outputs" / "quickstart").glob("fmnist_fc/*"))


def test_weights_given_by_hand_are_told_by_their_content(both: Path) -> None:
    original = Path(paths(both, "fmnist_fc", SMALL, "quickstart").weights, "original.keras")
    shutil.copy(original, both / "mine.keras")
    shutil.copy(original, both / "copy.keras")
    done = call(both, f"{SMALL} weights.file=mine.keras", "--until", "weights")
    assert done.returncode == 0, done.stderr
    assert jobs(done.stdout + done.stderr) == {"weights": 1}
    for overrides, made in (
        (f"{SMALL} weights.file=copy.keras", {}),
        (f"{SMALL} weights.file=other.keras", {"weights": 1}),
    ):
        (both / "other.keras").write_bytes(original.read_bytes() + b"\0")
        dry = call(both, overrides, "-n", "--until", "weights")
        assert dry.returncode == 0, dry.stderr
        assert jobs(dry.stdout + dry.stderr) == made
    lost = call(both, f"{SMALL} weights.file=lost.keras", "-n")
    assert lost.returncode != 0
    assert lost.stderr == "relu2snn: weights.file=lost.keras: no such file; name one, or leave weights.file out\n"
    (both / "mine.keras").write_bytes(original.read_bytes() + b"\0")
    changed = call(both, f"{SMALL} weights.file=mine.keras", "-n", "--until", "weights")
    assert jobs(changed.stdout + changed.stderr) == {"weights": 1}


def test_a_file_that_an_older_one_replaces_is_read_again(tmp_path: Path) -> None:
    """Weights under the default name stay in "base"; a file moved there keeps its time, which may be an old one."""
    images = tmp_path / "data" / "raw" / "fmnist"
    drop_images(images)
    place = tmp_path / "data" / "models" / "fMNIST" / "FC" / "fmnist_fc_relu_original.weights.h5"
    place.parent.mkdir(parents=True)
    settings = compose_experiment("fmnist_fc", compose_suite("paper"), ["model.width=0.02"])
    build(settings.model, settings.dataset.image_shape, settings.dataset.classes).save_weights(place)
    options = {
        "experiments": "fmnist_fc",
        "overrides": "model.width=0.02 dataset.source.train_images=300 dataset.source.test_images=60",
    }
    done = snakemake(tmp_path, "--until", "weights", "data", **options)
    assert done.returncode == 0, done.stderr[-2000:]
    assert jobs(done.stdout + done.stderr) == {"weights": 1, "data": 1}
    again = snakemake(tmp_path, "-n", "--until", "weights", "data", **options)
    assert jobs(again.stdout + again.stderr) == {}
    for file, rule in ((place, "weights"), (images / "t10k-labels-idx1-ubyte", "data")):
        content, kept = file.read_bytes(), file.stat()
        file.write_bytes(content[:-1] + b"\x01")
        os.utime(file, (1e9, 1e9))
        changed = snakemake(tmp_path, "-n", "--until", "weights", "data", **options)
        assert set(jobs(changed.stdout + changed.stderr)) == {rule}
        file.write_bytes(content)
        os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))


def test_a_suite_runs_the_variants_of_an_experiment(tmp_path: Path) -> None:
    copy = tmp_path / "repository"
    for name in ("src", "conf", "pipeline", "scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "Snakefile", copy)
    (copy / "data").mkdir()
    (copy / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    suite = copy / "conf" / "suite" / "quickstart.yaml"
    variants = 'variants: {fmnist_fc: [["phase2.zeta=0.3"], ["train.epochs=1", "phase2.window=certified"]]}\n'
    suite.write_text(suite.read_text().partition("variants:")[0] + variants)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--nocolor", "-n", "--config", "suite=quickstart"]
    dry = subprocess.run(
        command,
        cwd=copy,
        env=environment() | {"PYTHONPATH": str(copy / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert dry.returncode == 0, dry.stderr
    counts = jobs(dry.stdout + dry.stderr)
    assert {name: counts[name] for name in ("data", "train", "phase1", "bounds", "convert", "gather", "track")} == {
        "data": 1,
        "train": 4,
        "phase1": 4,
        "bounds": 1,
        "convert": 5,
        "gather": 5,
        "track": 5,
    }


def test_points_of_sweeps_carry_the_configuration(swept: Path) -> None:
    """Those of other windows, precisions and numbers of trials stand beside them."""
    values = "[0.0,0.05]"
    for override, more in (
        ("phase2.window=certified", {"bounds": 1}),
        ("phase2.precision=float32", {}),
        ("phase2.zeta=0.3", {}),
        ("sweep.images=10", None),
    ):
        dry = sweep(swept, f"{values} {override}", "-n")
        assert dry.returncode == 0, dry.stderr
        counts = jobs(dry.stdout + dry.stderr)
        assert counts["sweep_point"] == 2, override
        assert counts.get("bounds", 0) == (more or {}).get("bounds", 0)
        assert ("convert" in counts) == (more is not None)
    # The swept value of the call is no part of the points, which are those of the other call.
    dry = sweep(swept, f"{values} phase2.noise=0.01", "-n")
    counts = jobs(dry.stdout + dry.stderr)
    assert "sweep_point" not in counts
    assert counts["sweep_gather"] == 1
    points = {
        paths(swept, "cifar10_vgg", SWEEP_OVERRIDES + f"{values} {override}", "smoke", "noise").points
        for override in ("", "phase2.window=certified", "phase2.noise=0.01")
    }
    assert len(points) == 2


def test_a_rows_own_engine_wins_whatever_the_first_row_has(tmp_path: Path) -> None:
    """mnist_fc has conf/'s docker; places365_vgg of the suite smoke has none, and needs none on the machine."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    options = {"suite": "smoke", "experiments": "mnist_fc,places365_vgg", "overrides": ""}
    done = snakemake(tmp_path, "--until", "places365_image", **options)
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = (tmp_path / "outputs").rglob("container.json")
    assert json.loads(file.read_text()) == {"engine": "none", "image": None}
    dry = snakemake(tmp_path, "-n", "--until", "places365_image", **options | {"overrides": "container.engine=podman"})
    assert jobs(dry.stdout + dry.stderr) == {}
