"""The figures of spikes, potentials, decoded values and disagreeing images: what their artists show."""

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from test_figures import assert_within_column

from relu2snn.figures import (
    disagreeing,
    is_picture,
    plot_disagreement,
    plot_exactness,
    plot_output_potentials,
    plot_potentials,
    plot_raster,
    plot_spike_times,
    save_figure,
)
from relu2snn.figures.style import BLUE, ORANGE, VERMILLION
from relu2snn.spiking import (
    EARLY,
    FORCED,
    LATE,
    ON_TIME,
    Decoding,
    MembranePotential,
    OutputPotentials,
    Raster,
    SpikeHistogram,
)


def histogram(at_end=50, early=4):
    edges = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    counts = np.array([0, early, 100, 1000, 0])
    before = early + 1100
    return SpikeHistogram("dense", 1.0, 2.0, edges, counts, 577, 2, at_end, before)


def bars(figure):
    return {
        (round(bar.get_x(), 9), to_hex(bar.get_facecolor())): bar.get_height()
        for container in figure.axes[0].containers
        for bar in container
    }


def test_bars_of_spike_times_are_the_counts_coloured_by_their_place():
    figure = plot_spike_times(histogram())
    axes = figure.axes[0]
    shown = bars(figure)
    grey = to_hex("0.75")
    assert shown == {
        (0.5, to_hex(VERMILLION)): 4,
        (1.0, to_hex(BLUE)): 100,
        (1.5, to_hex(BLUE)): 1000,
        (2.0, grey): 50,
    }
    assert axes.get_yscale() == "log"
    assert [line.get_xdata()[0] for line in axes.get_lines()] == [1.0, 2.0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["early: 4", "in the window: 1,100", "forced at $t_{max}$: 50"]
    # 1104 of 577 · 2 = 1154.
    assert "dense: 95.67 % of 1,154 spikes before" in figure.get_suptitle()
    assert "(577 neurons, 2 images)" in figure.get_suptitle()
    assert "1 = input window" in axes.get_xlabel()
    assert_within_column(figure)


def test_late_spikes_have_a_colour_of_their_own():
    late = histogram(at_end=0)
    late.counts[:] = [0, 0, 100, 1000, 54]
    shown = bars(plot_spike_times(late))
    assert shown[2.0, to_hex(ORANGE)] == 54
    assert len({colour for _, colour in shown}) == 2


def a_raster(bands):
    draw = np.random.default_rng(0)
    windows = np.array([[k, k + 1.0 + k % 2] for k in range(bands)])
    layer = np.repeat(np.arange(bands), 5)
    value = draw.uniform(0, 1, layer.size)
    value[::3] = 0
    names = ["encoder", *(f"conv2d_{k}" for k in range(1, bands))]
    sizes = np.array([5] + [200] * (bands - 1))
    return Raster(names, windows, sizes, layer, np.arange(layer.size), windows[layer, 1] - value, value)


@pytest.mark.parametrize("bands", [2, 6, 16])
def test_a_raster_has_a_dot_for_every_spike_at_its_time_in_its_layers_band(bands):
    raster = a_raster(bands)
    figure = plot_raster(raster, "test image 3")
    axes = figure.axes[0]
    silent, active = (each for each in axes.collections if isinstance(each, PathCollection))
    lengths = np.diff(raster.windows)[:, 0]
    times = raster.time if bands <= 6 else (raster.time - raster.windows[raster.layer, 0]) / lengths[raster.layer]
    for dots, own in ((silent, raster.value == 0), (active, raster.value > 0)):
        np.testing.assert_allclose(dots.get_offsets()[:, 0], times[own])
        np.testing.assert_array_equal(np.rint(dots.get_offsets()[:, 1]), raster.layer[own])
    np.testing.assert_array_equal(active.get_array(), raster.value[raster.value > 0])
    assert active.get_cmap().name == "viridis"
    assert (active.norm.vmin, active.norm.vmax) == (0, raster.value.max())
    # Neurons of a layer lie beside each other in order.
    heights = np.concatenate([each.get_offsets()[:, 1] for each in (silent, active)])
    assert len(set(heights)) == raster.layer.size
    spans = [each.get_paths()[0].get_extents() for each in axes.collections if not isinstance(each, PathCollection)]
    expected = raster.windows if bands <= 6 else [[0, 1]] * bands
    np.testing.assert_allclose([[span.x0, span.x1] for span in spans], expected)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:2] == ["encoder\n5", "conv2d_1\n5 of 200"]
    assert axes.get_title() == "test image 3"
    assert_within_column(figure)


