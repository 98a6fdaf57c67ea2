"""Pictures of unusual numbers and names: what is drawn is all of it, and names are no formulas."""

import re
from io import BytesIO
from itertools import combinations

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from matplotlib.figure import Figure
from scipy import sparse
from torch import nn

from zoo.lab.analysis.interventions import Unit
from zoo.lab.analysis.kl_history import History, Run
from zoo.lab.data import Dataset
from zoo.lab.plots import (
    Animation,
    ImageGrid,
    Picture,
    Setting,
    aggregate,
    bars_of_nats,
    curves,
    matrix,
    plot_kl_history,
    plot_sweep,
    samples_by_type,
    save_pictures,
    trade_off,
    type_labels,
    unit_traversals,
)
from zoo.lab.plots.contact_sheet import contact_sheet
from zoo.lab.plots.run import plot_terms
from zoo.lab.plots.sliders import picture
from zoo.lab.plots.style import scatter_by_class

FORMULA = r"$\frac$"  # matplotlib's parser ends with an error


def svg(figure: Figure) -> str:
    file = BytesIO()
    figure.savefig(file, format="svg")
    return file.getvalue().decode()


def test_a_name_with_dollar_signs_is_written_and_numbers_keep_their_powers():
    values = {1.0: [1.0, 2.0], 1000.0: [2.0, 3.0]}
    panel = {FORMULA: values, "cost $": {1.0: [1.0]}}  # the legend's names
    drawn = svg(curves({FORMULA: panel}, x=FORMULA, y=FORMULA, log=True, levels={FORMULA: {"a $b$": 1.0}}))
    assert drawn.count(f">{FORMULA}<") == 4
    assert ">cost $<" in drawn
    assert ">a $b$<" in drawn
    assert re.search(r"<!-- \$\\mathdefault\{10\^", drawn)  # matplotlib's comment at a formula that it set
    assert r">$\mathdefault" not in drawn


def test_names_along_an_axis_are_written_too():
    assert f">{FORMULA}<" in svg(bars_of_nats({FORMULA: {FORMULA: [1.0, 2.0], "b": 1.0}}, label="nats"))
    images = torch.rand(1, 2, 1, 16, 16)
    grid = ImageGrid(images, FORMULA, row_labels=[FORMULA], column_labels=["$1", "$2"])
    drawn = svg(grid.figure())
    assert drawn.count(f">{FORMULA}<") == 2
    assert ">$1<" in drawn
    assert Animation([grid, grid]).gif().startswith(b"GIF")


def test_a_formula_that_is_set_afterwards_is_one():
    figure = curves({"": {"a": {1.0: [1.0]}}}, x="x")
    figure.axes[0].set_title(r"$\beta$")
    assert ">β<" in svg(figure)


def test_more_curves_than_colours_are_all_drawn_and_differ():
    # There are seven colours: the eighth family has the first colour and another line.
    names = [f"s{k}" for k in range(9)]
    drawn = [
        curves({"": {name: {1.0: [k], 2.0: [k]} for k, name in enumerate(names)}}, x="x"),
        trade_off({name: [Setting("", [1.0], [k])] for k, name in enumerate(names)}, x="x", y="y"),
    ]
    for figure in drawn:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        assert labels == names
        looks = {(handle.lines[0].get_color(), handle.lines[0].get_linestyle()) for handle in handles}
        assert len(looks) == 9
        heights = [float(np.mean(handle.lines[0].get_ydata())) for handle in handles]
        assert heights == list(range(9))


def test_a_history_of_more_sites_than_colours_is_drawn():
    kl = {f"z{k}[0]": np.full(3, float(k)) for k in range(9)}
    figure = plot_kl_history([Run("", History(np.array([100, 200, 300]), kl), {})])
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == [f"KL of z{k}" for k in range(9)]


@pytest.mark.parametrize("steps", [1, 3])
def test_names_of_classes_are_drawn_apart_where_the_codes_are_constant_but_for_rounding(steps):
    # A collapsed unit: float32 numbers near 3 are 2.4e-7 apart, and 5 % of that is lost when it is added to 3, so that
    # a label that was moved up by it stayed where it was, for ever.
    codes = np.float32(3.0) + np.float32(2.4e-7) * (np.arange(40) % (steps + 1)).astype(np.float32)
    points = np.stack([codes, codes], 1)
    axes = Figure().add_subplot()
    scatter_by_class(axes, points, np.arange(40) % 10)
    span = float(np.ptp(points[:, 1]))
    places = [np.array(text.get_position()) for text in axes.texts]
    for a, b in combinations(places, 2):
        assert (abs(a - b) >= 0.05 * 0.998 * span).any()


def terms(folder, text: str) -> Figure:
    (folder / "terms.csv").write_text(text)
    return plot_terms(folder)


