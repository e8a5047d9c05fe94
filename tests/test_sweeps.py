"""Robustness sweeps: their points, seeds and tables, and that a trial is phase 2 with the trial's seed."""

import csv
import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from runs import SWEEP_OVERRIDES, jobs, paths, sweep
from stamped import write_json
from test_figures import assert_within_column

from relu2snn.config import (
    Paths,
    compose_experiment,
    compose_suite,
    from_slice,
    stage_slice,
    sweep_point,
    sweep_values,
    trial_seed,
)
from relu2snn.config.selection import select
from relu2snn.datasets import SUPPORTED_FORMATS
from relu2snn.errors import UserError
from relu2snn.figures import Curve, Spread, plot_sweep, plot_tradeoffs
from relu2snn.files import read_json
from relu2snn.presentation.report import sweeps_page
from relu2snn.presentation.results import collect_sweeps
from relu2snn.stages import sweep_gather, tables, tradeoffs

ROOT = Path(__file__).resolve().parents[1]
# Robustness of experiments.md.
PUBLISHED = {
    "zeta": [-0.7, -0.6, -0.5, -0.4, -0.3, 0, 0.5],
    "noise": [5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 3e-2, 5e-2],
    "alpha_noise": [0, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3],
}


def experiment(sweep: str, *overrides: str, name: str = "cifar10_vgg", suite: str = "paper") -> Any:
    return compose_experiment(name, compose_suite(suite), overrides, sweep)


@pytest.mark.parametrize("sweep", PUBLISHED)
def test_the_published_values_and_trials(sweep: str) -> None:
    config = experiment(sweep)
    assert sweep_values(config) == PUBLISHED[sweep]
    assert (config.sweep.trials, config.sweep.images) == (16, None)
    trials = {value: sweep_point(config, value).sweep.trials for value in PUBLISHED[sweep]}
    # Without noise there is nothing to try twice.
    assert all(count == (1 if sweep == "zeta" or value == 0 else 16) for value, count in trials.items())
    noisy = experiment(sweep, "phase2.noise=0.01", "phase2.alpha_noise=0.01")
    assert sweep_point(noisy, 0.5).sweep.trials == 16


def test_a_point_depends_on_its_own_value_and_not_on_the_other_values() -> None:
    def slices(*overrides: str) -> dict[float, Any]:
        config = experiment("noise", *overrides)
        return {value: stage_slice(sweep_point(config, value), "sweep_point") for value in sweep_values(config)}

    before = slices()
    longer = slices("sweep.values=[5e-5,1e-4,0.2]")
    assert longer[5e-5] == before[5e-5]
    assert longer[1e-4] == before[1e-4]
    assert before[5e-5] != before[1e-4]
    assert slices("sweep.trials=2")[5e-5] != before[5e-5]
    # The value of the experiment's own run is not that of the point; all else of phase 2 is.
    assert slices("phase2.noise=0.1") == before
    assert slices("phase2.zeta=0.1")[5e-5] != before[5e-5]


def test_trials_have_seeds_of_their_own_that_phase_2_takes() -> None:
    seeds = {(seed, trial): trial_seed(seed, trial) for seed in range(3) for trial in range(1, 17)}
    assert len(set(seeds.values())) == len(seeds)
    assert seeds[0, 3] == trial_seed(0, 3)
    assert experiment("noise", f"phase2.seed={seeds[0, 3]}").phase2.seed == seeds[0, 3]


def chosen(**options: str) -> set[tuple[str, str]]:
    return {(each.name, each.sweep.name) for each in select(options, SUPPORTED_FORMATS).sweeps}


