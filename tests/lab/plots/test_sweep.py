"""A sweep's pictures, the gaps of guides, and matrices: what is drawn is what was measured."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection

from zoo.lab.plots import gap_bars, matrix, plot_sweep

TABLE = pd.DataFrame(
    {
        "beta": [1.0, 1.0, 4.0, 4.0, 1.0, 4.0],
        "head": ["a", "a", "a", "a", "b", "b"],
        "seed": [0, 1, 0, 1, 0, 0],
        "ELBO": [-3.0, -5.0, -8.0, -8.0, -1.0, -2.0],
        "MIG": [0.1, math.nan, 0.2, 0.4, 0.5, math.nan],
    }
)


def dots(axes):
    drawn = [points for points in axes.collections if isinstance(points, PathCollection)]
    return [[tuple(map(float, point)) for point in points.get_offsets()] for points in drawn]


def bars(axes):
    drawn = [bars for bars in axes.collections if isinstance(bars, LineCollection)]
    return [[float(np.ptp(segment[:, 1])) for segment in of_curve.get_segments()] for of_curve in drawn]


def test_each_quantity_has_a_dot_for_each_seed_and_the_mean_with_its_deviation():
    elbo, mig = plot_sweep(TABLE, ["beta", "head"], "beta").axes
    assert (elbo.get_title("left"), mig.get_title("left"), elbo.get_xlabel()) == ("ELBO", "MIG", "beta")
    assert dots(elbo) == [[(1.0, -3.0), (1.0, -5.0), (4.0, -8.0), (4.0, -8.0)], [(1.0, -1.0), (4.0, -2.0)]]
    means = [np.array(line.get_data(), float).tolist() for line in elbo.lines if line.get_linestyle() == "-"]
    assert means == [[[1.0, 4.0], [-4.0, -8.0]], [[1.0, 4.0], [-1.0, -2.0]]]
    # -3 and -5 have the standard deviation sqrt(2); a bar reaches one of them up and one down.
    assert bars(elbo)[0] == pytest.approx([2 * math.sqrt(2), 0.0])
    assert dots(mig) == [[(1.0, 0.1), (4.0, 0.2), (4.0, 0.4)], [(1.0, 0.5)]]  # a run without the metric has no dot
    assert [tick.get_text() for tick in elbo.get_xticklabels()] == ["1", "4"]


def test_the_other_hyperparameters_are_in_the_legend_and_words_are_spaced_evenly():
    figure = plot_sweep(TABLE, ["beta", "head"], "head")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["beta = 1", "beta = 4"]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["a", "b"]
    assert dots(figure.axes[0])[1] == [(0.0, -8.0), (0.0, -8.0), (1.0, -2.0)]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (([64], [32]), ["[64]", "[32]"]),
        (({"z": 1.0}, {"z": 2.0}), ["{'z': 1.0}", "{'z': 2.0}"]),
        ((True, 1), ["True", "1"]),
        ((1.0, math.inf), ["1", "inf"]),
        ((None, "relu"), ["None", "relu"]),
    ],
    ids=["lists", "mappings", "true", "infinite", "none"],
)
def test_values_without_a_place_on_an_axis_are_spaced_evenly(values, shown):
    first, second = values
    runs = [
        {"h": h, "seed": seed, "ELBO": elbo} for h, seed, elbo in ((first, 0, 1.0), (second, 0, 4.0), (first, 1, 3.0))
    ]
    table = pd.DataFrame(runs, dtype=object)
    (axes,) = plot_sweep(table, ["h"], "h").axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == shown
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[0.0, 2.0], [1.0, 4.0]])  # the mean of 1 and 3
    figure = plot_sweep(table.assign(beta=1), ["h", "beta"], "beta")
    assert len(figure.legends[0].get_texts()) == 2


def test_seeds_alone_have_one_place_and_an_unknown_axis_is_refused():
    figure = plot_sweep(TABLE.drop(columns=["beta", "head"]), [])
    assert {x for x, _ in dots(figure.axes[0])[0]} == {0.0}
    assert not figure.legends
    with pytest.raises(LookupError, match="the sweep has no hyperparameter 'gamma'; it has beta, head"):
        plot_sweep(TABLE, ["beta", "head"], "gamma")


def test_the_parts_of_a_gap_follow_each_other_and_their_sum_is_written():
    figure = gap_bars(
        {"flow": {"approximation": 0.5, "amortisation": 1.25}, "full": {"approximation": -0.25, "amortisation": 1.0}}
    )
    (axes,) = figure.axes
    drawn = [(bar.get_y() + 0.3, bar.get_x(), bar.get_width()) for bar in axes.patches]
    np.testing.assert_allclose(drawn, [(0, 0.0, 0.5), (0, 0.5, 1.25), (1, 0.0, -0.25), (1, 0.0, 1.0)], atol=1e-12)
    assert [text.get_text().strip() for text in axes.texts] == ["1.75", "0.75"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["flow", "full"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["approximation gap", "amortisation gap"]


def test_a_matrix_has_its_numbers_in_ink_that_can_be_read():
    numbers = np.array([[1.0, -0.25], [0.5, -0.9]])
    (axes,) = matrix(numbers, title="t", rows=["a", "b"], columns=["c", "d"], signed=True).axes
    np.testing.assert_array_equal(axes.images[0].get_array(), numbers)
    assert axes.images[0].get_clim() == (-1.0, 1.0)
    written = {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts}
    assert written == {
        (0, 0): ("1.00", "white"),
        (1, 0): ("-0.25", "black"),
        (0, 1): ("0.50", "black"),
        (1, 1): ("-0.90", "white"),
    }


def test_a_matrix_of_many_columns_has_a_scale_instead_of_numbers():
    axes, scale = matrix(np.ones((2, 20)), title="t", rows="ab", columns=["z"] * 20, signed=False).axes
    assert not axes.texts
    assert scale.get_ylim() == (0.0, 1.0)