def test_a_step_that_is_not_finite_leaves_the_others_drawn(tmp_path):
    rows = "".join(f"{n},{'inf' if n == 3 else 'nan' if n == 4 else n}\n" for n in range(1, 8))
    (axes,) = terms(tmp_path, "step,kl/z\n" + rows).axes
    # Limits from the finite numbers 1, 2, 5, 6, 7: all of them, since 2 % and 98 % and a margin are beyond the ends.
    assert axes.get_ylim() == (1.0, 7.0)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1, 2, np.inf, np.nan, 5, 6, 7])


@pytest.mark.parametrize("text", ["step\n1\n2\n", "step,kl/z,kl/c\n1,2\n2,3\n", "step,kl/z\n1,2,9\n2,3,9\n"])
def test_terms_without_their_columns_are_refused(tmp_path, text):
    with pytest.raises(ValueError, match=r"terms\.csv is damaged: it names \d columns and has rows of \d numbers"):
        terms(tmp_path, text)


def test_a_matrix_with_an_undefined_number_keeps_its_shades():
    (axes,) = matrix(np.array([[np.nan, 2.0]]), title="", rows=["a"], columns=["b", "c"], signed=False).axes
    assert axes.images[0].get_clim() == (0.0, 2.0)
    assert [text.get_text() for text in axes.texts] == ["nan", "2.00"]


class Hierarchy(nn.Module):
    """u around 0 with deviation 2, and z around u with deviation 1."""

    def forward(self, x=None, index=None):
        batch = 1 if x is None else len(x)
        with pyro.plate("data", 1000, batch):
            u = pyro.sample("u", dist.Normal(torch.zeros(1), 2.0).to_event(1))
            z = pyro.sample("z", dist.Normal(u, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z.unsqueeze(-1).unsqueeze(-1), 1.0).to_event(3), obs=x)


class Guide(nn.Module):
    def forward(self, x, index=None):
        with pyro.plate("data", 1000, len(x)):
            for site in ("u", "z"):
                pyro.sample(site, dist.Normal(x.flatten(1), 1.0).to_event(1))


def test_the_prior_of_a_site_that_depends_on_another_is_its_marginal():
    # p(z) is Normal(0, sqrt(2^2 + 1^2)), and p(z | u) for one draw of u has a peak of 0.4. The mean over 1,000 draws of
    # u has a standard error of at most 0.2 / sqrt(1000) = 0.006 at each point.
    data = Dataset.from_arrays(np.random.default_rng(0).random((1000, 1, 1, 1)))
    figure = aggregate(Hierarchy(), Guide(), data, [Unit("u", 0), Unit("z", 0)])
    for axes, deviation in zip(figure.axes, (2.0, 5**0.5), strict=False):
        at, density = (torch.as_tensor(values) for values in axes.lines[0].get_data())
        expected = torch.distributions.Normal(0.0, deviation).log_prob(at).exp()
        assert (density - expected).abs().max() < 0.03


def correlation_of_the_priors_draws(model) -> float:
    data = Dataset.from_arrays(np.random.default_rng(0).random((1000, 1, 1, 1)))
    figure = aggregate(model, Guide(), data, [Unit("u", 0), Unit("z", 0)])
    across, up = np.asarray(figure.axes[-1].collections[0].get_offsets()).T
    return float(np.corrcoef(across, up)[0, 1])


def test_draws_of_two_sites_are_those_of_the_story():
    # z = u + e with deviations 2 and 1: correlation 2 / sqrt(5) = 0.894. The draws of each site were its own.
    assert correlation_of_the_priors_draws(Hierarchy()) == pytest.approx(2 / 5**0.5, abs=0.03)

    class Independent(nn.Module):
        def forward(self, x=None, index=None):
            batch = 1 if x is None else len(x)
            with pyro.plate("data", 1000, batch):
                u = pyro.sample("u", dist.Normal(torch.zeros(1), 1.0).to_event(1))
                z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
                pyro.sample("x", dist.Normal((u + z)[..., None, None], 1.0).to_event(3), obs=x)

    # Each site began with the same seed, and the draws lay on a line. The standard error of 1,000 draws is 0.032.
    assert abs(correlation_of_the_priors_draws(Independent())) < 0.13


def test_labels_that_few_points_have_keep_their_names():
    # 10,000 of the points are compared. With this seed the only point of label 1 is not among them, and those of label
    # 2 had its name.
    torch.set_default_dtype(torch.float32)
    y = np.array([0, 1, 2, 0, 2] + [0, 2] * 5999)
    left_out = set(range(len(y))) - set(np.random.default_rng(0).choice(len(y), 10_000, replace=False).tolist())
    y[1] = 0
    y[min(left_out)] = 1
    x = (y == 2).astype(np.float32).reshape(-1, 1, 1, 1)
    data = Dataset.from_arrays(x, y, classes=("cat", "rare", "dog"))

    def encoder(x):
        return {"c": dist.OneHotCategorical(torch.stack([1 - x.flatten(), x.flatten()], 1))}

    found = type_labels(encoder, data)
    assert list(found.labels) == ["cat", "dog"]
    assert found.names == {"c=0": "c=0: 100% are cat", "c=1": "c=1: 100% are dog"}
    np.testing.assert_array_equal(found.shares, np.eye(2))