def trace(kind, crossing, spike, neuron=(3,)):
    times = np.array([0.0, 1.0, 2.0, 4.0])
    return MembranePotential("dense", neuron, times, times * 2.0, 3.0, 0.0, 2.0, 4.0, crossing, spike, kind)


def test_potentials_are_full_lines_up_to_the_spike_and_dotted_after():
    traces = [
        trace(EARLY, 1.5, 1.5),
        trace(ON_TIME, 3.0, 3.0),
        trace(FORCED, 4.0, 4.0, (1, 2, 0)),
        trace(LATE, 4.0, 4.2),
    ]
    figure = plot_potentials(traces, "test image 3")
    markers = set()
    for axes, each in zip(figure.axes, traces, strict=True):
        threshold, solid, dotted, mark = axes.get_lines()
        assert set(threshold.get_ydata()) == {3.0}
        assert solid.get_linestyle() == "-"
        assert dotted.get_linestyle() == ":"
        for line in (solid, dotted):
            np.testing.assert_allclose(line.get_ydata(), 2 * np.array(line.get_xdata()))
        assert (solid.get_xdata()[0], solid.get_xdata()[-1]) == (0.0, each.crossing)
        assert (dotted.get_xdata()[0], dotted.get_xdata()[-1]) == (each.crossing, 4.0)
        assert mark.get_xdata()[0] == each.spike
        assert mark.get_ydata()[0] == 2 * each.crossing
        markers.add((mark.get_marker(), to_hex(mark.get_color())))
        (window,) = axes.patches
        assert (window.get_x(), window.get_x() + window.get_width()) == (2.0, 4.0)
        assert each.kind in axes.get_title(loc="left")
    assert len(markers) == 4
    assert figure.axes[2].get_title(loc="left") == "neuron 1, 2, 0: forced, decodes to 0"
    assert figure.axes[0].get_title(loc="left").endswith("decodes to 2.5")
    assert "1 = input window" in figure.axes[-1].get_xlabel()
    assert_within_column(figure)


def test_every_kind_of_spike_has_its_mark_and_nothing_to_draw_is_refused():
    from relu2snn.figures.potentials import _MARKERS
    from relu2snn.spiking.trace import KINDS

    assert set(_MARKERS) == set(KINDS)
    with pytest.raises(ValueError, match="no potentials given"):
        plot_potentials([])


def outputs(units=10):
    ends = np.arange(units) * 1.0
    return OutputPotentials(np.arange(units), np.array([1.0, 2.0]), np.array([0 * ends, ends]), 1.0, 2.0, units)


@pytest.mark.parametrize("shape", [(8, 6, 1), (8, 6, 3), (8, 6)])
@pytest.mark.parametrize(
    ("low", "high", "black", "white"),
    # Bytes and shares are as bright as they are; what goes beyond is stretched.
    [(30, 200, 0, 255), (0.25, 0.75, 0, 1), (0, 0, 0, 1), (-1.5, 2.5, -1.5, 2.5), (100, 900, 0, 900)],
)
def test_the_image_stands_above_its_raster_as_bright_as_it_is(shape, low, high, black, white):
    picture = np.linspace(low, high, int(np.prod(shape))).reshape(shape)
    figure = plot_raster(a_raster(3), "test image 3", picture=picture)
    top, axes = figure.axes[:2]
    (shown,) = top.images
    expected = (picture - black) / (white - black)
    np.testing.assert_allclose(shown.get_array(), expected if shape[2:] == (3,) else expected.reshape(8, 6))
    assert shape[2:] == (3,) or (shown.norm.vmin, shown.norm.vmax) == (0, 1)
    assert (top.get_title(), axes.get_title()) == ("test image 3", "")
    figure.draw_without_rendering()
    assert top.get_tightbbox().y0 > axes.get_tightbbox().y1
    assert len(plot_raster(a_raster(3)).axes) == len(figure.axes) - 1


