"""The figures along the layers: what their artists show, and the files that figures become."""

import itertools
import re

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from relu2snn.figures import (
    COLUMN_WIDTH,
    plot_certified,
    plot_energies,
    plot_layer_maxima,
    plot_operations,
    save_figure,
    svg_of,
)
from relu2snn.figures.style import BLUE, VERMILLION, plain

LENET = ["conv2d", "conv2d_1", "conv2d_2", "dense", "dense_1"]
MAXIMA = [2.0, 5.0, 14.0, 7.0, 9.0]
WINDOWS = [[1.0, 4.0], [4.0, 11.5], [11.5, 32.5], [32.5, 43.0], [43.0, 56.5]]
DEEP = [f"block{number // 3}_conv{number % 3}_relu" for number in range(50)]
VGG = [f"conv2d_{number}" for number in range(13)] + ["dense", "dense_1"]


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def test_maxima_and_window_lengths_stand_above_their_layers():
    shown = lines(plot_layer_maxima(LENET, MAXIMA, WINDOWS))
    assert list(shown) == ["largest ReLU output", "spiking window"]
    assert list(shown["largest ReLU output"].get_xdata()) == [1, 2, 3, 4, 5]
    assert list(shown["largest ReLU output"].get_ydata()) == MAXIMA
    assert list(shown["spiking window"].get_ydata()) == [3.0, 7.5, 21.0, 10.5, 13.5]


def test_the_two_lines_differ_by_more_than_their_colour():
    first, second = lines(plot_layer_maxima(LENET, MAXIMA, WINDOWS)).values()
    assert to_hex(first.get_color()) != to_hex(second.get_color())
    assert first.get_marker() != second.get_marker()
    assert first.get_linestyle() != second.get_linestyle()


def test_axes_name_layers_quantities_and_units():
    axes = plot_layer_maxima(LENET, MAXIMA, WINDOWS).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == LENET
    assert axes.get_ylabel() == "ReLU output (arbitrary units)"
    (time_axis,) = axes.child_axes
    assert "time units" in time_axis.get_ylabel()
    assert "1 = input window" in time_axis.get_ylabel()


def test_how_many_images_the_maxima_are_over_is_written_in():
    assert plot_layer_maxima(LENET, MAXIMA, WINDOWS, 60000).get_suptitle() == (
        "largest outputs over 60,000 calibration images"
    )
    assert not plot_layer_maxima(LENET, MAXIMA, WINDOWS).get_suptitle()


def test_without_windows_only_maxima_are_shown():
    figure = plot_layer_maxima(LENET, MAXIMA)
    assert list(lines(figure)) == ["largest ReLU output"]
    assert figure.axes[0].child_axes == []


@pytest.mark.parametrize(
    ("maxima", "scale"),
    [([1.0, 50.0], "linear"), ([1.0, 51.0], "log"), ([0.0, 51.0], "linear"), ([3.0, 3.0], "linear")],
)
def test_scale_is_logarithmic_only_when_values_span_more_than_fifty(maxima, scale):
    axes = plot_layer_maxima(["dense", "dense_1"], maxima).axes[0]
    assert axes.get_yscale() == scale


@pytest.mark.parametrize(
    "layers", [["dense"], ["dense", "dense_1"], LENET, VGG, ["a_layer_with_a_long_name"] * 22, DEEP, ["relu"] * 153]
)
@pytest.mark.parametrize("spread", [1.0, 1e5])
def test_labels_stay_inside_the_column_and_apart(layers, spread):
    count = len(layers)
    maxima = list(np.geomspace(1.0, spread, count))
    figure = plot_layer_maxima(layers, maxima, [[1.0, 1.0 + 1.5 * value] for value in maxima])
    assert_within_column(figure)
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    # Half of the height at least is left to the data.
    assert figure.axes[0].get_position().height > 0.4