@pytest.mark.parametrize(("classes", "said"), [(20, ""), (50, "; the first 20 of 50")])
def test_types_that_are_left_out_are_counted(classes, said):
    class Typed(nn.Module):
        def forward(self, x=None, index=None):
            with pyro.plate("data", 50, 1):
                c = pyro.sample("c", dist.OneHotCategorical(torch.ones(1, classes)))
                pyro.sample("x", dist.Normal(c[..., :1, None, None], 1.0).to_event(3), obs=x)

    grid = samples_by_type(Typed(), columns=1)
    assert grid.title == "A type in each row, all else drawn from the prior" + said
    assert grid.row_labels == [f"c={k}" for k in range(20)]


def test_a_site_in_a_scope_has_a_file_without_a_slash(tmp_path):
    assert save_pictures({"enc/z-0.md": Picture("text", "caption")}, tmp_path) == {"enc-z-0.md": "caption"}
    assert (tmp_path / "enc-z-0.md").read_text() == "text"


def test_two_pictures_never_share_a_file(tmp_path):
    # Of the sites enc/z, enc-z and Enc-z; the last would be the second's file on a system that ignores case.
    pictures = {name: Picture(name, name) for name in ("enc/z.md", "enc-z.md", "Enc-z.md")}
    written = save_pictures(pictures, tmp_path)
    assert written == {"enc-z.md": "enc/z.md", "enc-z-2.md": "enc-z.md", "Enc-z-3.md": "Enc-z.md"}
    assert {name: (tmp_path / name).read_text() for name in written} == written


def test_pixels_that_are_clipped_are_said():
    # Half of the pixels at -1: a standardised image, whose darker half is black.
    images = torch.tensor([-1.0, 0.5]).repeat(128).view(1, 1, 1, 16, 16)
    title = ImageGrid(images, "title").figure().axes[0].get_title(loc="left")
    assert title == "title; 50% of the pixels, outside [0, 1], are clipped"


@pytest.mark.parametrize(
    ("deviation", "said"), [(1.0, ""), (10.0, r"; not Normal\(0, 1\): p\(z\[0\]\) reaches to ±[23]\d, and 1 more")]
)
def test_a_prior_that_reaches_farther_than_the_traversal_is_said(deviation, said):
    class Wide(nn.Module):
        def forward(self, x=None, index=None):
            with pyro.plate("data", 50, 1):
                z = pyro.sample("z", dist.Normal(torch.zeros(2), deviation).to_event(1))
                pyro.sample("x", dist.Normal(z[..., :1, None, None], 1.0).to_event(3), obs=x)

    # Three deviations, 30, as 30 draws estimate them; the values of the traversal end at 3.
    grid = unit_traversals(Wide(), {"z": torch.zeros(1, 2)}, [Unit("z", 0), Unit("z", 1)])
    assert re.fullmatch("One unit at a time, all else unchanged" + said, grid.title)


def test_words_without_labels_are_the_most_frequent_ones_and_labels_that_do_not_occur_are_left_out():
    x = sparse.csr_array(np.array([[9.0, 1.0, 0.0], [0.0, 1.0, 5.0]]))
    words = ("apple", "and", "pear")
    (text,) = contact_sheet(Dataset("fruit", x, vocabulary=words)).texts
    # Counts 9, 2, 5. Without labels there was an empty list, whose words were said to be typical of each label.
    assert text.get_text().splitlines()[-1].split() == ["all", "apple", "pear", "and"]
    (text,) = contact_sheet(Dataset("fruit", x, np.array([0, 2]), classes=("a", "b", "c"), vocabulary=words)).texts
    assert [line.split()[:2] for line in text.get_text().splitlines()[2:]] == [["a", "apple"], ["c", "pear"]]


def test_sliders_of_points_are_refused():
    class Points(nn.Module):
        def forward(self, x=None, index=None):
            with pyro.plate("data", 50, 1):
                z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    with pytest.raises(ValueError, match=r"sliders show images \[1, H, W\] and \[3, H, W\], and a datapoint .* \[2\]"):
        picture(Points(), {"z": torch.zeros(1, 2)})


def test_a_sweep_over_none_and_numbers_has_a_place_for_none():
    # pandas turns None into NaN, which no dictionary finds again. Not all values are numbers, so they are spaced
    # evenly.
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"limit": [None, 2.0, None], "seed": [0, 0, 1], "elbo": [1.0, 4.0, 3.0]})
    (axes,) = plot_sweep(table, ["limit"], "limit").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["None", "2"]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[0.0, 2.0], [1.0, 4.0]])  # the mean of 1 and 3
    figure = plot_sweep(table.assign(beta=1.0), ["limit", "beta"], "beta")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["limit = None", "limit = 2"]
    with pytest.raises(ValueError, match="the sweep's table has no quantity"):
        plot_sweep(table[["limit", "seed"]], ["limit"], "limit")