@pytest.mark.parametrize("shape", [(8, 6, 5), (8, 6, 2), (12,), (2, 8, 6, 3)])
def test_what_is_no_image_is_refused(shape):
    assert not is_picture(shape)
    with pytest.raises(ValueError, match=re.escape(f"an image of shape {shape} can't be shown")):
        plot_raster(a_raster(3), picture=np.zeros(shape))


def test_rasters_of_many_layers_stay_on_a_page_and_their_names_apart():
    for bands in (17, 50, 153):
        figure = plot_raster(a_raster(bands), "test image 3", picture=np.zeros((8, 8, 1)))
        assert_within_column(figure)
        assert figure.get_figheight() < 9
        axes = figure.axes[1]
        for labels in (axes.get_yticklabels(), axes.child_axes[0].get_yticklabels()):
            assert len(labels) > 15
            boxes = [label.get_window_extent() for label in labels]
            assert all(upper.y0 > lower.y1 - 1 for upper, lower in itertools.pairwise(boxes))
        assert axes.get_yticklabels()[0].get_text() == "encoder: 5"


@pytest.mark.parametrize(
    ("label", "named"),
    [
        (None, {"predicted: 9": 9, "second: 8": 8}),
        (9, {"predicted and true: 9": 9, "second: 8": 8}),
        (8, {"predicted: 9": 9, "true: 8": 8}),
        (2, {"predicted: 9": 9, "second: 8": 8, "true: 2": 2}),
    ],
)
def test_output_potentials_name_the_classes_that_matter(label, named):
    figure = plot_output_potentials(outputs(), label, "test image 3")
    axes = figure.axes[0]
    shown = {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}
    assert {name: line.get_ydata()[-1] for name, line in shown.items()} == named
    assert len({to_hex(line.get_color()) for line in shown.values()} | {to_hex("0.75")}) == len(named) + 1
    others = [line.get_ydata()[-1] for line in axes.get_lines() if to_hex(line.get_color()) == to_hex("0.75")]
    assert sorted([*others, *named.values()]) == list(range(10))
    assert axes.get_lines()[-1].get_xdata()[0] == 2.0
    assert f"test image 3; grey: {10 - len(named)} others of 10 classes" == figure.get_suptitle()
    assert_within_column(figure)


def test_a_network_of_one_output_has_no_second():
    axes = plot_output_potentials(outputs(1)).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["predicted: 0"]


def test_of_many_classes_the_highest_and_the_true_one_are_drawn():
    axes = plot_output_potentials(outputs(365), 7).axes[0]
    ends = sorted(line.get_ydata()[-1] for line in axes.get_lines()[:-1])
    assert ends == [7, *range(355, 365)]


def a_decoding(error):
    relu = np.array([0.5, 1.0, 2.0, 3.0])
    decoded = relu + np.array([0.0, error, -error, 0.0])
    return Decoding(["a", "b"], np.array([0, 0, 1, 1]), relu, decoded, 7, 1234, np.array([error, error]))