def test_where_not_all_layers_have_room_for_their_names_all_have_a_tick():
    axes = plot_layer_maxima(DEEP, [1.0] * 50).axes[0]
    assert list(axes.get_xticks()) == list(range(1, 51, 3))
    assert [label.get_text() for label in axes.get_xticklabels()] == DEEP[::3]
    assert set(axes.get_xticks()) | set(axes.get_xticks(minor=True)) == set(range(1, 51))


@pytest.mark.parametrize("maxima", [[4.0], [3.0, 4.0, 2.0]])
def test_no_marker_touches_the_frame(maxima):
    layers = ["dense"] * len(maxima)
    axes = plot_layer_maxima(layers, maxima, [[1.0, 1.0 + 1.5 * value] for value in maxima]).axes[0]
    low, high = axes.get_ylim()
    assert low == 0
    assert high > 1.05 * 6.0


def test_lengths_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="maxima has 2 entries for 1 layers"):
        plot_layer_maxima(["dense"], [1.0, 2.0])
    with pytest.raises(ValueError, match="windows has 0 entries for 1 layers"):
        plot_layer_maxima(["dense"], [1.0], [])


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        save_figure(plot_layer_maxima(LENET, MAXIMA, WINDOWS), tmp_path / name)
    for suffix in (".png", ".svg"):
        assert (tmp_path / f"first{suffix}").read_bytes() == (tmp_path / f"second{suffix}").read_bytes()
    assert (tmp_path / "first.png").read_bytes().startswith(b"\x89PNG")
    assert re.search(r'width="2\d\d\.', (tmp_path / "first.svg").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{n}.{s}" for n in ("first", "second") for s in ("png", "svg")
    }


def assert_within_column(figure):
    """Nothing is cut off at the width of a column, and no text is too small there: exponents would be."""
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert min(text.get_fontsize() for text in texts) >= 6
    assert [text.get_text() for text in texts if "^" in text.get_text()] == []
    assert figure.get_figwidth() == pytest.approx(COLUMN_WIDTH)
    whole = figure.get_tightbbox()
    assert whole.x0 >= -0.01
    assert whole.x1 <= figure.get_figwidth() + 0.01
    assert whole.y0 >= -0.01
    assert whole.y1 <= figure.get_figheight() + 0.01


def test_shares_of_simulated_and_early_pairs_stand_above_their_layers():
    figure = plot_certified(["a", "b", "c"], [30, 0, 5], [6, 0, 0], [1000, 2000, 5000], 10)
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    marks = {}
    for line in axes.get_lines():
        filled = line.get_fillstyle() != "none"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True):
            if not np.isnan(y):
                marks[to_hex(line.get_color()), round(x)] = (y, filled)
    foot = axes.get_yticks()[0]
    assert axes.get_yticklabels()[0].get_text() == "0"
    assert foot < 1 / 5000
    simulated, early = to_hex(BLUE), to_hex(VERMILLION)
    assert marks == {
        (simulated, 1): (0.03, True),
        (simulated, 2): (foot, False),
        (simulated, 3): (0.001, True),
        (early, 1): (0.006, True),
        (early, 2): (foot, False),
        (early, 3): (foot, False),
    }
    assert figure.get_suptitle() == "certified: all but 35 of 8,000 pairs (10 images)"
    assert_within_column(figure)


def test_a_network_that_is_certified_throughout_says_so():
    figure = plot_certified(VGG, [0] * 15, [0] * 15, [10**6] * 15, 1000)
    assert figure.get_suptitle() == "certified: all of 15,000,000 pairs (1,000 images)"
    assert_within_column(figure)
    with pytest.raises(ValueError, match="early has 1 entries for 2 layers"):
        plot_certified(["a", "b"], [0, 0], [0], [1, 1], 1)


def test_one_pair_that_was_not_certified_is_not_rounded_away():
    figure = plot_certified(["a"], [1], [0], [10**9], 1000)
    assert "all but 1 of 1,000,000,000 pairs" in figure.get_suptitle()