def test_which_sweeps_a_call_runs() -> None:
    every = {("cifar10_vgg", sweep) for sweep in PUBLISHED}
    assert chosen() == chosen(suite="smoke") == every
    assert chosen(sweep="none") == chosen(experiments="cifar10_vgg") == chosen(suite="quickstart") == set()
    assert chosen(sweep="noise") == {("cifar10_vgg", "noise")}
    assert chosen(suite="smoke", experiments="fmnist_vgg mnist_fc", sweep="zeta,noise") == {
        (name, sweep) for name in ("fmnist_vgg", "mnist_fc") for sweep in ("zeta", "noise")
    }
    assert {name for name, _ in chosen(suite="quickstart", sweep="zeta")} == {"fmnist_fc", "fmnist_lenet", "fmnist_vgg"}
    assert chosen(sweep="noise", overrides="sweep.trials=2") == {("cifar10_vgg", "noise")}


MISTAKES = [
    ({"sweep": "nois"}, "sweep=nois: no such sweep; did you mean noise?"),
    ({"sweep": "noise,none"}, "sweep=noise,none: none leaves out all sweeps; name it alone"),
    ({"sweep": "noise", "overrides": "sweep=zeta"}, "override 'sweep=zeta': name sweeps with sweep=…"),
    ({"sweep": "noise", "overrides": "sweep.values=[-0.1]"}, "sweep.values=-0.1: must be at least 0"),
    ({"sweep": "zeta", "overrides": "sweep.values=[-1]"}, "sweep.values=-1.0: must be greater than -1"),
    ({"sweep": "zeta", "overrides": "sweep.values=[]"}, "sweep.values=[]: has 0 entries; give 1 to 1000"),
    ({"sweep": "zeta", "overrides": "sweep.values=[0,0.0]"}, "sweep.values=[0.0, 0.0]: give at least one value, and"),
    ({"sweep": "zeta", "overrides": "sweep.values=[nan]"}, "sweep.values=nan: must be a finite number"),
    ({"sweep": "zeta", "overrides": "sweep.trials=0"}, "sweep.trials=0: must be at least 1"),
    ({"sweep": "zeta", "overrides": "sweep.images=0"}, "sweep.images=0: must be at least 1"),
    (
        {"experiments": "mnist_fc", "overrides": "sweep.trials=2"},
        "override 'sweep.trials=2': no sweep runs in this call",
    ),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_about_sweeps_is_one_line(options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        select(options, SUPPORTED_FORMATS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def fake_point(made: Paths, value: float, accuracies: list[float | None], early: list[int]) -> None:
    trials = [
        {
            "seed": 5,
            "accuracy": accuracy,
            "agreement": 0.5,
            "spiking_fraction": 0.25,
            "certified": 0.75,
            "early_spikes": count,
            "early_images": min(count, 2),
            "exact": not count,
        }
        for accuracy, count in zip(accuracies, early, strict=True)
    ]
    point = {"value": value, "images": 8, "latency": 12.5, "window": 2.0, "trials": trials, "seconds": 2.0}
    write_json(f"{made.point(value)}.json", point)


@pytest.mark.parametrize("labelled", [True, False])
def test_points_are_gathered_into_a_table_with_means_and_spreads(tmp_path: Path, labelled: bool) -> None:
    config = experiment("noise", f"outputs={tmp_path}", "sweep.values=[0.2,0.1]", "sweep.trials=3")
    made = Paths.of(config)
    accuracies = [0.5, 0.7, 0.9] if labelled else [None] * 3
    fake_point(made, 0.2, accuracies, [0, 1, 5])
    fake_point(made, 0.1, accuracies[:1], [0])
    sweep_gather.run(from_slice(stage_slice(config, "sweep_gather")))
    folder = Path(made.sweep)
    with (folder / "table.csv").open() as file:
        first, second = csv.DictReader(file)
    assert [first["value"], second["value"], first["parameter"]] == ["0.1", "0.2", "noise"]
    assert [first["trials"], second["trials"], second["images"]] == ["1", "3", "8"]
    assert [first["exact_trials"], second["exact_trials"]] == ["1", "1"]
    assert (first["agreement_std"], second["agreement_std"]) == ("", "0.0")
    if labelled:
        assert float(second["accuracy_mean"]) == pytest.approx(0.7)
        assert float(second["accuracy_std"]) == pytest.approx(0.2)
        assert float(second["early_spikes_mean"]) == pytest.approx(2)
    else:
        assert first["accuracy_mean"] == second["accuracy_std"] == ""
    with Image.open(folder / "noise.png") as picture:
        assert picture.width == pytest.approx(85 / 25.4 * 200, abs=2)
    drawn = (folder / "noise.svg").read_text()
    assert drawn.count("<svg") == 1
    assert ">cifar10_vgg, mapping published</text>" in drawn

    write_json(f"{made.dataset}/source.json", {"kind": "synthetic"})
    write_json(f"{made.weights}/source.json", {"kind": "trained"})
    write_json(f"{made.phase1}/result.json", {})
    tables.sweep_results(from_slice(stage_slice(config, "sweep_results")))
    with open(made.sweeps) as file:
        rows = list(csv.DictReader(file))
    assert [(row["experiment"], row["value"], row["data"]) for row in rows] == [
        ("cifar10_vgg", "0.1", "synthetic"),
        ("cifar10_vgg", "0.2", "synthetic"),
    ]
    assert {row["overrides"] for row in rows} == {"sweep.values=[0.2,0.1] sweep.trials=3"}
    # No column is empty.
    assert (">accuracy<" in sweeps_page(collect_sweeps(str(tmp_path), "paper"), "paper")) == labelled
    tradeoffs.run(from_slice(stage_slice(config, "tradeoffs")))
    with open(f"{made.tradeoffs}.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["mapping"], row["value"], row["value_per_window"], row["latency"]) for row in rows] == [
        ("published", "0.1", "0.05", "12.5"),
        ("published", "0.2", "0.1", "12.5"),
    ]
    assert [float(row["early_images_mean"]) for row in rows] == [0, 1]
    assert [float(row["early_spikes_max"]) for row in rows] == [0, 5]
    assert [row["agreement_min"] for row in rows] == [row["agreement_mean"] for row in rows]


@pytest.mark.parametrize(
    ("parameter", "values", "scale"),
    [
        ("zeta", PUBLISHED["zeta"], "linear"),
        ("noise", PUBLISHED["noise"], "log"),
        ("alpha_noise", PUBLISHED["alpha_noise"], "symlog"),
        ("noise", [0.1, 0.2], "linear"),
    ],
)
def test_a_sweep_is_drawn_with_its_spread_and_readable_axes(parameter: str, values: list[float], scale: str) -> None:
    accuracy = [Spread(0.9 - 0.01 * k, 0.88 - 0.01 * k, 0.95 - 0.01 * k) for k in range(len(values))]
    agreement = [Spread(1.0, 1.0, 1.0), *[Spread(0.99, 0.98, 1.0)] * (len(values) - 1)]
    early = [Spread(0.0, 0.0, 0.0), *[Spread(2.0, 1.5, 40.0)] * (len(values) - 1)]
    figure = plot_sweep(parameter, values, agreement=agreement, early=early, accuracy=accuracy)
    top, middle, bottom = figure.axes
    assert bottom.get_xscale() == scale
    assert bottom.get_xlabel()
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "log", "log"]
    assert [axes.get_ylabel().partition("\n")[0] for axes in figure.axes] == [
        "accuracy", "changed predictions", "early spikes",
    ]  # fmt: skip
    # 0 has a height of its own, with its name, below all that can be.
    feet = []
    for axes in (middle, bottom):
        named = dict(zip(axes.get_yticks(), [text.get_text() for text in axes.get_yticklabels()], strict=True))
        (foot,) = [height for height, name in named.items() if name == "0"]
        feet.append(foot)
    assert feet == pytest.approx([1e-3, 1e-1])
    for axes, spreads in (
        (top, accuracy),
        (middle, [Spread(feet[0], feet[0], feet[0]), *[Spread(0.01, feet[0], 0.02)] * (len(values) - 1)]),
        (bottom, [Spread(feet[1], feet[1], feet[1]), *early[1:]]),
    ):
        (drawn,) = axes.containers
        np.testing.assert_allclose(np.asarray(drawn.lines[0].get_xdata(), float), values)
        np.testing.assert_allclose(np.asarray(drawn.lines[0].get_ydata(), float), [each.mean for each in spreads])
        (bars,) = drawn[2]
        ends = [tuple(segment[:, 1]) for segment in bars.get_segments()]
        np.testing.assert_allclose(ends, [(each.least, each.greatest) for each in spreads], atol=1e-12)
    figure.draw_without_rendering()
    shown = figure.get_window_extent()
    low, high = bottom.get_xlim()
    ticks = [tick.label1 for tick in bottom.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert len(ticks) >= 2
    boxes = [text.get_window_extent() for text in ticks]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    labels = [bottom.xaxis.label, *(axes.yaxis.label for axes in figure.axes)]
    for box in [*boxes, *(label.get_window_extent() for label in labels)]:
        assert shown.x0 - 1 <= box.x0
        assert box.x1 <= shown.x1 + 1
    heights = sorted((label.get_window_extent().y0, label.get_window_extent().y1) for label in labels[1:])
    assert all(below[1] < above[0] for below, above in itertools.pairwise(heights))
    with pytest.raises(ValueError, match="accuracy has 1 entries"):
        plot_sweep(parameter, values, agreement=agreement, early=early, accuracy=accuracy[:1])
    counted = plot_sweep(parameter, values, agreement=agreement, early=early, images=10000, trials=16)
    assert len(counted.axes) == 2
    assert counted.get_suptitle() == "10,000 test images; mean, least and greatest of 16 trials"
    titled = plot_sweep(
        parameter, values, agreement=agreement, early=early, images=10000, title="cifar10_vgg, mapping reference"
    )
    assert titled.get_suptitle() == "cifar10_vgg, mapping reference\n10,000 test images"
    assert_within_column(titled)


def test_what_never_happens_is_drawn_at_0_and_not_left_out() -> None:
    never = [Spread(0.0, 0.0, 0.0)] * 2
    figure = plot_sweep("noise", [0.0, 0.1], agreement=[Spread(1.0, 1.0, 1.0)] * 2, early=never)
    for axes in figure.axes:
        (drawn,) = axes.containers
        heights = np.asarray(drawn.lines[0].get_ydata(), float)
        labels = dict(zip(axes.get_yticks(), [text.get_text() for text in axes.get_yticklabels()], strict=True))
        assert [labels[height] for height in heights] == ["0", "0"]
        hollow = axes.get_lines()[-1]
        assert (hollow.get_ydata() == heights).all()
        assert to_hex(hollow.get_markerfacecolor()) == "#ffffff"
        assert axes.get_ylim()[0] < heights[0]


def curve(label: str, parameter: str, *, latencies: list[float] | None = None) -> Curve:
    values = [0.0, 0.001, 0.1]
    agreement = [Spread(1.0, 1.0, 1.0), Spread(0.9, 0.89, 0.91), Spread(0.25, 0.15, 0.35)]
    early = [Spread(0.0, 0.0, 0.0), Spread(0.5, 0.25, 1.0), Spread(20.0, 10.0, 30.0)]
    return Curve(label, parameter, values, [2.0] * 3, latencies or [9.0] * 3, agreement, early)


def test_tradeoffs_stand_in_a_panel_for_each_way_to_look_at_a_sweep() -> None:
    curves = [
        curve("published", "zeta", latencies=[20.0, 30.0, 50.0]),
        curve("reference", "zeta", latencies=[4.0, 6.0, 9.0]),
        curve("published", "noise"),
        curve("reference", "noise"),
        curve("reference", "reference_noise"),
    ]
    figure = plot_tradeoffs(curves, images=1000)
    shown, beside = figure.axes[::2], figure.axes[1::2]
    xs = [[np.asarray(bars.lines[0].get_xdata(), float).tolist() for bars in axes.containers] for axes in shown]
    absolute, relative = [0.0, 0.001, 0.1], [0.0, 0.0005, 0.05]
    assert xs == [[[20, 30, 50], [4, 6, 9]], [absolute] * 2, [relative] * 2, [absolute], [relative]]
    named = [part.get_supxlabel() for part in figure.subfigs]
    assert ["latency" in name for name in named] == [True, *[False] * 4]
    assert ["window of the neurons" in name for name in named] == [False, False, True, False, True]
    assert [axes.get_xscale() for axes in shown] == ["linear", *["symlog"] * 4]
    assert {axes.get_ylabel() for axes in shown} == {"changed predictions\n(1 − agreement)"}
    assert {axes.get_ylabel() for axes in beside} == {"early spikes\nper image"}
    for panels, (least, mean, greatest) in ((shown, (0.65, 0.75, 0.85)), (beside, (10, 20, 30))):
        for axes in panels:
            assert axes.get_yscale() == "log"
            for bars in axes.containers:
                assert np.asarray(bars.lines[0].get_ydata(), float)[-1] == pytest.approx(mean)
                assert bars[2][0].get_segments()[-1][:, 1] == pytest.approx([least, greatest])
    assert figure.legends[0].get_title().get_text() == "1,000 test images"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["published", "reference"]
    # The same configuration looks the same in all panels.
    looks = {
        (bars.get_label(), bars.lines[0].get_color(), bars.lines[0].get_marker())
        for axes in figure.axes
        for bars in axes.containers
    }
    assert len(looks) == 2
    assert_within_column(figure)
    for axes in figure.axes:
        boxes = [tick.label1.get_window_extent() for tick in axes.xaxis.get_major_ticks()]
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    with pytest.raises(ValueError, match="no curve of a sweep over zeta, alpha_noise, noise, reference_noise"):
        plot_tradeoffs([])
    with pytest.raises(ValueError, match="published, noise: give as many windows, latencies and means as values"):
        plot_tradeoffs([curve("published", "noise")._replace(windows=[1.0])])


def test_a_sweep_of_the_suite_that_no_mapping_has_is_left_out() -> None:
    options = {"suite": "reference", "experiments": "fmnist_fc", "sweep": "noise"}
    both = select(options, SUPPORTED_FORMATS)
    assert [each.phase2.mapping for each in both.sweeps] == ["published", "reference"]
    suite = select({"suite": "reference", "overrides": "phase2.mapping=published"}, SUPPORTED_FORMATS)
    assert {each.sweep.name for each in suite.sweeps} == {"zeta", "noise", "alpha_noise"}
    with pytest.raises(UserError, match="sweep=reference_noise: fmnist_fc has the mapping published"):
        select({**options, "sweep": "reference_noise", "overrides": "phase2.mapping=published"}, SUPPORTED_FORMATS)


# By running the workflow on the suite smoke


def files_of(folder: Path, values: str = "[0.0,0.05]") -> Paths:
    return paths(folder, "cifar10_vgg", SWEEP_OVERRIDES + values, "smoke", "noise")


@pytest.mark.workflow
def test_small_cifar_files_are_swept_to_a_table_and_stay_synthetic(swept: Path) -> None:
    row = next(csv.DictReader((swept / "outputs" / "smoke" / "results.csv").open()))
    assert (row["experiment"], row["data"], row["images"]) == ("cifar10_vgg", "synthetic", "30")
    # Pixels in [-3, 3] in float64.
    assert (row["agreement"], row["exact"]) == ("1.0", "True")
    quiet, noisy = csv.DictReader((swept / "outputs" / "smoke" / "sweeps.csv").open())
    assert (quiet["trials"], noisy["trials"], noisy["data"]) == ("1", "2", "synthetic")
    assert (quiet["agreement_mean"], quiet["exact_trials"]) == ("1.0", "1")
    assert float(noisy["agreement_std"]) >= 0
    assert noisy["exact_trials"] == "0"


@pytest.mark.workflow
def test_the_ui_can_draw_a_sweep_against_its_parameter(swept: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{swept}/outputs/mlflow.db")
    run = client.get_run(read_json(files_of(swept).tracked_sweep)["run"])
    parent = read_json(files_of(swept).tracked)["parent"]
    assert run.data.tags["mlflow.parentRunId"] == parent
    points = {name: client.get_metric_history(run.info.run_id, name) for name in ("noise", "agreement_mean")}
    assert [(point.step, point.value) for point in points["noise"]] == [(0, 0.0), (1, 0.05)]
    assert [point.step for point in points["agreement_mean"]] == [0, 1]
    assert {item.path for item in client.list_artifacts(run.info.run_id)} >= {"noise.png", "noise.svg", "table.csv"}


@pytest.mark.workflow
def test_a_trial_predicts_what_phase_2_predicts_with_its_seed(swept: Path) -> None:
    trials = read_json(f"{files_of(swept).point(0.05)}.json")["trials"]
    with np.load(f"{files_of(swept).point(0.05)}.npz") as file:
        labels = file["labels"]
    assert labels.shape == (2, 30)
    stage = [sys.executable, "-m", "relu2snn.stages", "phase2", "suite=smoke", "experiment=cifar10_vgg"]
    overrides = SWEEP_OVERRIDES.partition(" sweep.")[0].split()
    copy = swept / "by_hand"
    subprocess.run(["cp", "-r", str(swept / "outputs"), str(copy)], check=True)
    point = copy / Path(f"{files_of(swept).point(0.05)}.npz").relative_to(swept / "outputs")
    point.unlink()
    by_hand = [sys.executable, "-m", "relu2snn.stages", "sweep_point", *stage[4:], "sweep=noise"]
    done = subprocess.run(
        [*by_hand, *SWEEP_OVERRIDES.split()[:-1], "phase2.noise=0.05", "outputs=by_hand"],
        cwd=swept,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(point) as file:
        np.testing.assert_array_equal(file["labels"], labels)
    # The second trial alone: the first has left nothing behind.
    own = ["phase2.noise=0.05", f"phase2.seed={trials[1]['seed']}"]
    mine = [*stage, *overrides, *own, "outputs=by_hand"]
    done = subprocess.run(mine, cwd=swept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    given = " ".join([*overrides, *own])
    variant = copy / Path(paths(swept, "cifar10_vgg", given, "smoke").phase2).relative_to(swept / "outputs")
    with np.load(variant / "predictions.npz") as file:
        np.testing.assert_array_equal(file["labels"], labels[1])
    result = json.loads((variant / "result.json").read_text())
    for key in ("accuracy", "agreement"):
        assert result[key] == trials[1][key]
    assert result["early_spikes"]["total"] == trials[1]["early_spikes"]
    assert result["early_images"] == trials[1]["early_images"]
    assert result["spiking_fraction"]["total"] == pytest.approx(trials[1]["spiking_fraction"], rel=1e-12)


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("values", "points"), [("[0.0,0.05]", 0), ("[0.0,0.05,0.1]", 1), ("[0.05]", 0)], ids=["same", "more", "fewer"]
)
def test_a_new_value_runs_its_own_job_and_what_gathers(swept: Path, values: str, points: int) -> None:
    run = sweep(swept, values, "-n")
    assert run.returncode == 0, run.stderr
    gathering = ["sweep_gather", "sweep_results", "track_sweep", "tradeoffs", "report_sweeps", "report_runtimes"]
    expected = [] if values == "[0.0,0.05]" else [*gathering, *["sweep_point"] * points]
    assert jobs(run.stdout + run.stderr) == Counter(expected)
