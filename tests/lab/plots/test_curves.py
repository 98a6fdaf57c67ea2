"""Means with error bars, trade-offs, bars of nats and terms over steps: what is drawn is what was measured."""

import math

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PathCollection

from tests.pictures import overlapping_labels
from zoo.lab.analysis import Evaluation
from zoo.lab.plots import Setting, bars_of_nats, curves, kl_bars, plot_terms, projector, trade_off
from zoo.lab.plots.curves import two_errors


def dots(axes):
    return [
        tuple(point) for drawn in axes.collections if isinstance(drawn, PathCollection) for point in drawn.get_offsets()
    ]


def test_two_standard_errors():
    # of 1, 2, 3, 4: variance (2.25 + 0.25 + 0.25 + 2.25) / 3 = 5 / 3, error sqrt(5 / 3) / 2
    assert two_errors([1.0, 2.0, 3.0, 4.0]) == pytest.approx(math.sqrt(5 / 3))
    assert two_errors([7.0]) == 0.0


def test_a_curve_goes_through_the_means_with_a_dot_for_each_seed():
    values = {2.0: [1.0, 3.0], 1.0: [5.0], 4.0: [0.0, 1.0, 2.0]}
    figure = curves(
        {"a": {"ours": values}, "b": {"ours": {1.0: [0.5]}}}, x="beta", y="nats", levels={"a": {"chance": 0.1}}
    )
    left, right = figure.axes
    line, chance = left.lines[0], left.lines[-1]
    np.testing.assert_allclose(np.array(line.get_data(), float), [[1.0, 2.0, 4.0], [5.0, 2.0, 1.0]])
    assert dots(left) == [(2.0, 1.0), (2.0, 3.0), (4.0, 0.0), (4.0, 1.0), (4.0, 2.0)]
    (bars,) = (drawn for drawn in left.collections if isinstance(drawn, LineCollection))
    lengths = [np.ptp(segment[:, 1]) for segment in bars.get_segments()]
    assert lengths == pytest.approx([0.0, 2 * 2.0, 4 / math.sqrt(3)])  # errors 0, 1 and 1 / sqrt(3), twice, both ways
    assert chance.get_ydata()[0] == 0.1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["chance", "ours"]
    assert not [drawn for drawn in right.collections if isinstance(drawn, LineCollection)]  # one seed has no error


def test_a_curve_has_one_colour_in_all_panels_and_in_the_legend():
    one = {1.0: [0.0], 2.0: [1.0]}
    figure = curves({"a": {"VAE": one, "DIP": one}, "b": {"DIP": one}}, x="beta")
    left, right = figure.axes
    colours = [line.get_color() for line in left.lines if len(line.get_xdata()) == 2]
    assert [line.get_color() for line in right.lines if len(line.get_xdata()) == 2] == colours[1:]
    (legend,) = figure.legends
    shown = [text.get_text() for text in legend.get_texts()], [line.get_color() for line in legend.get_lines()]
    assert shown == (["VAE", "DIP"], colours)


@pytest.mark.parametrize("numbers", [[0.1, 1.0, 10.0], [0.0, 100.0, 1000.0], [0.0, 0.5, 30.0]])
def test_a_logarithmic_axis_tells_all_its_numbers_apart(numbers):
    (axes,) = curves({"a": {"ours": {number: [1.0] for number in numbers}}}, x="beta", y="nats", log=True).axes
    places = axes.transAxes.inverted().transform(axes.transData.transform([(number, 1.0) for number in numbers]))
    assert np.diff(places[:, 0]).min() > 0.25  # of the width; a linear axis has 0.1 and 1 within 0.09


def test_the_first_trials_of_a_figure_are_drawn_whatever_their_number():
    # A figure is drawn when its first trials are finished: those with alpha = 0, for instance.
    for number, scale in ((0.0, "linear"), (100.0, "log")):
        (axes,) = curves({"a": {"ours": {number: [1.0]}}}, x="alpha", log=True).axes
        assert (axes.get_xscale(), dots(axes)) == (scale, [])  # no dots where the mean is the only seed
        assert list(axes.lines[0].get_xdata()) == [number]


def test_a_trade_off_joins_the_means_of_a_family_in_order_and_labels_them():
    families = {
        "A": [Setting("1", [1.0, 3.0], [10.0, 20.0]), Setting("8", [5.0], [30.0])],
        "B": [Setting("", [0.0], [0.0])],
    }
    (axes,) = trade_off(families, x="error", y="score").axes
    first, *_ = axes.lines
    np.testing.assert_allclose(np.array(first.get_data(), float), [[2.0, 5.0], [15.0, 30.0]])
    assert dots(axes) == [(1.0, 10.0), (3.0, 20.0), (5.0, 30.0), (0.0, 0.0)]
    assert [(text.get_text(), text.xy) for text in axes.texts] == [
        ("1", (2.0, 15.0)),
        ("8", (5.0, 30.0)),
        ("", (0.0, 0.0)),
    ]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("error", "score")


