"""The decomposition paper's figures, of trials with made-up numbers: every number is where it belongs."""

import numpy as np
from matplotlib.collections import PathCollection

from zoo.papers.decomposition import figures


class Trial:
    """A finished trial, of which the figures read the numbers."""

    def __init__(self, **numbers):
        self.numbers = numbers

    def quantities(self):
        return self.numbers


def shapes_trial(loss, metric):
    return Trial(**{"reconstruction loss": loss, "metric": metric})


def test_figure_2_has_a_family_for_each_prior_and_a_point_for_each_setting():
    tried = {
        "isotropic, beta 1": [shapes_trial(10.0, 0.5), shapes_trial(12.0, 0.7)],
        "isotropic, beta 4": [shapes_trial(20.0, 0.9)],
        "learnt, beta 1": [shapes_trial(11.0, 0.6)],
    }
    (axes,) = figures.on_shapes(tried)["figure2.png"].drawn.axes
    np.testing.assert_allclose(np.array(axes.lines[0].get_data(), float), [[11.0, 20.0], [0.6, 0.9]])
    assert [text.get_text() for text in axes.texts] == ["beta 1", "beta 4", "beta 1"]
    assert len([drawn for drawn in axes.collections if isinstance(drawn, PathCollection)]) == 3


def test_figure_4_has_a_panel_for_each_quantity_over_alpha():
    def trial(alpha):
        return Trial(**{"Hoyer": alpha / 1000, "reconstruction": -float(alpha), "MMD": 1.0 / (1 + alpha)})

    tried = {f"sparse, alpha {alpha}": [trial(alpha)] for alpha in (0, 10, 800)}
    panels = figures.figure_4(tried)["figure4.png"].drawn.axes
    assert [axes.get_title("left") for axes in panels] == ["sparsity", "E[log p(x)], nats", "MMD"]
    line = panels[1].lines[0]
    np.testing.assert_allclose(np.array(line.get_data(), float), [[0, 10, 800], [0, -10, -800]])
    assert panels[0].get_xlabel() == "alpha"
    over_beta = {f"sparse, beta {beta}": [trial(beta)] for beta in (1, 10)} | {"sparse, alpha 800": [trial(800)]}
    (line,) = figures.figure_4(over_beta)["figure4.png"].drawn.axes[1].lines[:1]
    np.testing.assert_allclose(np.array(line.get_data(), float), [[1, 10], [-1, -10]])
