"""N-VAE's figures, of made-up numbers: every number is where it belongs."""

import numpy as np
import pytest
import torch

from guides import Amortized, Flow, MeanField
from tests.pairs import SHAPE, L, S, cvae_pair, images
from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.data import Dataset
from zoo.lab.networks import MLPEncoder
from zoo.papers.natural_clustering import figures, plots
from zoo.papers.natural_clustering.augmentation import MODELS, PANELS, SIGMAS, key


class Trial:
    """A finished trial, of which Figure 9 reads the numbers."""

    def __init__(self, numbers):
        self.numbers = numbers

    def quantities(self):
        return self.numbers


def test_figure_9_has_the_error_over_sigma_and_the_baseline_where_there_are_real_data():
    (data, share), model = next(panel for panel in PANELS if panel[1] < 1), next(iter(MODELS))
    shares = {share for _, share in PANELS}
    numbers = [{f"p = {p:g}, sigma = {s:g}": seed + s for p in shares for s in SIGMAS} for seed in (1.0, 3.0)]
    tried = {key(data, model): [Trial(n) for n in numbers], key(data, "baseline"): [Trial({"no samples": 7.0})]}
    panels = figures.augmentation_figures(tried)["figure9.png"].drawn.axes
    axes = next(axes for axes in panels if axes.get_title("left") == f"{data}, p = {share:g}")
    mean, *_, baseline = axes.lines
    np.testing.assert_allclose(np.array(mean.get_data(), float), [sorted(SIGMAS), [2.0 + s for s in sorted(SIGMAS)]])
    assert baseline.get_ydata()[0] == 7.0


def test_figure_5_has_shared_units_in_falling_order_then_the_classs_own():
    class Measured:
        def __init__(self, shift):
            self.shared = torch.tensor([0.1, 2.0]) + shift
            self.own, self.others = torch.tensor([1.0]) + shift, torch.tensor([0.0]) + shift

    (axes,) = plots.kl_by_dimension({"digits": [Measured(0.0), Measured(1.0)]}).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["z_s1", "z_s2", "z_cy", "other"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([2.5, 0.6, 1.5, 0.5])
    assert axes.patches[2].get_facecolor() != axes.patches[3].get_facecolor()


@pytest.mark.parametrize(("head", "ranked"), [(MeanField, True), (Flow, False)])
def test_units_that_a_guide_couples_are_all_the_codes_units_and_have_no_order(head, ranked):
    # A flow has one KL for all units of z, and the decoder still takes four.
    model = cvae_pair()[0]
    guide = Amortized(MLPEncoder(SHAPE, hidden=(8,)), classes=L, z=head(S, given=("y",)))
    data = Dataset.from_arrays(images(23), np.arange(23) % L)
    measured = evaluate(model, guide, data, labels=True, kl="closed" if ranked else "sampled")
    assert (len(measured.kl["z"]) == S) == ranked
    shown = plots.conditional_pictures(model, guide, data, measured)
    grid = shown["traversals.png"].drawn
    assert grid.title.endswith(", most informative first") == ranked
    units = [label.split(",")[0] for label in grid.row_labels[:: min(L, 5)]]
    order = measured.kl["z"].argsort(descending=True).tolist() if ranked else range(S)
    assert units == [f"z[{k}]" for k in order][:3]