def test_labels_of_points_that_are_close_do_not_cover_each_other():
    close = [Setting(label, [1.0 + 0.001 * k], [10.0]) for k, label in enumerate(("16", "32", "64", "128"))]
    far = [Setting("1", [0.0], [0.0]), Setting("2", [2.0], [20.0])]
    figure = trade_off({"A": close, "B": far}, x="error", y="score")
    assert overlapping_labels(figure) == []
    corners = [(text.get_ha(), text.get_va()) for text in figure.axes[0].texts]
    assert corners[:4] == [("left", "bottom"), ("left", "top"), ("right", "bottom"), ("right", "top")]
    assert corners[4:] == [("left", "bottom")] * 2


def test_a_label_does_not_cover_a_seed_where_another_corner_is_free():
    # From (0, 0) to (2, 2) over some 400 pixels: a dot at 1.06 is to the upper right of the mean, within the label.
    figure = trade_off(
        {"A": [Setting("0", [0.0], [0.0]), Setting("middle", [1.06, 0.94], [1.06, 0.94]), Setting("2", [2.0], [2.0])]},
        x="error",
        y="score",
    )
    (_, middle, _) = figure.axes[0].texts
    assert (middle.get_ha(), middle.get_va()) == ("left", "top")


def test_bars_are_means_over_seeds_in_the_order_given():
    figure = bars_of_nats(
        {"one": {"z[1]": [1.0, 3.0], "z[0]": [0.05, 0.05], "c": [0.5, 0.5]}, "two": {"z[0]": -0.001}},
        label="nats",
        threshold=0.1,
        highlighted=["c"],
    )
    left, right = figure.axes
    assert [bar.get_width() for bar in left.patches] == [2.0, 0.05, 0.5]
    assert [label.get_text() for label in left.get_yticklabels()] == ["z[1]", "z[0]", "c"]
    low, high = left.get_ylim()
    assert low > high  # the first is on top
    assert len({bar.get_facecolor() for bar in left.patches}) == 3
    assert [text.get_text() for text in right.texts] == ["0.00"]  # and not -0.00
    assert left.get_xlim() == right.get_xlim()


def test_kl_is_shown_by_site_with_the_largest_unit_first():
    kl = {"z": torch.tensor([0.25, 2.0]), "c": torch.tensor([1.5])}
    (axes,) = kl_bars(Evaluation(num_data=10, reconstruction={"x": -1.0}, kl=kl)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["z[1]", "z[0]", "c"]
    assert [bar.get_width() for bar in axes.patches] == [2.0, 0.25, 1.5]


def test_terms_over_steps_are_the_table_and_its_means(tmp_path):
    steps = np.arange(1, 41)
    rows = [f"{step},{-step},{2 * step}" for step in steps]
    (tmp_path / "terms.csv").write_text("\n".join(["step,elbo,kl/z", *rows]))
    elbo, kl = plot_terms(tmp_path).axes
    assert [elbo.get_title("left"), kl.get_title("left")] == ["elbo", "KL of z"]
    every, means = kl.lines
    np.testing.assert_array_equal(every.get_data(), [steps, 2 * steps])
    # four blocks of ten steps: 1 to 10 has the mean 5.5
    np.testing.assert_allclose(means.get_data(), [[5.5, 15.5, 25.5, 35.5], [11.0, 31.0, 51.0, 71.0]])
    (tmp_path / "terms.csv").write_text("step,elbo\n")
    with pytest.raises(ValueError, match=r"terms\.csv has no row: nothing was trained"):
        plot_terms(tmp_path)


def test_terms_of_a_constant_or_a_single_step_are_drawn(tmp_path):
    (tmp_path / "terms.csv").write_text("step,elbo\n1,-3.5\n")
    (axes,) = plot_terms(tmp_path).axes
    assert axes.lines[1].get_marker() == "."  # a line through one point is not drawn
    assert axes.lines[1].get_ydata() == [-3.5]


def test_on_a_projector_all_text_has_14_points_at_the_width_of_a_slide():
    kl = {"z": torch.rand(10)}
    with projector():
        figures = [
            kl_bars(Evaluation(num_data=10, reconstruction={"x": -1.0}, kl=kl)),
            trade_off({"A": [Setting("1", [1.0], [10.0])]}, x="error", y="score"),
            curves({title: {"ours": {1.0: [0.5], 2.0: [1.0]}} for title in "abc"}, x="beta", y="nats"),
        ]
    for figure in figures:
        scale = 13.33 / figure.get_figwidth()
        texts = [text for axes in figure.axes for text in (*axes.texts, axes.xaxis.label, axes.yaxis.label)]
        texts += [label for axes in figure.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
        assert min(text.get_fontsize() for text in texts) * scale >= 14
    plain = kl_bars(Evaluation(num_data=10, reconstruction={"x": -1.0}, kl=kl))
    assert plain.axes[0].xaxis.label.get_fontsize() < 14  # the block has ended