@pytest.mark.parametrize("error", [0.0, 1e-13, 0.4])
def test_values_stand_against_decoded_values_on_the_identity_line(error):
    decoding = a_decoding(error)
    figure = plot_exactness(decoding)
    above, below = figure.axes[:2]
    (line,) = above.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())
    (dots,) = above.collections
    drawn = sorted(map(tuple, np.column_stack([dots.get_offsets(), dots.get_array()])))
    assert drawn == sorted(zip(decoding.relu, decoding.decoded, decoding.layer + 1.0, strict=True))
    (dots,) = below.collections
    foot = below.get_yticks()[0]
    assert below.get_yticklabels()[0].get_text() == "0"
    expected = np.where(decoding.decoded == decoding.relu, foot, np.abs(decoding.decoded - decoding.relu))
    assert sorted(map(tuple, dots.get_offsets())) == sorted(zip(decoding.relu, expected, strict=True))
    assert below.get_yscale() == "log"
    assert f"largest difference: {error:.2g}, of 1,234 pairs" in above.get_title()
    assert "(7 images)" in above.get_title()
    assert_within_column(figure)


def test_networks_that_agree_say_so_plainly():
    figure = plot_disagreement(np.arange(1000) % 10, np.arange(1000) % 10, np.zeros((0, 28, 28, 1)))
    (text,) = figure.texts
    assert text.get_text() == (
        "On all 1,000 test images the spiking network\npredicts what the original network predicts."
    )
    assert not figure.axes


def test_disagreeing_images_are_counted_by_labels_and_shown():
    original = np.array([3, 3, 3, 5, 7, 7, 1])
    spiking = np.array([3, 5, 5, 3, 7, 2, 1])
    pictures = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 1)).astype(np.uint8)
    figure = plot_disagreement(original, spiking, pictures)
    matrix, *panels = (axes for axes in figure.axes if axes.images)
    assert [tick.get_text() for tick in matrix.get_xticklabels()] == ["2", "3", "5", "7"]
    counts = matrix.images[0].get_array()
    assert counts.tolist() == [[0, 0, 0, 0], [0, 0, 2, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    assert {(text.get_position(), text.get_text()) for text in matrix.texts} == {
        ((2, 1), "2"),
        ((1, 2), "1"),
        ((0, 3), "1"),
    }
    assert "4 of 7 images" in matrix.get_title()
    assert matrix.get_ylabel() == "label of the original network"
    assert [panel.get_title() for panel in panels] == ["#1\n3→5", "#2\n3→5", "#3\n5→3", "#5\n7→2"]
    for panel, picture in zip(panels, pictures, strict=True):
        np.testing.assert_allclose(panel.images[0].get_array(), picture[..., 0] / 255)
    assert_within_column(figure)


def test_of_many_classes_those_that_differ_most_often_are_shown():
    original = np.concatenate([np.repeat(300, 50), np.arange(100)])
    spiking = np.concatenate([np.repeat(200, 50), np.arange(100) + 1])
    pictures = np.zeros((12, 4, 4, 3), np.uint8)
    figure = plot_disagreement(original, spiking, pictures)
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert len(ticks) == 12
    assert ticks[-2:] == ["200", "300"]
    assert figure.axes[0].images[0].get_array()[-1, -2] == 50
    assert_within_column(figure)


def test_labels_and_pictures_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="3 labels of the original network and 2 of the spiking network"):
        plot_disagreement(np.zeros(3, int), np.zeros(2, int))
    with pytest.raises(ValueError, match="2 pictures for 1 disagreeing images"):
        plot_disagreement(np.zeros(3, int), np.array([0, 0, 1]), np.zeros((2, 4, 4, 1)))
    assert disagreeing(np.array([0, 1, 2]), np.array([1, 1, 1])).tolist() == [0, 2]


def test_a_vector_file_keeps_its_text(tmp_path):
    save_figure(plot_spike_times(histogram()), tmp_path / "figure")
    text = (tmp_path / "figure.svg").read_text()
    assert "spikes per bin</text>" in text
    assert "in the window: 1,100</text>" in text


def test_drawing_does_not_wait_for_tensorflow():
    code = "import sys, relu2snn.figures; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