def operations(layers):
    count = len(layers)
    series = ([4e5, 0.0, 3e3][:count], [1e5, 2e3, 0.0][:count], [60, 20, 10][:count])
    macs = ([5e5, 2e3, 3e3][:count], [4e5, 0.0, 3e3][:count])
    fill = [[*each, *[7.0] * (count - len(each))] for each in (*series, *macs)]
    return plot_operations(layers, *fill, images=1000)


def test_operations_stand_beside_multiply_accumulates():
    figure = operations(["conv2d", "dense", "logits"])
    shown = lines(figure)
    assert list(shown) == [
        "MACs of the ReLU network",
        "of these, without zeros",
        "synaptic operations",
        "forced spikes",
        "clocks",
    ]
    heights = {name: line.get_ydata() for name, line in shown.items()}
    # What is 0 has no mark.
    np.testing.assert_array_equal(heights["synaptic operations"], [4e5, np.nan, 3e3])
    np.testing.assert_array_equal(heights["clocks"], [60, 20, 10])
    places = [line.get_xdata() for line in shown.values()]
    assert all((np.abs(np.diff(at)) > 0.05).all() for at in zip(*places, strict=True))
    looks = [(line.get_marker(), to_hex(line.get_color()), line.get_fillstyle()) for line in shown.values()]
    assert len(set(looks)) == len(looks)
    assert figure.axes[0].get_yscale() == "log"
    assert figure.get_suptitle() == "403,000 synaptic operations, 505,000 MACs (1,000 images)"


@pytest.mark.parametrize("layers", [["dense"], [*LENET, "logits"], [*VGG, "logits"], DEEP])
def test_operations_stay_inside_the_column(layers):
    figure = operations(layers)
    assert_within_column(figure)
    assert figure.axes[0].get_position().height > 0.4


def test_operations_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="clocks: 1 entries for 2 segments; give one per segment"):
        plot_operations(["a", "b"], [1, 1], [1, 1], [1], [1, 1], [1, 1], 1)


ENERGIES = {"float32": ([0.4, 0.5], [0.08, 0.1]), "float32 and memory": ([0.4, 0.5], [0.5, 1.25])}
ROWS = ["fmnist_fc", "fmnist_lenet phase2.mapping=reference train.epochs=5"]


def test_energies_stand_beside_the_relu_networks():
    figure = plot_energies(ROWS, ENERGIES)
    first, second = figure.axes
    assert [axes.get_title() for axes in figure.axes] == list(ENERGIES)
    shown = {line.get_label(): line.get_xdata() for line in second.get_lines()}
    assert list(shown["ReLU network, zeros skipped"]) == [0.4, 0.5]
    assert list(shown["spiking network"]) == [0.5, 1.25]
    assert list(shown["ReLU network"]) == [1, 1]
    # All panels have the same axis, from 0 to beyond the largest.
    assert first.get_xlim() == second.get_xlim() == (0, pytest.approx(1.35))
    assert [label.get_text().replace("\n", " ") for label in first.get_yticklabels()] == ROWS
    assert_within_column(figure)
    assert_within_column(plot_energies(ROWS, {**ENERGIES, "int8": ENERGIES["float32"]}))


def test_ticks_of_powers_have_no_small_exponents():
    assert [plain(value) for value in (1e-12, 1e-4, 1e-3, 1.0, 1000.0, 1e4, 1e10, 0.0)] == [
        "1e−12", "1e−4", "0.001", "1", "1000", "1e4", "1e10", "0",
    ]  # fmt: skip


def test_a_figure_in_a_page_is_the_same_each_time():
    pictures = {svg_of(plot_energies(ROWS, ENERGIES)) for _ in range(2)}
    (picture,) = pictures
    assert b"zeros skipped" in picture


def test_energies_of_nothing_or_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="no row, or no model, to be drawn"):
        plot_energies([], {})
    with pytest.raises(ValueError, match=r"float32: shares of \[1, 2\] for 2 rows"):
        plot_energies(ROWS, {"float32": ([1.0], [1.0, 2.0])})
